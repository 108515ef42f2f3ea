"""Is a file system full, or nearly?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import Check, Evidence, Filesystem, Limit, Severity, Verdict
from clusterctl.verdicts import (
    absent,
    facts_of,
    failing,
    passing,
    settled,
    skipping,
    source_of,
    threshold,
    warning,
)

FULL = "delete or move what fills it (old logs, core dumps, containers); drain if jobs write there"
# Images that are full because they were made to size.
SEALED = frozenset({"squashfs", "iso9660", "erofs", "cramfs", "udf"})


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        for found in facts_of(evidence, Filesystem):
            if not found.mounted:
                yield skipping(evidence, found.part, "not mounted: see read_only")
            elif found.fstype in SEALED:
                yield skipping(evidence, found.part, f"{found.fstype} is full by nature")
            else:
                yield from settled((space(evidence, found), inodes(evidence, found)))


def space(evidence: Evidence, found: Filesystem) -> Verdict:
    size, free = found.size_bytes, found.available_bytes
    if size is None or free is None:
        return absent(evidence, found, "size_bytes" if size is None else "available_bytes")
    if not size:
        return skipping(evidence, found.part, "it has no size")
    share, least = 100 * free / size, threshold(evidence, "free_bytes")
    large = size >= threshold(evidence, "large_bytes")
    actual = f"{share:.1f} % free ({free / 1e9:.1f} GB)"
    if share < threshold(evidence, "full_percent") or (large and free < least):
        return failing(
            evidence,
            found.part,
            expected=f"≥ {least / 1e6:g} MB free" if large else "some space free",
            actual=actual,
            why="full: what writes there fails",
            remedy=FULL,
            severity=Severity.ISOLATE,
            source=source_of(evidence, "free_bytes"),
        )
    limit = threshold(evidence, "free_percent")
    if share < limit:
        return warning(
            evidence,
            found.part,
            expected=f"≥ {limit:g} % free",
            actual=actual,
            why="nearly full",
            remedy=FULL,
            source=source_of(evidence, "free_percent"),
        )
    return passing(evidence, found.part, actual, expected=f"≥ {limit:g} % free", yardstick="floor")


def inodes(evidence: Evidence, found: Filesystem) -> Verdict:
    total, free = found.inodes, found.inodes_available
    if not total or free is None:
        return skipping(evidence, found.part, "this file system counts no inodes")
    share = 100 * free / total
    limit = threshold(evidence, "full_percent")
    if share >= limit:
        return passing(evidence, found.part, f"{share:.0f} % of inodes free")
    return failing(
        evidence,
        found.part,
        expected=f"≥ {limit:g} % of inodes free",
        actual=f"{share:.2f} %",
        why="no more files can be made there",
        remedy="find the folder with very many small files and clear it",
        severity=Severity.ISOLATE,
        source=source_of(evidence, "full_percent"),
    )


CHECKS = (
    Check(
        name="disk_space",
        asks="Is a file system full, or nearly?",
        wants=(Filesystem,),
        judge=judge,
        limits={
            "free_percent": Limit(10, "gpud disk component: below 10 %"),
            "free_bytes": Limit(500_000_000, "gpud disk component: below 500 MB"),
            "large_bytes": Limit(
                10_000_000_000, "clusterctl: 500 MB means nothing to a /boot of that size"
            ),
            "full_percent": Limit(1, "clusterctl: within 1 % of full is full"),
        },
    ),
)

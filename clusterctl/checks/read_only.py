"""Is a file system read-only or gone that should be there to write to?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import Check, Evidence, Filesystem, Severity, Verdict
from clusterctl.verdicts import facts_of, failing, passing, skipping

FSTAB = "the node's own /etc/fstab"
# A root that was built read-only: live and immutable systems.
SEALED = frozenset({"squashfs", "erofs", "iso9660", "cramfs", "ramfs"})


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        for found in facts_of(evidence, Filesystem):
            yield writable(evidence, found)


def writable(evidence: Evidence, found: Filesystem) -> Verdict:
    if not found.mounted:
        return failing(
            evidence,
            found.part,
            expected="mounted",
            actual="not mounted",
            why="in fstab and not there: jobs would write below it",
            remedy="mount it; if that fails, see the drive or the file server",
            severity=Severity.ISOLATE,
            source=FSTAB,
        )
    if not found.read_only:
        return passing(evidence, found.part, "read-write")
    if found.wanted_read_only:
        return passing(evidence, found.part, "read-only", expected="read-only", source=FSTAB)
    root = found.part == "/" and found.fstype not in SEALED
    if found.wanted_read_only is None and not root:
        return skipping(evidence, found.part, "read-only, and fstab says nothing about it")
    return failing(
        evidence,
        found.part,
        expected="read-write",
        actual="read-only",
        why="kernels remount a file system read-only after errors",
        remedy="read the kernel log, check drive and file system, then reboot",
        severity=Severity.REBOOT_NODE,
        source=FSTAB if found.wanted_read_only is False else "a root file system takes writes",
    )


CHECKS = (
    Check(
        name="read_only",
        asks="Is a file system read-only or gone that should be there to write to?",
        wants=(Filesystem,),
        judge=judge,
    ),
)

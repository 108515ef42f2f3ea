"""Is all main memory there?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import median

from clusterctl.model import Accelerator, Check, Cpu, Evidence, Limit, Memory, Severity, Verdict
from clusterctl.peers import LEAST_VOTERS
from clusterctl.verdicts import (
    facts_of,
    failing,
    make,
    number_in,
    passing,
    settled,
    skipping,
    source_of,
    threshold,
    warning,
)

REMEDY = "compare the DIMMs the BMC lists with a peer's; reseat or replace the missing one"
GIB = 1 << 30


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    sizes: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for evidence in fleet:
        for memory in facts_of(evidence, Memory):
            sizes[make(evidence), memory.part].append(memory.total_bytes)
    for evidence in fleet:
        for memory in facts_of(evidence, Memory):
            peers = sizes[make(evidence), memory.part]
            yield from settled((size(evidence, memory, peers), *poisoned(evidence, memory)))


def size(evidence: Evidence, memory: Memory, peers: Sequence[int]) -> Verdict:
    floor = evidence.limits.get("total_bytes")
    if floor is not None and memory.part == "memory":
        return compared(evidence, memory, number_in(floor), floor.source, "floor")
    if len(peers) < LEAST_VOTERS:
        return skipping(
            evidence,
            memory.part,
            f"{memory.total_bytes / GIB:.1f} GiB, and too few peers to compare with",
        )
    usual = median(peers)
    # The kernel's own share differs a little between twins: exact equality would cry wolf.
    least = usual * (1 - threshold(evidence, "missing_share"))
    return compared(evidence, memory, least, source_of(evidence, "missing_share"), "peers")


def compared(
    evidence: Evidence, memory: Memory, least: float, source: str, yardstick: str
) -> Verdict:
    actual, expected = f"{memory.total_bytes / GIB:.1f} GiB", f"≥ {least / GIB:.1f} GiB"
    if memory.total_bytes >= least:
        return passing(
            evidence,
            memory.part,
            actual,
            expected=expected,
            source=source,
            yardstick=yardstick,
        )
    return failing(
        evidence,
        memory.part,
        expected=expected,
        actual=actual,
        why="memory is missing",
        remedy=REMEDY,
        severity=Severity.ISOLATE,
        source=source,
        yardstick=yardstick,
    )


def poisoned(evidence: Evidence, memory: Memory) -> Iterator[Verdict]:
    """Said only where pages are broken: that none is says nothing of the size."""
    lost = memory.hardware_corrupted_bytes
    if lost is None or lost <= threshold(evidence, "corrupted_bytes"):
        return
    yield warning(
        evidence,
        memory.part,
        expected="no corrupted page",
        actual=f"{lost >> 10} KiB",
        why="the kernel took broken memory out of use",
        remedy="see memory_errors for the DIMM; replace it at the next maintenance",
        source=source_of(evidence, "corrupted_bytes"),
    )


CHECKS = (
    Check(
        name="memory_size",
        asks="Is all main memory there, and none of it broken?",
        wants=(Memory,),
        uses=(Accelerator, Cpu),
        judge=judge,
        options=("total_bytes",),
        scope="fleet",
        limits={
            "missing_share": Limit(
                0.015, "clusterctl: half of one DIMM of 32, the most that a node has"
            ),
            "corrupted_bytes": Limit(0, "Linux Documentation/mm/hwpoison: HardwareCorrupted"),
        },
    ),
)

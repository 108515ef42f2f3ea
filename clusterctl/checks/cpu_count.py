"""Are all processors there and switched on?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from clusterctl.model import Accelerator, Check, Cpu, Evidence, Severity, Verdict
from clusterctl.peers import majority
from clusterctl.verdicts import (
    absent,
    facts_of,
    failing,
    make,
    number_in,
    passing,
    settled,
    skipping,
    warning,
)

PEERS = "most nodes of this kind"
REMEDY = "compare BIOS settings (sockets, SMT, core count) with a peer's; reboot"
Counts = Mapping[str, int | None]


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    votes: defaultdict[str, list[int]] = defaultdict(list)
    for evidence in fleet:
        for cpu in facts_of(evidence, Cpu):
            if cpu.online is not None:
                votes[make(evidence)].append(cpu.online)
    usual = {kind: majority(counts) for kind, counts in votes.items()}
    for evidence in fleet:
        for cpu in facts_of(evidence, Cpu):
            yield from settled((enough(evidence, cpu, usual), switched_on(evidence, cpu)))


def enough(evidence: Evidence, cpu: Cpu, usual: Counts) -> Verdict:
    if cpu.online is None:
        return absent(evidence, cpu, "online")
    floor, peers = evidence.limits.get("threads"), usual.get(make(evidence))
    if floor is not None:
        wanted, source, yardstick = int(number_in(floor)), floor.source, "floor"
    elif peers is not None:
        wanted, source, yardstick = peers, PEERS, "peers"
    else:
        return skipping(evidence, cpu.part, f"{cpu.online} threads, and too few peers to compare")
    if cpu.online >= wanted:
        return passing(
            evidence,
            cpu.part,
            f"{cpu.online} threads",
            expected=f"≥ {wanted}",
            source=source,
            yardstick=yardstick,
        )
    return failing(
        evidence,
        cpu.part,
        expected=f"{wanted} threads",
        actual=str(cpu.online),
        why="fewer processors than this kind of node has",
        remedy=REMEDY,
        severity=Severity.ISOLATE,
        source=source,
        yardstick=yardstick,
    )


def switched_on(evidence: Evidence, cpu: Cpu) -> Verdict:
    if cpu.threads is None or cpu.online is None:
        return skipping(evidence, cpu.part, "it does not say how many threads there could be")
    if cpu.online >= cpu.threads:
        return passing(evidence, cpu.part, f"all {cpu.online} threads online")
    return warning(
        evidence,
        cpu.part,
        expected=f"{cpu.threads} threads online",
        actual=str(cpu.online),
        why="some processors are switched off",
        remedy="switch them on (chcpu -e), unless that was a choice",
        source="the kernel's own list of present processors",
    )


CHECKS = (
    Check(
        name="cpu_count",
        asks="Are all processors there and switched on?",
        wants=(Cpu,),
        uses=(Accelerator,),
        judge=judge,
        options=("threads",),
        scope="fleet",
    ),
)

"""Is every drive there, as on the peers?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from clusterctl.model import Accelerator, Check, Cpu, Drive, Evidence, Severity, Verdict
from clusterctl.peers import majority
from clusterctl.verdicts import (
    SEE_WHY,
    before,
    facts_of,
    failing,
    hidden,
    make,
    number_in,
    passing,
    skipping,
    unknown,
    warning,
)

PART = "drives"
PEERS = "most nodes of this kind"
PAST = "this node's last reading"
REMEDY = "see the PCI bus and the kernel log for the drive; reseat it"


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    counts: defaultdict[str, list[int]] = defaultdict(list)
    for evidence in fleet:
        if not hidden(evidence, Drive):
            counts[make(evidence)].append(len(facts_of(evidence, Drive)))
    usual = {kind: majority(found) for kind, found in counts.items()}
    for evidence in fleet:
        yield count(evidence, usual.get(make(evidence)))


def count(evidence: Evidence, usual: int | None) -> Verdict:
    here = {drive.part for drive in facts_of(evidence, Drive)}
    gone = sorted(before(evidence, Drive).keys() - here)
    floor = evidence.limits.get("drives")
    wanted = int(number_in(floor)) if floor else usual
    source, yardstick = (floor.source, "floor") if floor else (PEERS, "peers")
    short = wanted is not None and len(here) < wanted
    if (short or gone) and (blind := hidden(evidence, Drive)):
        return unknown(
            evidence,
            PART,
            f"others may be there and were not seen: {blind}",
            expected=str(wanted) if short else f"{', '.join(gone)}, as at the last reading",
            actual=f"{len(here)} seen",
            remedy=SEE_WHY,
            source=source if short else PAST,
        )
    if short:
        return failing(
            evidence,
            PART,
            expected=str(wanted),
            actual=str(len(here)),
            why=f"gone since the last reading: {', '.join(gone)}" if gone else "one is not there",
            remedy=REMEDY,
            severity=Severity.ISOLATE,
            source=source,
            yardstick=yardstick,
        )
    if gone and floor is None:  # a medium that the BMC or USB lends comes and goes: no fault yet
        return warning(
            evidence,
            PART,
            expected=f"{', '.join(gone)}, as at the last reading",
            actual="not there",
            why="gone since the last reading",
            remedy=REMEDY,
            source=PAST,
            yardstick="past",
        )
    if wanted is None:
        return skipping(evidence, PART, f"{len(here)}, and too few peers to compare with")
    return passing(
        evidence,
        PART,
        str(len(here)),
        expected=f"≥ {wanted}",
        source=source,
        yardstick=yardstick,
    )


CHECKS = (
    Check(
        name="drive_count",
        asks="Is every drive there, as on the peers?",
        wants=(Drive,),
        uses=(Accelerator, Cpu),
        judge=judge,
        options=("drives",),
        scope="fleet",
    ),
)

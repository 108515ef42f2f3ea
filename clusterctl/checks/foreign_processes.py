"""Does somebody use the accelerators of a node that should be idle?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import Accelerator, Check, DeviceProcess, Evidence, Limit, Verdict
from clusterctl.verdicts import (
    SEE_WHY,
    facts_of,
    passing,
    skipping,
    source_of,
    unknown,
    warning,
    words_in,
)

PART = "accelerators"


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        cards = facts_of(evidence, Accelerator)
        running = facts_of(evidence, DeviceProcess)
        if evidence.limits["idle"].value is not True:
            yield skipping(evidence, PART, "jobs may run here")
        elif not cards and not running:
            yield skipping(evidence, PART, "no accelerator seen here")
        else:
            parts = dict.fromkeys([card.part for card in cards] + [run.part for run in running])
            for part in parts:
                yield on_card(evidence, part, [run for run in running if run.part == part])


def on_card(evidence: Evidence, part: str, running: Sequence[DeviceProcess]) -> Verdict:
    allowed = words_in(evidence, "allowed")
    foreign = [run for run in running if run.name.rsplit("/", 1)[-1] not in allowed]
    gaps = evidence.gaps.get(DeviceProcess, ())
    if not foreign and (blind := next((gap.why for gap in gaps if not gap.part), "")):
        return unknown(
            evidence,
            part,
            f"processes may be there and were not seen: {blind}",
            expected="no process",
            actual="none seen",
            remedy=SEE_WHY,
        )
    if not foreign:
        return passing(evidence, part, "no process", expected="no process")
    names = ", ".join(f"{run.name} ({run.pid})" for run in foreign[:4])
    more = f" and {len(foreign) - 4} more" if len(foreign) > 4 else ""
    return warning(
        evidence,
        part,
        expected="no process",
        actual=names + more,
        why="the node should be idle, and its numbers are worth nothing while it is not",
        remedy="see whose it is; a left-over of a job that ended may be killed",
        source=source_of(evidence, "idle"),
    )


CHECKS = (
    Check(
        name="foreign_processes",
        asks="Does somebody use the accelerators of a node that should be idle?",
        wants=(Accelerator,),
        uses=(DeviceProcess,),
        judge=judge,
        limits={
            "idle": Limit(value=False, source="clusterctl: a sweep meets running jobs"),
            "allowed": Limit(
                ("nvidia-persistenced", "dcgm", "nv-hostengine", "Xorg"),
                "monitoring and display servers of the vendors; not jobs",
            ),
        },
    ),
)

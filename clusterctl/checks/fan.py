"""Does a fan stand still, or is it as slow as its board calls critical?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import Check, Evidence, Fan, Limit, Severity, Verdict
from clusterctl.verdicts import (
    absent,
    facts_of,
    failing,
    passing,
    skipping,
    source_of,
    threshold,
    warning,
)

OWN = "the board's own threshold"
REMEDY = "listen and look: replace the fan before the node is loaded again"


def judge(evidences: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in evidences:
        for fan in facts_of(evidence, Fan):
            yield turns(evidence, fan)


def turns(evidence: Evidence, fan: Fan) -> Verdict:
    speed = f"{fan.rpm:g} RPM" if fan.rpm is not None else f"{fan.percent} %"
    least = fan.low_critical_rpm
    if fan.present is False:
        return skipping(evidence, fan.part, "no fan in this place")
    if fan.health == "critical" or (fan.rpm is not None and least is not None and fan.rpm < least):
        return failing(
            evidence,
            fan.part,
            expected=f"≥ {least:g} RPM" if least is not None else "ok",
            actual=speed if fan.rpm is not None or fan.percent is not None else "critical",
            why="the board calls this fan's speed critical",
            remedy=REMEDY,
            severity=Severity.ISOLATE,
            source=OWN,
        )
    if fan.rpm is None and fan.percent is None:
        return absent(evidence, fan, "rpm")
    if fan.rpm is not None and fan.rpm <= threshold(evidence, "still_rpm"):
        return stands(evidence, fan, speed)
    if fan.health == "warning":
        return warning(
            evidence,
            fan.part,
            expected="ok",
            actual=speed,
            why="the board warns of this fan's speed",
            remedy=REMEDY,
            source=OWN,
        )
    return passing(evidence, fan.part, speed, expected="turns", source=OWN, yardstick="floor")


def stands(evidence: Evidence, fan: Fan, speed: str) -> Verdict:
    """Some boards stop fans that they do not need, and say ok all the same."""
    if fan.health == "ok":
        return skipping(evidence, fan.part, f"{speed}, and the board says that is in order")
    return failing(
        evidence,
        fan.part,
        expected=f"> {threshold(evidence, 'still_rpm'):g} RPM",
        actual=speed,
        why="the fan stands still",
        remedy=REMEDY,
        severity=Severity.ISOLATE,
        source=source_of(evidence, "still_rpm"),
    )


CHECKS = (
    Check(
        name="fan",
        asks="Does a fan stand still, or turn slower than its board calls critical?",
        wants=(Fan,),
        judge=judge,
        limits={"still_rpm": Limit(0, "a tachometer that says 0 sees no turn at all")},
    ),
)

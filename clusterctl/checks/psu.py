"""Has a power supply failed, lost its feed, or left the node without a spare?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import Check, Evidence, Psu, Sensor, Severity, Verdict
from clusterctl.verdicts import facts_of, failing, passing, skipping, unknown, warning

IPMI = "IPMI 2.0 specification, tables 42-2 and 42-3: power supply and redundancy states"
FEED = ("ac lost", "input lost", "input out-of-range", "unavailableoffline")


def judge(evidences: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in evidences:
        for psu in facts_of(evidence, Psu):
            yield supply(evidence, psu)
        for sensor in facts_of(evidence, Sensor):
            if sensor.kind == "redundancy":
                yield spare(evidence, sensor)


def supply(evidence: Evidence, psu: Psu) -> Verdict:
    said = ", ".join(psu.words)
    if psu.present is False:
        return skipping(evidence, psu.part, "this bay is empty")
    if psu.health is None:
        why = f"the BMC says nothing of its health{f' ({said})' if said else ''}"
        return skipping(evidence, psu.part, why)
    if psu.health == "ok":
        return passing(evidence, psu.part, said or "ok", expected="ok", source=IPMI)
    unfed = any(word in said.lower() for word in FEED)
    give = failing if psu.health == "critical" else warning
    return give(
        evidence,
        psu.part,
        expected="ok",
        actual=said or psu.health,
        why="the supply has no feed" if unfed else "the supply says that it is not well",
        remedy="look at its cord, the PDU's outlet and the breaker, then at the supply"
        if unfed
        else "reseat the supply; replace it if the BMC says the same again",
        severity=Severity.ISOLATE if psu.health == "critical" else Severity.OBSERVE,
        source=IPMI,
    )


def spare(evidence: Evidence, sensor: Sensor) -> Verdict:
    said = ", ".join(sensor.words)
    if sensor.health == "ok":
        return passing(evidence, sensor.part, said, expected="fully redundant", source=IPMI)
    if sensor.health is None:
        return unknown(
            evidence,
            sensor.part,
            f"redundancy is told in words nobody here knows: {said or 'none'}",
            expected="fully redundant",
            remedy="read the BMC's own page",
            source=IPMI,
        )
    return warning(
        evidence,
        sensor.part,
        expected="fully redundant",
        actual=said or sensor.health,
        why="one more failure and the node is off",
        remedy="find the part that is missing: look at the other findings of psu and fan here",
        source=IPMI,
    )


CHECKS = (
    Check(
        name="psu",
        asks="Has a power supply failed, lost its feed, or left the node without a spare?",
        wants=(Psu,),
        uses=(Sensor,),
        judge=judge,
    ),
)

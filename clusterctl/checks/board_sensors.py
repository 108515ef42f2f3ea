"""Does a node's BMC call a sensor, or the machine as a whole, not well?

Supplies, fans and inlets have checks of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import Chassis, Check, Evidence, Sensor, Severity, Verdict
from clusterctl.verdicts import facts_of, failing, passing, skipping, warning

OWN = "the board's own threshold"
ELSEWHERE = ("redundancy", "inlet", "coolant_in", "coolant_out")
REMEDIES = {
    "temperature": "look at fans, air flow and the heat sink under this sensor",
    "voltage": "replace the supply or the board: a voltage out of its range breaks what it feeds",
    "flow": "look at the coolant distribution unit: pumps, filters, valves, air in the loop",
}
REMEDY = "read the BMC's own page and its event log; the maker's support knows the sensor"


def judge(evidences: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in evidences:
        for sensor in facts_of(evidence, Sensor):
            if sensor.kind not in ELSEWHERE:
                yield within(evidence, sensor)
        for chassis in facts_of(evidence, Chassis):
            yield machine(evidence, chassis)


def within(evidence: Evidence, sensor: Sensor) -> Verdict:
    words = ", ".join(sensor.words)
    shown = f"{sensor.measured:g} {sensor.unit}".strip() if sensor.measured is not None else words
    if sensor.health is None:
        why = f"the board does not judge it{f': {shown}' if shown else ''}"
        return skipping(evidence, sensor.part, why)
    if sensor.health == "ok":
        return passing(evidence, sensor.part, shown or "ok", expected="ok", source=OWN)
    give = failing if sensor.health == "critical" else warning
    return give(
        evidence,
        sensor.part,
        expected=limits(sensor),
        actual=shown or sensor.health,
        why=f"the board calls it {sensor.health}",
        remedy=REMEDIES.get(sensor.kind, REMEDY),
        severity=Severity.ISOLATE if sensor.health == "critical" else Severity.OBSERVE,
        source=OWN,
    )


def limits(sensor: Sensor) -> str:
    low, high = sensor.low_critical, sensor.high_critical
    unit = f" {sensor.unit}".rstrip()
    if low is not None and high is not None:
        return f"{low:g} to {high:g}{unit}"
    if high is not None:
        return f"≤ {high:g}{unit}"
    return f"≥ {low:g}{unit}" if low is not None else "ok"


def machine(evidence: Evidence, chassis: Chassis) -> Verdict:
    if chassis.faults or chassis.health in ("warning", "critical"):
        give = failing if chassis.faults or chassis.health == "critical" else warning
        return give(
            evidence,
            chassis.part,
            expected="no fault",
            actual=", ".join(chassis.faults) or str(chassis.health),
            why="the BMC says that the machine is not well",
            remedy=REMEDY,
            severity=Severity.ISOLATE if give is failing else Severity.OBSERVE,
            source="the BMC's own verdict",
        )
    if chassis.health is None and chassis.power is None:
        return skipping(evidence, chassis.part, "the BMC says nothing of the whole machine")
    return passing(
        evidence, chassis.part, chassis.health or f"power {chassis.power}", expected="no fault"
    )


CHECKS = (
    Check(
        name="board_sensors",
        asks="Does the BMC call a sensor, or the machine as a whole, not well?",
        wants=(Sensor, Chassis),
        judge=judge,
    ),
)

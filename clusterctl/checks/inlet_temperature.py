"""Is the air, or the coolant, that a node is given too warm?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import Check, Evidence, Limit, Sensor, Severity, Verdict
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

ASHRAE = "ASHRAE TC 9.9, Thermal Guidelines for Data Processing Environments, 5th edition (2021)"
OWN = "the board's own threshold"
AIR = (
    "look at the aisle: containment, blanking plates, room cooling; neighbours say how far it goes"
)
GIVEN = ("inlet", "coolant_in", "coolant_out")
COOLANT = "look at the coolant distribution unit: supply temperature, flow, filters, valves"


def judge(evidences: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in evidences:
        sensors = list(facts_of(evidence, Sensor))
        its = [sensor for sensor in sensors if sensor.kind in GIVEN]
        for sensor in its:
            yield given(evidence, sensor)
        if sensors and not its:
            yield skipping(evidence, "", "the board has no sensor of what the node is given")


def given(evidence: Evidence, sensor: Sensor) -> Verdict:
    if sensor.measured is None:
        return absent(evidence, sensor, "measured")
    air = sensor.kind == "inlet"
    actual = f"{sensor.measured:g} °C"
    fails = [(sensor.high_critical, OWN)] if sensor.high_critical is not None else []
    warns = [(sensor.high_warning, OWN)] if sensor.high_warning is not None else []
    if air:
        fails += [(threshold(evidence, "allowed_c"), source_of(evidence, "allowed_c"))]
        warns += [(threshold(evidence, "warm_c"), source_of(evidence, "warm_c"))]
    too_hot = [(limit, source) for limit, source in fails if sensor.measured > limit]
    warm = [(limit, source) for limit, source in warns if sensor.measured > limit]
    remedy = AIR if air else COOLANT
    if too_hot or sensor.health == "critical":
        limit, source = min(too_hot, default=(None, OWN))
        return failing(
            evidence,
            sensor.part,
            expected=f"≤ {limit:g} °C" if limit is not None else "ok",
            actual=actual,
            why=f"the {'air' if air else 'coolant'} is warmer than this machine may be given",
            remedy=remedy,
            severity=Severity.ISOLATE,
            source=source,
        )
    if warm or sensor.health == "warning":
        limit, source = min(warm, default=(None, OWN))
        return warning(
            evidence,
            sensor.part,
            expected=f"≤ {limit:g} °C" if limit is not None else "ok",
            actual=actual,
            why=f"the {'air' if air else 'coolant'} is warmer than usual",
            remedy=remedy,
            source=source,
        )
    known = min([limit for limit, _ in (*fails, *warns)], default=None)
    if known is None and sensor.health is None:
        return skipping(evidence, sensor.part, f"{actual}; the board sets no limit for it")
    return passing(
        evidence,
        sensor.part,
        actual,
        expected=f"≤ {known:g} °C" if known is not None else "ok",
        source=source_of(evidence, "warm_c") if air else OWN,
        yardstick="floor",
    )


CHECKS = (
    Check(
        name="inlet_temperature",
        asks="Is the air, or the coolant, that a node is given too warm?",
        wants=(Sensor,),
        judge=judge,
        limits={
            "warm_c": Limit(32, f"{ASHRAE}: class A1, allowable"),
            "allowed_c": Limit(35, f"{ASHRAE}: class A2, allowable"),
        },
    ),
)

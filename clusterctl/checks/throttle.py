"""Is a device held back by heat or by its power supply?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.counters import NoRise, rise
from clusterctl.model import Accelerator, Check, Evidence, Limit, Severity, Verdict
from clusterctl.verdicts import (
    absent,
    before,
    facts_of,
    failing,
    passing,
    settled,
    skipping,
    source_of,
    threshold,
    warning,
)

MEANING = (
    "nvidia-smi manual, clocks event reasons; hardware slowdown is a fault, a power cap is not"
)
FINE = frozenset({"idle", "none", "sw_power_cap", "clocks_setting", "sync_boost", "display"})
FAULTS = {
    "hw_thermal": ("too hot: the hardware halves its clocks", "look at cooling of this device"),
    "hw_power_brake": (
        "the power supply asked the hardware to brake",
        "look at power supplies, power cables and the rack's feed",
    ),
    "hw_slowdown": (
        "the hardware slows itself down",
        "look at cooling, power supplies and power cables",
    ),
}
SOFT = {
    "sw_thermal": ("the driver lowers clocks to stay cool", "look at cooling of this device"),
    "unspecified": (
        "the driver says that it is held back and not by what",
        "look at temperature and power cap of this device",
    ),
}


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        earlier = before(evidence, Accelerator)
        for card in facts_of(evidence, Accelerator):
            yield from settled(
                (*active(evidence, card), held_back(evidence, card, earlier.get(card.part)))
            )


def active(evidence: Evidence, card: Accelerator) -> Iterator[Verdict]:
    if card.throttle is None:
        yield absent(evidence, card, "throttle")
        return
    reasons = [reason for reason in card.throttle if reason not in FINE]
    # hw_slowdown is set together with the reason that caused it: the reason says more.
    causes = [reason for reason in reasons if reason in FAULTS and reason != "hw_slowdown"]
    for reason in reasons:
        if reason == "hw_slowdown" and causes:
            continue
        yield hindered(evidence, card, reason)
    if not reasons:
        words = ", ".join(card.throttle) or "none"
        yield passing(evidence, card.part, words, expected="no slowdown", source=MEANING)


def hindered(evidence: Evidence, card: Accelerator, reason: str) -> Verdict:
    if reason in FAULTS:
        why, remedy = FAULTS[reason]
        return failing(
            evidence,
            card.part,
            expected="no slowdown",
            actual=reason,
            why=why,
            remedy=remedy,
            severity=Severity.ISOLATE,
            source=MEANING,
        )
    why, remedy = SOFT.get(
        reason, ("not in our table of throttle reasons", "look it up in the vendor's manual")
    )
    return warning(
        evidence,
        card.part,
        expected="no slowdown",
        actual=reason,
        why=why,
        remedy=remedy,
        source=MEANING,
    )


def held_back(evidence: Evidence, card: Accelerator, then: Accelerator | None) -> Verdict:
    """What happened between two readings, which no single look sees."""
    if card.throttle_thermal_us is None:
        return absent(evidence, card, "throttle_thermal_us")
    past = then.throttle_thermal_us if then else None
    rose = rise(evidence, "throttle_thermal_us", card.throttle_thermal_us, past)
    if isinstance(rose, NoRise):
        return skipping(evidence, card.part, rose.why)
    seconds = rose.count / 1e6
    limit = threshold(evidence, "thermal_s")
    if seconds <= limit:
        return passing(evidence, card.part, f"{seconds:g} s held back by heat", yardstick="past")
    return warning(
        evidence,
        card.part,
        expected=f"≤ {limit:g} s held back by heat",
        actual=f"{seconds:.3g} s",
        why="it was slowed down by heat since the last reading",
        remedy="look at cooling of this device",
        source=source_of(evidence, "thermal_s"),
        yardstick="past",
    )


CHECKS = (
    Check(
        name="throttle",
        asks="Is a device held back by heat or by its power supply?",
        wants=(Accelerator,),
        judge=judge,
        limits={
            "thermal_s": Limit(
                0, "aidatacenterguide 13.8: no throttling during a soak", "between two readings"
            )
        },
    ),
)

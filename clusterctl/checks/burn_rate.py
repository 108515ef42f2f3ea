"""Is a part slower under load than its floor or its peers?"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from clusterctl.model import Accelerator, Burn, Check, Cpu, Evidence, Limit, Severity, Verdict
from clusterctl.peers import Crowd, crowd, shortfall
from clusterctl.verdicts import (
    facts_of,
    failing,
    make,
    number_in,
    passing,
    skipping,
    source_of,
    threshold,
    unknown,
    warning,
)

ALONE = "run it once more alone; if it stays slow look at cooling, power and clocks"
Key = tuple[str, str, str, str, str]
UNITS = ("gop_s", "gbyte_s", "tflop_s", "hbm_gbyte_s")  # hbm: a GPU's own memory
# A floor and a ceiling for each kind of part and unit that a trial may give.
FLOORS = tuple(
    f"{part}_{unit}{end}"
    for part in ("cpu", "memory", "disk", "gpu", "npu")
    for unit in UNITS
    for end in ("", "_ceiling")
)


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    rates: defaultdict[Key, list[float]] = defaultdict(list)
    for evidence in fleet:
        for burn in facts_of(evidence, Burn):
            if burn.rate:
                rates[alike(evidence, burn)].append(burn.rate)
    crowds = {key: crowd(values) for key, values in rates.items()}
    for evidence in fleet:
        for burn in facts_of(evidence, Burn):
            yield speed(evidence, burn, crowds)


def alike(evidence: Evidence, burn: Burn) -> Key:
    """Peers: the same kind of part, of the same kind of node, doing the same by the same engine."""
    return make(evidence), what(burn.part), burn.engine, burn.precision, burn.rate_unit


def what(part: str) -> str:
    """gpu3 → gpu, disk:/tmp → disk."""
    return re.split(r"[\d:/]", part, maxsplit=1)[0]


def speed(evidence: Evidence, burn: Burn, crowds: Mapping[Key, Crowd | None]) -> Verdict:
    if burn.rate is None and burn.amount is not None and not burn.rate_unit:
        return skipping(evidence, burn.part, f"{burn.engine} measures no rate")
    if burn.rate is None:
        return unknown(
            evidence,
            burn.part,
            f"{burn.engine} gave no rate",
            expected="a rate",
            actual="none",
            remedy="run the engine by hand and look at what it prints",
        )
    if burn.rate <= 0:
        return slow(evidence, burn, "> 0", "nothing was done", source="0 is not slow, it is none")
    limit = f"{what(burn.part)}_{burn.rate_unit}"
    floor, ceiling = evidence.limits.get(limit), evidence.limits.get(f"{limit}_ceiling")
    if ceiling is not None and burn.rate > number_in(ceiling):
        return implausible(evidence, burn, f"≤ {number_in(ceiling):g}", ceiling.source)
    if floor is not None and burn.rate < number_in(floor):
        return slow(
            evidence, burn, f"≥ {number_in(floor):g} {burn.rate_unit}", "slow", source=floor.source
        )
    return among_peers(evidence, burn, crowds.get(alike(evidence, burn)), floor)


def among_peers(
    evidence: Evidence, burn: Burn, peers: Crowd | None, floor: Limit | None
) -> Verdict:
    actual = f"{burn.rate:.4g} {burn.rate_unit}"
    if peers is None and floor is not None:
        return passing(
            evidence,
            burn.part,
            actual,
            expected=f"≥ {number_in(floor):g}",
            source=floor.source,
            yardstick="floor",
        )
    if peers is None:
        return skipping(evidence, burn.part, f"{actual}, no floor and too few peers")
    rate, expected = burn.rate or 0.0, f"about {peers.middle:.4g} {burn.rate_unit} as peers"
    if rate > peers.middle * threshold(evidence, "implausible_times"):
        return implausible(evidence, burn, expected, source_of(evidence, "implausible_times"))
    below = shortfall(rate, peers, sigmas=threshold(evidence, "sigmas"))
    why = f"{below:.0%} slower than {peers.count} peers"
    if below >= threshold(evidence, "fail_share"):
        source = source_of(evidence, "fail_share")
        return slow(evidence, burn, expected, why, source=source, yardstick="peers")
    if below >= threshold(evidence, "warn_share"):
        return warning(
            evidence,
            burn.part,
            expected=expected,
            actual=actual,
            why=why,
            remedy=ALONE,
            source=source_of(evidence, "warn_share"),
            yardstick="peers",
        )
    return passing(evidence, burn.part, actual, expected=expected, yardstick="peers")


def slow(
    evidence: Evidence,
    burn: Burn,
    expected: str,
    why: str,
    *,
    source: str,
    yardstick: str = "floor",
) -> Verdict:
    return failing(
        evidence,
        burn.part,
        expected=expected,
        actual=f"{burn.rate:.4g} {burn.rate_unit}",
        why=f"{why} ({burn.engine})",
        remedy=ALONE,
        severity=Severity.ISOLATE,
        source=source,
        yardstick=yardstick,
    )


def implausible(evidence: Evidence, burn: Burn, expected: str, source: str) -> Verdict:
    return unknown(
        evidence,
        burn.part,
        "faster than can be true: the test is broken, not the part",
        expected=expected,
        actual=f"{burn.rate:.4g} {burn.rate_unit}",
        remedy="run the engine by hand and look at what it measures",
        source=source,
    )


CHECKS = (
    Check(
        name="burn_rate",
        asks="Is a part slower under load than its floor or its peers?",
        wants=(Burn,),
        uses=(Accelerator, Cpu),
        judge=judge,
        options=FLOORS,
        scope="fleet",
        limits={
            "fail_share": Limit(0.10, "gpu-fryer: more than 10 % below its peers fails"),
            "warn_share": Limit(0.05, "SuperBench documentation: baseline ± 5 %"),
            "sigmas": Limit(5, "clusterctl: five robust standard deviations"),
            "implausible_times": Limit(10, "clusterctl: ten times its peers is a broken test"),
        },
    ),
)

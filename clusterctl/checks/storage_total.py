"""Does the shared file system carry all nodes at once?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from clusterctl.model import Burn, Check, Evidence, Severity, Verdict
from clusterctl.verdicts import (
    SEE_WHY,
    facts_of,
    failing,
    hidden,
    number_in,
    passing,
    skipping,
    unknown,
)

PREFIX = "storage:"
NODE = "the file system as a whole, not this node: each of its servers, its network, its quotas"


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    """The sum over the nodes of this run that wrote to the same folder."""
    groups: defaultdict[str, list[tuple[Evidence, float]]] = defaultdict(list)
    for evidence in fleet:
        for burn in stored(evidence):
            if burn.rate is not None and burn.rate_unit == "gbyte_s":
                groups[burn.part].append((evidence, burn.rate))
    for evidence in fleet:
        mine = stored(evidence)
        blind = next(filter(None, (hidden(evidence, Burn, part) for part in groups)), "")
        if mine and not any(one.rate is not None for one in mine):
            yield skipping(evidence, mine[0].part, "no rate: see burn_rate")
        elif not mine and facts_of(evidence, Burn) and blind:
            why = f"whether it wrote to shared storage was not seen: {blind}"
            yield unknown(evidence, "storage", why, remedy=SEE_WHY)
        elif not mine and facts_of(evidence, Burn):
            yield skipping(evidence, "storage", "no shared storage was loaded")
    for part, rates in groups.items():
        told = {evidence.node.name for evidence, _ in rates}
        others = [evidence for evidence in fleet if evidence.node.name not in told]
        yield from total(part, rates, [one.node.name for one in others if wrote(one, part)])


def stored(evidence: Evidence) -> list[Burn]:
    return [one for one in facts_of(evidence, Burn) if one.part.startswith(PREFIX)]


def wrote(evidence: Evidence, part: str) -> bool:
    """Without telling how fast, or perhaps."""
    return bool(hidden(evidence, Burn, part)) or any(one.part == part for one in stored(evidence))


def total(
    part: str, rates: Sequence[tuple[Evidence, float]], unseen: Sequence[str]
) -> Iterator[Verdict]:
    """Too little of those who told is no fault of the storage where others wrote unseen."""
    whole = sum(rate for _, rate in rates)
    actual = f"{whole:.4g} GB/s by {len(rates)} nodes"
    for evidence, _ in rates:
        floor = evidence.limits.get("gbyte_s")
        if floor is None:
            yield skipping(evidence, part, f"{actual}, and no floor: set gbyte_s in the playbook")
        elif whole < number_in(floor) and unseen:
            yield unknown(
                evidence,
                part,
                f"what others wrote was not seen: {', '.join(unseen[:8])}",
                expected=f"≥ {number_in(floor):g} GB/s by all together",
                actual=actual,
                remedy=SEE_WHY,
                source=floor.source,
            )
        elif whole < number_in(floor):
            yield failing(
                evidence,
                part,
                expected=f"≥ {number_in(floor):g} GB/s by all together",
                actual=actual,
                why="the file system carries less than it should",
                remedy=f"look at {NODE}",
                severity=Severity.OBSERVE,
                source=floor.source,
            )
        else:
            yield passing(
                evidence, part, actual, expected=f"≥ {number_in(floor):g} GB/s",
                source=floor.source, yardstick="floor",
            )  # fmt: skip


CHECKS = (
    Check(
        name="storage_total",
        asks="Does the shared file system carry all nodes at once?",
        wants=(Burn,),
        judge=judge,
        scope="fleet",
        options=("gbyte_s",),
        sums=True,
    ),
)

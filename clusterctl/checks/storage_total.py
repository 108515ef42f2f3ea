"""Does the shared file system carry all nodes at once?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from clusterctl.model import Burn, Check, Evidence, Severity, Verdict
from clusterctl.verdicts import facts_of, failing, number_in, passing, skipping

PREFIX = "storage:"
NODE = "the file system as a whole, not this node: each of its servers, its network, its quotas"


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    """The sum over the nodes of this run that wrote to the same folder."""
    groups: defaultdict[str, list[tuple[Evidence, float]]] = defaultdict(list)
    for evidence in fleet:
        storage = [one for one in facts_of(evidence, Burn) if one.part.startswith(PREFIX)]
        for burn in storage:
            if burn.rate is not None and burn.rate_unit == "gbyte_s":
                groups[burn.part].append((evidence, burn.rate))
        if not storage:
            yield skipping(evidence, "storage", "no shared storage was loaded")
        elif not any(one.rate is not None for one in storage):
            yield skipping(evidence, storage[0].part, "no rate: see burn_rate")
    for part, rates in groups.items():
        yield from total(part, rates)


def total(part: str, rates: Sequence[tuple[Evidence, float]]) -> Iterator[Verdict]:
    whole = sum(rate for _, rate in rates)
    actual = f"{whole:.4g} GB/s by {len(rates)} nodes"
    for evidence, _ in rates:
        floor = evidence.limits.get("gbyte_s")
        if floor is None:
            yield skipping(evidence, part, f"{actual}, and no floor: set gbyte_s in the playbook")
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
    ),
)

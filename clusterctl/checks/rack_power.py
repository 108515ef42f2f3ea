"""Does a rack under load draw more than it may?

The budget is the inventory's `rack_power_w`; what draws is every node of this run in that rack.
Whoever was not seen, or only in part, leaves it open, but a rack that is over is over all the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from clusterctl.model import Check, Evidence, Limit, Power, Severity, Verdict
from clusterctl.verdicts import facts_of, failing, number_in, passing, skipping, unknown

NAMED = 8  # nodes named in words


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    racks: defaultdict[str, list[Evidence]] = defaultdict(list)
    for evidence in fleet:
        racks[evidence.node.labels.get("rack", "")].append(evidence)
    for rack, nodes in racks.items():
        found = {one.node.name: drawn(one) for one in nodes}
        for evidence in nodes:
            seen = found[evidence.node.name]
            if rack and (budget := least(nodes)) is not None:
                yield against(evidence, rack, budget, found)
            elif seen is not None:
                why = "no rack_power_w in the inventory" if rack else "no rack in the inventory"
                yield skipping(evidence, "node", f"{seen.power_w:.0f} W by {seen.source}; {why}")


def drawn(evidence: Evidence) -> Power | None:
    """The most of what it drew; a source that sees the whole node is believed first."""
    return max(
        facts_of(evidence, Power),
        key=lambda one: (one.whole, one.in_step, one.power_w),
        default=None,
    )


def least(nodes: Sequence[Evidence]) -> Limit | None:
    """Where lines of the inventory disagree the lowest holds."""
    given = [limit for one in nodes if (limit := one.limits.get("budget_w")) is not None]
    return min(given, key=number_in, default=None)


def against(
    evidence: Evidence, rack: str, budget: Limit, found: Mapping[str, Power | None]
) -> Verdict:
    seen = [one for one in found.values() if one is not None]
    total, most = sum(one.power_w for one in seen), number_in(budget)
    part, expected = f"rack={rack}", f"≤ {most:.0f} W"
    actual = f"{total:.0f} W by {len(seen)} of {len(found)} nodes"
    said = ", ".join(f"{source} of {count}" for source, count in tally(seen))
    unseen = [name for name, one in found.items() if one is None]
    partly = [name for name, one in found.items() if one is not None and not one.whole]
    if total > most:
        return failing(
            evidence,
            part,
            expected=expected,
            actual=actual,
            why=f"the rack draws {total - most:.0f} W more than it may ({said})",
            remedy="cap the power of its accelerators, move nodes, or have the feed and the budget "
            "corrected before the next load",
            severity=Severity.OBSERVE,
            source=budget.source,
        )
    gaps = [f"power not seen of {names(unseen)}"] if unseen else []
    gaps += [f"only a part seen of {names(partly)} ({said})"] if partly else []
    if gaps:
        return unknown(
            evidence,
            part,
            "; ".join(gaps),
            expected=expected,
            actual=actual,
            remedy="give these nodes a power meter: ACPI, or ipmitool and /dev/ipmi0",
            source=budget.source,
        )
    return passing(
        evidence, part, actual, expected=expected, why=said, source=budget.source, yardstick="floor"
    )


def tally(seen: Sequence[Power]) -> list[tuple[str, int]]:
    return Counter(one.source for one in seen).most_common()


def names(of: Sequence[str]) -> str:
    more = f" and {len(of) - NAMED} more" if len(of) > NAMED else ""
    return ", ".join(of[:NAMED]) + more


CHECKS = (
    Check(
        name="rack_power",
        asks="Does a rack under load draw more than the inventory's rack_power_w?",
        wants=(Power,),
        judge=judge,
        options=("budget_w",),
        scope="fleet",
        sums=True,
    ),
)

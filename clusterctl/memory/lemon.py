"""Nodes that keep coming back: a score with its evidence.

Signals after the lemon nodes of Meta's research clusters (arXiv 2410.21680, "Revisiting
Reliability in Large-Scale Machine Learning Research Clusters": distinct XIDs, tickets, times out
of service, failures of jobs, each with a threshold from the fleet's own distribution), read off
what a sweep sees instead of what a scheduler does; and gaps that shorten, as SuperBench found
(arXiv 2402.06194: 719 h to a node's first incident, 152 h to its twentieth).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil
from statistics import median

from clusterctl.memory.identity import Swap

QUANTILE = 0.99  # of the fleet: what one node in a hundred exceeds
LEAST = 2  # once is a fault, not a habit
APART = timedelta(days=2)  # a fault seen again after longer began again
AFTER_REPAIR = timedelta(days=14)
SHORTER = 0.5  # of the gaps before
LEAST_GAPS = 4  # two and two
LEMON = 3  # signals


@dataclass(frozen=True, slots=True)
class Fault:
    """One night on which a check failed, or a node did not answer."""

    node: str
    check: str
    at: datetime
    out: bool  # such as takes the node out of service


@dataclass(frozen=True, slots=True)
class Repair:
    node: str
    at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class Score:
    """`signals`: those beyond what the fleet has, in words; `score`: how many they are."""

    node: str
    episodes: int
    distinct: int
    out_nights: int
    repairs: int
    last: datetime | None
    signals: tuple[str, ...]

    @property
    def score(self) -> int:
        return len(self.signals)

    @property
    def lemon(self) -> bool:
        return self.score >= LEMON


def repairs(swaps: Iterable[Swap], again: Iterable[tuple[str, datetime]]) -> list[Repair]:
    """Swapped parts, and burns of nodes that came back from repair."""
    found = [Repair(one.node, one.since, f"{one.kind} {one.part} swapped") for one in swaps]
    found += [Repair(node, at, "burnt again after repair") for node, at in again]
    return sorted(found, key=lambda one: (one.at, one.node))


def scores(faults: Iterable[Fault], repaired: Iterable[Repair], *, fleet: int) -> list[Score]:
    """Of every node with a fault or a repair, the worst first; `fleet`: of so many nodes."""
    by_node: defaultdict[str, list[Fault]] = defaultdict(list)
    fixed: defaultdict[str, list[Repair]] = defaultdict(list)
    for fault in faults:
        by_node[fault.node].append(fault)
    for repair in repaired:
        fixed[repair.node].append(repair)
    known = {node: counted(by_node[node], fixed[node]) for node in sorted({*by_node, *fixed})}
    usual = {name: quantile([one[name] for one in known.values()], fleet) for name in SIGNALS}
    found = [scored(node, known[node], usual, by_node[node], fixed[node]) for node in known]
    return sorted(found, key=lambda one: (-one.score, -one.episodes, -one.out_nights, one.node))


SIGNALS = {
    "episodes": "faults that began",
    "distinct": "different checks failed",
    "out": "nights out of service",
    "repairs": "repairs",
}


def counted(faults: Sequence[Fault], fixed: Sequence[Repair]) -> Mapping[str, int]:
    return {
        "episodes": len(begun(faults)),
        "distinct": len({one.check for one in faults}),
        "out": len({one.at.date() for one in faults if one.out}),
        "repairs": len(fixed),
    }


def begun(faults: Sequence[Fault]) -> list[datetime]:
    """When each fault began: of one check, nights that follow one another are one."""
    last: dict[str, datetime] = {}
    starts = []
    for one in sorted(faults, key=lambda one: one.at):
        if one.check not in last or one.at - last[one.check] > APART:
            starts.append(one.at)
        last[one.check] = one.at
    return starts


def incidents(faults: Sequence[Fault]) -> list[datetime]:
    """When something began while nothing was wrong: checks that fail together are one."""
    nights = sorted({one.at for one in faults})
    return [at for place, at in enumerate(nights) if not place or at - nights[place - 1] > APART]


def quantile(counts: Sequence[int], fleet: int) -> int:
    """What one node in a hundred exceeds; the others of the fleet have nothing to count."""
    beyond = ceil((1 - QUANTILE) * max(fleet, len(counts)))
    ordered = sorted(counts, reverse=True)
    return ordered[beyond] if beyond < len(ordered) else 0


def scored(
    node: str,
    count: Mapping[str, int],
    usual: Mapping[str, int],
    faults: Sequence[Fault],
    fixed: Sequence[Repair],
) -> Score:
    signals = [
        f"{count[name]} {words}"
        for name, words in SIGNALS.items()
        if count[name] >= LEAST and count[name] > usual[name]
    ]
    signals += [*shortening(incidents(faults)), *relapses(faults, fixed)]
    last = max((one.at for one in faults), default=None)
    return Score(
        node, count["episodes"], count["distinct"], count["out"], count["repairs"], last,
        tuple(signals),
    )  # fmt: skip


def shortening(starts: Sequence[datetime]) -> Iterator[str]:
    gaps = [(b - a).total_seconds() / 86400 for a, b in pairwise(starts)]
    if len(gaps) < LEAST_GAPS:
        return
    half = len(gaps) // 2
    early, late = median(gaps[:half]), median(gaps[half:])
    if late <= SHORTER * early:
        yield f"gaps shorten: {early:.0f} days, then {late:.0f}"


def relapses(faults: Sequence[Fault], fixed: Sequence[Repair]) -> Iterator[str]:
    """A check that failed before a repair and fails again soon after it."""
    for repair in fixed:
        before = {one.check for one in faults if one.at < repair.at}
        after = sorted(
            {one.check for one in faults if repair.at < one.at <= repair.at + AFTER_REPAIR} & before
        )
        if after:
            yield f"{after[0]} again within {AFTER_REPAIR.days} days of {repair.what}"
            return

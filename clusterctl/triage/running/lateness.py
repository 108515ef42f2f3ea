"""Who keeps the others waiting, by what left each rank and when.

A rank that arrives at a collective sends something at once: its piece, or word that it is ready.
So at a moment at which all the others have sent since and one has not, they wait for that one,
whatever its main thread seems to do.  (The late rank waits least: Aegis, NSDI 2025.)
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from clusterctl.triage.running.observed import Look, Process

# The kernel tells a socket's silence in ticks of its clock: 10 ms where HZ is 100.
TICK_MS = 10.0
FEWEST = 2  # ranks


@dataclass(frozen=True, slots=True)
class Late:
    """Of the moments at which all were looked at, those at which everybody waited for this one."""

    share: float
    states: Mapping[str, int]  # of its main thread, at those moments
    spells: int  # stretches of moments
    longest: float = 0.0  # of the moments, those in the longest stretch


@dataclass(frozen=True, slots=True)
class Arrivals:
    """`moments`: at which enough were seen to tell.  `late`: by place among the ranks.

    `share`: of the moments, those at which somebody was waited for.
    """

    moments: int
    late: Mapping[int, Late]
    share: float = 0.0


def arrivals(ranks: Sequence[Process]) -> Arrivals:
    """By moments at which at least three in four of the ranks could be looked at."""
    by_moment: defaultdict[int, dict[int, Look]] = defaultdict(dict)
    for place, rank in enumerate(ranks):
        for look in rank.looks:
            if look.sent_ms is not None:
                by_moment[look.moment][place] = look
    told = {moment: seen for moment, seen in by_moment.items() if len(seen) >= enough(len(ranks))}
    states: defaultdict[int, Counter[str]] = defaultdict(Counter)
    spells: Counter[int] = Counter()
    late_at: defaultdict[int, list[int]] = defaultdict(list)
    before: frozenset[int] = frozenset()
    waits = 0
    for number, moment in enumerate(sorted(told)):
        last = behind(told[moment])
        waits += bool(last)
        for place in last:
            states[place][told[moment][place].state] += 1
            spells[place] += place not in before
            late_at[place].append(number)
        before = last
    return Arrivals(
        len(told),
        {
            place: Late(
                seen.total() / len(told), seen, spells[place], longest(late_at[place]) / len(told)
            )
            for place, seen in states.items()
        },
        waits / len(told) if told else 0.0,
    )


def enough(ranks: int) -> int:
    """Of so many, those that have to be seen at a moment."""
    return max(FEWEST, ranks - ranks // 4)


def longest(late_at: Sequence[int]) -> int:
    """Moments of the longest stretch; one moment within it may be lost."""
    found, length, last, lost = 0, 0, -2, 0
    for number in late_at:
        if number - last == 1 or (number - last == 2 and 4 * (lost + 1) <= length):
            length, lost = length + 1, lost + number - last - 1
        else:
            length, lost = 1, 0
        found, last = max(found, length), number
    return found


def behind(seen: Mapping[int, Look]) -> frozenset[int]:
    """Those that all the others wait for at this moment, fewer than half; none: all are alike.

    They have been silent for longer than the next by more than the clock's error, and by more than
    the others differ among themselves.
    """
    silent = {
        place: look.sent_ms - look.behind_ms
        for place, look in seen.items()
        if look.sent_ms is not None
    }
    places = sorted(silent, key=lambda place: -silent[place])
    gaps = [
        silent[one] - silent[other]
        for one, other in pairwise(places[: max(2, (len(places) + 1) // 2)])
    ]
    if not gaps:
        return frozenset()
    widest = max(range(len(gaps)), key=lambda at: gaps[at])
    rest = places[widest + 1 :]
    spread = silent[rest[0]] - median(silent[place] for place in rest)
    if gaps[widest] <= max(2 * TICK_MS, spread):
        return frozenset()
    return frozenset(places[: widest + 1])

"""Where most ranks of a job wait, and how likely it is by chance that one is never there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from clusterctl.triage.stacks.places import Place, Stay

WAITING = frozenset({"collective", "device"})
PERHAPS_WAITING = frozenset({"compute", "backward", "asleep", "poll", "network", "lock"})
Z95 = 1.645  # one-sided


@dataclass(frozen=True, slots=True)
class Crowd:
    """The place where most ranks wait.  `waits`: of each rank, in how many of its looks it did."""

    place: Place
    waits: tuple[int, ...]
    looks: tuple[int, ...]

    def share(self, index: int) -> float:
        return self.waits[index] / self.looks[index]


def crowd(stays: Sequence[Stay]) -> Crowd | None:
    """None: nowhere are most ranks together, waiting or without leaving their line."""
    votes = Counter(each.path for one in stays for each in one.places if waits(each))
    looks = tuple(len(one.places) for one in stays)
    if not votes or 2 * sum(votes.values()) < sum(looks):
        return together(stays, looks)
    path, _ = votes.most_common(1)[0]
    counted = tuple(
        sum(waits(each) and (each.path == path or each.kind in WAITING) for each in one.places)
        for one in stays
    )
    shown = next(e for one in stays for e in one.places if e.path == path and waits(e))
    return Crowd(shown, counted, looks)


def together(stays: Sequence[Stay], looks: tuple[int, ...]) -> Crowd | None:
    """Who waits for a device spins: most ranks at one line, look after look, wait there too."""
    held = Counter(
        (one.last.path, one.last.leaf) for one in stays if one.held and one.kind in PERHAPS_WAITING
    )
    if not held:
        return None
    (path, leaf), count = held.most_common(1)[0]
    if 2 * count <= len(stays):
        return None
    shown = next(one.last for one in stays if one.held and one.last.path == path)
    counted = tuple(sum(e.path == path and e.leaf == leaf for e in one.places) for one in stays)
    return Crowd(shown, counted, looks)


def waits(place: Place) -> bool:
    """In a collective; or asleep in something that nobody knows, where it may wait for others."""
    return place.kind in WAITING or (place.idle and place.kind in PERHAPS_WAITING)


def share(found: Crowd, crowded: Sequence[int]) -> float:
    """Of their looks in which the crowd waits; by Laplace's rule never quite all of them."""
    waited = sum(found.waits[index] for index in crowded)
    looked = sum(found.looks[index] for index in crowded)
    return (waited + 1) / (looked + 2)


def at_least(found: Crowd, crowded: Sequence[int]) -> float:
    """The share of the time that the crowd waits: Wilson's lower bound, 95 % sure, of its looks.

    All ranks of one look are one sample: in a job they wait together.
    """
    looks = max(found.looks[index] for index in crowded)
    waited = sum(found.share(index) for index in crowded) / len(crowded)
    z2 = Z95 * Z95
    spread = Z95 * sqrt(waited * (1 - waited) / looks + z2 / (4 * looks * looks))
    return (waited + z2 / (2 * looks) - spread) / (1 + z2 / looks)


def chance(found: Crowd, odd: Sequence[int], crowded: Sequence[int]) -> float:
    """That any rank which is as the others is not found waiting in any of its looks.

    With f the share of looks in which the others wait: (1-f) to the power of the looks, times the
    ranks.
    """
    looks = min(found.looks[index] for index in odd)
    return len(found.looks) * (1 - share(found, crowded)) ** looks

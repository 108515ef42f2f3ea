"""Which of a node's observations a check may believe."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain

from clusterctl.model import LEFT_ALONE, WHOLE_NODE, Fact, Kind, Observation, Probe, Trouble
from clusterctl.verdicts import part_of

NO_CARD = re.compile(r"no (.+) accelerator on the PCI bus")  # as the probes of vendors say it


@dataclass(frozen=True)  # no slots: what was sorted once is kept
class Seen:
    """What is known of one node: the believed observation of each subject."""

    believed: tuple[Observation, ...]
    yields: Mapping[str, tuple[type[Fact], ...]]

    @cached_property
    def every(self) -> tuple[Fact, ...]:
        return tuple(fact for seen in self.believed for fact in seen.facts)

    @cached_property
    def placed(self) -> Mapping[type[Fact], list[tuple[int, Fact]]]:
        """Facts by kind, each with its place in `every`: dozens of checks ask for a few of many."""
        found: defaultdict[type[Fact], list[tuple[int, Fact]]] = defaultdict(list)
        for place, fact in enumerate(self.every):
            found[type(fact)].append((place, fact))
        return dict(found)

    def facts(self, kinds: Iterable[type[Fact]]) -> tuple[Fact, ...]:
        there = [self.placed[kind] for kind in dict.fromkeys(kinds) if kind in self.placed]
        ordered = there[0] if len(there) == 1 else sorted(chain(*there))
        return tuple(fact for _, fact in ordered)

    def feeding(self, kind: type[Fact]) -> list[Observation]:
        return [seen for seen in self.believed if kind in self.yields[seen.probe]]

    def troubles(self, kind: type[Fact]) -> list[tuple[str, Trouble]]:
        """(probe, trouble) where facts of this kind should have come from and did not."""
        feeding = self.feeding(kind)
        if not any(seen.troubles for seen in feeding):
            return []
        if any(isinstance(fact, kind) for seen in feeding for fact in seen.facts):
            return []
        return [(seen.probe, trouble) for seen in feeding for trouble in seen.troubles]

    def gaps(self, kind: type[Fact]) -> Iterator[tuple[str, Trouble]]:
        """(probe, trouble) that may have kept back facts of this kind, whatever else was told."""
        for seen in self.feeding(kind):
            if seen.skip == LEFT_ALONE:
                yield seen.probe, Trouble(Kind.DENIED, LEFT_ALONE)
            if seen.troubles:
                told = {part_of(fact) for fact in seen.facts if isinstance(fact, kind)}
                for trouble in seen.troubles:
                    if trouble.part not in told:  # else it is about a field of what was seen
                        yield seen.probe, trouble

    def skips(self, kind: type[Fact]) -> str:
        """Why facts of this kind do not apply here, if nothing else was said; else empty."""
        feeding = self.feeding(kind)
        reasons = [seen.skip for seen in feeding]
        return "; ".join(merged(reasons)) if reasons and all(reasons) else ""


def merged(reasons: Iterable[str]) -> list[str]:
    """Each reason once, and the vendors whose cards are not there in one: they are a dozen."""
    said = list(dict.fromkeys(reasons))
    makers = [found[1] for reason in said if (found := NO_CARD.fullmatch(reason))]
    others = [reason for reason in said if not NO_CARD.fullmatch(reason)]
    return [*others, f"no {', '.join(makers)} accelerator on the PCI bus"] if makers else others


def believe(observations: Sequence[Observation], probes: Mapping[str, Probe]) -> Seen:
    """Of the sources of one subject, the best ranked that worked; failing that, the fullest."""
    subjects: defaultdict[str, list[Observation]] = defaultdict(list)
    for seen in observations:
        subjects[probes[seen.probe].subject or seen.probe].append(seen)
    believed = [
        min(sources, key=lambda seen: worth(seen, probes[seen.probe].rank))
        for sources in subjects.values()
    ]
    yields = {seen.probe: probes[seen.probe].yields for seen in believed}
    return Seen(tuple(believed), yields)


Tellers = Callable[[str, type[Fact]], frozenset[str]]


def tellers(known: Iterable[Seen], probes: Mapping[str, Probe]) -> Tellers:
    """Given a probe and a kind: every part that this probe's subject was believed to have."""
    subjects: defaultdict[str, list[Observation]] = defaultdict(list)
    for one in known:
        for seen in one.believed:
            if seen.facts:
                subjects[probes[seen.probe].subject or seen.probe].append(seen)

    @cache
    def parts(subject: str, kind: str) -> frozenset[str]:
        return frozenset(
            part_of(fact)
            for seen in subjects[subject]
            for fact in seen.facts
            if type(fact).__name__ == kind
        )

    return lambda probe, kind: parts(probes[probe].subject or probe, kind.__name__)


def worth(seen: Observation, rank: int) -> tuple[int, int, int]:
    """Sorts best first: whole answers, then partial ones by facts, then silence, then skips."""
    if seen.skip:
        return (3, 0, rank)
    if not seen.troubles:
        return (0 if seen.facts else 1, 0, rank)
    return (1 if seen.facts else 2, -len(seen.facts), rank)


def lost(observations: Iterable[Observation]) -> Trouble | None:
    """What broke the conversation with this node, if anything did."""
    for seen in observations:
        for trouble in seen.troubles:
            if trouble.part == WHOLE_NODE:
                return trouble
    return None

"""Which lines of an ssh configuration may be about a host, found without reading them all.

Fleets keep a Host block for each node: matched one by one, thousands of nodes take minutes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import merge

from clusterctl.transport.ssh_config import Line


@dataclass(frozen=True, slots=True)
class Index:
    """`named`: places of lines under a Host that spells names out, by name; `rest`: the others'."""

    lines: tuple[Line, ...]
    named: Mapping[str, tuple[int, ...]]
    rest: tuple[int, ...]

    def about(self, names: Iterable[str]) -> tuple[Line, ...]:
        """In the order of the files, every line whose conditions may hold for one of the names."""
        places = merge(self.rest, *(self.named.get(name, ()) for name in set(names)))
        return tuple(self.lines[place] for place in dict.fromkeys(places))


def index(lines: Iterable[Line]) -> Index:
    lines = tuple(lines)
    named: defaultdict[str, list[int]] = defaultdict(list)
    rest = []
    for place, line in enumerate(lines):
        spelled = spelled_out(line)
        for name in set(spelled):
            named[name].append(place)
        if not spelled:
            rest.append(place)
    return Index(lines, {name: tuple(found) for name, found in named.items()}, tuple(rest))


def spelled_out(line: Line) -> tuple[str, ...]:
    """The names of which a host must have one for the line to hold; empty: no such names."""
    for kind, words in line.conditions:
        if kind == "host" and not any(set("*?!") & set(word) for word in words):
            return words
    return ()

"""Which open findings of a node somebody acked, as the sweep that told of them would have it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from clusterctl.memory import acks
from clusterctl.memory.acks import Ack, Page
from clusterctl.memory.life import Memory
from clusterctl.memory.nights import playbook_of, read
from clusterctl.memory.story import Trace

Pages = dict[str, Page | None]


def memories(folder: Path, runs: Iterable[str], pages: Pages) -> Iterator[Memory]:
    """What these runs remember, the newest first: of each playbook the newest that can be read.

    `pages`: those that were read already, by their run.
    """
    said: set[str] = set()
    for run in runs:
        playbook = playbook_of(run)
        if playbook in said:
            continue
        if run not in pages:
            pages[run] = read(folder / run)
        if (page := pages[run]) is not None:
            said.add(playbook)
            yield page.memory


def excused(
    open_ones: Sequence[Trace], remembered: Iterable[Memory], given: Sequence[Ack]
) -> Iterator[tuple[Trace, str]]:
    """With who acked it, in words.  `given`: the acks that are active."""
    lives = [(life, memory) for memory in remembered for life in memory.values()]
    for trace in open_ones:
        place = (trace.check, trace.node, trace.part)
        found = [
            acks.covering(life, given, memory)
            for life, memory in lives
            if life.cleared is None and place in acks.places(life)
        ]
        covers = [ack.words for ack in found if ack is not None]
        if covers and len(covers) == len(found):
            yield trace, covers[0]

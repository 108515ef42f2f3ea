"""What a campaign's files say of each node; many journals by a process a core."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from clusterctl import playbook
from clusterctl.campaign import folder as campaign_folder
from clusterctl.campaign.course import Course
from clusterctl.campaign.decisions import Case, Decision
from clusterctl.campaign.folder import by_node, catch_up, journal_of
from clusterctl.campaign.verdict import Told, reading, results, without_facts
from clusterctl.model import Node, Playbook

FEW_BYTES = 64 << 20  # of journals: sooner read here than two more processes are started


def tell(path: Path, book: Playbook, node: Node, taken: Sequence[Decision], now: datetime) -> Told:
    case = Case(node)
    catch_up(path, case, taken)
    case.empty |= without_facts(case, book, now)
    first, last = (reading(path, node, book, which) for which in ("before", "after"))
    seen = (*(first or () if last is None else last), *results(case, book, now))
    silence(case.course)
    return Told(case, () if last is None else tuple(first or ()), seen)


def silence(course: Course) -> None:
    """Three days of steps print more than a controller of a thousand nodes can hold, and the
    deltas of an hour are a third of a megabyte a node.
    """
    course.sampled.settle()
    for number, step in enumerate(course.soaked):
        if step.stdout or step.stderr:
            course.soaked[number] = replace(step, stdout="", stderr="")


# --------------------------------------------------------------------------- all of them


def every_node(path: Path, book: Playbook, nodes: Sequence[Node], now: datetime) -> Iterator[Told]:
    """In node order."""
    taken = by_node(campaign_folder.decisions(path))
    asked = [(node, taken[node.name]) for node in nodes]
    files = [journal_of(path, node.name) for node in nodes]
    if sum(file.stat().st_size for file in files if file.exists()) <= FEW_BYTES:
        for node, decisions in asked:
            yield tell(path, book, node, decisions, now)
        return
    # Not forked: there are threads here.
    with ProcessPoolExecutor(
        campaign_folder.cores(), get_context("spawn"), begin, (path, playbook.spell(book), now)
    ) as pool:
        yield from pool.map(tell_one, asked, chunksize=4)


# In a process of the pool: what all nodes have in common, set once.
common: list[tuple[Path, Playbook, datetime]] = []


def begin(path: Path, spelled: dict[str, Any], now: datetime) -> None:
    common[:] = [(path, playbook.build(str(path / "run.json"), spelled), now)]


def tell_one(asked: tuple[Node, Sequence[Decision]]) -> Told:
    ((path, book, now),) = common
    return tell(path, book, *asked, now)

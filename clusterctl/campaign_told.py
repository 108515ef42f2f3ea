"""What a campaign's files say of each node; many journals by a process a core."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from clusterctl import campaign_folder, playbook
from clusterctl.campaign import Case, Decision, apply
from clusterctl.campaign_folder import journal_of
from clusterctl.campaign_verdict import Told, reading, results, without_facts
from clusterctl.course import Course, learn
from clusterctl.model import Node, Playbook

CHUNK_BYTES = 4 << 20
FEW_BYTES = 64 << 20  # of journals: sooner read here than two more processes are started


def tell(path: Path, book: Playbook, node: Node, taken: Sequence[Decision], now: datetime) -> Told:
    case = Case(node)
    catch_up(path, case, taken)
    case.empty |= without_facts(case, book, now)
    first, last = (reading(path, node, book, which) for which in ("before", "after"))
    seen = (*(first or () if last is None else last), *results(case, book, now))
    silence(case.course)
    return Told(case, () if last is None else tuple(first or ()), seen)


def catch_up(path: Path, case: Case, taken: Iterable[Decision]) -> None:
    """Learn what stands in the files and the case does not know; `taken`: its new decisions."""
    for decision in taken:
        if decision["do"] == "start":
            read_journal(path, case, decision["base"])
        apply(case, decision)
    read_journal(path, case, None)


def read_journal(path: Path, case: Case, until: int | None) -> None:
    """Whole lines of it, from where the case is to `until`, a byte; None: as far as it goes."""
    file = journal_of(path, case.node.name)
    if not file.exists():
        return
    with file.open("rb") as source:
        source.seek(case.course.size)
        while True:
            left = CHUNK_BYTES if until is None else until - case.course.size
            data = source.read(min(CHUNK_BYTES, left))
            data += source.readline() if len(data) == CHUNK_BYTES else b""
            data = data[: data.rfind(b"\n") + 1]
            if not data:
                return
            learn(case.course, data)


def silence(course: Course) -> None:
    """Three days of steps print more than a controller of a thousand nodes can hold."""
    course.ended = {name: replace(step, stdout="") for name, step in course.ended.items()}
    course.soaked = [replace(step, stdout="") for step in course.soaked]


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


def by_node(taken: Iterable[Decision]) -> Mapping[str, list[Decision]]:
    found: defaultdict[str, list[Decision]] = defaultdict(list)
    for one in taken:
        found[one.get("node", "")].append(one)
    return found


# In a process of the pool: what all nodes have in common, set once.
common: list[tuple[Path, Playbook, datetime]] = []


def begin(path: Path, spelled: dict[str, Any], now: datetime) -> None:
    common[:] = [(path, playbook.build(str(path / "run.json"), spelled), now)]


def tell_one(asked: tuple[Node, Sequence[Decision]]) -> Told:
    ((path, book, now),) = common
    return tell(path, book, *asked, now)

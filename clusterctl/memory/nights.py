"""What a sweep remembers of the nights before it: life.json.gz in its folder.

Each sweep takes the memory of the one that ended last and adds its own night, so it costs what one
night costs, however many there were.  Where no run has a memory yet, or none that can be read, the
last few are gone through once.
"""

from __future__ import annotations

import gzip
import json
import logging
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from clusterctl import store
from clusterctl.memory import acks
from clusterctl.memory.acks import Ack, Page, applied
from clusterctl.memory.life import CLEAR_NIGHTS, NOTHING, Life, Marks, Memory, Stage, Told
from clusterctl.memory.one_night import step
from clusterctl.model import (
    Accelerator,
    Drive,
    Finding,
    Observation,
    Run,
    Severity,
    Status,
    UserError,
    Verdict,
)

log = logging.getLogger(__name__)

FILE = "life.json.gz"
SCHEMA = 1
LOOK_BACK = 3  # runs that may have overlapped with this one; of them the one that ended last
BROKEN = (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error)
TIMES = ("since", "last", "asked", "cleared")


def remember(run: Run, folder: Path, runs_dir: Path) -> Page:
    """The night as everybody should hear of it, kept in the run's folder.  Never raises."""
    before, memory = past(run, runs_dir)
    night = step(memory, run.findings, run.started, marks(run.observations))
    page = replace(applied(night, known_acks(runs_dir), run.started), before=before)
    try:
        write(folder / FILE, page, run)
    except (OSError, ValueError) as error:  # a full disk; what no UTF-8 can spell
        log.warning("%s: %s; the next sweep looks further back", folder / FILE, error)
    return page


def known_acks(runs_dir: Path) -> Sequence[Ack]:
    """None where the file cannot be read: what it silenced is told, and so is why."""
    try:
        return acks.read(runs_dir)
    except UserError as error:
        log.warning("%s; no ack is in force", error)
        return ()


def marks(seen: Iterable[Observation]) -> Marks:
    """What sits where, of parts that a person exchanges and that name themselves."""
    found: dict[tuple[str, str], str] = {}
    for one in seen:
        for fact in one.facts:
            match fact:
                case Accelerator(uuid=uuid, serial=serial) if mark := uuid or serial:
                    found.setdefault((one.node, fact.part), mark)
                case Drive(serial=serial) if serial:
                    found.setdefault((one.node, fact.part), serial)
    return found


# --------------------------------------------------------------------------- the nights before


def past(run: Run, runs_dir: Path) -> tuple[str, Memory]:
    """The id of the night before and what was known after it."""
    ended = [one for one in runs_of(run.playbook.name, runs_dir) if one != run.id]
    kept = [one for one in ended[-LOOK_BACK:] if (runs_dir / one / FILE).is_file()]
    known = [(told["finished"], one, told) for one in kept if (told := opened(runs_dir / one))]
    if known:
        _, name, told = max(known, key=lambda one: one[:2])
        return name, {life.key: life for life in map(life_of, told["lives"])}
    return replayed(ended[-1 - CLEAR_NIGHTS :], runs_dir)


def runs_of(playbook: str, runs_dir: Path) -> list[str]:
    """Ids, oldest first, of runs that ended."""
    found = (path.parent.name for path in runs_dir.glob("*/run.json"))
    return sorted(
        one for one in found if not one.endswith(store.PARTIAL) and playbook_of(one) == playbook
    )


def playbook_of(run: str) -> str:
    """Of 20260101T020000-nightly-gpu-ab12 nightly-gpu."""
    return run.partition("-")[2].rpartition("-")[0]


def replayed(ids: Sequence[str], runs_dir: Path) -> tuple[str, Memory]:
    """From what those runs found, night by night."""
    last, memory = "", NOTHING
    for one in ids:
        try:
            found = store.stored(runs_dir / one)
            if found.about["verb"] != "sweep" or not found.complete:
                continue
            rows = [
                store.finding(row)
                for batch in store.batches(found, "findings")
                for row in batch.to_pylist()
            ]
            memory = step(memory, rows, found.started, {}).memory
            last = one
        except (UserError, ValueError, KeyError) as error:
            log.warning("%s; it is no part of the memory", error)
    return last, memory


def opened(folder: Path) -> Mapping[str, Any] | None:
    """A run's memory; None, and said, where it cannot be read."""
    path = folder / FILE
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            told: dict[str, Any] = json.load(file)
        if told["schema"] != SCHEMA:
            raise ValueError(f"not a memory of schema {SCHEMA}")
        list(map(life_of, told["lives"]))
    except BROKEN as error:
        log.warning("%s: cannot be read: %s; an older one is used", path, error)
        return None
    return told


# --------------------------------------------------------------------------- as it is kept


def write(path: Path, page: Page, run: Run) -> None:
    """Whole or not at all.  Raises OSError."""
    places = {key: number for number, key in enumerate(page.memory)}
    extra: list[Life] = []

    def place(one: Told) -> int:
        if one.life.key not in places:  # cleared long ago, and told of for the last time
            places[one.life.key] = len(page.memory) + len(extra)
            extra.append(one.life)
        return places[one.life.key]

    def cells(one: Told) -> list[object]:
        return [str(one.stage), place(one), one.why, one.worse]

    document = {
        "schema": SCHEMA,
        "run": run.id,
        "finished": run.finished.isoformat(),
        "before": page.before,
        "told": [cells(one) for one in page.told],
        "acked": [[*cells(one), ack.id] for one, ack in page.acked],
        "acks": [acks.cells(one) for one in {ack.id: ack for _, ack in page.acked}.values()],
        "lives": [spell(one) for one in (*page.memory.values(), *extra)],
    }
    draft = path.with_suffix(".new")
    with gzip.open(draft, "wt", store.SQUEEZE, encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False, separators=(",", ":"))
    draft.replace(path)


def read(folder: Path) -> Page | None:
    """What a run told; None where it has no memory, or none that can be read."""
    if not (folder / FILE).is_file() or (told := opened(folder)) is None:
        return None
    try:
        lives = [life_of(one) for one in told["lives"]]
        given: dict[str, Ack] = {}
        for one in told["acks"]:
            acks.take(one, given)
        return Page(
            {life.key: life for life in lives},
            list(tellings(told["told"], lives)),
            [
                (one, given[row[4]])
                for one, row in zip(tellings(told["acked"], lives), told["acked"], strict=True)
            ],
            str(told["before"]),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        log.warning("%s: cannot be read: %r", folder / FILE, error)
        return None


def tellings(rows: Iterable[Sequence[Any]], lives: Sequence[Life]) -> Iterator[Told]:
    for stage, place, why, worse, *_ in rows:
        yield Told(Stage(stage), lives[place], why, worse)


def spell(life: Life) -> dict[str, Any]:
    """JSON's own kinds; what is as by default is left out."""
    cells = {name: getattr(life, name) for name in LIFE}
    cells |= {name: cells[name].isoformat() for name in TIMES if cells[name]}
    usual = {one.name: one.default for one in fields(Life)}
    verdict = {name: value for name, value in asdict(life.verdict).items() if value != ""}
    return {name: v for name, v in cells.items() if v != usual[name]} | {"verdict": verdict}


LIFE = tuple(one.name for one in fields(Life))


def life_of(given: Mapping[str, Any]) -> Life:
    """Raises ValueError, KeyError and TypeError."""
    cells = dict(given)
    cells |= {name: datetime.fromisoformat(cells[name]) for name in TIMES if cells.get(name)}
    cells |= {name: tuple(cells[name]) for name in ("reasons", "outgrown") if name in cells}
    said = dict(cells["verdict"])
    said |= {"status": Status(said["status"]), "severity": Severity(said["severity"])}
    return Life(**{"distance": None, **cells, "verdict": Verdict(**said)})


def findings_of(told: Iterable[Told]) -> list[Finding]:
    """As a table shows them."""
    return [Finding(one.life.check, one.life.verdict) for one in told]

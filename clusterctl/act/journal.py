"""actions.jsonl beside the runs: every change we made, why, and how it is undone.

A line is on disk before its change is begun, and another after it, so that a crash between them
leaves a question and never a change that nobody knows of:

    {"do": "begin", "action": ID, "verb": "drain", "node": …, "evidence": {…}, "before": {…}, …}
    {"do": "end", "action": ID, "outcome": "done", "after": {…}, …}
    {"do": "tripped", "why": […], "nodes": […], …}     the breaker held nodes in service

Nothing in it is ever changed; a torn last line is what was never begun.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterctl.act.deed import Action, Outcome, Told, moment, spelt
from clusterctl.lock import Holder, held
from clusterctl.model import UserError
from clusterctl.store import sync

if TYPE_CHECKING:
    from clusterctl.memory.folder import Folder

NAME = "actions.jsonl"
SCHEMA = 1
TEXTS = (
    *("id", "verb", "by", "node", "called", "who", "run", "check", "reason", "undoes", "where"),
)


@dataclass(slots=True)
class Log:
    """What the journal says.

    `damaged`: numbers of lines that cannot be read, and when the next one that can was written;
    None: none was.
    """

    path: Path
    actions: dict[str, Action] = field(default_factory=dict)
    tripped: list[Mapping[str, Any]] = field(default_factory=list)
    damaged: dict[int, datetime | None] = field(default_factory=dict)
    torn: bool = False

    def of(self, by: str) -> list[Action]:
        """In the order in which they were begun."""
        return [one for one in self.actions.values() if one.by == by]

    def action(self, name: str) -> Action:
        """By its id or the start of it.  Raises UserError."""
        hits = [one for one in self.actions.values() if one.id.startswith(name)]
        if len(hits) == 1:
            return hits[0]
        newest = ", ".join(list(self.actions)[-3:]) or "none yet"
        why = "several actions start like that" if hits else "no such action"
        raise UserError(f"{name}: {why} in {self.path}; the newest are {newest}")


def read(path: Path) -> Log:
    """Raises UserError where the file is there and cannot be read at all."""
    try:
        return learned(path, path.read_bytes())
    except FileNotFoundError:
        return Log(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: without it nothing is changed") from None


def beside(runs: Folder) -> Log:
    """Of runs wherever they lie; only to look at.  Raises UserError."""
    where = runs.inside(NAME)
    try:
        with runs.files.open_input_stream(where) as file:
            return learned(Path(where), file.read())
    except FileNotFoundError:
        return Log(Path(where))
    except OSError as error:
        raise UserError(f"{runs.name}: {NAME}: {error}") from None


def learned(path: Path, data: bytes) -> Log:
    log = Log(path)
    lines = data.split(b"\n")
    log.torn = bool(lines.pop())
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            learn(log, record)
        except (ValueError, KeyError, TypeError, AttributeError):
            log.damaged[number] = None
        else:
            later = moment(record["at"])
            log.damaged |= {one: later for one, at in log.damaged.items() if at is None}
    return log


def learn(log: Log, record: Mapping[str, Any]) -> None:
    """Raises what a record of another shape raises."""
    match record["do"]:
        case "begin":
            action = begun(record)
            log.actions[action.id] = action
        case "end":
            log.actions[record["action"]] = replace(
                log.actions[record["action"]],
                outcome=Outcome(record["outcome"]),
                detail=str(record["detail"]),
                after=dict(record["after"]),
                ended=moment(record["at"]),
            )
        case "tripped":
            log.tripped.append({**record, "at": moment(record["at"])})
        case other:
            raise ValueError(other)


def begun(record: Mapping[str, Any]) -> Action:
    texts = {"id" if key == "action" else key: value for key, value in record.items()}
    if not all(isinstance(texts[name], str) for name in TEXTS):
        raise TypeError(record)
    return Action(
        **{name: texts[name] for name in TEXTS},
        at=moment(record["at"]),
        before=dict(record["before"]),
        evidence=dict(record["evidence"]),
    )


class Journal:
    """The one writer of the file; see `writing`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, action: Action) -> None:
        """Raises OSError: then the change must not be made."""
        cells = {one.name: getattr(action, one.name) for one in fields(action)}
        texts = {name: cells[name] for name in TEXTS if name != "id"}
        self.append(
            {
                "schema": SCHEMA, "do": "begin", "action": action.id,
                "at": action.at.isoformat(), **texts,
                "before": dict(action.before), "evidence": dict(action.evidence),
                "undo": action.undo,
            }
        )  # fmt: skip

    def end(self, action: Action, told: Told, at: datetime) -> None:
        """Raises OSError: then the next look at the scheduler tells how it ended."""
        self.append(
            {
                "do": "end", "action": action.id, "at": at.isoformat(),
                "outcome": str(told.outcome), "detail": told.detail, "after": spelt(told.after),
            }
        )  # fmt: skip

    def trip(self, at: datetime, who: str, nodes: Sequence[str], why: Sequence[str]) -> None:
        """Raises OSError."""
        self.append(
            {"do": "tripped", "at": at.isoformat(), "who": who, "nodes": [*nodes], "why": [*why]}
        )

    def append(self, record: Mapping[str, Any]) -> None:
        data = json.dumps(record, ensure_ascii=True).encode() + b"\n"
        fresh = not self.path.exists()
        with self.path.open("ab", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            try:
                while data:
                    data = data[file.write(data) :]
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):  # what is told is why it could not be written
                    os.ftruncate(file.fileno(), size)
                raise
        if fresh:
            sync(self.path.parent)


@contextmanager
def writing(runs_dir: Path, me: Holder) -> Iterator[Journal]:
    """The journal, for one at a time.  Raises UserError that names who has it now."""
    with held(runs_dir / "actions.lock", me, "a drain or undrain"):
        mend(runs_dir / NAME)
        yield Journal(runs_dir / NAME)


def mend(path: Path) -> None:
    """A torn last line was never begun; the next must not be glued to it."""
    try:
        data = path.read_bytes()
    except OSError:
        return
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)

"""What a campaign keeps in its run's directory, beside run.json; a line on disk is what counts.

decisions.jsonl        see decisions.py; one controller at a time holds its lock
journals/NODE.jsonl    what was fetched of the node's journal, whole lines only
readings/NODE.R.jsonl  what the node said before and after, written at once
stop                   somebody wants it to stop; "now" in it: at once
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from clusterctl.campaign.course import learn
from clusterctl.campaign.decisions import Case, Decision, apply
from clusterctl.model import Node, UserError
from clusterctl.store import sync
from clusterctl.transport.replay import Heard, heard, line

log = logging.getLogger(__name__)

DECISIONS, STOP = "decisions.jsonl", "stop"
TAIL_BYTES, CHUNK_BYTES = 1 << 16, 4 << 20


def is_campaign(path: Path) -> bool:
    return (path / DECISIONS).is_file()


def prepare(path: Path) -> None:
    """Make the directory a campaign's.  Raises OSError."""
    for name in ("journals", "readings"):
        (path / name).mkdir(exist_ok=True)
    (path / DECISIONS).touch()
    sync(path)


@contextmanager
def leading(path: Path) -> Iterator[None]:
    """Raises UserError where another controller on this machine leads the campaign."""
    with (path / DECISIONS).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise led(path) from None
        mend(path)
        yield


def leader(path: Path, now: datetime) -> dict[str, Any]:
    """Who leads the campaign from this very directory, in the words of remote/supervisor.py.

    Here the lock lets one controller at a time have the id; a copy, on this machine or another,
    has another id, and so has the directory under another name.
    """
    host, file = os.uname().nodename, (path / DECISIONS).resolve()
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii")
    except (OSError, ValueError):
        machine = ""
    whole = f"{machine} {host} {file} {file.stat().st_ino}"
    identity = hashlib.sha256(whole.encode()).hexdigest()[:16]
    return {
        "id": identity,
        "host": host,
        "pid": os.getpid(),
        "since": now.isoformat("T", "seconds"),
    }


def led(path: Path) -> UserError:
    return UserError(
        f"{path}: another clusterctl leads this campaign; see `clusterctl watch {path}`"
    )


def is_led(path: Path) -> bool:
    """Not where it is over, and so has another name."""
    with suppress(FileNotFoundError), (path / DECISIONS).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def stop_said(path: Path) -> str | None:
    """What whoever wants it to stop has written; None: nobody does."""
    try:
        return (path / STOP).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def mend(path: Path) -> None:
    """Cut off what a killed controller wrote of its last line: nobody was told of it."""
    for file in (path / DECISIONS, *(path / "journals").glob("*.jsonl")):
        size = file.stat().st_size
        whole = end_of_lines(file, size)
        if whole < size:
            os.truncate(file, whole)


def end_of_lines(path: Path, size: int) -> int:
    """Behind the last whole line; a journal of three days is not read for that."""
    with path.open("rb") as file:
        end = size
        while end > 0:
            begin = max(0, end - TAIL_BYTES)
            file.seek(begin)
            if (found := file.read(end - begin).rfind(b"\n")) >= 0:
                return begin + found + 1
            end = begin
    return 0


full: set[Path] = set()  # folders whose disk took nothing when last asked; said once


def append(path: Path, data: bytes) -> bool:
    """Whether it is on disk; where the disk is full, nothing of it is."""
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab", buffering=0) as file:
            while data:
                data = data[file.write(data) :]
            os.fsync(file.fileno())
        if not size:
            sync(path.parent)
    except OSError as error:
        refused(path, error)
        with suppress(OSError):  # it takes not even that; `mend` cuts it off
            if path.exists() and path.stat().st_size != size:
                os.truncate(path, size)
        return False
    if path.parent in full:
        full.discard(path.parent)
        if not full:
            log.warning("%s: there is room again: what was missed is fetched", path.parent)
    return True


def refused(path: Path, error: OSError) -> None:
    if not full:
        log.warning(
            "%s: %s: no step begins and nothing more is kept until this can be written; the nodes "
            "keep what they measure, so make room, or mend the disk, and it goes on by itself",
            path, error.strerror,
        )  # fmt: skip
    full.add(path.parent)


def cores() -> int:
    """That we may use."""
    return len(os.sched_getaffinity(0))


def journal_of(path: Path, node: str) -> Path:
    return path / "journals" / f"{quote(node, safe='')}.jsonl"


def reading_of(path: Path, node: str, reading: str) -> Path:
    return path / "readings" / f"{quote(node, safe='')}.{reading}.jsonl"


def keep_journal(path: Path, node: str, data: bytes) -> bool:
    return append(journal_of(path, node), data)


def keep_decision(path: Path, decision: Decision) -> bool:
    return append(path / DECISIONS, json.dumps(decision).encode() + b"\n")


def keep_reading(path: Path, node: str, reading: str, said: Sequence[Heard]) -> bool:
    final = reading_of(path, node, reading)
    draft = final.with_suffix(".new")
    try:
        draft.unlink(missing_ok=True)
        if not append(draft, "".join(line(one) + "\n" for one in said).encode()):
            return False
        draft.replace(final)
        sync(final.parent)
    except OSError as error:
        refused(final, error)
        return False
    return True


def read_reading(path: Path, node: str, reading: str) -> list[Heard] | None:
    """None: there was no such reading."""
    try:
        text = reading_of(path, node, reading).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return [heard(one) for one in text.splitlines()]


def decisions(path: Path) -> list[Decision]:
    found = []
    for text in (path / DECISIONS).read_bytes().split(b"\n")[:-1]:
        try:
            found.append(json.loads(text))
        except ValueError:
            log.warning("%s: a line cannot be read: %r", path / DECISIONS, text[:80])
    return found


def joined(path: Path, nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes that it began with, and those that came later, as they were last to be reached."""
    return come(decisions(path), nodes)


def come(taken: Iterable[Decision], nodes: Sequence[Node]) -> tuple[Node, ...]:
    found = {node.name: node for node in nodes}
    for one in taken:
        if one["do"] == "join":
            found.setdefault(one["node"], Node(**one["as"]))
        elif one["do"] == "move" and one["node"] in found:
            found[one["node"]] = replace(found[one["node"]], **one["ways"])
    return tuple(found.values())


def cases(path: Path, nodes: Sequence[Node]) -> dict[str, Case]:
    """Every node as its files tell it; `nodes`: by the ways to reach them, see `joined`."""
    return Known(path, nodes).read()


class Known:
    """A campaign that somebody else leads, read on from where the last look ended."""

    def __init__(self, path: Path, nodes: Sequence[Node]) -> None:
        self.path, self.nodes = path, nodes
        self.cases: dict[str, Case] = {}
        self.taken = 0  # decisions that the cases know

    def read(self) -> dict[str, Case]:
        given = {node.name: node for node in self.nodes}
        every = decisions(self.path)  # once: its leader writes on
        for node in come(every, self.nodes):
            self.cases.setdefault(node.name, Case(given.get(node.name, node)))
        new = by_node(every[self.taken :])
        self.taken = len(every)
        for name, case in self.cases.items():
            catch_up(self.path, case, new.get(name, ()))
        return self.cases


def by_node(taken: Iterable[Decision]) -> Mapping[str, list[Decision]]:
    found: defaultdict[str, list[Decision]] = defaultdict(list)
    for one in taken:
        found[one.get("node", "")].append(one)
    return found


def catch_up(path: Path, case: Case, taken: Iterable[Decision]) -> None:
    """Learn what stands in the files and the case does not know; `taken`: its new decisions."""
    file, course = journal_of(path, case.node.name), case.course
    for decision in taken:
        if decision["do"] == "start":  # what follows is another journal
            for data in chunks(file, course.size, decision["base"]):
                learn(course, data)
        apply(case, decision)
    for data in chunks(file, course.size):
        learn(course, data)


def chunks(journal: Path, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """Whole lines from one byte to another, a few MiB at a time; none where there is no file."""
    if not journal.exists():
        return
    with journal.open("rb") as file:
        file.seek(start)
        while True:
            most = CHUNK_BYTES if end is None else min(CHUNK_BYTES, end - file.tell())
            data = file.read(most)
            data += file.readline() if len(data) == CHUNK_BYTES else b""
            data = data[: data.rfind(b"\n") + 1]
            if not data:
                return
            yield data

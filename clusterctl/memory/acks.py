"""What somebody said they know of, and nobody needs to hear again until a day.

    acks.jsonl   beside the runs; one line an ack or its removal, only ever appended

An ack covers what its check says of its nodes, with `all` everything about them, until its end. It
ends earlier, for that finding alone, where the finding gets worse after it was given.  An ack of
one check covers no part that began to fail after it, beside one that failed already: an RMA of one
card excuses no other.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from clusterctl.inventory.ranges import BadRange, expand, fold
from clusterctl.judge import OBSERVED, REACHABLE
from clusterctl.memory.life import Life, Memory, Night, Stage, Told
from clusterctl.model import Finding, Status, UserError

FILE = "acks.jsonl"
ALL = "all"


@dataclass(frozen=True, slots=True)
class Ack:
    """`until`: the first moment that it does not cover.  `removed`: when and why, in words."""

    id: str
    nodes: frozenset[str]
    check: str
    until: datetime
    owner: str
    why: str
    at: datetime
    removed: str = ""

    @property
    def words(self) -> str:
        last = self.until - timedelta(seconds=1)
        return f"{self.id} by {self.owner} until {last:%Y-%m-%d}: {self.why}"


# --------------------------------------------------------------------------- the file


def read(runs_dir: Path) -> list[Ack]:
    """Every ack ever given, oldest first.  Raises UserError naming the line that is none.

    A line without its end, as a full disk leaves one, was never given: whoever gave it was told.
    """
    path = runs_dir / FILE
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    found: dict[str, Ack] = {}
    for number, line in enumerate(lines[:-1], 1):
        if not line.strip():
            continue
        try:
            take(json.loads(line), found)
        except (ValueError, KeyError, TypeError, AttributeError, BadRange) as error:
            raise UserError(
                f"{path}:{number}: not an ack ({error!r}); mend or delete the line, or what it "
                "silences is told again"
            ) from None
    return list(found.values())


def take(line: Mapping[str, Any], found: dict[str, Ack]) -> None:
    if line["do"] == "remove":
        when = f"{line['at'][:16]} by {line['owner']}"
        found[line["id"]] = replace(found[line["id"]], removed=when)
        return
    found[line["id"]] = Ack(
        str(line["id"]),
        frozenset(expand(line["nodes"])),
        str(line["check"]),
        aware(line["until"]),
        str(line["owner"]),
        str(line["why"]),
        aware(line["at"]),
    )


def aware(text: str) -> datetime:
    """Raises ValueError for a time that does not say where: it is compared with the clock."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return found


def give(runs_dir: Path, ack: Ack) -> None:
    """Raises UserError where it could not be kept."""
    append(runs_dir, cells(ack))


def cells(ack: Ack) -> dict[str, str]:
    """Of its line in the file."""
    return {
        "do": "ack",
        "id": ack.id,
        "nodes": fold(sorted(ack.nodes)),
        "check": ack.check,
        "until": ack.until.isoformat(),
        "owner": ack.owner,
        "why": ack.why,
        "at": ack.at.isoformat(),
    }


def remove(runs_dir: Path, identity: str, owner: str, at: datetime) -> None:
    """Raises UserError where it could not be kept."""
    append(runs_dir, {"do": "remove", "id": identity, "owner": owner, "at": at.isoformat()})


def append(runs_dir: Path, record: Mapping[str, Any]) -> None:
    """One whole line, on the disk when this returns; two at once stand one after the other."""
    line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    path = runs_dir / FILE
    try:
        runs_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end = file.seek(0, os.SEEK_END)
            start = cut_end(path, end)
            if start != end:  # a line that a full disk cut short
                file.truncate(start)
            try:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(start)
                raise
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; nothing was acked") from None


def cut_end(path: Path, end: int) -> int:
    """Where the last whole line ends."""
    with path.open("rb") as file:
        data = file.read(end)
    return data.rfind(b"\n") + 1


# --------------------------------------------------------------------------- what they cover


def active(acks: Iterable[Ack], at: datetime) -> list[Ack]:
    return [one for one in acks if not one.removed and one.at <= at < one.until]


def covering(life: Life, acks: Iterable[Ack], memory: Memory) -> Ack | None:
    """The ack that silences a finding, of those that are active."""
    nodes = set(life.verdict.node.split(","))
    for ack in acks:
        if ack.check not in {ALL, life.check} or not nodes <= ack.nodes:
            continue
        if ack.id in life.outgrown:
            continue
        if ack.check == ALL or life.since <= ack.at or not beside(life, ack, memory):
            return ack
    return None


def beside(life: Life, ack: Ack, memory: Memory) -> bool:
    """Whether another part of the node failed the same check already when the ack was given."""
    return any(
        other.check == life.check
        and other.verdict.node == life.verdict.node
        and other.since <= ack.at
        and (other.cleared is None or other.cleared > ack.at)
        for other in memory.values()
        if other is not life
    )


@dataclass(frozen=True, slots=True)
class Page:
    """`told`: without what is covered.  `acked`: that, with its ack.

    `before`: the run whose memory this one took; empty: it is the first.
    """

    memory: Memory
    told: Sequence[Told]
    acked: Sequence[tuple[Told, Ack]]
    before: str = ""


def applied(night: Night, acks: Sequence[Ack], at: datetime) -> Page:
    """The night as acks leave it; one that a finding outgrew or that has ended is said."""
    living = active(acks, at)
    known = {one.id: one for one in acks}
    memory = dict(night.memory)
    told: list[Told] = []
    acked: list[tuple[Told, Ack]] = []
    for one in night.told:
        ack = covering(one.life, living, night.memory)
        worse = ack is not None and one.worse and one.life.last > ack.at
        new = one
        if ack is not None and worse:
            life = replace(one.life, outgrown=(*one.life.outgrown, ack.id), covered="")
            new = replace(one, life=life, why=f"{one.why}; this ends ack {ack.words}")
        elif ack is not None:
            new = replace(one, life=replace(one.life, covered=ack.id))
            acked.append((new, ack))
        elif one.life.covered:
            new = uncovered(one, known.get(one.life.covered))
        if new.life.key in memory:
            memory[new.life.key] = new.life
        if ack is None or worse:
            told.append(new)
    return Page(memory, told, acked)


def uncovered(one: Told, ack: Ack | None) -> Told:
    """Told again, once, when the ack of the last night covers it no longer."""
    life = replace(one.life, covered="")
    if one.stage not in {Stage.KNOWN, Stage.UNSEEN}:
        return replace(one, life=life)
    ended = f"removed {ack.removed}" if ack and ack.removed else "it ran out"
    return Told(Stage.UNCOVERED, life, f"{ended}: ack {ack.words}" if ack else "its ack is gone")


def not_covered(findings: Iterable[Finding], page: Page) -> list[Finding]:
    """Findings without those that an ack covers, or that are explained by one so covered.

    What a sweep's exit code counts: a FAIL that is acked is no reason for exit 1.  What the page
    tells is never covered, whatever else of its node is.
    """
    whole: set[str] = set()
    parts: set[tuple[str, str, str]] = set()
    causes: set[tuple[str, str]] = set()
    for one, ack in page.acked:
        verdict, check = one.life.verdict, one.life.check
        nodes = verdict.node.split(",")
        whole.update(nodes if ack.check == ALL else ())
        parts |= places(one.life)
        causes.update((node, verdict.part if "," in verdict.node else check) for node in nodes)
    loud = {
        place for one in page.told if one.stage is not Stage.CLEARED for place in places(one.life)
    }
    return [
        one
        for one in findings
        if one.verdict.status in {Status.PASS, Status.SKIP}
        or (one.check, one.verdict.node, one.verdict.part) in loud
        or not (
            one.verdict.node in whole
            or (one.check, one.verdict.node, one.verdict.part) in parts
            or (one.verdict.node, one.shared) in causes
            or (one.shared == OBSERVED and (one.verdict.node, REACHABLE) in causes)
        )
    ]


def places(life: Life) -> set[tuple[str, str, str]]:
    """(check, node, part) of all findings that may be this one."""
    verdict = life.verdict
    names = (verdict.node, *verdict.node.split(","))
    parts = (verdict.part, *verdict.part.split())
    return {(life.check, node, part) for node in names for part in parts}

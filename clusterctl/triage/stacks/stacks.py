"""What `remote/dump_stacks.py` says of one node: every rank's stack, several times.  Pure.

One bad line costs that line, a Trouble; a missing end mark is seen; nothing here raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clusterctl.model import Kind, Trouble
from clusterctl.spelling import visible
from clusterctl.triage.counts import whole
from clusterctl.triage.stacks.remedies import Spying, why_not

MOST_TROUBLES = 20  # of one node
MOST_LOOKS = 100  # as of --looks


@dataclass(frozen=True, slots=True)
class Frame:
    """Of Python: file as py-spy shortens it; of native code: file is the library or empty."""

    name: str
    file: str
    line: int = 0

    @property
    def place(self) -> str:
        """`all_reduce (distributed_c10d.py:3252)`"""
        file = self.file.rpartition("/")[2]
        line = f":{self.line}" if self.line else ""
        return f"{self.name} ({file}{line})" if file else self.name


@dataclass(frozen=True, slots=True)
class Look:
    """A rank's main thread at one moment.  `frames` are leaf first; none: Python was not seen.

    `state`, `held_in`, `ticks`, `slept` and `kernel` are the kernel's of that thread: run state,
    what it sleeps in, CPU time so far, how often it went to sleep so far, kernel frames leaf first.
    """

    frames: tuple[Frame, ...] = ()
    active: bool | None = None
    state: str = ""
    held_in: str = ""
    ticks: int | None = None
    slept: int | None = None
    kernel: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stacked:
    """One rank and its looks.  `rank` None: a process without one, `label` says which.

    `why`: why there are no Python frames, with what to do about it; empty: there are.
    """

    node: str
    pid: int
    rank: int | None
    label: str
    job: str = ""
    world: int | None = None
    looks: tuple[Look, ...] = ()
    why: str = ""

    @property
    def called(self) -> str:
        return f"rank {self.rank}" if self.rank is not None else self.label or f"pid {self.pid}"


@dataclass(frozen=True, slots=True)
class Heard:
    """One node.  `machine`: x86_64, aarch64; `spied`: py-spy ran there."""

    node: str
    machine: str = ""
    spied: bool = False
    ranks: tuple[Stacked, ...] = ()
    troubles: tuple[Trouble, ...] = ()


def heard(node: str, text: str) -> Heard:
    told: list[Mapping[str, Any]] = []
    bad, end = 0, None
    for line in text.splitlines():
        try:
            one = json.loads(line)
        except (ValueError, RecursionError):
            bad += 1
            continue
        if not isinstance(one, dict) or not isinstance(one.get("k"), str):
            bad += 1
        elif one["k"] == "end":
            end = one.get("lines")
        else:
            told.append(one)
    ranks, costs = read(node, told)
    troubles = [*costs]
    if bad:
        troubles.append(Trouble(Kind.UNREADABLE, f"{bad} lines are not ours"))
    if end != len(told) + bad:
        troubles.append(Trouble(Kind.CUT, f"{len(told)} lines and no right end mark"))
    about = next((one for one in told if one["k"] == "node"), {})
    spied, machine = about.get("spy") is True, about.get("machine")
    return Heard(
        node, machine if isinstance(machine, str) else "", spied, tuple(ranks), tuple(troubles)
    )


def read(node: str, told: Sequence[Mapping[str, Any]]) -> tuple[list[Stacked], list[Trouble]]:
    ranks: dict[int, Stacked] = {}
    looks: dict[int, list[Look]] = {}
    bad: list[str] = []
    denied: list[str] = []
    spying = Spying.of(next((one for one in told if one["k"] == "node"), {}))
    unread: dict[int, str] = {}
    for one in told:
        try:
            if one["k"] == "rank":
                ranks[one["pid"]] = rank(node, one)
                looks.setdefault(one["pid"], [])
            elif one["k"] == "look":
                looks[one["pid"]].append(look(one, len(looks[one["pid"]])))
                if "why" in one:
                    unread[one["pid"]] = why_not(str(one["why"]), spying)
            elif one["k"] == "trouble":
                denied.append(visible(str(one["detail"]), 200))
        except (KeyError, TypeError, ValueError) as error:
            bad.append(visible(repr(error), 80))
    found = [replace(one, looks=tuple(looks[pid])) for pid, one in ranks.items()]
    return [
        replace(one, why=unread.get(one.pid, ""))
        if not any(each.frames for each in one.looks)
        else one
        for one in found
    ], [*few(denied, bad)]


def few(denied: Sequence[str], bad: Sequence[str]) -> Iterator[Trouble]:
    for why in denied[:MOST_TROUBLES]:
        yield Trouble(Kind.DENIED, why)
    if len(denied) > MOST_TROUBLES:
        yield Trouble(Kind.DENIED, f"and {len(denied) - MOST_TROUBLES} more")
    if bad:
        yield Trouble(Kind.UNREADABLE, f"{len(bad)} lines cannot be read: {bad[0]}")


def rank(node: str, told: Mapping[str, Any]) -> Stacked:
    """Raises KeyError, TypeError, ValueError."""
    number, world = told["rank"], told.get("world")
    return Stacked(
        node,
        whole(told["pid"]),
        None if number is None else whole(number),
        short(told.get("label")),
        short(told.get("job")),
        None if world is None else whole(world),
    )


def look(told: Mapping[str, Any], number: int) -> Look:
    """Raises KeyError, TypeError, ValueError."""
    if number >= MOST_LOOKS:
        raise ValueError("more looks than anybody asks for")
    frames = tuple(
        Frame(short(name), short(file), whole(line)) for name, file, line in told.get("frames", ())
    )
    active = told["active"] is True if "active" in told else None
    if told["task"] is None:
        return Look(frames, active)
    state, held_in, ticks, kernel, slept = told["task"]
    return Look(
        frames,
        active,
        short(state),
        short(held_in),
        None if ticks is None else whole(ticks),
        None if slept is None else whole(slept),
        tuple(short(one) for one in kernel),
    )


def short(told: object) -> str:
    return told[:200] if isinstance(told, str) else ""

"""What `remote/sample_job.py` and `remote/sample_gpus.py` say, a line at a time, as data.  Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from clusterctl.model import Kind, Trouble
from clusterctl.spelling import visible
from clusterctl.triage.running.readings import Cells, count, listed, number, text

TENTH_MS = 1e-4
MOST_LOOKS = 10_000
CHANNELS = ("cpu", "sent", "rdma", "power")


@dataclass(frozen=True, slots=True)
class Ranks:
    """Who runs on a node: (pid, rank or None, job) each; a job's whole name, as it is asked for."""

    ranks: tuple[tuple[int, int | None, str], ...]
    hidden: int
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Looks in a row: `begin` by the node's own clock, `steps` in seconds from one to the next.

    `added`: what each look counted, by channel; a channel that is not there did not move.
    `use_percent`: of accelerators, where they are what was looked at.
    """

    begin: float
    steps: tuple[float, ...]
    spent_s: float
    added: Mapping[str, tuple[float, ...]] = field(default_factory=dict, hash=False)
    use_percent: float | None = None


Row = Ranks | Part | Trouble


def read(line: str) -> Row:
    """Never raises: what is no line of ours is a Trouble."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if isinstance(row, dict):
        match row.get("k"):
            case "job":
                return ranks(row)
            case "part":
                return part(row)
            case "trouble":
                return Trouble(Kind.DENIED, text(row, "detail"), text(row, "what"))
    return unreadable(line)


def unreadable(line: str) -> Trouble:
    return Trouble(Kind.UNREADABLE, f"not a line of ours: {visible(line, 80)}")


def ranks(row: Cells) -> Row:
    told = []
    for one in listed(row, "ranks"):
        if not isinstance(one, list) or len(one) != 3 or not isinstance(one[2], str):
            return unreadable(json.dumps(row))
        cells = {"pid": one[0], "rank": one[1]}
        told.append((count(cells, "pid") or 0, count(cells, "rank"), visible(one[2])))
    channels = tuple(one for one in CHANNELS if one in listed(row, "channels"))
    return Ranks(tuple(told), count(row, "hidden") or 0, channels)


def part(row: Cells) -> Row:
    """Times that do not go on, or a channel of another length: no part of it is believed."""
    begin, spent_s, steps = number(row, "at"), number(row, "spent_s"), numbers(row, "dt")
    if begin is None or steps is None or not steps or min(steps) <= 0:
        return unreadable(json.dumps(row))
    added = {}
    for name in CHANNELS:
        if name in row:
            values = numbers(row, name)
            if values is None or len(values) != len(steps) or min(values) < 0:
                return unreadable(json.dumps(row))
            added[name] = values
    use = number(row, "use")
    return Part(begin, tuple(one * TENTH_MS for one in steps), spent_s or 0.0, added, use)


def numbers(row: Cells, name: str) -> tuple[float, ...] | None:
    """None: not a list of numbers only."""
    told = listed(row, name)
    if len(told) > MOST_LOOKS:
        return None
    found = [number({"one": one}, "one") for one in told]
    kept = tuple(one for one in found if one is not None)
    return kept if len(kept) == len(found) else None

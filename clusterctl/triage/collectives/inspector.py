"""NCCL Inspector's JSON and the example profiler's traces: every collective of every rank.

Formats: plugins/profiler/inspector/README.md (one JSON object per operation) and
plugins/profiler/example/print_event.cc (Chrome trace, begin and end of each) of NCCL.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clusterctl.model import Kind, Trouble
from clusterctl.triage.counts import BOUND, whole


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one rank was inside one collective.  `busbw_gbyte_s` None, `pid` 0: not told."""

    communicator: str
    rank: int  # of the communicator
    size: int  # of the communicator; 0: not told
    operation: str
    seq: int
    exec_us: float
    bytes: int = 0
    busbw_gbyte_s: float | None = None
    host: str = ""
    pid: int = 0


def timings(name: str, lines: Iterable[str]) -> Iterator[Timing | Trouble]:
    """One file.  A bad line costs that line; what is neither form at all is one Trouble."""
    bad, found, first = 0, 0, ""
    open_ones: dict[tuple[Any, Any], Mapping[str, Any]] = {}
    for line in lines:
        text = line.strip().rstrip(",")
        if text in {"", "[", "]", "{}"}:
            continue
        try:
            told = json.loads(text)
            one = inspected(told) if "coll_perf" in told else profiled(told, open_ones)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            bad, first = bad + 1, first or str(error)
            continue
        if one is not None:
            found += 1
            yield one
    if bad:
        yield Trouble(Kind.UNREADABLE, f"{name}: {bad} lines cannot be read: {first[:80]}", name)
    elif not found and not open_ones:
        yield Trouble(Kind.UNREADABLE, f"{name}: no collective in it", name)


def inspected(told: Mapping[str, Any]) -> Timing | None:
    """Raises KeyError, TypeError, ValueError."""
    header, done, about = told["header"], told["coll_perf"], told.get("metadata", {})
    return Timing(
        str(header["id"]),
        whole(header["rank"]),
        whole(header["n_ranks"]),
        str(done["coll"]),
        whole(done["coll_sn"]),
        number(done["coll_exec_time_us"]),
        whole(done["coll_msg_size_bytes"]),
        number(done["coll_busbw_gbs"]),
        str(about.get("hostname", "")),
        whole(about.get("pid", 0)),
    )


def profiled(
    told: Mapping[str, Any], begun: dict[tuple[Any, Any], Mapping[str, Any]]
) -> Timing | None:
    """A collective at its end, from its begin; other events are passed over.  Raises KeyError, …"""
    if told.get("cat") != "COLL":
        if "p2p_perf" not in told and "ph" not in told:
            raise ValueError("neither an operation of the Inspector nor an event of the profiler")
        return None
    key = (told["pid"], told["id"])
    if told["ph"] == "b":
        begun[key] = told
        return None
    start = begun.pop(key)
    args = start["args"]
    return Timing(
        str(args["CommHash"]),
        whole(args["Rank"]),
        0,
        str(start["name"]),
        whole(args["SeqNum"]),
        number(number(told["ts"]) - number(start["ts"])),
    )


def number(told: object) -> float:
    """From 0 up.  Raises ValueError."""
    if isinstance(told, bool) or not isinstance(told, (int, float)) or not 0 <= told < BOUND:
        raise ValueError(f"not a number: {str(told)[:40]}")
    return float(told)

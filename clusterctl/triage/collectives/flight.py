"""Flight-recorder dumps of PyTorch: what each rank had asked its process groups to do.

Format: torch/csrc/distributed/c10d/FlightRecorderDetail.hpp (pickle and JSON say the same, but a
time that is not known is None in one and 0 in the other).  File names end in the rank
(TORCH_NCCL_DEBUG_INFO_TEMP_FILE, /tmp/nccl_trace_rank_ by default).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clusterctl.model import Kind, Trouble
from clusterctl.spelling import Unreadable, visible
from clusterctl.triage.collectives.pickled import unpickled
from clusterctl.triage.counts import is_whole, whole

LAST_NUMBER = re.compile(r"(\d{1,9})(?:\.(?:json|pkl|pickle|bin|trace))?$")
# Nothing is tried twice: a text of a million blanks would take an hour.
RANKS = re.compile(r"\[\s*+(?:\d{1,9}\s*+,\s*+)*+(?:\d{1,9}\s*+)?\]")
ENDS = re.compile(r"(\d{1,9})\s*(?:->|<-)\s*(\d{1,9})")
MOST_DIMENSIONS = 64
# These have no events on a device: the recorder knows that they ended by taking them off its list.
WITHOUT_EVENTS = ("gloo", "c10d", "mpi", "fake")

GroupKey = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One collective or send or receive that a rank enqueued.

    `group`: name and members, as names alone repeat.  `seq` counts within the group, sends and
    receives (`one_to_one`) apart from collectives.  `peer`: the global rank at the other end, where
    the group's members are known.  `done`: it ended on this rank.
    """

    group: GroupKey
    seq: int
    name: str
    done: bool
    created_ns: int = 0
    sizes_in: str = ""
    sizes_out: str = ""
    dtypes: str = ""
    one_to_one: bool = False
    peer: int | None = None
    frame: str = ""


@dataclass(frozen=True, slots=True)
class Flight:
    """One rank's dump.  `groups`: members by name, in the order of their ranks in the group."""

    rank: int
    groups: Mapping[str, tuple[int, ...]]
    described: Mapping[str, str]
    operations: tuple[Operation, ...]
    troubles: tuple[Trouble, ...] = ()


def rank_of(name: str) -> int | None:
    """The rank that a file's name ends in: nccl_trace_rank_17, _dump_17.json."""
    found = LAST_NUMBER.search(name)
    return int(found[1]) if found else None


def flight(rank: int, data: bytes) -> Flight:
    """Raises Unreadable where nothing of it can be used; a bad entry costs that entry."""
    told = decoded(data)
    if not isinstance(told, dict) or "version" not in told or "entries" not in told:
        if isinstance(told, dict) and "version" in told and "pg_config" in told:
            told = {**told, "entries": []}  # the JSON form leaves out an empty list
        else:
            raise Unreadable("not a flight-recorder dump: it has no version and entries")
    members: dict[str, tuple[int, ...]] = {}
    described: dict[str, str] = {}
    for name, group in mapping(told.get("pg_config")).items():
        ranks = numbers(mapping(group).get("ranks"))
        if isinstance(name, str) and ranks is not None:
            members[name] = ranks
            described[name] = text(mapping(group).get("desc"))
    found: list[Operation] = []
    bad: list[str] = []
    entries = told["entries"] if isinstance(told["entries"], list) else []
    if entries is not told["entries"]:
        bad.append("its entries are no list")
    for number, entry in enumerate(entries):
        try:
            found.append(operation(entry, members))
        except Unreadable as error:
            bad.append(f"entry {number}: {error}")
    return Flight(rank, members, described, tuple(found), troubles(rank, bad))


def troubles(rank: int, bad: list[str]) -> tuple[Trouble, ...]:
    if not bad:
        return ()
    more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    return (Trouble(Kind.UNREADABLE, f"rank {rank}: {bad[0]}{more}", f"rank {rank}"),)


def decoded(data: bytes) -> Any:
    """Of JSON or of a pickle, told apart by the first byte.  Raises Unreadable."""
    if not data:
        raise Unreadable("the file is empty")
    if data.lstrip()[:1] not in {b"{", b"["}:
        return unpickled(data)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"neither JSON nor a pickle: {visible(str(error), 100)}") from None


def operation(entry: object, members: Mapping[str, tuple[int, ...]]) -> Operation:
    """Raises Unreadable."""
    told = mapping(entry)
    group = told.get("process_group")
    if not isinstance(group, (list, tuple)) or not group or not isinstance(group[0], str):
        raise Unreadable("it names no process group")
    name = text(told.get("profiling_name"))
    backend, _, called = name.partition(":")
    if not called:
        raise Unreadable(f"not an operation: {visible(name, 60)!r}")
    one_to_one = told.get("is_p2p") is True
    key = "p2p_seq_id" if one_to_one else "collective_seq_id"
    seq = counted(told, key if key in told else "seq_id")  # one for both before format 2.1
    ranks = members.get(group[0], ())
    ended = told.get("retired") is True and backend in WITHOUT_EVENTS
    return Operation(
        (group[0], ranks),
        seq,
        called.split(" ")[0],
        done=ended or told.get("state") == "completed",
        created_ns=counted(told, "time_created_ns"),
        sizes_in=shape(told.get("input_sizes")),
        sizes_out=shape(told.get("output_sizes")),
        dtypes=words(told.get("input_dtypes")),
        one_to_one=one_to_one,
        peer=other_end(called, ranks) if one_to_one else None,
        frame=next(frames(told.get("frames")), ""),
    )


def other_end(called: str, ranks: tuple[int, ...]) -> int | None:
    """The global rank at the other end of `send 1->2` or `recv 3<-0`: both start with oneself."""
    found = ENDS.search(called)
    place = int(found[2]) if found else -1
    return ranks[place] if 0 <= place < len(ranks) else None


def frames(told: object) -> Iterator[str]:
    """The innermost frame that is not PyTorch's own, else none."""
    for one in told[:200] if isinstance(told, list) else ():
        place = mapping(one)
        file = text(place.get("filename"))
        if file and "/torch/" not in file:
            line = f":{place['line']}" if is_whole(place.get("line")) else ""
            yield f"{text(place.get('name'))} ({file.rpartition('/')[2]}{line})"


def shape(told: object) -> str:
    """`4096x5120, 16`: bounded, whatever the file holds; `?`: no number."""
    if not isinstance(told, (list, tuple)):
        return ""
    return ", ".join(
        "x".join(str(one) if is_whole(one) else "?" for one in each[:MOST_DIMENSIONS])
        for each in told[:MOST_DIMENSIONS]
        if isinstance(each, (list, tuple))
    )


def words(told: object) -> str:
    if not isinstance(told, (list, tuple)):
        return ""
    return ", ".join(text(one) for one in told[:MOST_DIMENSIONS])


def mapping(told: object) -> Mapping[Any, Any]:
    return told if isinstance(told, dict) else {}


def text(told: object) -> str:
    return told[:200] if isinstance(told, str) else ""


def counted(told: Mapping[Any, Any], key: str) -> int:
    """Raises Unreadable."""
    try:
        return whole(told.get(key))
    except Unreadable as error:
        raise Unreadable(f"{key}: {error}") from None


def numbers(told: object) -> tuple[int, ...] | None:
    """The members of a group, in text: "[0, 1, 2, 3]"."""
    if isinstance(told, str) and len(told) < 1 << 22 and RANKS.fullmatch(told):
        return tuple(int(one) for one in re.findall(r"\d+", told))
    return None

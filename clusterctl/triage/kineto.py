"""PyTorch profiler (Kineto) and other Chrome traces, one file a rank.

A step is a ProfilerStep#N mark.  Within it, collectives cut the computation into segments; a
segment takes as long as its kernels were busy, so that a wait is a wait.  Files are read event by
event: one that is cut gives what it holds.
"""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from clusterctl.model import UserError
from clusterctl.triage.operations import Floats, Rows

STEP = re.compile(r"ProfilerStep#(\d{1,12})")
RANK = re.compile(r"(?:rank|worker)[_\-. ]?(\d{1,6})", re.IGNORECASE)
LAST_NUMBER = re.compile(r"(\d{1,6})(?!.*\d)")
DEVICE = re.compile(r"nccl(?:Dev)?Kernel_?([A-Za-z]+)|rccl.*?(All\w+|Reduce\w+|Broadcast)")
HOST = re.compile(
    r"(?:gloo|mpi|nccl|c10d|hccl):_?"
    r"(all_?reduce|all_?gather\w*|reduce_?scatter\w*|broadcast|all_?to_?all\w*|barrier)"
)
WORK = frozenset({"kernel", "gpu_memcpy", "gpu_memset"})
CHUNK = 1 << 22
MANY = 16  # pieces of a file, read at a time
GZIP = 31  # of zlib: with gzip's header
LONGEST = 1 << 26  # characters of one event
US = 1e-6
ROUNDS = 12  # of estimating clocks


@dataclass(slots=True)
class Heard:
    """What one rank's file says; seconds of its own clock."""

    rank: int
    host: str = ""
    steps: dict[int, tuple[float, float]] = field(default_factory=dict)
    device_steps: dict[int, tuple[float, float]] = field(default_factory=dict)
    work: list[tuple[float, float]] = field(default_factory=list)
    host_work: list[tuple[float, float]] = field(default_factory=list)
    collectives: list[tuple[float, float, str, str]] = field(default_factory=list)
    host_collectives: list[tuple[float, float, str, str]] = field(default_factory=list)
    unread: int = 0
    cut: bool = False


def read(files: Sequence[Path]) -> Rows:
    """Raises UserError where a file is none, or no file has steps."""
    heard = [listen(file, number) for number, file in enumerate(files)]
    by_rank = {one.rank: one for one in heard}
    if len(by_rank) < len(heard):
        by_rank = dict(enumerate(heard))  # names that say nothing: take them in order
    unseen = [
        f"{file.name}: cut; its events up to there are used"
        for file, one in zip(files, heard, strict=True)
        if one.cut
    ]
    lacking = [file.name for file, one in zip(files, heard, strict=True) if not one.steps]
    if len(lacking) == len(files):
        raise UserError(
            f"{files[0]}: no ProfilerStep#N marks; profile with torch.profiler's `schedule` and "
            "call `prof.step()` after every step"
        )
    unseen += [f"{name}: no ProfilerStep#N marks" for name in lacking]
    return assembled(by_rank, unseen)


# ------------------------------------------------------------------------------ one file


def listen(file: Path, number: int) -> Heard:
    found = Heard(named_rank(file.name, number))
    try:
        with file.open("rb") as raw:
            for event in events(pieces(raw, found), found, file):
                take(event, found)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}") from None
    if not (found.steps or found.work or found.host_work or found.collectives):
        raise UserError(f"{file}: no trace events in it; a Kineto or Chrome trace has traceEvents")
    return found


def named_rank(name: str, number: int) -> int:
    hit = RANK.search(name) or LAST_NUMBER.search(name.partition(".")[0])
    return int(hit[1]) if hit else number


def pieces(raw: BinaryIO, found: Heard) -> Iterator[str]:
    """The text, bit by bit, of a plain or gzipped file; what is broken ends it."""
    spell = codecs.getincrementaldecoder("utf-8")("replace")
    squeezed = zlib.decompressobj(GZIP)
    head = raw.read(2)
    packed = head == b"\x1f\x8b"
    rest = head
    while True:
        more = raw.read(CHUNK // 16)
        if not (rest or more):
            return
        try:
            plain = squeezed.decompress(rest + more) if packed else rest + more
        except zlib.error:
            found.cut = True
            return
        rest = b""
        if packed and squeezed.eof:  # several gzip files end to end are one
            rest, squeezed = squeezed.unused_data, zlib.decompressobj(GZIP)
        yield spell.decode(plain)


def events(text: Iterator[str], found: Heard, file: Path) -> Iterator[Mapping[str, Any]]:
    """One after the other; what stands before `traceEvents` tells the rank."""
    buffer, at = opening(text, found, file)
    decoder = json.JSONDecoder()
    while True:
        at = skipped(buffer, at)
        if at < len(buffer) and buffer[at] == "]":
            return
        try:
            event, at = decoder.raw_decode(buffer, at)
        except (ValueError, RecursionError):
            more = "".join(islice(text, MANY))
            if not more or len(buffer) - at > LONGEST:
                found.cut = True
                return
            buffer, at = buffer[at:] + more, 0
            continue
        if isinstance(event, dict):
            yield event
        else:
            found.unread += 1
        if at > CHUNK:
            buffer, at = buffer[at:], 0


def opening(text: Iterator[str], found: Heard, file: Path) -> tuple[str, int]:
    """(what was read, where in it the first event begins)"""
    buffer = "".join(islice(text, MANY))
    bare = buffer.lstrip().startswith("[")
    while not bare and '"traceEvents"' not in buffer and len(buffer) < LONGEST:
        more = "".join(islice(text, MANY))
        if not more:
            break
        buffer += more
    start = 0 if bare else buffer.find('"traceEvents"')
    if start < 0:
        raise UserError(f"{file}: no traceEvents in it; give the JSON that the profiler exported")
    header(buffer[:start], found)
    at = buffer.find("[", start) + 1
    if not at:
        raise UserError(f"{file}: traceEvents holds no list of events")
    return buffer, at


def skipped(buffer: str, at: int) -> int:
    while at < len(buffer) and buffer[at] in " \t\r\n,":
        at += 1
    return at


def header(text: str, found: Heard) -> None:
    told = re.search(r'"distributedInfo"\s*:\s*\{[^{}]{0,10000}?"rank"\s*:\s*(\d{1,7})', text)
    if told:
        found.rank = int(told[1])
    host = re.search(r'"(?:hostname|host_name)"\s*:\s*"([^"\\]{1,200})"', text)
    if host:
        found.host = host[1]


def take(event: Mapping[str, Any], found: Heard) -> None:
    if event.get("ph") != "X":
        return
    begin, took, name = event.get("ts"), event.get("dur"), event.get("name")
    try:
        start, length = float(begin), float(took)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        found.unread += 1
        return
    sane = np.isfinite(start) and np.isfinite(length) and length >= 0
    if not sane or not isinstance(name, str):
        found.unread += 1
        return
    keep(event, name, (start * US, (start + length) * US), found)


def keep(event: Mapping[str, Any], name: str, when: tuple[float, float], found: Heard) -> None:
    category = str(event.get("cat", "")).lower()
    mark = STEP.match(name)
    if mark:
        steps = found.device_steps if category.startswith("gpu") else found.steps
        steps.setdefault(int(mark[1]), when)
        return
    args = event.get("args")
    args = args if isinstance(args, dict) else {}
    if category in WORK:
        hit = DEVICE.search(name)
        if hit or "Collective name" in args:
            kind = str(args.get("Collective name") or (hit and (hit[1] or hit[2])) or "collective")
            found.collectives.append((*when, spelt(kind), str(args.get("Process Group Name", ""))))
        else:
            found.work.append(when)
        return
    hit = HOST.match(name)
    if hit:
        group = str(args.get("Process Group Name", ""))
        found.host_collectives.append((*when, spelt(hit[1]), group))
    elif category == "cpu_op":
        found.host_work.append(when)


def spelt(name: str) -> str:
    """AllReduce, all_reduce and _allreduce_base are one."""
    found = re.sub(r"[^a-z]", "", name.lower()).removesuffix("base").removesuffix("intotensor")
    return f"collective-{found or 'any'}"


# ---------------------------------------------------------------------------- all files


def assembled(heard: Mapping[int, Heard], unseen: list[str]) -> Rows:
    on_device = any(one.work for one in heard.values())
    shift = clocks({rank: moves(one, on_device=on_device) for rank, one in heard.items()})
    kinds: dict[str, int] = {}
    columns: dict[str, list[float]] = defaultdict(list)
    for rank, one in heard.items():
        for step, kind, seq, start, end in operations(one, on_device=on_device):
            code = kinds.setdefault(kind, len(kinds))
            for name, value in (
                ("rank", rank),
                ("step", step),
                ("kind", code),
                ("seq", seq),
                ("start", start - shift[rank]),
                ("end", end - shift[rank]),
            ):
                columns[name].append(value)
    whole = {
        name: np.array(columns[name], dtype=np.int64) for name in ("rank", "step", "kind", "seq")
    }
    zero = np.zeros(len(whole["rank"]), dtype=np.int64)
    widest = max(map(abs, shift.values()), default=0.0)
    if widest > 1e-3:
        unseen = [*unseen, f"clocks differ by up to {widest:.3g} s; estimated from collectives"]
    return Rows(
        rank=whole["rank"],
        dp=whole["rank"],
        stage=zero,
        step=whole["step"],
        kind=whole["kind"],
        start_s=np.array(columns["start"], dtype=np.float64),
        end_s=np.array(columns["end"], dtype=np.float64),
        seq=whole["seq"],
        chunk=zero,
        microbatch=zero,
        kinds=tuple(kinds),
        node={rank: one.host for rank, one in heard.items() if one.host},
        unread=sum(one.unread for one in heard.values()),
        unseen=tuple(unseen),
    )


def moves(one: Heard, *, on_device: bool) -> list[tuple[int, int, float, float, str, str]]:
    """(step, turn in it, begin, end, kind, group), in order."""
    found = one.collectives if on_device else one.host_collectives
    steps = one.device_steps if on_device and one.device_steps else one.steps
    turn: dict[int, int] = defaultdict(int)
    made = []
    for start, end, kind, group in sorted(found):
        step = within(start, steps)
        if step is not None:
            made.append((step, turn[step], start, end, kind, group))
            turn[step] += 1
    return made


def within(when: float, steps: Mapping[int, tuple[float, float]]) -> int | None:
    return next((step for step, (start, end) in steps.items() if start <= when < end), None)


def clocks(
    moved: Mapping[int, Sequence[tuple[int, int, float, float, str, str]]],
) -> dict[int, float]:
    """Seconds that each rank's clock is ahead of the median: a collective ends for all at once."""
    ends: dict[tuple[int, int, str, str], dict[int, float]] = defaultdict(dict)
    for rank, found in moved.items():
        for step, turn, _, end, kind, group in found:
            ends[step, turn, kind, group][rank] = end
    shift = dict.fromkeys(moved, 0.0)
    for _ in range(ROUNDS):
        apart: dict[int, list[float]] = defaultdict(list)
        for members in ends.values():
            if len(members) > 1:
                middle = float(np.median([end - shift[rank] for rank, end in members.items()]))
                for rank, end in members.items():
                    apart[rank].append(end - middle)
        shift = {rank: float(np.median(apart[rank])) if apart[rank] else 0.0 for rank in moved}
    return shift


def operations(one: Heard, *, on_device: bool) -> Iterator[tuple[int, str, int, float, float]]:
    """(step, kind, seq, begin, end)"""
    steps = one.device_steps if on_device and one.device_steps else one.steps
    work = np.array(sorted(one.work if on_device else one.host_work), dtype=np.float64)
    work = merged(work.reshape(-1, 2))
    by_step: dict[int, list[tuple[float, float, str]]] = defaultdict(list)
    for step, _, start, end, kind, _ in moves(one, on_device=on_device):
        by_step[step].append((start, end, kind))
    for step, (begin, finish) in sorted(steps.items()):
        seqs: dict[str, int] = defaultdict(int)
        edges = [begin]
        for start, end, kind in by_step[step]:
            edges += [max(start, edges[-1]), max(end, edges[-1])]
            yield step, kind, seqs[kind], start, end
            seqs[kind] += 1
        edges.append(max(finish, edges[-1]))
        for number, (left, right) in enumerate(pairwise(edges)):
            began, busy = busy_in(work, left, right)
            kind = "forward-compute" if number == 0 else "backward-compute"
            yield step, kind, max(0, number - 1), began, began + busy


def merged(work: Floats) -> Floats:
    """Without overlaps: streams run side by side, threads nest."""
    if not len(work):
        return work
    reach = np.maximum.accumulate(work[:, 1])
    new = np.ones(len(work), dtype=bool)
    new[1:] = work[1:, 0] > reach[:-1]
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(work)) - 1
    return np.stack([work[first, 0], reach[last]], axis=1)


def busy_in(work: Floats, left: float, right: float) -> tuple[float, float]:
    """(when the first begins, seconds busy) of the work between two moments."""
    if not len(work):
        return left, 0.0
    low = int(np.searchsorted(work[:, 1], left, side="right"))
    high = int(np.searchsorted(work[:, 0], right, side="left"))
    if high <= low:
        return left, 0.0
    starts = np.maximum(work[low:high, 0], left)
    ends = np.minimum(work[low:high, 1], right)
    return float(starts[0]), float(np.maximum(ends - starts, 0).sum())

"""One rank's file of a PyTorch profiler (Kineto) or another Chrome trace, read event by event.

A file that is cut gives what it holds.
"""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from clusterctl.model import UserError

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
        more = b"" if packed and squeezed.unconsumed_tail else raw.read(CHUNK // 16)
        if not (rest or more):
            return
        try:
            plain = squeezed.decompress(rest + more, CHUNK) if packed else rest + more
        except zlib.error:
            found.cut = True
            return
        rest = squeezed.unconsumed_tail
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
    except (TypeError, ValueError, OverflowError):
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

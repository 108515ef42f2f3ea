"""Read what remote/journal.py wrote: records, samples, steps.

Kinds of records and what each has (`m`, seconds of the node's monotonic clock, is in all of them):

    start      version campaign boot uptime_s w every_s lease_s hard_s policy folder volatile python
    command    the order as it was accepted: id do …
    begin      step name load soak timeout_s
    end        step name code why s out err; out_bytes and err_bytes where a stream was cut,
               survivors where some of it cannot be killed
    dropped    step name why: accepted, and never begun
    full       groups: [[folder, [names], [values]], …]; every value.  left_out: how many files
               were too many to be read
    sample     d: [index, value, …], what changed; indices count through the last full's groups;
               news: 1 where that holds what a healthy node does not show
    kernel     lines: [[seconds, text], …], which may come again after a start; more: how many
               were left out or overwritten
    lease      held after_s policy
    disk       error ("": it works again) lost_samples
    clock      jump_s w: the wall clock against the monotonic one
    stop       why: the load stops and the supervisor with it
    finish     why w: its last word
    orphaned   why survivors: the supervisor was killed; its sibling ended the steps
    bug        text: we broke; after one about a sample it goes on

`w` is the wall clock, a label only.  `why` of an end: exit, timeout, flood, told, lease, disk,
deadline, drained, or a signal.
"""

from __future__ import annotations

import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any

from clusterctl.campaign.journal_lines import Deltas, lines_of
from clusterctl.model import Answer

LINE = re.compile(rb"([0-9a-f]{8}) (\d{1,18}) (\{.*\})")
MOST = 10**20  # the digits that remote/sampler.py takes for a number
LOST = "lost"  # `why` of a step whose end nobody saw
LAYOUTS_AT_MOST = 64  # kept in memory: kinds of nodes, and of each as many as devices came and went

Value = int | float | str | None


@dataclass(frozen=True, slots=True)
class Record:
    sequence: int
    kind: str
    at_s: float  # of the node's monotonic clock: comparable until the next start
    cells: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Corrupt:
    """Bytes that are no record, or records that are not there.  `offset` in what was read."""

    offset: int
    why: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """Good samples in a row: when each was, and what changed, as the JSON of its list.

    Without `news` nothing changed that a healthy node does not show, by the sampler's own word.
    """

    sequence: int  # of the first
    times: list[float]
    deltas: Sequence[bytes]
    news: bool = False

    def records(self) -> Iterator[Record]:
        """A delta that is no JSON is None, which fits nothing."""
        for number, (at_s, text) in enumerate(zip(self.times, self.deltas, strict=True)):
            yield Record(self.sequence + number, "sample", at_s, {"d": decoded(text)})


@dataclass(frozen=True, slots=True)
class Sample:
    """Every value as of then.  `changed`: the names of those that differ from the sample before.

    Names are /sys/…, gpu3.temp_c, or nvml, kmsg and slow, which say "ok" or why they are silent.
    """

    at_s: float
    values: Mapping[str, Value] = field(hash=False)
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One that has ended.  `code` None: it was stopped, or nobody knows (`why` LOST)."""

    identity: str
    name: str
    load: bool
    soak: bool
    began_s: float
    why: str
    code: int | None = None
    seconds: float = 0.0
    stdout: str = ""
    stderr: str = ""
    truncated: bool = False
    survivors: int = 0

    def answer(self) -> Answer:
        """For the parser of the trial that asked."""
        code = self.code if self.why == "exit" else None
        return Answer(self.name, code, self.stdout, self.stderr, self.seconds, self.truncated)


def records(data: bytes, *, after: int | None = None) -> Iterator[Record | Corrupt]:
    """Never raises.  `after`: the sequence number before the first, if there was one."""
    for one in scan(data, after=after):
        if isinstance(one, Stretch):
            yield from one.records()
        else:
            yield one


def scan(data: bytes, *, after: int | None = None) -> Iterator[Record | Corrupt | Stretch]:
    """As `records`, with samples in a row left as they are: a tenth of the time."""
    lines = lines_of(data)
    at, last = 0, after
    while at < len(lines.ends):
        number, follows = lines.numbers[at], lines.follows[at]
        if follows > at and last in {None, number - 1}:
            begins, ends = lines.deltas[at:follows], lines.ends[at:follows]
            spans = zip(begins, ends, strict=True)
            yield Stretch(number, lines.times[at:follows], Deltas(data, list(spans)))
            last, at = number + follows - at - 1, follows
            continue
        offset, end = lines.begins[at], lines.ends[at]
        one = record(data[offset:end])
        if one is None:
            yield Corrupt(offset, f"not a record: {end - offset} bytes")
        else:
            if last is not None and one.sequence != last + 1:
                yield Corrupt(offset, f"record {last} is followed by record {one.sequence}")
            last = one.sequence
            yield alone(one) if one.kind == "sample" else one
        at += 1
    if data and not data.endswith(b"\n"):
        yield Corrupt(lines.ends[-1] + 1 if lines.ends else 0, "torn: the last line has no end")


def alone(one: Record) -> Stretch:
    """One with news, or that was spelled otherwise than our supervisor spells it."""
    return Stretch(one.sequence, [one.at_s], [json.dumps(one.cells.get("d")).encode()], news=True)


def record(line: bytes) -> Record | None:
    """One line without its end."""
    found = LINE.fullmatch(line)
    if not found or int(found[1], 16) != zlib.crc32(line[9:]):
        return None
    try:
        cells = json.loads(found[3])
        kind, at_s = str(cells.pop("k")), cells.pop("m")
    except (ValueError, KeyError, RecursionError):
        return None
    if not is_number(at_s) or not makes_sense(kind, cells):
        return None
    return Record(int(found[2]), kind, float(at_s), cells)


def makes_sense(kind: str, cells: Mapping[str, Any]) -> bool:
    """Whoever reads on counts with these; a node in disarray may write anything."""
    match kind:
        case "start":
            return is_number(every_s := cells.get("every_s", 10.0)) and every_s > 0
        case "end":
            code, survivors = cells.get("code"), cells.get("survivors", 0)
            wholes = isinstance(code, int | None) and isinstance(survivors, int)
            return wholes and is_number(cells.get("s", 0.0))
        case "clock":
            return is_number(cells.get("jump_s", 0.0))
        case "full":
            left_out = isinstance(cells.get("left_out", 0), int)
            return left_out and all(map(is_value, values_of(cells.get("groups"))))
    return True


def values_of(groups: object) -> Iterator[object]:
    for group in groups if isinstance(groups, list) else ():
        match group:
            case [_, _, list(values)]:
                yield from values


def is_number(value: object) -> bool:
    """One to count with: finite, and no larger than what 64 bits hold."""
    return isinstance(value, int | float) and -MOST <= value <= MOST


def is_value(value: object) -> bool:
    return value is None or isinstance(value, str) or is_number(value)


def decoded(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def samples(found: Iterable[Record | Corrupt]) -> Iterator[Sample]:
    """After a corrupt line none comes until the next full one: deltas would add up to nonsense."""
    names: list[str] = []
    values: dict[str, Value] = {}
    known = False
    for one in found:
        if isinstance(one, Corrupt) or one.kind == "start":
            known = False
        elif one.kind == "full":
            before = values if known else {}
            values = dict(named(one.cells.get("groups")))
            names, known = list(values), bool(values)
            changed = tuple(name for name in names if before.get(name, names) != values[name])
            yield Sample(one.at_s, dict(values), changed)
        elif one.kind == "sample" and known:
            delta = fitting(one.cells.get("d"), len(names))
            if delta is None:
                known = False
                continue
            changed = tuple(names[index] for index in delta[::2])
            values |= dict(zip(changed, delta[1::2], strict=True))
            yield Sample(one.at_s, dict(values), changed)


def named(groups: object) -> Iterator[tuple[str, Value]]:
    if not isinstance(groups, list):
        return
    for group in groups:
        match group:
            case [str(folder), list(names), list(values)]:
                joint = "/" if folder.startswith("/") else "." if folder else ""
                for name, value in zip(names, values, strict=False):
                    yield f"{folder}{joint}{name}", value


@dataclass(frozen=True, slots=True, eq=False)
class Names:
    """Of every value of a sample, in their order; one object for all nodes of like hardware.

    `groups`: folder and names, as full records spell them.
    """

    every: tuple[str, ...]
    groups: tuple[tuple[str, list[str]], ...]

    def __len__(self) -> int:
        return len(self.every)


def laid_out(groups: object, known: Names | None) -> tuple[Names, list[Value]]:
    """A full record's names and values.  `known`: those of the one before, for nearly always
    they are the same, and nobody spells a thousand names anew.
    """
    if known is not None and isinstance(groups, list) and alike(groups, known):
        return known, list(chain.from_iterable(group[2] for group in groups))
    values = dict(named(groups))
    return names_of(tuple(values), spelling(groups, len(values))), list(values.values())


def alike(groups: list[Any], known: Names) -> bool:
    return 0 < len(groups) == len(known.groups) and all(
        isinstance(one, list) and len(one) == 3 and one[0] == folder and one[1] == names
        and isinstance(one[2], list) and len(one[2]) == len(names)
        for one, (folder, names) in zip(groups, known.groups, strict=True)
    )  # fmt: skip


def spelling(groups: object, count: int) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Empty, which is like nothing, where groups do not give each of `count` names one value."""
    found = []
    for group in groups if isinstance(groups, list) else ():
        match group:
            case [str(folder), list(names), list(values)] if len(names) == len(values):
                found.append((folder, tuple(map(str, names))))
            case _:
                return ()
    return tuple(found) if sum(len(names) for _, names in found) == count else ()


@lru_cache(LAYOUTS_AT_MOST)
def names_of(every: tuple[str, ...], groups: tuple[tuple[str, tuple[str, ...]], ...]) -> Names:
    return Names(
        tuple(map(sys.intern, every)), tuple((folder, list(names)) for folder, names in groups)
    )


def fitting(delta: object, count: int) -> list[Any] | None:
    if not isinstance(delta, list) or len(delta) % 2:
        return None
    good = all(isinstance(index, int) and 0 <= index < count for index in delta[::2])
    return delta if good and all(map(is_value, delta[1::2])) else None


def steps(found: Iterable[Record | Corrupt]) -> Iterator[Step]:
    """Those that have ended, or were lost with their supervisor; not the one that still runs."""
    begun: Record | None = None
    for one in found:
        if isinstance(one, Corrupt):
            continue
        if begun and one.kind in {"start", "orphaned", "begin"}:
            yield lost(begun, one)
            begun = None
        if one.kind == "begin":
            begun = one
        elif one.kind == "end":
            mine = begun if begun and begun.cells.get("step") == one.cells.get("step") else None
            yield ended(mine, one)
            begun = None


def lost(begun: Record, by: Record) -> Step:
    seconds = by.at_s - begun.at_s if by.kind == "orphaned" else 0.0
    return Step(**whose(begun), began_s=begun.at_s, why=LOST, seconds=seconds)


def whose(one: Record) -> dict[str, Any]:
    return {
        "identity": str(one.cells.get("step", "")),
        "name": str(one.cells.get("name", "")),
        "load": bool(one.cells.get("load", True)),
        "soak": bool(one.cells.get("soak", False)),
    }


def ended(begun: Record | None, one: Record) -> Step:
    seconds = float(one.cells.get("s", 0.0))
    return Step(
        **(whose(begun or one)),
        began_s=begun.at_s if begun else one.at_s - seconds,
        why=str(one.cells.get("why", "")),
        code=one.cells.get("code"),
        seconds=seconds,
        stdout=str(one.cells.get("out", "")),
        stderr=str(one.cells.get("err", "")),
        truncated="out_bytes" in one.cells,
        survivors=int(one.cells.get("survivors", 0)),
    )

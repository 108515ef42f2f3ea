"""What a node's journal says over time, in few enough points to be drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clusterctl.campaign import journal
from clusterctl.campaign.folder import chunks, journal_of
from clusterctl.campaign.journal import Corrupt, Record, Stretch, decoded, fitting, named
from clusterctl.campaign.watched import AER, AER_TOTAL, COUNTED
from clusterctl.report.histories import Moments, Series
from clusterctl.report.timeplots import Moment

Floats = NDArray[np.float64]

MEASURED = re.compile(
    r"(gpu\d+|(?:meter|psu|optic)\.[^.]+)"
    r"\.(temp_c|temp_memory_c|power_w|clock_sm_mhz|node_w|in_w)"
)
HELD_BACK = re.compile(r"(gpu\d+)\.(?:sw_thermal_ns|hw_thermal_ns|hw_power_brake_ns)")
THROTTLED = "throttled_percent"
PORT = re.compile(r"/sys/class/infiniband/([^/]+)/ports/(\d+)/(?:hw_)?counters/(.+)")
DEVICE = re.compile(r"/sys/(?:class|bus|devices)/(?:.*/)?([^/]+)/(?:statistics/)?([^/]+)")
BUCKETS = 400  # of each line, the lowest and the highest sample
COUNTERS_AT_MOST = 8  # quantities of a node
FAULTS_AT_MOST = 40  # marks of a node
PLAIN = re.compile(rb"\[[-0-9.,eE+]*\]")
MISFIT = (np.zeros(1, np.int64), np.full(1, -1.0), np.zeros(1))
AS_ASKED = frozenset({"exit", "told", "drained"})  # how a step ends that nobody need look at
UNSEEN = np.inf  # among the values: what stood there could not be read


def read(path: Path, nodes: Sequence[str]) -> tuple[Series, Moments]:
    """Of the named nodes: series of what moved, and when stages began and what befell them.

    Seconds count from the node's first record, by its wall clock from one start of its supervisor
    to the next, else by its monotonic one.
    """
    series: dict[tuple[str, str, str], Any] = {}
    moments = {}
    for name in nodes:
        if not journal_of(path, name).exists():
            continue
        found = Sheet()
        for data in chunks(journal_of(path, name)):
            for one in journal.scan(data):
                found.learn(one)
        for (part, quantity), points in found.lines():
            series[name, part, quantity] = points
        moments[name] = tuple(found.moments)
    return series, moments


@dataclass(slots=True)
class Sheet:
    """A fold over a journal.  `columns`: of each wanted name, one array a stretch."""

    names: list[str] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)
    place: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    now: Floats = field(default_factory=lambda: np.zeros(0))  # values of `wanted`
    times: list[Floats] = field(default_factory=list)
    columns: list[tuple[list[str], Floats]] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    zero_s: float | None = None  # of the wall clock at the first record
    offset_s: float = 0.0  # from the node's monotonic clock to ours
    stage: str = ""
    boot: str = ""
    last_s: float = 0.0

    def learn(self, one: Record | Corrupt | Stretch) -> None:
        match one:
            case Corrupt():
                self.names = []
            case Stretch() if self.names:
                self.follow(one)
            case Record(_, "full", at_s, cells):
                self.begin(at_s, dict(named(cells.get("groups"))))
            case Record(_, "start", at_s, cells):
                self.start(at_s, cells)
            case Record():
                self.mark(one)

    def start(self, at_s: float, cells: Any) -> None:
        self.names = []
        wall_s = float(cells.get("w") or 0.0)
        if self.zero_s is None:
            self.zero_s, self.offset_s = wall_s, -at_s
        else:  # never back in time, whatever the clock says
            self.offset_s = max(wall_s - self.zero_s, self.last_s) - at_s
        boot = str(cells.get("boot", ""))
        if self.boot and boot != self.boot:
            self.fault(at_s, "reboot", "the node was booted anew")
        self.boot = boot

    def mark(self, one: Record) -> None:
        cells = one.cells
        match one.kind:
            case "begin":
                stage = "soak" if cells.get("soak") else str(cells.get("name", ""))
                if stage != self.stage:
                    self.moments.append(Moment(one.at_s + self.offset_s, stage, "stage", stage))
                self.stage = stage
            case "end" if cells.get("why") not in AS_ASKED or failed(cells.get("code")):
                why = f"{cells.get('name')}: {cells.get('why')}, exit {cells.get('code')}"
                self.fault(one.at_s, str(cells.get("name", "")), why)
            case "kernel":
                for line in cells.get("lines") or ():
                    match line:
                        case [int() | float(), str(text)]:
                            self.fault(one.at_s, "kernel", text)
            case "lease" if cells.get("held") is False:
                self.fault(one.at_s, "lease", "nobody renewed the lease")
            case "disk" if cells.get("error"):
                self.fault(one.at_s, "disk", f"the journal's disk: {cells['error']}")
            case "orphaned" | "bug":
                self.fault(one.at_s, one.kind, str(cells.get("why") or cells.get("text", "")))

    def fault(self, at_s: float, word: str, about: str) -> None:
        if sum(one.kind == "fault" for one in self.moments) < FAULTS_AT_MOST:
            self.moments.append(Moment(at_s + self.offset_s, word, "fault", about))

    def begin(self, at_s: float, values: dict[str, Any]) -> None:
        """A full sample: what is looked at from here on, and its first values."""
        if list(values) != self.names:
            self.names = list(values)
            self.wanted = [name for name in self.names if is_wanted(name)]
            self.place = np.full(len(self.names), -1, np.int64)
            self.place[[self.names.index(name) for name in self.wanted]] = range(len(self.wanted))
        self.now = np.array([number(values[name]) for name in self.wanted], float)
        self.keep(np.array([at_s]), self.now[:, None].copy())

    def follow(self, one: Stretch) -> None:
        """Every value of every sample, from what changed with each."""
        rows, indices, values = numbers(one.deltas)
        fits = bool(((indices >= 0) & (indices < len(self.names))).all())
        if not fits:
            self.names = []
            return
        columns = self.place[indices.astype(np.int64)]
        ours = columns >= 0
        grid = np.full((len(self.wanted), 1 + len(one.times)), np.nan)
        grid[:, 0] = self.now
        grid[columns[ours], 1 + rows[ours]] = values[ours]
        known = np.where(np.isnan(grid), 0, np.arange(grid.shape[1]))
        np.maximum.accumulate(known, axis=1, out=known)
        grid = np.take_along_axis(grid, known, axis=1)
        self.now = grid[:, -1].copy()
        self.keep(np.array(one.times), grid[:, 1:])

    def keep(self, times: Floats, grid: Floats) -> None:
        self.times.append(times + self.offset_s)
        self.columns.append((self.wanted, grid))
        self.last_s = float(self.times[-1][-1])

    def lines(self) -> Iterator[tuple[tuple[str, str], Floats]]:
        """((part, quantity), points)"""
        if not self.times:
            return
        times = np.concatenate(self.times)
        every = list(dict.fromkeys(name for wanted, _ in self.columns for name in wanted))
        held: dict[str, Floats] = {}
        counted: list[tuple[float, tuple[str, str], Floats]] = []
        for name in every:
            values = self.column(name)
            if found := MEASURED.fullmatch(name):
                yield (found[1], found[2]), thinned(times, values)
            elif found := HELD_BACK.fullmatch(name):
                held[found[1]] = held.get(found[1], 0.0) + risen(values)
            elif (rose := risen(values)).any():
                counted.append((float(rose.sum()), place_of(name), np.cumsum(rose)))
        for part, rose in held.items():
            if rose.any():
                pauses = np.diff(times, prepend=times[0] - 1)
                share = np.clip(rose / np.maximum(pauses, 1e-3) / 1e7, 0, 100)
                yield (part, THROTTLED), thinned(times, share)
        quantities = list(dict.fromkeys(place[1] for _, place, _ in sorted(counted, key=rarest)))
        for _, place, total in counted:
            if place[1] in quantities[:COUNTERS_AT_MOST]:
                yield place, thinned(times, total)

    def column(self, name: str) -> Floats:
        """Of one name; nan where it was not sampled or could not be read."""
        pieces = [
            grid[wanted.index(name)] if name in wanted else np.full(grid.shape[1], np.nan)
            for wanted, grid in self.columns
        ]
        whole = np.concatenate(pieces)
        whole[whole == UNSEEN] = np.nan
        return whole


def rarest(one: tuple[float, tuple[str, str], Floats]) -> float:
    return one[0]


def is_wanted(name: str) -> bool:
    return any(one.fullmatch(name) for one in (MEASURED, HELD_BACK, COUNTED, AER))


def place_of(name: str) -> tuple[str, str]:
    """(part, quantity) of a counter."""
    if found := PORT.fullmatch(name):
        return f"{found[1]}/{found[2]}", found[3]
    if found := DEVICE.fullmatch(name):
        return found[1], found[2]
    part, _, quantity = name.partition(".")
    return part, quantity


def number(value: Any) -> float:
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str) and (total := AER_TOTAL.search(value)):
        return float(total[1])
    return UNSEEN


def numbers(deltas: Sequence[bytes]) -> tuple[NDArray[np.int64], Floats, Floats]:
    """(row, index, value) of every change.  A delta that is not numbers alone goes through json;
    what does not fit at all has an index that none has.
    """
    plain = [text if PLAIN.fullmatch(text) else spelled(text) for text in deltas]
    pairs = [(text.count(b",") + 1) // 2 if len(text) > 2 else 0 for text in plain]
    joined = b",".join(text[1:-1] for text in plain if len(text) > 2)
    try:
        flat = np.fromstring(joined.decode("ascii"), sep=",") if joined else np.zeros(0)
    except ValueError:
        return MISFIT
    if flat.size != 2 * sum(pairs):
        return MISFIT
    return np.repeat(np.arange(len(plain)), pairs), flat[::2], flat[1::2]


def spelled(text: bytes) -> bytes:
    delta = fitting(decoded(text), 1 << 20)
    if delta is None:
        return b"[-1,0]"
    cells = [one for at in range(0, len(delta), 2) for one in (delta[at], number(delta[at + 1]))]
    return ("[" + ",".join(map(repr, cells)) + "]").encode()


def risen(values: Floats) -> Floats:
    """What was added with each sample; after a reset, what it counts since."""
    known = np.nan_to_num(forward(values))
    rose = np.diff(known, prepend=known[:1])
    return np.where(rose < 0, known, rose)


def forward(values: Floats) -> Floats:
    """Gaps filled with what stood before them, and the first gap with what stood after."""
    seen = np.flatnonzero(~np.isnan(values))
    if not seen.size:
        return values
    at = np.searchsorted(seen, np.arange(values.size), side="right") - 1
    return values[seen[np.maximum(at, 0)]]


def thinned(times: Floats, values: Floats) -> Floats:
    """(n, 2): of each of BUCKETS spans of time the lowest and the highest sample."""
    good = ~np.isnan(values)
    times, values = times[good], values[good]
    if times.size <= 2 * BUCKETS:
        return np.column_stack((times, values))
    span_s = max(float(times[-1] - times[0]), 1e-9)
    bucket = np.minimum((times - times[0]) / span_s * BUCKETS, BUCKETS - 1).astype(np.int64)
    order = np.lexsort((values, bucket))
    edges = np.flatnonzero(np.diff(bucket[order], prepend=-1))
    ends = np.append(edges[1:], order.size) - 1
    chosen = np.unique(np.concatenate((order[edges], order[ends])))
    return np.column_stack((times[chosen], values[chosen]))


def failed(code: object) -> bool:
    """A signal of ours, below zero, is no failure."""
    return isinstance(code, int) and code > 0

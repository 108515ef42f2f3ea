"""What parts did over time, as SVG text.  Pure; see charts.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from clusterctl.report.scales import (
    MOST,
    Scale,
    hours,
    label_width,
    opening,
    said,
    scale,
    spelt,
    ticks,
)

Floats = NDArray[np.float64]
Samples = Sequence[tuple[float, float]] | Floats  # an array of n rows and 2 columns


@dataclass(frozen=True, slots=True)
class Line:
    """One part's samples: (seconds since the start, value), in order of time."""

    label: str
    samples: Samples
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened: where a stage began, or a fault.  `kind`: stage or fault."""

    at_s: float
    word: str
    kind: str
    about: str


PLOT_WIDTH, PLOT_LEFT, PLOT_RIGHT, PLOT_TOP, PLOT_HEIGHT = 500.0, 66.0, 84.0, 12.0, 104.0
AXIS_HEIGHT = 20.0
GAP_TIMES = 3.5  # a pause of so many usual intervals is a gap: nothing was seen in it
FEW = 4  # lines that can be told apart without one of them being marked
MOST_GAPS = 200


def over_time(
    lines: Sequence[Line],
    *,
    title: str,
    unit: str,
    points: int = 200,
    limits: Sequence[tuple[str, float]] = (),
    moments: Sequence[Moment] = (),
) -> str:
    """Marked parts by name, each a line within the band of its lowest and highest samples; all the
    others one grey band.  Gaps stay gaps.  Where few are there and none is marked, all are.

    `points`: into how many columns the time is cut; a spike of one sample stays in the band.
    `moments` outside of the samples' time are left out.  Empty where there is no sample.
    """
    shown = [kept for line in lines if (kept := track(line)).times.size]
    if not shown:
        return ""
    few = len(shown) <= FEW and not any(one.marked for one in shown)
    marked = [one for one in shown if one.marked or few]
    others = [one for one in shown if not (one.marked or few)]
    right = PLOT_WIDTH - PLOT_RIGHT
    ends = [float(one.times[at]) for one in shown for at in (0, -1)]
    across = scale(ends, PLOT_LEFT, right, margin=0)
    values = [float(found) for one in shown for found in (one.values.min(), one.values.max())]
    up = scale([*values, *(value for _, value in limits)], PLOT_TOP + PLOT_HEIGHT, PLOT_TOP)
    unit_s, unit_name = hours(across.high - across.low)
    pieces = [
        opening(title, PLOT_TOP + PLOT_HEIGHT + AXIS_HEIGHT, PLOT_WIDTH),
        *shaded(shown, across),
        *happened(moments, across),
        *levels(up, right, unit),
        *clock(across, unit_s, unit_name),
        band(columns(others, across, points), across, up, "band") if others else "",
        *(
            band(found, across, up, f"band m{number % 4}")
            + trace(found, across, up, f"trace m{number % 4}")
            for number, one in enumerate(marked)
            for found in [columns([one], across, points)]
        ),
        *(bound(name, up(value), right) for name, value in limits),
        *names(marked, others, up, right),
    ]
    return "".join([*pieces, "</svg>"])


@dataclass(frozen=True, slots=True)
class Track:
    """A line's samples as arrays, in order of time.  `usual_s`: the usual pause between two."""

    label: str
    times: Floats
    values: Floats
    marked: bool
    usual_s: float

    @property
    def gaps(self) -> list[tuple[float, float]]:
        """(from, to) in seconds, where more than a few samples in a row are missing."""
        if self.usual_s <= 0:
            return []
        at = np.flatnonzero(np.diff(self.times) > GAP_TIMES * self.usual_s)
        return [(float(self.times[i]), float(self.times[i + 1])) for i in at]


def track(line: Line) -> Track:
    given = np.asarray(line.samples, dtype=float).reshape(-1, 2)
    given = given[(np.abs(given) < MOST).all(axis=1)]  # nan compares false
    given = given[np.argsort(given[:, 0], kind="stable")]
    pauses = np.diff(given[:, 0])
    usual_s = float(np.median(pauses)) if pauses.size else 0.0
    return Track(line.label, given[:, 0], given[:, 1], line.marked, usual_s)


@dataclass(frozen=True, slots=True)
class Columns:
    """Of each column of the time axis: lowest, mean and highest; nan where nothing was seen.

    `apart`: so many columns from one to the next are a gap.
    """

    low: Floats
    mean: Floats
    high: Floats
    apart: int


def columns(tracks: Sequence[Track], across: Scale, points: int) -> Columns:
    low, high = np.full(points, np.inf), np.full(points, -np.inf)
    total, count = np.zeros(points), np.zeros(points)
    column_s = (across.high - across.low) / points
    for one in tracks:
        number = np.clip((one.times - across.low) / column_s, 0, points - 1).astype(int)
        first = np.flatnonzero(np.diff(number, prepend=-1))
        at = number[first]
        low[at] = np.minimum(low[at], np.minimum.reduceat(one.values, first))
        high[at] = np.maximum(high[at], np.maximum.reduceat(one.values, first))
        total += np.bincount(number, one.values, points)
        count += np.bincount(number, minlength=points)
    low[count == 0] = np.nan
    high[count == 0] = np.nan
    mean = np.divide(total, count, out=np.full(points, np.nan), where=count > 0)
    usual_s = max(one.usual_s for one in tracks)
    return Columns(low, mean, high, max(1, ceil(GAP_TIMES * usual_s / column_s)))


def unbroken(found: Columns) -> list[list[int]]:
    """Runs of column numbers with no gap within."""
    runs: list[list[int]] = []
    for number in np.flatnonzero(~np.isnan(found.mean)).tolist():
        if runs and number - runs[-1][-1] <= found.apart:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


def places(run: Sequence[int], values: Floats, across: Scale, up: Scale) -> list[str]:
    wide = (across.end - across.start) / values.size
    return [
        f"{round(across.start + (at + 0.5) * wide, 1):g} {up(float(values[at])):g}" for at in run
    ]


def trace(found: Columns, across: Scale, up: Scale, style: str) -> str:
    """Through the mean of each column; broken at gaps."""
    path = "".join(
        "M" + "L".join(places(run, found.mean, across, up)) + ("h.1" if len(run) == 1 else "")
        for run in unbroken(found)
    )
    return f'<path class="{style}" d="{path}"/>'


def band(found: Columns, across: Scale, up: Scale, style: str) -> str:
    """From the lowest to the highest sample of each column."""
    path = "".join(
        "M"
        + "L".join(
            [*places(run, found.high, across, up), *places(run[::-1], found.low, across, up)]
        )
        + "Z"
        for run in unbroken(found)
    )
    return f'<path class="{style}" d="{path}"/>'


def shaded(tracks: Sequence[Track], across: Scale) -> Iterator[str]:
    """Where no part gave a sample."""
    missing = tracks[0].gaps[:MOST_GAPS]
    for one in tracks[1:]:
        missing = overlaps(missing, one.gaps)[:MOST_GAPS]
    for start, end in missing:
        wide = max(across(end) - across(start), 1)
        yield (
            f'<rect class="gap" x="{across(start):g}" y="{PLOT_TOP:g}" width="{wide:g}" '
            f'height="{PLOT_HEIGHT:g}"><title>no samples</title></rect>'
        )


def happened(moments: Sequence[Moment], across: Scale) -> Iterator[str]:
    """Faults are a line and a flag that tells of them; stages a line and, with room, a name."""
    bottom = PLOT_TOP + PLOT_HEIGHT
    seen = [one for one in moments if across.low <= one.at_s <= across.high]
    stages = sorted((one for one in moments if one.kind == "stage"), key=lambda one: one.at_s)
    ends = [*(min(one.at_s, across.high) for one in stages[1:]), across.high][: len(stages)]
    for one, end_s in zip(stages, ends, strict=True):
        at = across(max(one.at_s, across.low))
        if one in seen:
            about = said(one.about, 200)
            line = f'd="M{at:g} {PLOT_TOP:g}V{bottom:g}"'
            yield f'<path class="stage" {line}><title>{about}</title></path>'
        if across(end_s) - at > label_width(one.word[:14]):
            word = said(one.word, 14)
            yield f'<text class="stage" x="{at + 2:g}" y="{PLOT_TOP - 2:g}">{word}</text>'
    for one in seen:
        if one.kind == "fault":
            at = across(one.at_s)
            yield (
                f'<g class="fault"><title>{said(one.about, 200)}</title>'
                f'<path d="M{at:g} {PLOT_TOP:g}V{bottom:g}"/>'
                f'<path class="flag" d="M{at - 4:g} {PLOT_TOP - 8:g}h8l-4 8Z"/></g>'
            )


def overlaps(
    some: Sequence[tuple[float, float]], others: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    return [
        (max(a, c), min(b, d))
        for a, b in some
        for c, d in others[:MOST_GAPS]
        if max(a, c) < min(b, d)
    ]


def levels(up: Scale, right: float, unit: str) -> Iterator[str]:
    values = ticks(up.low, up.high, 4)
    for value in values:
        y = up(value)
        last = f" {said(unit)}" if value == values[-1] else ""
        yield (
            f'<path class="grid" d="M{PLOT_LEFT:g} {y:g}H{right:g}"/>'
            f'<text class="tick" x="{PLOT_LEFT - 5:g}" y="{y + 4:g}" text-anchor="end">'
            f"{spelt(value, up)}{last}</text>"
        )


def clock(across: Scale, unit_s: float, unit: str) -> Iterator[str]:
    bottom = PLOT_TOP + PLOT_HEIGHT
    yield f'<path class="axis" d="M{across.start:g} {bottom:g}H{across.end:g}"/>'
    low, high = across.low / unit_s, across.high / unit_s
    marks = [step for step in whole_ticks(low, high) if low <= step <= high]
    for value in marks:
        at = across(value * unit_s)
        last = f" {unit}" if value == marks[-1] else ""
        yield (
            f'<path class="axis" d="M{at:g} {bottom:g}v4"/>'
            f'<text class="tick" x="{at:g}" y="{bottom + 15:g}" text-anchor="middle">'
            f"{spelt(value)}{last}</text>"
        )


def whole_ticks(low: float, high: float) -> list[float]:
    """As a clock is read: every 1, 2, 3, 6, 12 or 24 of it."""
    step = next((s for s in (1, 2, 3, 6, 12, 24, 48) if (high - low) / s <= 9), 0)
    if not step:
        return ticks(low, high)
    return [float(step * number) for number in range(ceil(low / step), floor(high / step) + 1)]


def bound(name: str, y: float, right: float) -> str:
    return (
        f'<path class="limit" d="M{PLOT_LEFT:g} {y:g}H{right:g}"/>'
        f'<text class="limit" x="{right + 4:g}" y="{y + 4:g}">{said(name)}</text>'
    )


def names(
    marked: Sequence[Track], others: Sequence[Track], up: Scale, right: float
) -> Iterator[str]:
    """Marked parts by name where their lines end, the others as one; labels never overlap."""
    wanted = [
        (up(float(line.values[-1])), line.label, f"m{number % 4}")
        for number, line in enumerate(marked)
    ]
    if others:
        label = others[0].label if len(others) == 1 else f"{len(others)} others"
        ends = sorted(up(float(line.values[-1])) for line in others)
        wanted.append((ends[len(ends) // 2], label if marked else f"all {len(others)}", "others"))
    free = 0.0
    for y, label, style in sorted(wanted):
        free = max(y + 4, free)
        yield f'<text class="label {style}" x="{right + 5:g}" y="{free:g}">{said(label, 14)}</text>'
        free += 13

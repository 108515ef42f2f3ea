"""What parts did over time, as SVG text.  Pure; see charts.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor

from clusterctl.report.scales import (
    WIDTH,
    Scale,
    drawable,
    hours,
    opening,
    said,
    scale,
    spelt,
    ticks,
)


@dataclass(frozen=True, slots=True)
class Line:
    """One part's samples: (seconds since the start, value), in order of time."""

    label: str
    samples: Sequence[tuple[float, float]]
    marked: bool = False


PLOT_LEFT, PLOT_RIGHT, PLOT_TOP, PLOT_HEIGHT = 52.0, 96.0, 10.0, 104.0
AXIS_HEIGHT = 20.0
GAP_TIMES = 3.5  # a pause of so many usual intervals is a gap: nothing was seen in it


def over_time(
    lines: Sequence[Line],
    *,
    title: str,
    unit: str,
    points: int = 300,
    limits: Sequence[tuple[str, float]] = (),
) -> str:
    """Every part's samples over time; marked parts stand out and are named, gaps stay gaps.

    `points`: into how many columns the time is cut; each keeps its lowest and highest sample, so
    no spike is lost.  Empty where there is no sample.
    """
    shown = [kept for line in lines if (kept := finite(line)).samples]
    if not shown:
        return ""
    unit_s, unit_name = hours(max(line.samples[-1][0] for line in shown))
    every = [sample for line in shown for sample in line.samples]
    right = WIDTH - PLOT_RIGHT
    across = scale((at for at, _ in every), PLOT_LEFT, right, margin=0)
    values = [*(value for _, value in every), *(value for _, value in limits)]
    up = scale(values, PLOT_TOP + PLOT_HEIGHT, PLOT_TOP, margin=0.08)
    height = PLOT_TOP + PLOT_HEIGHT + AXIS_HEIGHT
    pieces = [
        opening(title, height),
        *shaded(shown, across),
        *levels(up, right, unit),
        *clock(across, unit_s, unit_name),
        *(bound(name, up(value), right) for name, value in limits),
    ]
    plain = [line for line in shown if not line.marked]
    for number, line in enumerate([*plain, *(line for line in shown if line.marked)]):
        style = f"trace marked m{(number - len(plain)) % 4}" if line.marked else "trace"
        pieces.append(f'<path class="{style}" d="{trace(line.samples, across, up, points)}"/>')
    return "".join([*pieces, *names(shown, plain, up, right), "</svg>"])


def finite(line: Line) -> Line:
    samples = [(at, value) for at, value in line.samples if drawable(at) and drawable(value)]
    return Line(line.label, samples, line.marked)


def usual_interval(samples: Sequence[tuple[float, float]]) -> float:
    steps = sorted(later[0] - sooner[0] for sooner, later in pairwise(samples))
    return steps[len(steps) // 2] if steps else 0.0


def gaps(samples: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """(from, to) in seconds, where more than a few samples in a row are missing."""
    least = GAP_TIMES * usual_interval(samples)
    return [
        (sooner[0], later[0])
        for sooner, later in pairwise(samples)
        if least > 0 and later[0] - sooner[0] > least
    ]


def trace(samples: Sequence[tuple[float, float]], across: Scale, up: Scale, points: int) -> str:
    """A path broken at gaps, two points a column."""
    opened = {to for _, to in gaps(samples)}
    path, columns = [], points / (across.end - across.start)
    bucket: list[tuple[float, float]] = []
    pen = "M"
    for sample in samples:
        new = bool(bucket) and int(across(sample[0]) * columns) != int(
            across(bucket[0][0]) * columns
        )
        if new or sample[0] in opened:
            path.append(pen + stroke(bucket, across, up))
            bucket, pen = [], "M" if sample[0] in opened else "L"
        bucket.append(sample)
    return "".join(path) + pen + stroke(bucket, across, up)


def stroke(bucket: Sequence[tuple[float, float]], across: Scale, up: Scale) -> str:
    ends = {min(bucket, key=lambda one: one[1]), max(bucket, key=lambda one: one[1])}
    return "L".join(f"{across(at):g} {up(value):g}" for at, value in sorted(ends)) + (
        "h0" if len(ends) == 1 else ""
    )


def shaded(lines: Sequence[Line], across: Scale) -> Iterator[str]:
    """Where no part gave a sample."""
    missing = [set(gaps(line.samples)) for line in lines]
    for start, end in sorted(set.intersection(*missing)):
        wide = max(across(end) - across(start), 1)
        yield (
            f'<rect class="gap" x="{across(start):g}" y="{PLOT_TOP:g}" width="{wide:g}" '
            f'height="{PLOT_HEIGHT:g}"><title>no samples</title></rect>'
        )


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


def names(lines: Sequence[Line], plain: Sequence[Line], up: Scale, right: float) -> Iterator[str]:
    """Marked parts by name where their lines end, the others as one; labels never overlap."""
    wanted = [
        (up(line.samples[-1][1]), line.label, f"m{number % 4}")
        for number, line in enumerate(line for line in lines if line.marked)
    ]
    if plain:
        label = plain[0].label if len(plain) == 1 else f"{len(plain)} others"
        ends = sorted(up(line.samples[-1][1]) for line in plain)
        wanted.append((ends[len(ends) // 2], label, "others"))
    free = 0.0
    for y, label, style in sorted(wanted):
        free = max(y + 4, free)
        yield f'<text class="label {style}" x="{right + 5:g}" y="{free:g}">{said(label, 16)}</text>'
        free += 13

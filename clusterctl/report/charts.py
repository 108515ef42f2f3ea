"""Where many values lie, as SVG text.  Pure: numbers and labels in, markup out.

Colours come from the page's style sheet by class, so that light, dark and print need no other
chart; shapes say again what colours say.  Every label is made visible and escaped here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clusterctl.report.scales import (
    GLYPHS,
    WIDTH,
    Scale,
    drawable,
    label_width,
    opening,
    said,
    scale,
    spelt,
    ticks,
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A value that stands out.  `kind`: a glyph's name; no `label`: another mark names it."""

    label: str
    value: float
    kind: str
    about: str = ""


DOT = 5.0
CROWD_TOP, CROWD_HEIGHT, BOX_HEIGHT, AXIS_HEIGHT = 10.0, 50.0, 16.0, 20.0
ROW = 15.0
MOST_ROWS = 5


def distribution(
    values: Sequence[float],
    marks: Sequence[Mark] = (),
    *,
    title: str,
    unit: str,
    limits: Sequence[tuple[str, float]] = (),
) -> str:
    """Where all values lie: stacked dots, the middle half as a box, marks by name, limits dashed.

    Empty where there are no values.  `limits`: (name, value), floors and ceilings.
    """
    values = sorted(value for value in values if drawable(value))
    if not values:
        return ""
    marks = [mark for mark in marks if drawable(mark.value)]
    across = scale([*values, *(value for _, value in limits)], 16, WIDTH - 16)
    placed, hidden = place(marks, across)
    top = CROWD_TOP + ROW * (1 + max((row for _, _, row in placed), default=-1))
    bottom = top + crowd_height(values, across)
    height = bottom + BOX_HEIGHT + AXIS_HEIGHT
    pieces = [
        opening(title, height),
        *axis(across, bottom + BOX_HEIGHT, unit),
        *(limit_line(name, across(value), top, bottom) for name, value in limits),
        dots(values, across, bottom),
        box(values, across, bottom + BOX_HEIGHT / 2),
        *(leader(across(mark.value), row, bottom, top) for mark, _, row in placed),
        *(label(mark, at, row, top) for mark, at, row in placed),
        *(shape(mark, across(mark.value), bottom) for mark, _, _ in placed),
        *(shape(mark, across(mark.value), bottom) for mark in hidden),
    ]
    return "".join([*pieces, "</svg>"])


def crowd_height(values: Sequence[float], across: Scale) -> float:
    """No higher than its highest stack, with room for the shape of a mark."""
    tallest = max(Counter(round(across(value) / DOT) for value in values).values())
    return min(CROWD_HEIGHT, max(24.0, tallest * DOT + 4))


def dots(values: Sequence[float], across: Scale, bottom: float) -> str:
    """One dot a value, stacked; where they would not fit, columns as high as they are many."""
    columns = Counter(round(across(value) / DOT) for value in values)
    tallest = max(columns.values())
    if tallest * DOT <= CROWD_HEIGHT:
        path = "".join(
            f"M{column * DOT:g} {bottom - DOT * (level + 0.5):g}h0"
            for column, count in sorted(columns.items())
            for level in range(count)
        )
        return f'<path class="dots" d="{path}"/>'
    path = "".join(
        f"M{column * DOT:g} {bottom:g}v{-max(1.5, CROWD_HEIGHT * count / tallest):.1f}"
        for column, count in sorted(columns.items())
    )
    return f'<path class="columns" d="{path}"/>'


def box(values: Sequence[float], across: Scale, middle: float) -> str:
    """The middle half of the values, the median as a bar."""
    low, half, high = (across(quantile(values, share)) for share in (0.25, 0.5, 0.75))
    return (
        f'<rect class="box" x="{low:g}" y="{middle - 4:g}" width="{max(high - low, 1):g}" '
        f'height="8"/><path class="median" d="M{half:g} {middle - 6:g}v12"/>'
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def place(marks: Sequence[Mark], across: Scale) -> tuple[list[tuple[Mark, float, int]], list[Mark]]:
    """(mark, left edge of its label, row) where names fit side by side; the rest stay unnamed."""
    ends = [0.0] * MOST_ROWS
    placed, hidden = [], []
    for mark in sorted(marks, key=lambda mark: mark.value):
        if not mark.label:
            hidden.append(mark)
            continue
        wide = label_width(mark.label) + 8
        at = min(max(across(mark.value) - 6, 2), WIDTH - wide)
        row = next((row for row, end in enumerate(ends) if end <= at), None)
        if row is None:
            hidden.append(mark)
            continue
        ends[row] = at + wide
        placed.append((mark, at, row))
    return placed, hidden


def base(row: int, top: float) -> float:
    """Of a label's text; row 0 is nearest to the dots."""
    return top - CROWD_TOP - ROW * row + 4


def leader(at: float, row: int, bottom: float, top: float) -> str:
    return f'<path class="leader" d="M{at:g} {base(row, top) + 3:g}V{bottom - 16:g}"/>'


def label(mark: Mark, at: float, row: int, top: float) -> str:
    return (
        f'<text class="label {said(mark.kind)}" x="{at:g}" y="{base(row, top):g}">'
        f"{said(mark.label)}</text>"
    )


def shape(mark: Mark, at: float, bottom: float) -> str:
    return (
        f'<g class="mark {said(mark.kind)}" transform="translate({at - 6:g} {bottom - 14:g}) '
        f'scale(.75)"><title>{said(mark.about or mark.label)}: {spelt(mark.value)}</title>'
        f'<rect width="16" height="16" rx="3"/><path d="{GLYPHS[mark.kind]}"/></g>'
    )


def limit_line(name: str, at: float, top: float, bottom: float) -> str:
    near_end = at > WIDTH * 0.7
    anchor, shift = ("end", -4) if near_end else ("start", 4)
    return (
        f'<path class="limit" d="M{at:g} {top - 4:g}V{bottom + BOX_HEIGHT:g}"/>'
        f'<text class="limit" x="{at + shift:g}" y="{top + 6:g}" text-anchor="{anchor}">'
        f"{said(name)}</text>"
    )


def axis(across: Scale, y: float, unit: str) -> Iterator[str]:
    yield f'<path class="axis" d="M{across.start:g} {y:g}H{across.end:g}"/>'
    values = ticks(across.low, across.high)
    for value in values:
        at = across(value)
        last = f" {said(unit)}" if value == values[-1] else ""
        anchor = "end" if at > WIDTH - 60 else "middle"
        yield (
            f'<path class="axis" d="M{at:g} {y:g}v4"/>'
            f'<text class="tick" x="{at:g}" y="{y + 15:g}" text-anchor="{anchor}">'
            f"{spelt(value, across)}{last}</text>"
        )

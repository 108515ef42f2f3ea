"""What all charts share: scales, round numbers, words made safe, the verdicts' shapes.  Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10

from clusterctl.spelling import visible

WIDTH = 720
MOST = 1e15
CHAR = 6.4  # of the 11 px label font, generously
# Paths in a box of 16: what a verdict looks like where there is no colour.
GLYPHS = {
    "pass": "M3 8.5 6.5 12 13 4.5",
    "warn": "M8 3V9.5M8 12.2V13.2",
    "fail": "M4 4 12 12M12 4 4 12",
    "unknown": "M4.6 6A3.4 3.4 0 1 1 9.6 8.9C8.4 9.7 8 10 8 11M8 13.6V13.8",
    "far": "M8 3.5A4.5 4.5 0 1 0 8 12.5 4.5 4.5 0 1 0 8 3.5",
    "return": "M7 3.5 3.5 7 7 10.5M3.5 7H10C13.5 7 13.5 12.5 10 12.5H7",
}


def said(text: str, limit: int = 80) -> str:
    return escape(visible(text, limit), quote=True)


def glyph(kind: str, words: str = "") -> str:
    """A verdict's shape; `words`: what a screen reader says, nothing where text stands beside."""
    spoken = f'role="img" aria-label="{said(words)}"' if words else 'aria-hidden="true"'
    return (
        f'<svg class="glyph {said(kind)}" viewBox="0 0 16 16" {spoken}>'
        f'<path d="{GLYPHS[kind]}"/></svg>'
    )


def label_width(text: str) -> float:
    """Chinese characters are two wide."""
    wide = sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in visible(text, 80))
    return CHAR * wide


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high` onto pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def scale(values: Iterable[float], start: float, end: float, *, margin: float = 0.04) -> Scale:
    """Room for all values; equal ones stand in the middle."""
    known = list(values)
    low, high = min(known), max(known)
    if low == high == 0:
        return Scale(0.0, 1.0, start, end)
    if low == high:
        around = abs(low) * 0.05 or 1.0
        return Scale(low - around, high + around, start, end)
    room = (high - low) * margin
    least = 0.0 if low >= 0 else low - room  # nothing that is counted or measured here goes below
    return Scale(max(low - room, least), high + room, start, end)


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers between the two, some `about` of them."""
    rough = (high - low) / about
    power = 10.0 ** floor(log10(rough))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= rough)
    return [step * number for number in range(ceil(low / step), floor(high / step) + 1)]


def hours(span_s: float) -> tuple[float, str]:
    """(seconds, name) of the unit in which a person would say so long a time."""
    for unit_s, name in ((3600.0, "h"), (60.0, "min")):
        if span_s >= 2 * unit_s:
            return unit_s, name
    return 1.0, "s"


def spelt(value: float, along: Scale | None = None) -> str:
    """A number for an axis: 1,250 and 0.012, never 1e+03; neighbours `along` it stay apart."""
    size = abs(along.high - along.low) if along else abs(value)
    if value and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.3g}"
    digits = max(0, 2 - floor(log10(size))) if size else 0
    text = f"{value:,.{min(digits, 12)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def drawable(value: float) -> bool:
    """A hostile 1e308 would push every other value into one pixel, and the sums over the edge."""
    return isfinite(value) and abs(value) < MOST


def opening(title: str, height: float, width: float = WIDTH) -> str:
    words = said(title, 300)
    return (
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{words}">'
        f"<title>{words}</title>"
    )

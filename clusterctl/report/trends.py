"""A trend as a sheet, the fastest decay first, with a line that says what the lines say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clusterctl.memory.quantities import Quantity
from clusterctl.memory.series import Series
from clusterctl.memory.trend import Line, spark, worsens
from clusterctl.report.sheets import Sheet

COLUMNS = (
    *("what", "parts", "nights", "first", "last", "a_month", "low", "high", "way", "course"),
)


def sheet(told: Series, found: Sequence[Line], most: int | None) -> Sheet:
    """`most`: so many lines, their course as a sparkline; None: all, a number for each night."""
    rows = [
        (
            *(one.name, one.parts, len(one.told()), *ends(one)),
            *(known(value) for value in (one.slope, one.low, one.high)),
            "worse" if worsens(told.quantity, one) else "",
            spark(one.numbers) if most else tuple(known(float(each)) for each in one.numbers),
        )
        for one in found[:most]
    ]
    return Sheet("trend", title(told.quantity, told), COLUMNS, rows)


def nights(told: Series) -> Sheet:
    return Sheet("nights", "", ("started",), [(at.isoformat(),) for at in told.nights])


def known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def title(quantity: Quantity, told: Series) -> str:
    unit = f" ({quantity.unit})" if quantity.unit else ""
    days = f"{told.nights[0]:%Y-%m-%d} to {told.nights[-1]:%Y-%m-%d}"
    return f"{quantity.name}: {quantity.says}{unit}, {len(told.nights)} nights, {days}"


def ends(line: Line) -> tuple[float, float]:
    """Medians of the first and of the last nights."""
    told = line.told()
    few = max(len(told) // 10, 1)
    return float(np.median(told[:few])), float(np.median(told[-few:]))


def note(told: Series, found: Sequence[Line], most: int | None) -> str:
    quantity = told.quantity
    more = len(found) - most if most else 0
    hidden = f"; {more} more lines with --format csv" if more > 0 else ""
    if not quantity.check:
        return f"nobody says which way is bad of {quantity.name}{hidden}"
    worse = sum(worsens(quantity, one) for one in found)
    return (
        f"{worse} of {len(found)} surely go {quantity.bad}, which is bad (99 % interval); "
        f"a change that matters becomes a finding of {quantity.check}{hidden}"
    )

"""A trend as a picture, by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clusterctl.memory.series import Series
from clusterctl.memory.trend import Line
from clusterctl.model import UserError

MOST_NAMED = 12  # a longer legend hides what it explains


def draw(path: Path, told: Series, lines: Sequence[Line]) -> None:
    """PNG, SVG or PDF, by the name.  Raises UserError."""
    try:
        from matplotlib import dates  # noqa: PLC0415 - an extra
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra
    except ImportError:
        raise UserError("--png needs matplotlib: pip install 'clusterctl[plot]'") from None
    quantity = told.quantity
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.add_subplot()
    nights = np.array([dates.date2num(at) for at in told.nights])
    for place, line in enumerate(lines):
        named = line.name if place < MOST_NAMED else None
        axes.plot(nights, line.numbers, marker=".", linewidth=1, label=named)
    axes.set_title(f"{quantity.name}: {quantity.says}", loc="left")
    axes.set_ylabel(quantity.unit)
    axes.grid(visible=True, alpha=0.3)
    locator = dates.AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    if lines:
        axes.legend(fontsize="small", ncols=2)
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise UserError(f"--png {path}: {error}") from None

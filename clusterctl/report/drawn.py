"""A trend as a picture, by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clusterctl.memory.series import Series
from clusterctl.memory.trend import Line
from clusterctl.model import UserError

MOST_NAMED = 20  # a longer legend hides what it explains
MOST_MARKED = 100  # nights; more dots are a band


def draw(path: Path, told: Series, lines: Sequence[Line]) -> None:
    """PNG, SVG or PDF, by the name.  Raises UserError."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra
    except ImportError:
        raise UserError("--png needs matplotlib: pip install 'clusterctl[plot]'") from None
    quantity = told.quantity
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.add_subplot()
    nights = np.array([at.replace(tzinfo=None) for at in told.nights], dtype="datetime64[s]")
    marker = "." if len(nights) <= MOST_MARKED else ""
    for place, line in enumerate(lines):
        named = line.name if place < MOST_NAMED else None
        axes.plot(nights, line.numbers, marker=marker, linewidth=1, label=named)
    axes.set_title(f"{quantity.name}: {quantity.says}", loc="left")
    axes.set_ylabel(quantity.unit)
    axes.grid(visible=True, alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise UserError(f"--png {path}: {error}") from None

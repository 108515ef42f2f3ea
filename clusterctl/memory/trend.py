"""Which way a number goes: slope with its interval, and a line that fits into a table.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clusterctl.memory.quantities import Quantity
from clusterctl.memory.series import DAY_S, Matrix, Series

if TYPE_CHECKING:
    import pandas as pd

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 32  # of a sparkline
MONTH = 30.0
LEAST_NIGHTS = 4  # for a slope
SURE = 2.576  # 99 %: a table of forty lines shows one wrong arrow in two tables at most
MOST_NIGHTS = 120  # for a slope; more are put together, which changes it little and costs less


@dataclass(frozen=True, slots=True)
class Line:
    """`name`: of a part, node or group; `numbers`: the median of its `parts` night by night.

    `slope` a month, in the unit, between `low` and `high` with 99 %; nan: too few nights.
    """

    name: str
    parts: int
    numbers: Matrix
    slope: float
    low: float
    high: float

    def told(self) -> Matrix:
        return self.numbers[np.isfinite(self.numbers)]


def lines(
    told: Series, by: str, labels: Mapping[str, Mapping[str, str]] | None = None
) -> list[Line]:
    """A line a part, a node, or a value of the label `by`; those that get worse fastest first."""
    import pandas as pd  # noqa: PLC0415 - half a second that only memory pays

    if not len(told.parts):
        return []
    row, names = grouped(told.parts, by, labels or {}).factorize(sort=True)
    sizes = np.bincount(row[row >= 0], minlength=len(names))
    made = pd.DataFrame(told.numbers).groupby(row).median()
    days = np.array([one.timestamp() / DAY_S for one in told.nights])
    found = [
        Line(str(names[at]), int(sizes[at]), numbers, *slope(days, numbers))
        for at, numbers in zip(made.index, made.to_numpy(), strict=True)
        if at >= 0
    ]
    sign = -1.0 if told.quantity.bad == "up" else 1.0
    return sorted(found, key=lambda one: (np.isnan(one.slope), sign * np.nan_to_num(one.slope)))


def grouped(
    parts: pd.DataFrame, by: str, labels: Mapping[str, Mapping[str, str]]
) -> pd.Series[str]:
    if by == "part":
        variants = parts["variant"].where(parts["variant"] == "", " " + parts["variant"])
        return parts["node"] + " " + parts["part"] + variants
    if by == "node":
        return parts["node"]
    value = {node: one.get(by, "") for node, one in labels.items()}
    return by + "=" + parts["node"].map(value).fillna("")


def slope(days: Matrix, numbers: Matrix) -> tuple[float, float, float]:
    """The median of the slopes of all pairs of nights, and its interval (Sen, JASA 63, 1968)."""
    here = np.isfinite(numbers)
    days, numbers = thinned(days[here]), thinned(numbers[here])
    count = len(days)
    if count < LEAST_NIGHTS:
        return np.nan, np.nan, np.nan
    first, second = np.triu_indices(count, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = (numbers[second] - numbers[first]) / (days[second] - days[first])
    slopes = np.sort(slopes[np.isfinite(slopes)]) * MONTH
    spread = SURE * np.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = int(max((len(slopes) - spread) / 2, 0))
    high = int(min((len(slopes) + spread) / 2, len(slopes) - 1))
    # What is flat is flat: rounding leaves 1e-14 of it.
    middle, least, most = np.round([np.median(slopes), slopes[low], slopes[high]], 9)
    return float(middle), float(least), float(most)


def thinned(values: Matrix, most: int = MOST_NIGHTS) -> Matrix:
    """Neighbours put together by their median until there are few enough."""
    if len(values) <= most:
        return values
    return np.array([np.median(few) for few in np.array_split(values, most)])


def spark(numbers: Sequence[float] | Matrix, width: int = WIDTH) -> str:
    """A column a night, or a few nights each; a blank where nobody read anything."""
    values = np.asarray(numbers, dtype=np.float64)
    bins = np.array_split(values, min(width, len(values))) if len(values) else []
    heights = [
        np.median(few[np.isfinite(few)]) if np.isfinite(few).any() else np.nan for few in bins
    ]
    told = [one for one in heights if np.isfinite(one)]
    if not told:
        return ""
    low, span = min(told), max(told) - min(told)
    return "".join(
        " " if np.isnan(one) else BARS[round((one - low) / span * 7) if span else 3]
        for one in heights
    )


def worsens(quantity: Quantity, line: Line) -> bool:
    """Surely, and not by its noise alone."""
    if not np.isfinite(line.slope) or not np.isfinite(quantity.least):
        return False
    return line.low > 0 if quantity.bad == "up" else line.high < 0


def finest(told: Series, labels: Iterable[str], most: int) -> str:
    """What lines are of, where nobody says: parts if they are few, else nodes, else racks."""
    if len(told.parts) <= most:
        return "part"
    if len(set(told.parts["node"])) <= most:
        return "node"
    return "rack" if "rack" in set(labels) else "node"

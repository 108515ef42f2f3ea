"""One number of every part over the nights, as a matrix: a row a part, a column a night.

A part is who it is, not where it sits: a serial, uuid or guid where it has one, else node and
slot.  So a card that moves takes its row along, and the card that replaces it begins its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from clusterctl.memory.cache import Memory
from clusterctl.memory.quantities import Quantity

if TYPE_CHECKING:
    import pandas as pd

PLACE = ("node", "part", "variant", "probe", "mark", "model")
Matrix = npt.NDArray[np.float64]
DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Series:
    """`parts`: node, part, mark, model, variant of each row, as last seen; `nights`: when each
    began; `numbers`: nan where a night has no reading; `load`: the same, where it is asked for.
    """

    quantity: Quantity
    parts: pd.DataFrame
    nights: tuple[datetime, ...]
    numbers: Matrix
    load: Matrix | None = None


def series(
    remembered: Memory, quantity: Quantity, *, nodes: Collection[str] | None = None
) -> Series:
    columns = [*PLACE, quantity.field, *([quantity.load] if quantity.load else [])]
    return pivot(quantity, remembered.frame(quantity.kind, columns, node=nodes))


def pivot(quantity: Quantity, rows: pd.DataFrame) -> Series:
    """Of rows with `started`, PLACE, the field and, where there is one, the load."""
    rows = meant(quantity, rows)
    if rows.empty:
        return Series(quantity, rows[[*PLACE]], (), np.empty((0, 0)))
    begun, at = rows["started"].factorize(sort=True)
    keys, _ = rows["who"].factorize()
    shape = (int(keys.max()) + 1, len(at))
    values = spread(shape, keys, begun, rows[quantity.field])
    load = spread(shape, keys, begun, rows[quantity.load]) if quantity.load else None
    order = np.argsort(begun, kind="stable")
    newest = np.zeros(shape[0], dtype=np.int64)
    newest[keys[order]] = order  # of equal keys, the last to be written stays: the newest
    parts = rows[[*PLACE]].iloc[newest].astype("str").reset_index(drop=True)
    nights = tuple(one.to_pydatetime() for one in at)
    if quantity.counter:
        values = rates(values, np.array([one.timestamp() / DAY_S for one in nights]))
    return Series(quantity, parts, nights, values, load)


def spread(shape: tuple[int, int], keys: Any, begun: Any, column: pd.Series[float]) -> Matrix:
    made = np.full(shape, np.nan)
    made[keys, begun] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return made


def meant(quantity: Quantity, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that are of this quantity, one a part and night, with `who` it is."""
    rows = rows[rows[quantity.field].notna()]
    if quantity.variant:
        rows = rows[rows["variant"] == quantity.variant]
    if quantity.parts:
        fit = re.compile(quantity.parts)
        rows = rows[rows["part"].isin([p for p in rows["part"].unique() if fit.fullmatch(p)])]
    rows = rows.assign(who=identity(rows))
    counts = rows["probe"].value_counts()
    if len(counts[counts > 0]) > 1:  # of two tools that tell the same, the one that does it most
        told = rows["probe"].map(counts).astype("int64")
        rows = rows.iloc[np.argsort(-told.to_numpy(), kind="stable")]
    return rows.drop_duplicates(["who", "started"])


def identity(rows: pd.DataFrame) -> npt.NDArray[np.int64]:
    """A number for each part, equal on all nights; never equal for two variants of a reading."""
    marks, names = rows["mark"].factorize()
    own = np.array([bool(one) for one in names], dtype=bool)
    has = own[marks] if len(names) else np.zeros(len(rows), dtype=bool)
    place = np.zeros(len(rows), dtype=np.int64)
    for name in ("node", "part"):
        codes, seen = rows[name].factorize()
        place = place * (len(seen) + 1) + codes
    who = np.where(has, marks, place + len(names) + 1).astype(np.int64)
    variants, kinds = rows["variant"].factorize()
    numbered: npt.NDArray[np.int64] = who * (len(kinds) + 1) + variants
    return numbered


def rates(values: Matrix, days: Matrix) -> Matrix:
    """Rise a day since the reading before; nan after a reset, which hides what was counted."""
    before = np.full(values.shape, np.nan)
    since = np.full(values.shape, np.nan)
    last, when = np.full(len(values), np.nan), np.full(len(values), np.nan)
    for night in range(values.shape[1]):
        before[:, night], since[:, night] = last, when
        seen = ~np.isnan(values[:, night])
        last = np.where(seen, values[:, night], last)
        when = np.where(seen, days[night], when)
    with np.errstate(invalid="ignore", divide="ignore"):
        rise = (values - before) / (days - since)
    return np.where(rise >= 0, rise, np.nan)

"""One number of every part over the nights, as a matrix: a row a part, a column a night.

A part is who it is, not where it sits: a serial, uuid or guid where it has one, else node and
slot.  So a card that moves takes its row along, and the card that replaces it begins its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from clusterctl.memory.cache import Memory
from clusterctl.memory.quantities import Quantity

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

PLACE = ("node", "part", "variant", "mark", "model")
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


@dataclass(frozen=True, slots=True)
class Reading:
    """The numbers of one night: `cells` are who, the field, and the load where there is one."""

    at: datetime
    run: str
    cells: tuple[Matrix, ...]


@dataclass(frozen=True, slots=True)
class Tonight:
    """A night that no run on disk tells of yet; `tables` as of `digest.tonight`."""

    at: datetime
    tables: Mapping[str, pd.DataFrame]


def series(
    remembered: Memory,
    quantity: Quantity,
    *,
    nodes: Collection[str] | None = None,
    tonight: Tonight | None = None,
) -> Series:
    import pandas as pd  # noqa: PLC0415 - half a second that only memory pays

    last = of_tonight(quantity, tonight)
    told = once(readings(remembered, quantity, nodes))
    if tonight is not None and last is not None:
        told = once([*told, reading(tonight.at, "", last, quantity)])
    if not told:
        return Series(quantity, empty(), (), np.empty((0, 0)))
    who = np.unique(np.concatenate(distinct([one.cells[0] for one in told])))
    values = spread(who, [(one.cells[0], one.cells[1]) for one in told])
    load = spread(who, [(one.cells[0], one.cells[2]) for one in told]) if quantity.load else None
    seen = values.shape[1] - 1 - np.argmax(np.isfinite(values)[:, ::-1], axis=1)
    rows = [
        rows_of(remembered, quantity.table, told[at].run, last, who[seen == at])
        for at in np.unique(seen)
    ]
    if quantity.counter:
        values = rates(values, np.array([one.at.timestamp() / DAY_S for one in told]))
    begun = tuple(one.at for one in told)
    parts = pd.concat(rows).set_index("who").loc[list(who)].reset_index(drop=True)
    return Series(quantity, parts, begun, values, load)


def readings(
    remembered: Memory, quantity: Quantity, nodes: Collection[str] | None
) -> Iterator[Reading]:
    wanted = {"variant": [quantity.variant]} if quantity.variant else {}
    nights = remembered.each(quantity.table, columns_of(quantity), node=nodes, **wanted)
    for night, table in nights:
        yield reading(night.started, night.id, table, quantity)


def columns_of(quantity: Quantity) -> list[str]:
    return ["who", quantity.field, *([quantity.load] if quantity.load else [])]


def reading(at: datetime, run: str, table: pd.DataFrame | pa.Table, quantity: Quantity) -> Reading:
    cells = [np.asarray(table[name], dtype=np.float64) for name in columns_of(quantity)]
    here = np.isfinite(cells[1])
    return Reading(at, run, tuple(one[here] for one in cells))


def once(told: Iterable[Reading]) -> list[Reading]:
    """Those with a number; names as the night before lie in memory once: they are half of it."""
    found: list[Reading] = []
    for one in told:
        who = one.cells[0]
        if found and np.array_equal(who, found[-1].cells[0]):
            who = found[-1].cells[0]
        if len(who):
            found.append(replace(one, cells=(who, *one.cells[1:])))
    return found


def of_tonight(quantity: Quantity, tonight: Tonight | None) -> pd.DataFrame | None:
    rows = tonight.tables.get(quantity.table) if tonight else None
    if rows is None or quantity.field not in rows:
        return None
    if quantity.load and quantity.load not in rows:
        rows = rows.assign(**{quantity.load: np.nan})
    return rows[rows["variant"] == quantity.variant] if quantity.variant else rows


def empty() -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 - see series

    return pd.DataFrame({name: pd.Series(dtype="str") for name in PLACE})


def distinct(arrays: Sequence[Matrix]) -> list[Matrix]:
    """Without neighbours that say the same: from night to night nobody comes or goes."""
    return [
        one for at, one in enumerate(arrays) if not at or not np.array_equal(one, arrays[at - 1])
    ]


def spread(who: Matrix, told: Sequence[tuple[Matrix, Matrix]]) -> Matrix:
    """A column a night, each number in the row of whose it is."""
    made = np.full((len(who), len(told)), np.nan)
    rows, last = np.empty(0, dtype=np.int64), np.empty(0)
    for night, (names, numbers) in enumerate(told):
        if not np.array_equal(names, last):
            rows, last = np.searchsorted(who, names), names
        made[rows, night] = numbers
    return made


def rows_of(
    remembered: Memory, table: str, run: str, last: pd.DataFrame | None, who: Matrix
) -> pd.DataFrame:
    """Where these parts were in a run, or tonight, of which `last` tells."""
    columns = ["who", *PLACE]
    rows = remembered.only([run]).frame(table, columns) if run or last is None else last
    return rows.loc[rows["who"].isin(who), columns].astype(dict.fromkeys(PLACE, "str"))


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

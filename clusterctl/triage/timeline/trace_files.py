"""Traces of every operation as parquet files.

Only the columns that are needed are read, and no more steps than memory can hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from clusterctl.model import UserError
from clusterctl.triage.timeline.operations import MOST_SEQ, Integers, Rows

NEEDED = ("dp_rank", "stage", "rank", "step", "optype", "start_ts", "duration")
ALSO = ("seq_id", "mc", "mb_id")
MOST_ROWS = 16_000_000
LATEST_S, LONGEST_S = 1e11, 1e7  # of a clock; of an operation
LARGEST = 1 << 40  # no rank, step or number of an operation is beyond


def read(files: Sequence[Path], most: int = MOST_ROWS) -> Rows:
    """About `most` rows.  Raises UserError: no parquet, or a needed column is missing."""
    tables = [table(file, most // len(files)) for file in files]
    unseen = [told for _, told in tables if told]
    try:
        whole = pa.concat_tables([one for one, _ in tables], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        why = first_line(error)
        raise UserError(f"{files[0]} …: the files do not fit together: {why}") from None
    columns = {
        name: np.asarray(whole.column(name).to_numpy(zero_copy_only=False))
        for name in whole.column_names
        if name != "optype"
    }
    return rows(columns, encoded(whole.column("optype"), files[0]), tuple(unseen))


def table(file: Path, most: int) -> tuple[pa.Table, str]:
    try:
        opened = pq.ParquetFile(file)
        have = set(opened.schema_arrow.names)
        lacks = [name for name in NEEDED if name not in have]
        if lacks:
            raise UserError(
                f"{file}: no column {', '.join(lacks)}; a trace of operations has "
                f"{', '.join((*NEEDED, *ALSO))}"
            )
        wanted = [name for name in (*NEEDED, *ALSO) if name in have]
        if opened.metadata.num_rows <= most:
            return opened.read(columns=wanted), ""
        return some_steps(file, opened, wanted, most)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or first_line(error)}") from None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise UserError(f"{file}: cannot be read as parquet: {first_line(error)}") from None


def some_steps(
    file: Path, opened: pq.ParquetFile, wanted: list[str], most: int
) -> tuple[pa.Table, str]:
    steps = np.unique(pc.unique(opened.read(columns=["step"]).column("step")).to_numpy())
    fit = max(1, int(len(steps) * most / opened.metadata.num_rows))
    first = (len(steps) - fit) // 2  # neighbours: gaps between steps stay visible
    taken = steps[first : first + fit]
    found = pq.read_table(file, columns=wanted, filters=[("step", "in", taken.tolist())])
    told = f"{len(steps) - fit} of {len(steps)} steps of {file.name}, to fit in memory"
    return found, told


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]


def encoded(values: pa.ChunkedArray, file: Path) -> tuple[Integers, tuple[str, ...]]:
    """(a number for each row, -1 where there is none; names by number); never a text a row."""
    try:
        coded = values.cast(pa.string()).dictionary_encode().unify_dictionaries().combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        raise UserError(f"{file}: column optype of the trace holds no names") from None
    if isinstance(coded, pa.ChunkedArray):
        return np.empty(0, dtype=np.int64), ()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, tuple(map(str, coded.dictionary.to_pylist()))


def spelt_out(names: NDArray[Any]) -> tuple[Integers, tuple[str, ...]]:
    """The same of a plain array of names."""
    kinds, codes = np.unique(names.astype(str), return_inverse=True)
    return codes.ravel().astype(np.int64), tuple(kinds.tolist())


def rows(
    columns: Mapping[str, NDArray[Any]],
    operations: tuple[Integers, tuple[str, ...]] | None = None,
    unseen: tuple[str, ...] = (),
) -> Rows:
    """Columns of equal length; a row with a value that cannot be is left out and counted.

    `operations`: what `encoded` makes of optype, where it is no column.  Raises UserError where a
    column is of another type altogether.
    """
    kind, kinds = operations or spelt_out(columns["optype"])
    start, took = number(columns, "start_ts"), number(columns, "duration")
    whole = {name: number(columns, name) for name in ("dp_rank", "stage", "rank", "step")}
    for name in ALSO:
        given = number(columns, name) if name in columns else None
        whole[name] = np.full(len(start), -1.0) if given is None else np.nan_to_num(given, nan=-1)
    good = (kind >= 0) & (np.abs(start) < LATEST_S) & (took >= 0) & (took < LONGEST_S)
    for name, values in whole.items():
        least = -1 if name in ALSO else 0
        good &= np.isfinite(values) & (values >= least) & (values < LARGEST)
    good &= whole["seq_id"] < MOST_SEQ
    bad = int((~good).sum())
    exact = {name: values[good].astype(np.int64) for name, values in whole.items()}
    made = Rows(
        rank=exact["rank"],
        dp=exact["dp_rank"],
        stage=exact["stage"],
        step=exact["step"],
        kind=kind[good],
        start_s=start[good],
        end_s=(start + took)[good],
        seq=exact["seq_id"],
        chunk=exact["mc"],
        microbatch=exact["mb_id"],
        kinds=kinds,
        unread=bad,
        unseen=unseen,
    )
    return made if len(made.seq) and (made.seq >= 0).all() else numbered(made)


def number(columns: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    """As floats, where it is not whole numbers anyway.  Raises UserError."""
    values = np.asarray(columns[name])
    if values.dtype.kind in "iu" and name != "start_ts":
        return values
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError):
        raise UserError(f"column {name} of the trace holds no numbers") from None


def numbered(made: Rows) -> Rows:
    """With `seq`: the turn of an operation among those of its kind, in its worker's step."""
    order = np.lexsort((made.start_s, made.kind, made.step, made.rank))
    keys = np.stack([made.rank, made.step, made.kind])[:, order]
    new = np.ones(keys.shape[1], dtype=bool)
    new[1:] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    places = np.arange(keys.shape[1])
    begun = np.maximum.accumulate(np.where(new, places, 0)) if len(places) else places
    seq: Integers = np.empty(len(places), dtype=np.int64)
    seq[order] = places - begun
    return replace(made, seq=seq)

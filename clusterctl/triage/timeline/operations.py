"""Every operation of a job: rows as traces give them, then one dense array an attribute.

A worker is a (DP rank, pipeline stage) cell; where several ranks (tensor parallel ones) share it,
they move in step and their times are averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MOSTLY = 0.5  # of all lanes: an operation seen in fewer is no part of the usual step
MOST_SEQ = 1 << 20
SPARSE = 100  # cells an operation: a sound trace fills most of its grid
MOST_TABLE = 1 << 24
MOST_CELLS = 1 << 29  # of operations x steps x DP ranks


@dataclass(frozen=True, slots=True)
class Rows:
    """One row an operation, columns of equal length; `kind` counts into `kinds`.

    `chunk`, `microbatch`: -1 where the operation has none.  `seq` counts operations of one kind
    within a worker's step.  `node`: of a rank, where somebody knows.  `unread`: rows lost.
    """

    rank: Integers
    dp: Integers
    stage: Integers
    step: Integers
    kind: Integers
    start_s: Floats
    end_s: Floats
    seq: Integers
    chunk: Integers
    microbatch: Integers
    kinds: tuple[str, ...]
    node: Mapping[int, str] = field(default_factory=dict)
    unread: int = 0
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Op:
    """One operation of the usual step, the same in every step and DP rank."""

    stage: int
    kind: str
    seq: int
    chunk: int = -1
    microbatch: int = -1


@dataclass(frozen=True, slots=True)
class Timeline:
    """`start_s`, `end_s`: [op, step, DP rank].  `ranks[dp][stage]`, `nodes[dp][stage]`.

    `steps`, `dps`, `stages`: what the trace calls them.
    """

    ops: tuple[Op, ...]
    start_s: Floats
    end_s: Floats
    steps: tuple[int, ...]
    dps: tuple[int, ...]
    stages: tuple[int, ...]
    ranks: tuple[tuple[tuple[int, ...], ...], ...]
    nodes: tuple[tuple[str, ...], ...]
    unseen: tuple[str, ...] = ()

    def of(self, *kinds: str) -> Integers:
        """Places of all operations of these kinds."""
        return np.array([at for at, op in enumerate(self.ops) if op.kind in kinds], dtype=np.int64)


def dense(rows: Rows) -> Timeline | None:
    """The steps that were seen whole; None where there is none.

    What is left out (DP ranks, steps, operations that most steps lack) is told in `unseen`.
    """
    if not len(rows.rank):
        return None
    dps, dp = places(rows.dp)
    stages, stage = places(rows.stage)
    steps, step = places(rows.step)
    most = int(rows.seq.max()) + 1
    codes, op = places((stage * len(rows.kinds) + rows.kind) * most + rows.seq)
    first = np.empty(len(codes), dtype=np.int64)
    first[op[::-1]] = np.arange(len(op))[::-1]
    shape = (len(codes), len(steps), len(dps))
    size = prod(shape)
    if size > min(MOST_CELLS, SPARSE * len(rows.rank) + 1024):
        return None  # numbers that name no grid of steps: a broken trace, not a large one
    flat = np.ravel_multi_index((op, step, dp), shape)
    times = np.bincount(flat, minlength=size)
    seen = (times > 0).reshape(shape)
    kept, whole, there = complete(seen)
    if not (kept.any() and whole.any() and there.any()):
        return None
    times = np.maximum(times, 1)
    start, end = (
        (np.bincount(flat, weights=values, minlength=size) / times).reshape(shape)[
            np.ix_(kept, whole, there)
        ]
        for values in (rows.start_s, rows.end_s)
    )
    ranks, nodes = cells(rows, dp, stage, shape[2], len(stages))
    return Timeline(
        ops=tuple(
            Op(
                int(stage[at]),
                rows.kinds[int(rows.kind[at])],
                int(rows.seq[at]),
                int(rows.chunk[at]),
                int(rows.microbatch[at]),
            )
            for at in first[kept]
        ),
        start_s=start,
        end_s=end,
        steps=tuple(steps[whole].tolist()),
        dps=tuple(dps[there].tolist()),
        stages=tuple(stages.tolist()),
        ranks=tuple(ranks[at] for at in np.flatnonzero(there)),
        nodes=tuple(nodes[at] for at in np.flatnonzero(there)),
        unseen=(*rows.unseen, *left_out(rows, kept, whole, there, dps)),
    )


def places(values: Integers) -> tuple[Integers, Integers]:
    """(what occurs, in order; each value's place in it).  Sorting ten million takes seconds."""
    low, high = int(values.min()), int(values.max())
    if high - low >= MOST_TABLE:
        found, at = np.unique(values, return_inverse=True)
        return found, at.ravel().astype(np.int64)
    there = np.zeros(high - low + 1, dtype=bool)
    there[values - low] = True
    number = np.cumsum(there) - 1
    return np.flatnonzero(there) + low, number[values - low]


def complete(
    seen: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """(operations, steps, DP ranks) to keep, so that nothing is missing among them."""
    kept = seen.mean(axis=(1, 2)) > MOSTLY
    there = seen[kept].mean(axis=(0, 1)) > MOSTLY if kept.any() else np.zeros(seen.shape[2], bool)
    whole = seen[kept][:, :, there].all(axis=(0, 2))
    return kept, whole, there


def cells(
    rows: Rows, dp: Integers, stage: Integers, dps: int, stages: int
) -> tuple[list[tuple[tuple[int, ...], ...]], list[tuple[str, ...]]]:
    ranked, rank = places(rows.rank)
    held, _ = places((dp * stages + stage) * len(ranked) + rank)
    cell_of, at_rank = np.divmod(held, len(ranked))
    place = np.stack([*np.divmod(cell_of, stages), ranked[at_rank]])
    ranks: list[list[list[int]]] = [[[] for _ in range(stages)] for _ in range(dps)]
    for at, cell, rank in place.T.tolist():
        ranks[at][cell].append(rank)
    nodes = [
        tuple(
            ",".join(sorted({rows.node[rank] for rank in cell if rank in rows.node}))
            for cell in line
        )
        for line in ranks
    ]
    return [tuple(tuple(cell) for cell in line) for line in ranks], nodes


def left_out(
    rows: Rows,
    kept: NDArray[np.bool_],
    whole: NDArray[np.bool_],
    there: NDArray[np.bool_],
    dps: Integers,
) -> list[str]:
    told = []
    if rows.unread:
        told.append(f"{rows.unread} rows that could not be read")
    if not there.all():
        lost = ", ".join(map(str, dps[~there][:8].tolist()))
        told.append(f"{int((~there).sum())} DP ranks of which most is missing: {lost}")
    if not whole.all():
        told.append(f"{int((~whole).sum())} of {len(whole)} steps of which operations are missing")
    if not kept.all():
        told.append(f"{int((~kept).sum())} operations that most steps lack")
    return told

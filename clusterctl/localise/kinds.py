"""Kinds of nodes that are slower together: another model or setting, judged apart and said once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clusterctl.localise.columns import Measured
from clusterctl.localise.levels import SAID_SLOW, Floats
from clusterctl.localise.located import Population
from clusterctl.localise.paths import Paths


def node_classes(
    residual: Floats, levels_ln: Floats, rows: Measured, paths: Paths
) -> tuple[Floats, list[Population]]:
    """What a slower kind of node costs every row it takes part in, and who they are."""
    cost = np.zeros(len(residual))
    said = []
    for _ in range(3):
        levels = node_levels(residual - cost, rows, len(paths.topology.nodes))
        low = slower_kind(levels)
        if low is None or one_leaf(low, paths):
            break
        by = float(np.median(levels[low]))
        if by > np.log1p(-SAID_SLOW):  # it is the few others that are told too fast
            break
        touched = low[rows.src] | low[rows.dst]
        cost = np.where(touched, cost + by, cost)
        names = [paths.topology.nodes[at] for at in np.flatnonzero(low)]
        said.append(
            Population(
                ",".join(names[:8]) + (",…" if len(names) > 8 else ""),
                float(np.exp(np.median((levels_ln + cost)[touched]))),
                float(np.exp(np.median(levels_ln))),
                f"{len(names)} of {len(low)} nodes run alike at {np.exp(by):.0%} of the others: "
                "another model, firmware or setting; judged apart",
                "the other nodes of this run",
            )
        )
    return cost, said


def node_levels(residual: Floats, rows: Measured, nodes: int) -> Floats:
    """The upper quartile of what each node took part in; nan for the unseen."""
    fine = np.isfinite(residual)
    who = np.concatenate([rows.src[fine], rows.dst[fine]])
    what = np.concatenate([residual[fine], residual[fine]])
    order = np.lexsort((what, who))
    who, what = who[order], what[order]
    count = np.bincount(who, minlength=nodes)
    at = np.cumsum(count) - count + (count * 3) // 4
    found = np.full(nodes, np.nan)
    seen = count > 0
    found[seen] = what[np.minimum(at[seen], len(what) - 1)]
    return found


def slower_kind(levels: Floats) -> NDArray[np.bool_] | None:
    """At least a quarter of the nodes, and four, that lie together and apart from the rest."""
    ordered = np.sort(levels[np.isfinite(levels)])
    if len(ordered) < 8:
        return None
    gaps = np.diff(ordered)
    at = int(np.argmax(gaps))
    fewer = at + 1
    close = (
        ordered[at] - ordered[at // 4] < gaps[at] / 2
    )  # a broken node among them does not hide it
    if gaps[at] < 0.04 or fewer < max(4, len(ordered) / 4) or not close:
        return None
    low: NDArray[np.bool_] = np.nan_to_num(levels, nan=np.inf) <= ordered[at]
    return low


def one_leaf(low: NDArray[np.bool_], paths: Paths) -> bool:
    """Whether they are just the nodes of one leaf of the only rail: then that leaf is slow."""
    ids = paths.leaf_ids
    return ids.shape[1] == 1 and len(np.unique(ids[low, 0])) == 1 and bool((ids[low, 0] >= 0).all())

"""What others do with the same measurements, each given the true paths and its best setting.

Sources: NVIDIA HPC-X ClusterKit documentation (93 % of the maximum, retest); Google
cluster-health-scanner nccl_runner (two passes); oracle-quickstart oci-hpc ncclscout (best of a
node's results); Arzani et al., 007, NSDI 2018 (votes); Tan et al., NetBouncer, NSDI 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clusterctl.localise.columns import OK, Measured, Topology

KINDS = ("nic-tx", "nic-rx", "host", "host", "leaf", "leaf", "uplink", "downlink", "spine")


@dataclass(frozen=True, slots=True)
class Paths:
    """`at[path, lane]`: the number of a component, -1 where the path has none in that lane."""

    at: NDArray[np.int64]
    names: tuple[str, ...]
    share: NDArray[np.float64]  # of the median; 0 where the path failed


def paths(topology: Topology, rows: Measured) -> Paths:
    ran = np.flatnonzero(rows.status != 2)
    src, dst, rail, via = (getattr(rows, name)[ran] for name in ("src", "dst", "rail", "via"))
    one, two = topology.leaf[src, rail], topology.leaf[dst, rail]
    cross = (one != two) & (via >= 0)
    names: list[str] = []
    lanes = []

    def lane(label, keys, where=None):
        where = np.ones(len(src), dtype=bool) if where is None else where
        out = np.full(len(src), -1)
        stacked = np.stack([key[where] for key in keys], axis=1)
        kinds, back = np.unique(stacked, axis=0, return_inverse=True)
        known = {name: i for i, name in enumerate(names)}
        place = np.empty(len(kinds), dtype=int)
        for i, key in enumerate(kinds.tolist()):
            name = label(*key)
            if name not in known:
                known[name] = len(names)
                names.append(name)
            place[i] = known[name]
        out[where] = place[back.ravel()]
        lanes.append(out)

    node = topology.nodes
    lane(lambda n, r: f"nic-tx:{node[n]}/{r}", (src, rail))
    lane(lambda n, r: f"nic-rx:{node[n]}/{r}", (dst, rail))
    for end in (src, dst):
        lane(lambda n: f"host:{node[n]}", (end,))
    for leaf in (one, two):
        lane(lambda x, r: f"leaf:{x}/{r}", (leaf, rail), None if leaf is one else one != two)
    lane(lambda x, r, u: f"uplink:{x}/{r}>{u}", (one, rail, via), cross)
    lane(lambda x, r, u: f"downlink:{u}>{x}/{r}", (two, rail, via), cross)
    lane(lambda u: f"spine:{u}", (via,), cross)
    rate = np.where(rows.status[ran] == OK, rows.gbit_s[ran], 0.0)
    share = rate / np.median(rate[rate > 0])
    return Paths(np.stack(lanes, axis=1), tuple(names), share)


def counts(p: Paths, where: NDArray[np.bool_]) -> NDArray[np.float64]:
    at = p.at[where]
    return np.bincount(at[at >= 0], minlength=len(p.names)).astype(float)


def votes(p: Paths, *, bad_below: float, stop_share: float, normalised: bool) -> list[str]:
    """007: a bad path votes 1/h for what it crosses; take the most voted, drop what it explains."""
    bad = p.share < bad_below
    total = counts(p, np.ones(len(bad), dtype=bool))
    first, found = None, []
    while bad.any() and len(found) < 200:
        at = p.at[bad]
        weight = 1.0 / (at >= 0).sum(axis=1)
        score = np.bincount(
            at[at >= 0], np.repeat(weight, (at >= 0).sum(axis=1)), minlength=len(p.names)
        )
        if normalised:  # the share of its paths that are bad; of equals the one with more of them
            bad_of = counts(p, bad)
            score = np.where(total >= 2, bad_of / np.maximum(total, 1) + 1e-6 * bad_of, 0)
        best = int(score.argmax())
        first = first or (1.0 if normalised else score.sum())
        if score[best] < stop_share * first:
            break
        found.append(p.names[best])
        bad &= ~(p.at == best).any(axis=1)
    return found


def netbouncer(p: Paths, *, penalty: float, bad_below: float, sweeps: int = 12) -> list[str]:
    """Coordinate descent on the product of components, pushed to 0 or 1 by λ x (1 - x)."""
    y = np.clip(p.share, 1e-3, 1.0)
    x = np.ones(len(p.names))
    used = p.at >= 0
    flat, owner = p.at[used], np.nonzero(used)[0]
    for _ in range(sweeps):
        whole = np.where(used, x[p.at], 1.0).prod(axis=1)
        t = whole[owner] / np.maximum(x[flat], 1e-9)
        top = np.bincount(flat, 2 * t * y[owner], minlength=len(x)) - penalty
        low = 2 * (np.bincount(flat, t * t, minlength=len(x)) - penalty)
        new = np.where(low > 0, np.clip(top / np.where(low > 0, low, 1), 0, 1), x)
        x = 0.5 * x + 0.5 * new  # all at once, so damped
    return [p.names[i] for i in np.flatnonzero(x < bad_below)]


def node_rates(topology: Topology, rows: Measured) -> dict[str, NDArray[np.float64]]:
    ran = rows.status != 2
    rate = np.where(rows.status == OK, rows.gbit_s, 0.0)
    each = {i: [] for i in range(len(topology.nodes))}
    for src, dst, value in zip(
        rows.src[ran].tolist(), rows.dst[ran].tolist(), rate[ran].tolist(), strict=True
    ):
        each[src].append(value)
        each[dst].append(value)
    return {topology.nodes[i]: np.array(values) for i, values in each.items() if values}


def node_mean(topology: Topology, rows: Measured, *, below: float = 0.93) -> set[str]:
    means = {name: values.mean() for name, values in node_rates(topology, rows).items()}
    middle = np.median(list(means.values()))
    return {name for name, mean in means.items() if mean < below * middle}


def clusterkit(topology: Topology, rows: Measured, *, below: float = 0.93) -> set[str]:
    """Nodes all of whose pairs stay below a share of the best pair seen."""
    rates = node_rates(topology, rows)
    best = max(values.max() for values in rates.values())
    return {name for name, values in rates.items() if (values < below * best).all()}


def two_pass(topology: Topology, rows: Measured, *, below: float) -> set[str]:
    """cluster-health-scanner: fails its first pair's mean over rails, then every later one too."""
    ran = rows.status != 2
    rate = np.where(rows.status == OK, rows.gbit_s, 0.0)
    middle = np.median(rate[ran & (rate > 0)])
    suspect: dict[int, bool] = {}
    for number in np.unique(rows.round):
        at = np.flatnonzero((rows.round == number) & ran)
        total, count = np.zeros(len(topology.nodes)), np.zeros(len(topology.nodes))
        for end in (rows.src, rows.dst):
            np.add.at(total, end[at], rate[at])
            np.add.at(count, end[at], 1)
        for i in np.flatnonzero(count):
            slow = total[i] / count[i] < below * middle
            suspect[i] = suspect.get(i, True) and bool(slow)
    return {topology.nodes[i] for i, still in suspect.items() if still}


def best_of(topology: Topology, rows: Measured, *, below: float) -> set[str]:
    """ncclscout: a node passes by its best result; the retests are the later rounds."""
    rates = node_rates(topology, rows)
    middle = np.median(np.concatenate(list(rates.values())))
    return {name for name, values in rates.items() if values.max() < below * middle}

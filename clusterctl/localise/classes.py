"""Who shares a leaf, by what paths carry, where nobody said: near pairs are faster than far ones.

That shows only where leaves have less room upwards than downwards, and only where most pairs were
measured.  Where two speeds do not stand clearly apart, nothing is guessed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clusterctl.localise.columns import OK, UNKNOWN, Measured, Topology

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

GUESSED = "leaves guessed from rates"
ENOUGH_PAIRS = 0.5  # of all pairs of a rail, measured one way or the other
ENOUGH_NODES = 6
APART = 6.0  # sigmas between the two speeds
LEAST = 0.05  # of ln rate between them: less is how parts of equal health differ
AGREE = 0.95  # of the pairs, with the classes that are made of them
ALL_ALIKE = 0.95  # of a node's partners equally near: its own limit hides who is
ROUNDS = 3  # of leaving out who hides it, for a slow node is a third speed
LEFT = 0.75  # of the nodes must be placed, or the classes are made of accidents


def by_rates(topology: Topology, measured: Measured) -> Topology:
    """The topology with leaves guessed rail by rail; as given where any is known or none shows."""
    if (topology.leaf != UNKNOWN).any() or len(topology.nodes) < ENOUGH_NODES:
        return topology
    nodes, rails = topology.leaf.shape
    leaf = np.full((nodes, rails), UNKNOWN, dtype=np.int32)
    for rail in range(rails):
        classes = of_rail(best_rates(measured, rail, nodes))
        if classes is not None:
            leaf[:, rail] = classes
    if (leaf == UNKNOWN).all():
        return topology
    unplaced = int((leaf == UNKNOWN).any(axis=1).sum())
    origin = f"{GUESSED}: pairs of two speeds, near and far"
    if unplaced:
        origin += f"; {unplaced} of {nodes} nodes could not be placed on every rail"
    return replace(topology, leaf=leaf, origin=origin)


def best_rates(measured: Measured, rail: int, nodes: int) -> Floats:
    """(nodes, nodes): ln of the best rate between two, either way; nan where none was measured.

    The best, since faults and congestion only pull down.
    """
    found = np.full((nodes, nodes), -np.inf)
    at = (measured.rail == rail) & (measured.status == OK) & (measured.src != measured.dst)
    rates = np.log(np.maximum(measured.gbit_s[at], 1e-12))
    np.maximum.at(found, (measured.src[at], measured.dst[at]), rates)
    found = np.maximum(found, found.T)
    return np.where(np.isfinite(found), found, np.nan)


def of_rail(rates: Floats) -> NDArray[np.int32] | None:
    """The class of every node, UNKNOWN for who cannot be placed; None where no two speeds show."""
    nodes = len(rates)
    seen = np.isfinite(rates)
    placed = np.ones(nodes, dtype=bool)
    near = np.zeros_like(seen)
    for _ in range(ROUNDS):
        pairs = rates[np.triu(seen & placed[:, None] & placed[None, :], 1)]
        if len(pairs) < ENOUGH_PAIRS * placed.sum() * (placed.sum() - 1) / 2:
            return None
        cut = between(pairs)
        if cut is None:
            return None
        near = seen & (np.nan_to_num(rates, nan=-np.inf) > cut)
        share = near[:, placed].sum(axis=1) / np.maximum(seen[:, placed].sum(axis=1), 1)
        hidden = placed & ((share == 0) | (share >= ALL_ALIKE))
        if not hidden.any():
            break
        placed &= ~hidden
    if placed.sum() < LEFT * nodes:
        return None
    both = placed[:, None] & placed[None, :]
    classes = components(near & both, placed)
    known = np.triu(seen, 1) & both
    same = classes[:, None] == classes[None, :]
    if not known.any() or (same == near)[known].mean() < AGREE:
        return None
    return classes if len(set(classes[placed].tolist())) > 1 else None


def between(values: Floats) -> float | None:
    """Where two heaps of ln rates part; None where they do not stand clearly apart."""
    ordered = np.sort(values)
    count = len(ordered)
    if count < ENOUGH_NODES:
        return None
    sums, squares = np.cumsum(ordered), np.cumsum(ordered**2)
    low = np.arange(1, count)
    high = count - low
    within = (
        squares[:-1]
        - sums[:-1] ** 2 / low
        + (squares[-1] - squares[:-1])
        - (sums[-1] - sums[:-1]) ** 2 / high
    )
    within[(low < 2) | (high < 2)] = np.inf
    at = int(np.argmin(within))
    slow, fast = ordered[: at + 1], ordered[at + 1 :]
    middle = float(np.median(fast) - np.median(slow))
    spread = max(deviation(fast), deviation(slow), 1e-3)
    if middle < max(LEAST, APART * spread):
        return None
    return float((np.median(fast) + np.median(slow)) / 2)


def deviation(values: Floats) -> float:
    """One sigma, by the median distance from the median."""
    return float(np.median(np.abs(values - np.median(values)))) / 0.6745


def components(near: Bools, placed: Bools) -> NDArray[np.int32]:
    """Numbers of the groups that hang together, in the order of their first node."""
    found = np.full(len(near), UNKNOWN, dtype=np.int32)
    number = 0
    for first in np.flatnonzero(placed).tolist():
        if found[first] != UNKNOWN:
            continue
        reached = np.zeros(len(near), dtype=bool)
        fresh = np.zeros(len(near), dtype=bool)
        fresh[first] = True
        while fresh.any():
            reached |= fresh
            # A single lucky pair does not join two leaves: half of those reached must agree.
            votes = near[reached].sum(axis=0)
            fresh = (votes >= max(1, reached.sum() / 2)) & ~reached & placed
        found[reached & (found == UNKNOWN)] = number
        number += 1
    return found

"""Whose clock is wrong, by the job's own connections.

What one end knows to have arrived, the other has received: at one moment the two counts differ by
what is on its way.  Where they differ by more, that was not one moment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from statistics import mean, median

from clusterctl.triage.running.job import Job, Path
from clusterctl.triage.running.observed import Link

BASE_S = 0.1  # from one moment to the next
# A look that a busy node holds up comes some tens of milliseconds late, and says so by how much.
LEAST_S = 0.1
FEWEST_BYTES_S = 10_000.0  # below it, a message more or less is a second


def astray(job: Job) -> dict[str, float]:
    """Node -> seconds by which it looks later than most, where that is more than a look's delay."""
    by_node: defaultdict[str, list[float]] = defaultdict(list)
    for path in job.paths:
        later = apart_s(path)
        if later is not None and path.here.node != path.there.node:
            by_node[path.there.node].append(later)
            by_node[path.here.node].append(-later)
    medians = {node: median(told) for node, told in by_node.items()}
    return own(medians, by_node)


def own(medians: Mapping[str, float], told: Mapping[str, list[float]]) -> dict[str, float]:
    """Those that differ from all their partners the same way: a partner differs from one only."""
    return {
        node: later
        for node, later in medians.items()
        if abs(later) > LEAST_S
        and all(one * later > 0 and abs(one) > LEAST_S for one in told[node])
        and (len(told[node]) > 1 or len(medians) == 2)
    }


def apart_s(path: Path) -> float | None:
    """By how much `there` looks later than `here`; None: too little moves to tell."""
    told = [
        one if sign > 0 else -one
        for near, far, sign in ((path.near, path.far, 1), (path.far, path.near, -1))
        if (one := later_s(near, far)) is not None
    ]
    return mean(told) if told else None


def later_s(near: Link, far: Link) -> float | None:
    """By how much the reading end looks later than the sending one."""
    shared = sorted(near.marks.keys() & far.marks.keys())
    if len(shared) < 2:
        return None
    first, last = near.marks[shared[0]], near.marks[shared[-1]]
    rate = (last.acked - first.acked) / ((shared[-1] - shared[0]) * BASE_S)
    if rate < FEWEST_BYTES_S:
        return None
    return mean(far.marks[one].received - near.marks[one].acked for one in shared) / rate

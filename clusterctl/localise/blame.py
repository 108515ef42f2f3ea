"""Which components explain the slow paths: greedy maximum likelihood, every finding tried again.

Every finding is taken out, tried again and, where another component does as well, exchanged.
Evidence is bounded: two slow paths convict, one clean path across a component clears it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clusterctl.localise.evidence import Fault, Floats, Ints, Model, add, after, hidden_rows
from clusterctl.localise.paths import DOWN, DOWNS, RX, TX, UP, UPS, Paths
from clusterctl.localise.scores import score

OTHER_WAY = 0.05  # that a cable bad one way is bad the other way too
MOST_FAULTS = 60
SETTLED_THRICE = 40  # more faults than these are not tried again: it takes their square


def priors_with(model: Model, faults: Sequence[Fault]) -> Floats:
    """One way of a cable being bad makes the other likelier."""
    found = model.log_prior
    twins = [twin for one in faults if (twin := other_way(model.paths, one.component)) is not None]
    if twins:
        found = found.copy()
        found[twins] = np.maximum(found[twins], np.log(OTHER_WAY))
    return found


def other_way(paths: Paths, component: int) -> int | None:
    kind = int(paths.kind[component])
    turned = {TX: RX, RX: TX, UP: DOWN, DOWN: UP, UPS: DOWNS, DOWNS: UPS}.get(kind)
    if turned is None:
        return None
    return component - paths.starts[kind] + paths.starts[turned]


def neighbours(model: Model, component: int, among: Ints) -> Ints:
    """Those of `among` that share a row with the component, itself too."""
    crossed = np.unique(model.paths.crossed[:, model.rows_of(component)])
    hidden = hidden_rows(model, component)
    if len(hidden):
        crossed = np.union1d(crossed, np.unique(model.paths.crossed[:, hidden]))
    found: Ints = among[np.isin(among, crossed)]
    return found


def greedy(model: Model, candidates: Ints) -> list[Fault]:
    """Faults added one by one, the surest first."""
    state = after(model, ())
    found: list[Fault] = []
    scores = score(model, state, candidates, model.log_prior)
    place = {int(one): at for at, one in enumerate(scores.component)}
    while len(found) < MOST_FAULTS and (at := scores.best()) is not None:
        fault = Fault(int(scores.component[at]), float(scores.by[at]), int(scores.mode[at]))
        found.append(fault)
        add(model, state, fault)
        near = neighbours(model, fault.component, scores.component)
        again = score(model, state, near, priors_with(model, found))
        where = [place[int(one)] for one in again.component]
        for name in ("fault", "none", "by", "mode"):
            getattr(scores, name)[where] = getattr(again, name)
        scores.fault[[place[one.component] for one in found]] = -np.inf
    return found


def settle(model: Model, candidates: Ints, faults: list[Fault]) -> list[Fault]:
    """Each fault taken out and tried again: dropped, kept, or exchanged for a better one."""
    for _ in range(3 if len(faults) <= SETTLED_THRICE else 0):
        before = {one.component for one in faults}
        for fault in faults:
            rest = [one for one in faults if one is not fault]
            taken = np.array([one.component for one in rest], dtype=np.int64)
            near = neighbours(model, fault.component, candidates)
            near = near[~np.isin(near, taken)]
            scores = score(model, after(model, rest), near, priors_with(model, rest))
            at = scores.best()
            faults = rest
            if at is not None:
                faults = [
                    *rest,
                    Fault(int(near[at]), float(scores.by[at]), int(scores.mode[at])),
                ]
        if {one.component for one in faults} == before:
            break
    return faults

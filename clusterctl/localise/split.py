"""One part of many paths, or two of fewer: what greedy search cannot see a step at a time.

A NIC that is bad both ways slows half of what its host does.  A host that is slow now and then
explains that at one stroke, so it is found first; its ports each explain half, and both together
explain it better: every slow test and every clean one.
"""

from __future__ import annotations

import numpy as np

from clusterctl.localise.blame import neighbours, priors_with
from clusterctl.localise.evidence import FLAPPING, Fault, Ints, Model, after
from clusterctl.localise.paths import HOST, LEAF, SPINE, UPS
from clusterctl.localise.scores import GROUP_WEIGHT, WEIGHT, score

WHOLES = frozenset({HOST, LEAF, SPINE})


def apart(model: Model, candidates: Ints, faults: list[Fault]) -> list[Fault]:
    """Each whole that is slow only now and then, exchanged for two parts where they say more."""
    for fault in faults:
        if fault.mode == FLAPPING and int(model.paths.kind[fault.component]) in WHOLES:
            rest = [one for one in faults if one is not fault]
            two = pair(model, candidates, rest, fault)
            if two and worth(model, [*rest, *two]) > worth(model, faults):
                return apart(model, candidates, [*rest, *two])
    return faults


def pair(model: Model, candidates: Ints, rest: list[Fault], fault: Fault) -> list[Fault]:
    """The best part beside those that stay, and the best beside it; none: there are no two."""
    found: list[Fault] = []
    near = neighbours(model, fault.component, candidates)
    near = near[~np.isin(model.paths.kind[near], list(WHOLES))]
    for _ in range(2):
        held = [*rest, *found]
        left = near[~np.isin(near, [one.component for one in held])]
        scores = score(model, after(model, held), left, priors_with(model, held))
        at = scores.best()
        if at is None:
            return []
        found.append(Fault(int(left[at]), float(scores.by[at]), int(scores.mode[at])))
    return found


def worth(model: Model, faults: list[Fault]) -> float:
    """Ln likelihood of all rows and of these faults."""
    total = float(after(model, faults).base.sum())
    for place, fault in enumerate(faults):
        weights = GROUP_WEIGHT if model.paths.kind[fault.component] >= UPS else WEIGHT
        prior = priors_with(model, faults[:place])[fault.component]
        total += float(prior) + float(weights[fault.mode]) - np.log(len(model.grid))
    return total

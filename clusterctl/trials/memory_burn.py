"""A stated share of memory written with a pattern and read back."""

from __future__ import annotations

from clusterctl.model import Burn, Group, Params, Question, Trial
from clusterctl.trials.cpu_burn import SLACK_S, plan
from clusterctl.trials.rows import parse


def ask(_group: Group, _index: int, seed: int, params: Params) -> Question:
    seconds = float(str(params["seconds"]))
    return Question(
        "memory_burn",
        (str(seconds), str(seed), str(params["share"])),
        script="burn_memory",
        # One pass must finish whatever its length: filling 1 TiB takes minutes.
        timeout_s=seconds * 4 + SLACK_S * 4,
    )


TRIALS = (
    Trial(
        "memory_burn",
        "writes a seeded pattern over a share of what is available and compares every byte",
        plan,
        ask,
        parse,
        yields=(Burn,),
        params={"seconds": 60.0, "share": 0.8},
    ),
)

"""A stated share of memory written with a pattern and read back."""

from __future__ import annotations

from clusterctl.model import Burn, Group, Params, Question, Trial
from clusterctl.trials.cpu_burn import SLACK_S, plan
from clusterctl.trials.rows import parse

# One pass always ends, also where the kernel hands out new pages at 0.5 Gbyte/s and core: a quarter
# of 2 TiB over 128 workers, or of 256 GiB over 4, is then full in 10 s, or 35 s.
FILL_S = 50.0


def ask(_group: Group, _index: int, seed: int, params: Params) -> Question:
    seconds = float(str(params["seconds"]))
    fill_s = FILL_S + 2 * seconds
    return Question(
        "memory_burn",
        (str(seconds), str(seed), str(params["share"]), str(fill_s)),
        script="burn_memory",
        modules=("trial",),
        # Reading back is faster than filling.
        timeout_s=2 * fill_s + SLACK_S,
    )


TRIALS = (
    Trial(
        "memory_burn",
        "writes a pattern over a share of all memory, if so much is free, and compares it",
        plan,
        ask,
        parse,
        yields=(Burn,),
        params={"seconds": 60.0, "share": 0.8},
    ),
)

"""Copies between each GPU and the host, within it, and between all pairs, data compared."""

from __future__ import annotations

from clusterctl.model import Burn, Group, Params, Question, Trial
from clusterctl.trials.cpu_burn import SLACK_S, plan
from clusterctl.trials.gpu_burn import CUDA, KERNELS, START_S
from clusterctl.trials.rows import parse

PAIRS_S = 64.0  # eight GPUs squared, a second each beyond the time that was asked


def ask(_group: Group, _index: int, seed: int, params: Params) -> Question:
    seconds, size = float(str(params["seconds"])), int(str(params["size_mib"])) << 20
    return Question(
        "gpu_copy",
        (str(seconds), str(seed), str(size)),
        script="copy_gpu",
        modules=("trial", *CUDA),
        files=KERNELS,
        timeout_s=seconds + START_S + PAIRS_S + SLACK_S,
    )


TRIALS = (
    Trial(
        "gpu_copy",
        "pinned host memory to each GPU and back, and every GPU to every other, in GB/s",
        plan,
        ask,
        parse,
        yields=(Burn,),
        params={"seconds": 30.0, "size_mib": 256},
    ),
)

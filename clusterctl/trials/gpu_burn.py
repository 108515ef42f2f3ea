"""Every GPU at full load at once, every result compared, all its memory written and read."""

from __future__ import annotations

from clusterctl.model import Burn, Group, Params, Question, Trial
from clusterctl.trials import torch_burn
from clusterctl.trials.cpu_burn import SLACK_S, plan
from clusterctl.trials.rows import parse

ENGINES = ("auto", "pytorch", "built-in")
CUDA = ("burn_cuda", "cuda_copies", "cuda_driver", "cuda_load", "cuda_workers", "nvml_meter")
KERNELS = ("cuda/burn.ptx",)
# Eight contexts on a node without persistence mode, compiling, the checks of the first result; and
# what burn_cuda.py waits for a GPU that hangs, once for its memory and once for its arithmetic.
START_S = 150.0
SIZES = (256, 16384)  # a tile's width; beyond it sums would not be exact
TILE = 256


def ask(group: Group, index: int, seed: int, params: Params) -> Question:
    """`auto`: PyTorch where a Python has one that sees a GPU, else built-in CUDA.

    Neither is a trouble, so UNKNOWN.
    """
    torch = torch_burn.ask(group, index, seed, {**params, "device": "auto"})
    start_s = torch.command[-1]
    names = ("precision", "size", "share", "python")
    seconds = float(str(params["seconds"]))
    return Question(
        "gpu_burn",
        (
            str(params["engine"]),
            str(seconds),
            str(seed),
            *(str(params[name]) for name in names),
            start_s,
        ),
        script="burn_gpu",
        modules=(*dict.fromkeys((*torch.modules, "burn_torch", *CUDA)),),
        files=KERNELS,
        timeout_s=seconds + START_S + float(start_s) + SLACK_S,
    )


def refuse(params: Params) -> str:
    engine, size = str(params["engine"]), int(str(params["size"]))
    if engine not in ENGINES:
        return f"engine: {engine!r} is none of {', '.join(ENGINES)}"
    if not SIZES[0] <= size <= SIZES[1] or size % TILE:
        return f"size: {size} is no multiple of {TILE} up to {SIZES[1]}"
    if engine == "built-in" and params["precision"] != "bf16":
        return "precision: the built-in engine knows bf16 only"
    if not 0 < float(str(params["share"])) <= 1:
        return f"share: {params['share']} is no share of the memory: 0.9 is 90 %"
    return torch_burn.refuse(params)


TRIALS = (
    Trial(
        "gpu_burn",
        "every GPU: GEMM with every result compared, and 90 % of its memory",
        plan,
        ask,
        parse,
        yields=(Burn,),
        params={
            "seconds": 60.0,
            "engine": "auto",
            "precision": "bf16",
            "size": 8192,
            "share": 0.9,
            "python": "",
        },
        refuse=refuse,
    ),
)

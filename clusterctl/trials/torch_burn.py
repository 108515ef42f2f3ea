"""What the engine PyTorch of gpu_burn is asked, and what it cannot be asked."""

from __future__ import annotations

from clusterctl.model import Group, Params, Question
from clusterctl.trials.cpu_burn import SLACK_S

# Importing torch from a network file system, starting drivers, making the factors on few cores.
START_S = 120.0
PRECISIONS = ("fp64", "fp32", "tf32", "bf16", "fp16")
SIZES = (64, 16384)  # up to 2^14 sums of 127 x 127 stay below 2^24 with room: exact in fp32


def ask(_group: Group, _index: int, seed: int, params: Params) -> Question:
    seconds = float(str(params["seconds"]))
    words = [str(params[name]) for name in ("precision", "size", "device")]
    return Question(
        "torch_burn",
        (str(params["python"]), str(seconds), str(seed), *words, str(START_S)),
        script="burn_torch",
        modules=("trial", "other_python", "nvml_meter", "torch_devices", "torch_gemm"),
        timeout_s=seconds + START_S + SLACK_S,
    )


def refuse(params: Params) -> str:
    precision, size = str(params["precision"]), int(str(params["size"]))
    if precision not in PRECISIONS:
        return f"precision: {precision!r} is none of {', '.join(PRECISIONS)}"
    if not SIZES[0] <= size <= SIZES[1]:
        return f"size: {size} is not between {SIZES[0]} and {SIZES[1]}"
    return ""

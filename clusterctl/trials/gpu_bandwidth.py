"""Copies between each GPU and the host, within it, and between all pairs, data compared."""

from __future__ import annotations

from collections.abc import Iterator

from clusterctl.model import Copy, Fact, Group, Params, Question, Trial, Trouble
from clusterctl.sysfs import rows
from clusterctl.trials import nvbandwidth
from clusterctl.trials.cpu_burn import SLACK_S, plan
from clusterctl.trials.gpu_burn import CUDA, KERNELS, START_S
from clusterctl.trials.rows import one_row

# In the order in which `auto` tries them.  nvbandwidth: published floors were measured with it.
# cuda: needs the driver only, and keeps every batch.  torch: any other maker's accelerators.
ENGINES = ("nvbandwidth", "cuda", "torch")
PAIRS_S = 64.0  # eight GPUs squared, a second each beyond the time that was asked
NVBANDWIDTH_S = 600.0  # five testcases on eight GPUs
TORCH = ("nvml_meter", "other_python", "torch_devices", "torch_copy")


def ask(_group: Group, _index: int, seed: int, params: Params) -> Question:
    seconds, size = float(str(params["seconds"])), int(str(params["size_mib"])) << 20
    engine = str(params["engine"])
    tool_s = NVBANDWIDTH_S if engine in ("auto", "nvbandwidth") else 0.0
    return Question(
        "gpu_bandwidth",
        (
            engine,
            str(seconds),
            str(seed),
            str(size),
            str(params["device"]),
            str(NVBANDWIDTH_S),
            str(params["python"]),
        ),
        script="copy_gpu",
        modules=tuple(dict.fromkeys(("trial", *CUDA, *TORCH))),
        files=KERNELS,
        timeout_s=seconds + START_S + PAIRS_S + tool_s + SLACK_S,
    )


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Rows `copy`, and nvbandwidth's as gpu_burn has those of other tools."""
    lines: list[str] = []
    code = ""
    for row in rows(stdout):
        if isinstance(row, Trouble):
            yield row
        elif row[:2] == ("tool", "nvbandwidth") and len(row) == 4:
            code = row[2]
        elif row[:2] == ("line", "nvbandwidth") and len(row) == 3:
            lines.append(row[2])
        elif row[:2] == ("report", "nvbandwidth") and len(row) == 3:
            code = ""
            yield from nvbandwidth.report(row[2])
        else:
            yield one_row(row)
    if lines or code:
        yield from nvbandwidth.tables(lines, code)


def refuse(params: Params) -> str:
    engine = params["engine"]
    if engine not in ("auto", *ENGINES):
        return f"engine: {engine!r} is none of auto, {', '.join(ENGINES)}"
    if params["device"] != "auto" and engine != "torch":
        return "device: only the engine torch can be told which"
    if int(str(params["size_mib"])) < 1:
        return f"size_mib: {params['size_mib']} is nothing to copy"
    return ""


TRIALS = (
    Trial(
        "gpu_bandwidth",
        "host to each GPU and back, within it, to every other: nvbandwidth, built in or PyTorch",
        plan,
        ask,
        parse,
        yields=(Copy,),
        params={
            "seconds": 30.0,
            "engine": "auto",
            "size_mib": 256,
            "device": "auto",
            "python": "",
        },
        refuse=refuse,
    ),
)

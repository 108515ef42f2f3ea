"""Every GPU at full load at once, every result compared, all its memory written and read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from clusterctl.model import Burn, Fact, Group, Kind, Params, Power, Question, Trial, Trouble
from clusterctl.spelling import visible
from clusterctl.sysfs import rows
from clusterctl.trials import dcgm_diag, torch_burn, vendor_reports
from clusterctl.trials.cpu_burn import SLACK_S, plan
from clusterctl.trials.rows import one_row

# In the order in which `auto` tries them.  torch: any maker's GPUs, every result compared, and the
# highest load, for it uses the maker's own library.  cuda: as sure, and needs the driver only, at
# 0.6 of that load on Hopper.  Then the makers' tools, which show no result: ascend-dmi and rvs give
# rates, agfhc and dcgmi only verdicts.  agfhc is given to few, dcgmi takes longest.
ENGINES = ("torch", "cuda", "ascend-dmi", "rvs", "agfhc", "dcgmi")
CHECKED = "torch or cuda"  # what `mix` asks for: others want the node for themselves
# What a level of a maker's tool may take: twice what its documentation says, dcgmi's by DCGM's.
LEVELS = {
    "dcgmi": dcgm_diag.MOST_S,
    "rvs": {1: 900.0, 2: 900.0, 3: 3600.0, 4: 7200.0, 5: 43200.0},
    "agfhc": {1: 600.0, 2: 1200.0, 3: 3600.0, 4: 7200.0, 5: 14400.0},
}
ASCEND_S = 900.0  # for `--dg -i aicore -s`, and the last round of every device
CUDA = ("burn_cuda", "cuda_copies", "cuda_driver", "cuda_load", "cuda_workers", "nvml_meter")
TOOLS = ("vendor_burns", "node_power", "sockets_power")
KERNELS = ("cuda/burn.ptx",)
# Eight contexts on a node without persistence mode, compiling, the checks of the first result; and
# what burn_cuda.py waits for a GPU that hangs, once for its memory and once for its arithmetic.
START_S = 150.0
SIZES = (256, 16384)  # a tile's width; beyond it sums would not be exact
TILE = 256
BUILT_IN = ("bf16", "fp32", "int8")
ASCEND = ("fp32", "bf16", "fp16", "int8")


def ask(group: Group, index: int, seed: int, params: Params) -> Question:
    """No engine is a trouble, so UNKNOWN."""
    torch = torch_burn.ask(group, index, seed, params)
    start_s = torch.command[-1]
    engine, level = str(params["engine"]), int(str(params["level"]))
    most_s = allowances(engine, level)
    seconds = float(str(params["seconds"]))
    return Question(
        "gpu_burn",
        (
            engine,
            str(seconds),
            str(seed),
            *(str(params[name]) for name in ("precision", "size", "share", "device")),
            str(level),
            json.dumps(most_s),
            start_s,
            str(params["python"]),
        ),
        script="burn_gpu",
        modules=(*dict.fromkeys((*torch.modules, "burn_torch", *CUDA, *TOOLS)),),
        files=KERNELS,
        timeout_s=seconds + START_S + float(start_s) + SLACK_S + max(most_s.values(), default=0.0),
        group="dcgm" if engine == "dcgmi" else "",
    )


def allowances(engine: str, level: int) -> dict[str, float]:
    """What each maker's tool may take that this engine may come to."""
    if engine in ("torch", "cuda", CHECKED):
        return {}
    found = {name: times[level] for name, times in LEVELS.items() if level in times}
    found["ascend-dmi"] = ASCEND_S
    wanted = [engine] if engine != "auto" else [name for name in ENGINES if name in found]
    return {name: found[name] for name in wanted if name in found}


def refuse(params: Params) -> str:
    engine, size = str(params["engine"]), int(str(params["size"]))
    if engine not in ("auto", *ENGINES):
        return f"engine: {engine!r} is none of auto, {', '.join(ENGINES)}"
    if engine != "torch" and (not SIZES[0] <= size <= SIZES[1] or size % TILE):
        return f"size: {size} is no multiple of {TILE} up to {SIZES[1]}"
    if not 0 < float(str(params["share"])) <= 1:
        return f"share: {params['share']} is no share of the memory: 0.9 is 90 %"
    if params["device"] != "auto" and engine != "torch":
        return "device: only the engine torch can be told which"
    return unfit(engine, params)


def unfit(engine: str, params: Params) -> str:
    """What this engine cannot be asked."""
    precision, level = str(params["precision"]), params["level"]
    known = {"cuda": BUILT_IN, "ascend-dmi": ASCEND}.get(engine, (precision,))
    levels = LEVELS.get(engine, LEVELS["rvs"])
    if precision not in known:
        return f"precision: {engine} knows {', '.join(known)}"
    if level not in levels:
        return f"level: {level!r} is none of {', '.join(map(str, levels))}"
    return torch_burn.refuse(params) if engine in ("auto", "torch") else ""


# ----------------------------------------------------------------------------- the answer


@dataclass
class Said:
    """What one maker's tool printed."""

    code: str = ""
    seconds: float = 0.0
    lines: list[str] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Our own engines' rows, and `tool`, `report`, `line` of remote/vendor_burns.py."""
    tools: defaultdict[str, Said] = defaultdict(Said)
    for row in rows(stdout):
        if isinstance(row, Trouble):
            yield row
        elif row[0] == "tool" and len(row) == 4:
            said = tools[row[1]]
            said.code, said.seconds = row[2], said.seconds + vendor_reports.float_in(row[3])
        elif row[0] == "line" and len(row) == 3:
            tools[row[1]].lines.append(row[2])
        elif row[0] == "report" and len(row) == 3:
            tools[row[1]].reports.append(row[2])
        else:
            yield one_row(row)
    for tool, said in tools.items():
        yield from vendors(tool, said)


def vendors(tool: str, said: Said) -> Iterator[Fact | Trouble]:
    if tool in READERS:
        if said.lines:
            yield from READERS[tool](said.lines, said.seconds, said.code)
        elif said.code:
            yield Trouble(Kind.EXIT, f"{tool} exit {visible(said.code, 20)}: it printed nothing")
    elif tool in REPORTS:
        for text in said.reports:
            yield from REPORTS[tool](text, said.seconds, said.code)
    else:
        yield Trouble(Kind.UNREADABLE, f"not a tool of ours: {visible(tool, 80)!r}")


READERS = {"rvs": vendor_reports.rvs, "ascend-dmi": vendor_reports.ascend_dmi}
REPORTS = {"agfhc": vendor_reports.agfhc, "dcgmi": dcgm_diag.report}

TRIALS = (
    Trial(
        "gpu_burn",
        "every GPU: GEMM, results compared, and 90 % of its memory; or the maker's own tool",
        plan,
        ask,
        parse,
        yields=(Burn, Power),
        params={
            "seconds": 60.0,
            "engine": "auto",
            "precision": "bf16",
            "size": 8192,
            "share": 0.9,
            "device": "auto",
            "level": 3,
            "python": "",
        },
        refuse=refuse,
    ),
)

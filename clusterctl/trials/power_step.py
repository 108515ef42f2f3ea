"""All accelerators, or cores, idle and full in step: the transient that trips power shelves."""

from __future__ import annotations

from clusterctl.model import Burn, Group, Params, Power, Question, Trial
from clusterctl.trials import torch_burn
from clusterctl.trials.cpu_burn import SLACK_S, digest, plan
from clusterctl.trials.rows import parse

ENGINES = ("auto", "torch", "cpu")
# A shelf's fuses and fans are tried by seconds; faster steps are no test of them, and hard on them.
PERIODS = (0.5, 600.0)
START_S = 30.0  # for all devices of a node to be ready for the first step
IMPORT_S = 60.0


def ask(_group: Group, _index: int, seed: int, params: Params) -> Question:
    seconds, period = float(str(params["seconds"])), float(str(params["period_s"]))
    words = [str(params[name]) for name in ("precision", "size", "device")]
    return Question(
        "power_step",
        (
            str(params["engine"]),
            str(params["python"]),
            str(seconds),
            str(seed),
            digest(seed),
            str(period),
            str(float(str(params["duty"]))),
            *words,
            str(START_S),
        ),
        script="step_power",
        modules=(
            *("trial", "other_python", "burn_cpu", "mix", "in_step", "sockets_power", "node_power"),
            *("nvml_meter", "torch_devices", "torch_gemm", "torch_step"),
        ),
        timeout_s=seconds + 2 * START_S + 2 * period + IMPORT_S + SLACK_S,
    )


def refuse(params: Params) -> str:
    engine, period = params["engine"], float(str(params["period_s"]))
    if engine not in ENGINES:
        return f"engine: {engine!r} is none of {', '.join(ENGINES)}"
    if not PERIODS[0] <= period <= PERIODS[1]:
        return f"period_s: {period:g} is not between {PERIODS[0]:g} and {PERIODS[1]:g}"
    if not 0 < float(str(params["duty"])) < 1:
        return f"duty: {params['duty']} is not between 0 and 1"
    return torch_burn.refuse(params)


TRIALS = (
    Trial(
        "power_step",
        "idle and full load in step by the nodes' clocks; results checked, swing and rack measured",
        plan,
        ask,
        parse,
        yields=(Burn, Power),
        params={
            "seconds": 60.0,
            "engine": "auto",
            "period_s": 4.0,
            "duty": 0.5,
            "precision": "bf16",
            "size": 4096,
            "device": "auto",
            "python": "",
        },
        refuse=refuse,
    ),
)

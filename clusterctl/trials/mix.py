"""Cores, memory, disk, ports and accelerators at once: what card-by-card tests miss."""

from __future__ import annotations

from collections.abc import Iterator

from clusterctl.model import Bandwidth, Burn, Group, Params, Power, Question, Trial
from clusterctl.trials import cpu_burn, disk_burn, gpu_burn, memory_burn, nic_loopback
from clusterctl.trials.cpu_burn import SLACK_S, plan
from clusterctl.trials.gpu_burn import parse

# Accelerators last: who has none is not asked for them.
LOADS = (
    *cpu_burn.TRIALS,
    *memory_burn.TRIALS,
    *disk_burn.TRIALS,
    *nic_loopback.TRIALS,
    *gpu_burn.TRIALS,
)
ACCELERATED = {trial.name for trial in gpu_burn.TRIALS}


def asked(group: Group, index: int, seed: int, params: Params) -> Iterator[Question]:
    """Each load's own question; `memory_share` and `folder` are theirs under another name."""
    told = {"seconds": params["seconds"]}
    own: dict[str, Params] = {
        "memory_burn": {"share": params["memory_share"]},
        "disk_burn": {"folder": params["folder"], "size_mib": params["size_mib"]},
        "nic_loopback": {"at_once": True},
        "gpu_burn": {"python": params["python"], "engine": gpu_burn.CHECKED},
    }
    for trial in LOADS:
        knobs = {**trial.params, **told, **own.get(trial.name, {})}
        question = trial.ask(group, index, seed, knobs)
        if question is not None:
            yield question


def ask(group: Group, index: int, seed: int, params: Params) -> Question:
    loads = list(asked(group, index, seed, params))
    only = "".join(str(int(load.name in ACCELERATED)) for load in loads)
    words = [word for load in loads for word in ("--", load.script, *load.command)]
    modules = [name for load in loads for name in (load.script, *load.modules)]
    files = [name for load in loads for name in load.files]
    return Question(
        "mix",
        (only, *words[1:]),
        script="mix",
        modules=tuple(dict.fromkeys(("trial", "other_python", *modules))),
        files=tuple(dict.fromkeys(files)),
        timeout_s=max(load.timeout_s for load in loads) + SLACK_S,
    )


TRIALS = (
    Trial(
        "mix",
        "every core, memory, disk, port and accelerator at once, each one's result apart",
        plan,
        ask,
        parse,
        yields=(Burn, Bandwidth, Power),
        params={
            "seconds": 60.0,
            "memory_share": 0.5,
            "folder": disk_burn.FOLDER,
            "size_mib": 1024,
            "python": "",
        },
    ),
)

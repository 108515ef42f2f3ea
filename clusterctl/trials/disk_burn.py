"""A scratch file written, synced and read back; never a raw device."""

from __future__ import annotations

from clusterctl.model import Burn, Group, Params, Question, Trial
from clusterctl.trials.cpu_burn import SLACK_S, plan
from clusterctl.trials.rows import parse

FOLDER = "/var/tmp"  # noqa: S108 - where the file system hierarchy keeps large scratch; mkstemp'd


def ask(_group: Group, _index: int, seed: int, params: Params) -> Question:
    seconds = float(str(params["seconds"]))
    return Question(
        "disk_burn",
        (
            str(seconds),
            str(seed),
            str(params["size_mib"]),
            str(params["folder"]),
            str(params["engine"]),
        ),
        script="burn_disk",
        modules=("trial",),
        timeout_s=seconds * 3 + SLACK_S * 2,
    )


TRIALS = (
    Trial(
        "disk_burn",
        "fio with crc32c where present, else write, sync and compare; in an unlinked scratch file",
        plan,
        ask,
        parse,
        yields=(Burn,),
        params={"seconds": 30.0, "size_mib": 1024, "folder": FOLDER, "engine": "auto"},
    ),
)

"""All nodes at once against one shared file system: what two of them never show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from clusterctl.model import Burn, Group, Node, Params, Question, Round, Trial
from clusterctl.trials.cpu_burn import SLACK_S
from clusterctl.trials.rows import parse

STALL_S = 120.0  # a busy file system syncs late


def plan(nodes: Sequence[Node], _rng: Random) -> Iterator[Round]:
    """One group of all: they are loaded together or not at all (see `at_once`)."""
    if nodes:
        yield (tuple(nodes),)


def ask(_group: Group, _index: int, seed: int, params: Params) -> Question:
    seconds = float(str(params["seconds"]))
    size_mib, most = int(str(params["size_mib"])), float(str(params["mb_s"]))
    read_back_s = size_mib * 1.05 / most  # what is written last is read back after the time is over
    return Question(
        "storage_burn",
        (
            str(seconds),
            str(seed),
            str(size_mib),
            str(params["folder"]),
            str(most),
            str(int(bool(params["local"]))),
        ),
        script="burn_storage",
        modules=("trial", "burn_disk"),
        timeout_s=seconds + 2 * read_back_s + STALL_S + SLACK_S,
    )


def refuse(params: Params) -> str:
    if not str(params["folder"]).startswith("/"):
        return "folder: name one on the shared file system, from / on"
    if float(str(params["mb_s"])) <= 0 or int(str(params["size_mib"])) < 1:
        return "mb_s and size_mib: expected more than 0"
    return ""


TRIALS = (
    Trial(
        "storage_burn",
        "all nodes write, sync, read back and compare at once, each at no more than mb_s",
        plan,
        ask,
        parse,
        yields=(Burn,),
        together=True,
        params={"folder": "", "seconds": 60.0, "size_mib": 1024, "mb_s": 100.0, "local": False},
        refuse=refuse,
    ),
)

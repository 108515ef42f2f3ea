"""Every port sends to itself: what PCIe and the adapter carry, with no other node in it."""

from __future__ import annotations

from clusterctl.model import Bandwidth, Group, Params, Question, Trial
from clusterctl.trials.cpu_burn import SLACK_S, plan
from clusterctl.trials.rows import parse

ENGINES = ("auto", "perftest", "tcp")
CLASSES = "/sys/class"
FIRST_PORT = 18515  # perftest's own default
MOST_PORTS = 32
OVER_S = 25.0  # for one port to begin and end, as in remote/loop_nic.py


def ask(_group: Group, _index: int, _seed: int, params: Params) -> Question:
    seconds = float(str(params["seconds"]))
    at_once = bool(params["at_once"])
    return Question(
        "nic_loopback",
        (str(seconds), str(params["engine"]), str(int(at_once)), str(FIRST_PORT), CLASSES),
        script="loop_nic",
        modules=("trial", "tcp_streams", "perftest"),
        timeout_s=(seconds + OVER_S) * MOST_PORTS + SLACK_S,
    )


def refuse(params: Params) -> str:
    engine = params["engine"]
    return "" if engine in ENGINES else f"engine: {engine!r} is none of {', '.join(ENGINES)}"


TRIALS = (
    Trial(
        "nic_loopback",
        "RDMA loopback of every port by perftest; TCP to itself where there is no RDMA",
        plan,
        ask,
        parse,
        yields=(Bandwidth,),
        params={"seconds": 5.0, "engine": "auto", "at_once": False},
        refuse=refuse,
    ),
)

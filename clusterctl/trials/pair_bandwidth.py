"""Nodes in pairs, each direction apart, over plain TCP."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from random import Random

from clusterctl.model import Bandwidth, Group, Node, Params, Question, Round, Trial
from clusterctl.trials.cpu_burn import SLACK_S
from clusterctl.trials.rows import parse

FIRST_PORT, PORTS = 20000, 10000  # below Linux's ephemeral range, so no client socket is in the way
MEETING_S = 30.0  # partners start when their own conversation does
STALL_S = 20.0  # without a byte; there are two directions


def plan(nodes: Sequence[Node], rng: Random) -> Iterator[Round]:
    """One round of disjoint pairs; where the number is odd, a second one for the odd node."""
    order = list(nodes)
    rng.shuffle(order)
    pairs = tuple((order[i], order[i + 1]) for i in range(0, len(order) - 1, 2))
    if pairs:
        yield pairs
        if len(order) % 2:
            yield ((order[-1], order[0]),)


def data_address(node: Node) -> str:
    """Where partners reach it: the label `data_address`, else as we do."""
    return node.labels.get("data_address") or node.host


def ask(group: Group, index: int, seed: int, params: Params) -> Question:
    """Member 0 listens; member 1 calls, then each sends in turn."""
    me, peer = group[index], group[1 - index]
    secret = hashlib.sha256(f"{seed} {group[0].name} {group[1].name}".encode()).hexdigest()
    ports = [FIRST_PORT + int(secret[at : at + 8], 16) % PORTS for at in (0, 8, 16)]
    seconds = float(str(params["seconds"]))
    return Question(
        "pair_bandwidth",
        (
            "listen" if index == 0 else "call",
            data_address(group[0]),
            ",".join(map(str, ports)),  # the first that is free where member 0 listens
            secret,
            str(seconds),
            str(params["streams"]),
            f"{peer.name}>{me.name}",
            str(MEETING_S),
            str(STALL_S),
        ),
        script="pair_tcp",
        modules=("trial",),
        timeout_s=2 * seconds + MEETING_S + 2 * STALL_S + SLACK_S,
    )


TRIALS = (
    Trial(
        "pair_bandwidth",
        "built-in TCP engine: one round of disjoint pairs, both directions apart",
        plan,
        ask,
        parse,
        yields=(Bandwidth,),
        params={"seconds": 5.0, "streams": 4},
        partners=2,
    ),
)

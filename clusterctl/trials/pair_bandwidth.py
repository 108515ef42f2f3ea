"""Nodes in pairs: what each direction carries, and how long a message takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from clusterctl.model import Bandwidth, Group, Latency, Node, Params, Question, Round, Trial
from clusterctl.trials.flows import (
    ENGINES,
    MEMORIES,
    Flow,
    ask_flow,
    meeting,
    rail_addresses,
    rail_devices,
)
from clusterctl.trials.rows import parse

DIRECTIONS = ("apart", "both")
LATENCY_ENGINES = ("auto", "perftest", "built-in")


def plan(nodes: Sequence[Node], rng: Random) -> Iterator[Round]:
    """One round of disjoint pairs; where the number is odd, a second one for the odd node."""
    order = list(nodes)
    rng.shuffle(order)
    pairs = tuple((order[i], order[i + 1]) for i in range(0, len(order) - 1, 2))
    if pairs:
        yield pairs
        if len(order) % 2:
            yield ((order[-1], order[0]),)


def ask(group: Group, index: int, seed: int, params: Params) -> Question:
    """Member 0 listens; member 1 calls, then each sends in turn, or both at once."""
    return question(group, index, seed, params, way=str(params["directions"]))


def ask_latency(group: Group, index: int, seed: int, params: Params) -> Question:
    told = {**params, "streams": 1, "memory": "host"}
    size = int(str(params["size_bytes"]))
    return question(group, index, seed, told, way="latency", size_bytes=size)


def question(
    group: Group, index: int, seed: int, params: Params, *, way: str, size_bytes: int = 64
) -> Question:
    listener, caller = group
    flow = Flow(
        caller.name,
        listener.name,
        rail_addresses(listener)[0],
        caller_device=rail_devices(caller)[0],
        listener_device=rail_devices(listener)[0],
    )
    secret, ports = meeting(f"{seed} {group[0].name} {group[1].name}")
    return ask_flow(
        flow,
        listener=index == 0,
        secret=secret,
        ports=ports,
        seconds=float(str(params["seconds"])),
        streams=int(str(params["streams"])),
        engine=str(params["engine"]),
        way=way,
        memory=str(params["memory"]),
        size_bytes=size_bytes,
    )


def refuse(params: Params) -> str:
    return none_of(params, engine=ENGINES, directions=DIRECTIONS, memory=MEMORIES) or too_few(
        params, seconds=0.1, streams=1
    )


def refuse_latency(params: Params) -> str:
    return none_of(params, engine=LATENCY_ENGINES) or too_few(params, seconds=0.1, size_bytes=1)


def none_of(params: Params, **choices: Sequence[str]) -> str:
    for key, known in choices.items():
        if params[key] not in known:
            return f"{key}: {params[key]!r} is none of {', '.join(known)}"
    return ""


def too_few(params: Params, **least: float) -> str:
    for key, bound in least.items():
        if float(str(params[key])) < bound:
            return f"{key}: {params[key]} is less than {bound:g}"
    return ""


TRIALS = (
    Trial(
        "pair_bandwidth",
        "disjoint pairs by perftest, iperf3 or built-in TCP, both directions apart or at once",
        plan,
        ask,
        parse,
        yields=(Bandwidth,),
        params={
            "seconds": 5.0,
            "streams": 4,
            "engine": "auto",
            "directions": "apart",
            "memory": "host",
        },
        partners=2,
        refuse=refuse,
    ),
    Trial(
        "pair_latency",
        "an RDMA read, or half a round trip by built-in TCP, between disjoint pairs",
        plan,
        ask_latency,
        parse,
        yields=(Latency,),
        params={"seconds": 2.0, "size_bytes": 64, "engine": "auto"},
        partners=2,
        refuse=refuse_latency,
    ),
)

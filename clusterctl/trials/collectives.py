"""Collective operations among many nodes: what a job's own traffic would reach, and get right."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from clusterctl.model import Collective, Group, Node, Params, Question, Round, Trial
from clusterctl.trials.collective_rows import OPERATIONS, parse
from clusterctl.trials.cpu_burn import SLACK_S
from clusterctl.trials.flows import MEETING_S, STALL_S, meeting, rail_addresses

ENGINES = ("auto", "nccl-tests", "hccl_test", "pytorch", "built-in")
LAUNCHERS = ("ssh", "mpirun", "srun")
RINGS = ("auto", "forced")
START_S = 120.0  # importing torch from a network file system, opening devices
SIZE = re.compile(r"(\d{1,15})([KMG]?)")
TIMES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
LARGEST = 1 << 36
MODULES = (
    *("trial", "near_nic", "pair_tcp", "json_lines", "other_python", "ring_tcp"),
    *("torch_devices", "torch_ranks", "collective_engines"),
)
PARAMS: Params = {
    "sizes": ["8M", "64M"],
    "engine": "auto",
    "seconds": 2.0,
    "rounds": 20,
    "per": "all",
    "rail": -1,
    "ranks": 0,
    "ring": "auto",
    "launcher": "ssh",
    "device": "auto",
    "python": "",
    "tool": "",
    "limit_s": 300.0,
}


def plan(nodes: Sequence[Node], _rng: Random) -> Iterator[Round]:
    """All of them; `per` divides them."""
    if nodes:
        yield (tuple(nodes),)


def divide(group: Group, params: Params) -> Round:
    """`per`: all, node, pair, or a label such as rack or leaf whose nodes belong together."""
    per = str(params["per"])
    if per == "node":
        return tuple((node,) for node in group)
    if per == "pair":
        return tuple(group[at : at + 2] for at in range(0, len(group) - 1, 2))
    alike: dict[str, list[Node]] = {}
    for node in group:
        alike.setdefault("" if per == "all" else node.labels.get(per, ""), []).append(node)
    return tuple(tuple(nodes) for nodes in alike.values() if len(nodes) > 1)


def bytes_of(text: object) -> int | None:
    """8M and 64K, of 1024; None: no size."""
    found = SIZE.fullmatch(str(text))
    size = int(found[1]) * TIMES[found[2]] if found else 0
    return size if 0 < size <= LARGEST else None


def refuse(params: Params) -> str:
    for key, known in (("engine", ENGINES), ("launcher", LAUNCHERS), ("ring", RINGS)):
        if params[key] not in known:
            return f"{key}: {params[key]!r} is none of {', '.join(known)}"
    sizes: Any = params["sizes"]
    wrong = [size for size in sizes if bytes_of(size) is None]
    if wrong or not sizes:
        return f"sizes: expected some like 8M or 1G, found {(wrong or [sizes])[0]!r}"
    for key, least in (("seconds", 0.1), ("rounds", 3), ("limit_s", 1), ("rail", -1), ("ranks", 0)):
        if float(str(params[key])) < least:
            return f"{key}: {params[key]} is less than {least:g}"
    if params["launcher"] != "ssh" and params["engine"] not in {"auto", "nccl-tests", "hccl_test"}:
        return f"launcher: {params['launcher']} starts nccl-tests or hccl_test, nothing else"
    return ""


def part_of(group: Group, rail: int) -> str:
    from ClusterShell.NodeSet import NodeSet  # noqa: PLC0415 - heavy, and --help must be instant

    names = str(NodeSet.fromlist([node.name for node in group]))
    return f"{names}/{rail}" if rail >= 0 else names


def places(node: Node, params: Params) -> list[str]:
    """The address of each of this node's ranks, unless its accelerators decide how many."""
    rails, rail, ranks = rail_addresses(node), int(str(params["rail"])), int(str(params["ranks"]))
    if rail >= 0:
        rails = (rails[min(rail, len(rails) - 1)],)
    return [rails[at % len(rails)] for at in range(ranks or len(rails))]


def ask_for(operation: str) -> Callable[[Group, int, int, Params], Question | None]:
    def ask(group: Group, index: int, seed: int, params: Params) -> Question | None:
        return question(operation, group, index, seed, params)

    return ask


def question(
    operation: str, group: Group, index: int, seed: int, params: Params
) -> Question | None:
    """Node 0 of the group reports; the others tell only what went wrong."""
    rail, limit_s = int(str(params["rail"])), float(str(params["limit_s"]))
    if any(rail >= len(rail_addresses(node)) for node in group):
        return None
    secret, ports = meeting(f"{seed} {operation} {' '.join(node.name for node in group)}")
    sizes: Any = params["sizes"]
    order = {
        **{key: params[key] for key in ("engine", "launcher", "ring", "rail", "device")},
        **{key: params[key] for key in ("python", "tool", "seconds", "rounds", "ranks")},
        "operation": operation,
        "me": index,
        "names": [node.name for node in group],
        "hosts": [node.host for node in group],
        "part": part_of(group, rail),
        "places": [places(node, params) for node in group],
        "binds": [places(node, params)[0] if bound(node) else "" for node in group],
        "ports": ports,
        "secret": secret,
        "sizes": [bytes_of(size) for size in sizes],
        "seed": seed,
        "meeting_s": MEETING_S,
        "stall_s": STALL_S,
        "start_s": START_S,
        "patience_s": limit_s + (5.0 if index else 0.0),  # node 0 says why, if it can
    }
    return Question(
        operation,
        (json.dumps(order),),
        script="collective",
        modules=MODULES,
        timeout_s=limit_s + MEETING_S + 2 * START_S + SLACK_S,
    )


def bound(node: Node) -> bool:
    """The inventory gives the node's own addresses, not merely a way to reach it."""
    return "rail_addresses" in node.labels


TRIALS = tuple(
    Trial(
        operation,
        f"{operation} among all, by the makers' tests, PyTorch or a built-in ring over TCP",
        plan,
        ask_for(operation),
        parse,
        yields=(Collective,),
        params=PARAMS,
        partners=2,
        refuse=refuse,
        divide=divide,
    )
    for operation in OPERATIONS
)

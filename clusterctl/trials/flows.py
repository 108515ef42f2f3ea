"""The two questions of one path: who listens, who calls, what goes which way, and how.

    secret, ports = meeting("round 3 n017 n018 rail 2")
    flow = Flow("n017/2", "n018/2", "10.2.0.18", bind="10.2.0.17", listens_at="10.2.0.18")
    ask_flow(flow, listener=True, secret=secret, ports=ports, seconds=3.0)    # to n018
    ask_flow(flow, listener=False, secret=secret, ports=ports, seconds=3.0)   # to n017

Both answers are read by `rows.parse`; a direction's `Bandwidth` is in exactly one of them, its
`part` "n017/2>n018/2".
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from clusterctl.model import Node, Question
from clusterctl.trials.cpu_burn import SLACK_S

FIRST_PORT, PORTS = 20000, 10000  # below Linux's ephemeral range, so no client socket is in the way
MEETING_S = 30.0  # partners start when their own conversation does
STALL_S = 20.0  # without a byte; there are two directions
TOOL_S = 60.0  # for a tool to begin and end beside its seconds, twice
ENGINES = ("auto", "perftest", "iperf3", "built-in")
WAYS = ("forward", "backward", "apart", "both", "latency")
MEMORIES = ("host", "cuda", "auto")
CLASSES = "/sys/class"
SCRIPT, MODULES = (
    "pair",
    ("trial", "near_nic", "pair_tcp", "pair_tools", "tcp_streams", "ping", "iperf3", "perftest"),
)


@dataclass(frozen=True, slots=True)
class Flow:
    """One path.  `caller` and `listener` are written as parts: n017, or n017/3 on rail 3.

    `address`: where the caller reaches the listener.  `listens_at` and `bind` are the listener's
    and the caller's own addresses, through whose interfaces it goes; empty: the route decides.
    `*_device`: an RDMA device, mlx5_3 or mlx5_3/1; empty: the one that has the address.
    `from_port`: of the caller's first TCP stream, so that a hash takes the same way again.
    """

    caller: str
    listener: str
    address: str
    bind: str = ""
    listens_at: str = ""
    caller_device: str = ""
    listener_device: str = ""
    from_port: int = 0


def rail_addresses(node: Node) -> tuple[str, ...]:
    """A node's own address on each rail: the label `rail_addresses`, "10.1.0.17 10.2.0.17 …".

    Without it one rail: the label `data_address`, else the address by which we reach it.
    """
    words = node.labels.get("rail_addresses", "").replace(",", " ").split()
    return tuple(words) or (node.labels.get("data_address") or node.host,)


def rail_devices(node: Node) -> tuple[str, ...]:
    """The RDMA device of each rail: the label `rail_devices`, "mlx5_0 mlx5_1 …"; or one empty.

    Needed only where rails have no address of their own: InfiniBand without IPoIB.
    """
    return tuple(node.labels.get("rail_devices", "").replace(",", " ").split()) or ("",)


def meeting(words: str) -> tuple[str, tuple[int, ...]]:
    """(secret, ports to try) that both ends derive from the same words."""
    secret = hashlib.sha256(words.encode()).hexdigest()
    ports = tuple(FIRST_PORT + int(secret[at : at + 8], 16) % PORTS for at in (0, 8, 16))
    return secret, ports


def ask_flow(
    flow: Flow,
    *,
    listener: bool,
    secret: str,
    ports: Sequence[int],
    seconds: float,
    streams: int = 4,
    engine: str = "auto",
    way: str = "apart",
    memory: str = "host",
    size_bytes: int = 64,
    name: str = "pair_bandwidth",
    meeting_s: float = MEETING_S,
) -> Question:
    """`way`: forward is caller to listener, backward the other; apart is one after the other and
    both is at once.  A TCP engine's receiver reports; with perftest the sender does.
    `meeting_s`: how long each waits for the other; a dead path costs that much.
    """
    me, peer = (flow.listener, flow.caller) if listener else (flow.caller, flow.listener)
    turns = 2 if way == "apart" else 1
    words = (
        "listen" if listener else "call",
        flow.address,
        ",".join(map(str, ports)),  # the first that is free where one listens
        secret,
        str(seconds),
        str(streams),
        me,
        peer,
        str(meeting_s),
        str(STALL_S),
        engine,
        way,
        flow.listens_at if listener else flow.bind,
        str(flow.from_port),
        flow.listener_device if listener else flow.caller_device,
        memory,
        str(size_bytes),
        CLASSES,
    )
    return Question(
        name,
        words,
        script=SCRIPT,
        modules=MODULES,
        timeout_s=turns * (seconds + STALL_S)
        + meeting_s
        + (0.0 if engine == "built-in" else TOOL_S)
        + SLACK_S,
    )

"""Who probes whom: partners rail by rail, and one question a node that holds all its paths."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from clusterctl.bandwidth.paths import MEETING_NODE_S, MEETING_S
from clusterctl.bandwidth.rails import Rails
from clusterctl.localise import schedule
from clusterctl.model import Question
from clusterctl.trials.flows import meeting

SECONDS = 8.0
CAP_BIT_S = 1e6  # of an interface each way, whatever it carries
SHARE = 0.01  # ... and of its own rate
CPU = 0.01  # of one processor, on each node, that messages may take
BYTES = 1400  # fills a segment: what drops only large packets drops these, too
PARTNERS = 4  # of each NIC: as many as bandwidth has rounds
STALL_S, SLACK_S = 15.0, 20.0
NAME = "paths"


def partners(rails: Rails, seed: int) -> list[tuple[int, int, int]]:
    """(caller, listener, rail), each pair of NICs once."""
    few = len(rails.nodes) <= PARTNERS + 1
    planned = schedule.plan(
        rails.topology,
        rounds=0 if few else PARTNERS,
        mode="exhaustive" if few else "default",
        rng=np.random.default_rng(seed),
    )
    columns = (planned.src, planned.dst, planned.rail)
    found: dict[tuple[frozenset[int], int], tuple[int, int, int]] = {}
    for src, dst, rail in zip(*(column.tolist() for column in columns), strict=True):
        found.setdefault((frozenset((src, dst)), rail), (src, dst, rail))
    return list(found.values())


def questions(
    rails: Rails, paths: Sequence[tuple[int, int, int]], seed: int, limits: Mapping[str, float]
) -> dict[str, Question]:
    """One a node; `limits` instead of those above, by name: seconds, cap_bit_s, share, cpu."""
    asked: defaultdict[int, list[dict[str, object]]] = defaultdict(list)
    for src, dst, rail in paths:
        ends = [f"{rails.nodes[place].name}/{rail}" for place in (src, dst)]
        secret, ports = meeting(f"paths {seed} {' '.join(ends)}")
        whole = {"name": ">".join(ends), "ports": ports, "secret": secret}
        addresses = [rails.address(place, rail, -1) for place in (src, dst)]
        there = {"address": addresses[1], "bind": addresses[0]}
        asked[src].append({**whole, **there, "role": "call"})
        asked[dst].append({**whole, "address": "", "bind": addresses[1], "role": "listen"})
    meeting_s = MEETING_S + MEETING_NODE_S * len(rails.nodes)
    order = {
        "seconds": SECONDS,
        "cap_bit_s": CAP_BIT_S,
        "share": SHARE,
        "cpu": CPU,
        **limits,
        "meeting_s": meeting_s,
        "bytes": BYTES,
    }
    return {
        rails.nodes[place].name: Question(
            NAME,
            (json.dumps({**order, "paths": few}),),
            timeout_s=meeting_s + order["seconds"] + STALL_S + SLACK_S,
            script="probe_paths",
            modules=("near_nic", "pair_tcp"),
            cap_bytes=4 << 20,
        )
        for place, few in asked.items()
    }

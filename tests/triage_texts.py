"""What nodes would say of a job: a text for each node, as remote/look_at_job.py prints it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]
WINDOW_S = 10.0
LOOKS = 100
FIRST = 17_000_000_000  # the number of the first moment


@dataclass
class Rank:
    """One rank on a node of its own: n00, n01, …; shares are of the window."""

    number: int
    does: str = "sleep"  # its main thread, while all work
    waits: str = "lock"  # while it waits for others
    late_as: str = ""  # what it does while all others wait for it; empty: it is never late
    late_looks: int = 5  # of ten
    parallel: dict[str, int] = field(default_factory=dict)  # by its command line
    run: float = 0.02
    ready: float = 0.01
    ready_at_first: float = 0.5  # of that, in the first half of the window
    held: float | None = None
    silent_ms: float | None = None  # it sent nothing at all for so long
    busy: float = 0.2  # of its connection to the next rank
    moves: float = 50e6  # bytes to the next rank
    rtt_us: float = 500.0
    lost: float = 0.0  # share of the segments it sends that never come
    deaf: float = 0.0  # share of the segments sent to it that never come
    counted: dict[str, float] = field(default_factory=dict)  # by its node, in the window
    foreign: list[list[object]] = field(default_factory=list)
    unheard: tuple[int, ...] = ()  # ranks that send to it again and again
    misses: int = 0  # of the looks, the last ones
    clock_s: float = 0.0  # so much later than the others it looks, because its clock is slow
    pid: int = 7
    job: str = "10.0.0.1:29500"


def texts(ranks: list[Rank], world: int | None = None) -> dict[str, str]:
    """A ring: each rank sends data to the next, which sends back words of readiness."""
    late = [one.number for one in ranks if one.late_as]
    by_number = {one.number: one for one in ranks}
    order = sorted(by_number)
    told = {}
    for place, number in enumerate(order):
        one = by_number[number]
        after = by_number[order[(place + 1) % len(order)]]
        before = by_number[order[place - 1]]
        rows: list[dict[str, object]] = [
            {"k": "node", "name": node(one), "cpus": 8, "ranks": 1, "seconds": WINDOW_S},
            {
                "k": "counters",
                "before": {"cpu.user": 5, **dict.fromkeys(one.counted, 1000)},
                "after": {"cpu.user": 9, **{name: 1000 + n for name, n in one.counted.items()}},
            },
            {"k": "foreign", "most": one.foreign},
            rank_row(one, late, len(order) if world is None else world, heard_ms(ranks)),
        ]
        if len(order) > 1:
            rows += [link_row(one, after, data=True), link_row(one, before, data=False)]
        rows.append({"k": "cost", "cpu_s": 0.1, "looks": LOOKS})
        told[node(one)] = printed(rows)
    return told


def printed(rows: list[dict[str, object]]) -> str:
    lines = [json.dumps(row) for row in rows]
    return "\n".join([*lines, json.dumps({"k": "end", "rows": len(lines)})]) + "\n"


def changed(told: dict[str, str], nodes: set[str], change: Callable[[Row], Row | None]) -> None:
    """Each row of some nodes; None: left out."""
    for node in nodes:
        rows = [json.loads(line) for line in told[node].splitlines()[:-1]]
        told[node] = printed([new for row in rows if (new := change(row)) is not None])


def node(one: Rank) -> str:
    return f"n{one.number:02}"


def heard_ms(ranks: list[Rank]) -> float:
    """Since something last came to anybody: others send on to who is silent."""
    return min((one.silent_ms for one in ranks if one.silent_ms is not None), default=0.0)


def rank_row(one: Rank, late: list[int], world: int, heard: float) -> dict[str, object]:
    """Steps of ten looks: in five all work, in five those that are not late wait for who is."""
    looks = []
    for at in range(LOOKS - one.misses):
        waiting = bool(late) and at % 10 >= 5
        state, sent_ms = (one.does, 30 + at % 10) if not waiting else (one.waits, 40 * (at % 5))
        if waiting and one.number in late and at % 5 < one.late_looks:
            state, sent_ms = one.late_as, 400 + 40 * (at % 5)
        come_ms: float = sent_ms
        if one.silent_ms is not None:
            state, sent_ms, come_ms = one.waits, one.silent_ms + 100 * at, heard + 100 * at
        off = 1e3 * one.clock_s if one.silent_ms is not None else 0.0
        looks.append([FIRST + at, state, sent_ms + off, come_ms + off, 0, 0, at % 3])
    grown = {"main_run_ns": one.run, "main_ready_ns": one.ready, "run_ns": one.run}
    grown["ready_ns"] = one.ready
    spent: Mapping[str, float] = {name: share * WINDOW_S * 1e9 for name, share in grown.items()}
    group = {"us": 0, "times": 0, "allowed": 2.0, "group": "/sys/fs/cgroup/job"}
    held = {**group, "us": (one.held or 0) * WINDOW_S * 1e6, "times": 90 * bool(one.held)}
    return {
        "k": "rank",
        "pid": one.pid,
        "rank": one.number,
        "label": "",
        "job": one.job,
        "world": world,
        "local": 0,
        "parallel": one.parallel,
        "name": "python3",
        "before": {"start": 1, **dict.fromkeys(spent, 0)},
        "middle": {"start": 1, "ready_ns": spent["ready_ns"] * one.ready_at_first},
        "after": {"start": 1, **spent},
        "looks": looks,
        "limit_before": None if one.held is None else group,
        "limit_after": None if one.held is None else held,
    }


def link_row(one: Rank, other: Rank, *, data: bool) -> dict[str, object]:
    """One end of the connection that carries data from a rank to the next."""
    sender, reader = (one, other) if data else (other, one)
    near, far = f"10.0.0.{one.number} {5000 + data}", f"10.0.0.{other.number} {5001 - data}"
    segments, words = 30_000, 3_000
    out, back = (segments, words) if data else (words, segments)
    gone = max(other.lost, one.deaf) * back
    marks = []
    for step in range(25):
        share = step / 24
        # Who looks too late has more of what comes, and of what the other end has.
        sent, got = (one.moves, 1e5) if data else (1e5, other.moves)
        ahead = share + one.clock_s / WINDOW_S
        cells = [out * share, (back - gone) * share, sent * ahead, got * ahead]
        marks.append([FIRST + 4 * step, *map(round, cells)])
    busy_us = sender.busy * WINDOW_S * 1e6
    after = {
        "acked": 0 if one.silent_ms is not None else one.moves if data else 1e5,
        "retransmitted": 5 * (one.number in other.unheard),
        "busy_us": busy_us if data else busy_us / 2,
        "receiver_us": 0,
        "segments_out": out,
        "segments_in": back - gone,
        "mss": 1448,
        "rtt_least_us": 400,
        "near": near,
        "far": far,
    }
    numbers = {name: 0 for name, value in after.items() if not isinstance(value, str)}
    return {
        "k": "link",
        "pid": one.pid,
        "before": {**numbers, "near": near, "far": far},
        "after": after,
        "marks": marks,
        "looks": LOOKS,
        "rtt_us": max(sender.rtt_us, reader.rtt_us),
        "unsent": 1.0 if one.number in other.unheard else 0.5,
    }


def cards(
    clock: float,
    mask: int = 0,
    power: float = 400.0,
    use: int = 100,
    *,
    width: int = 16,
    errors: int = 0,
    carries: float = 3e9,
    nvlink: int = 0,
) -> str:
    rows = [{"k": "gpu", "index": 0, "uuid": "GPU-1", "mig": False, "limit_w": 700.0}]
    rows += [{"k": "sample", "v": [0, power, clock, 60, mask, use, 1 << 30, 0, 0]}] * 3
    link = {"tx_bytes_s": carries - 1e8, "rx_bytes_s": 1e8, "errors": [5, 5 + errors], "gen": 5}
    link["nvlink_errors"] = [7, 7 + nvlink]
    return printed([*rows, {"k": "link", "index": 0, "width": width, **link}])


def without_tcp(ranks: list[Rank]) -> dict[str, str]:
    """As a job whose ranks talk over RDMA."""
    told = {}
    for node, text in texts(ranks).items():
        rows = [json.loads(line) for line in text.splitlines()[:-1]]
        for row in rows:
            for look in row.get("looks", []) if row["k"] == "rank" else []:
                look[2] = look[3] = None
        told[node] = printed([row for row in rows if row["k"] != "link"])
    return told

"""Jobs that never ran: what look_at_job and watch_gpus would print of them, step by step simulated.

Knows the formats and nothing of the judge.  Healthy is not quiet here: chips differ, daemons wake
up, interrupts gather on one node, NICs carry other people's traffic, clocks are read late, rank 0
writes checkpoints while all wait, first and last stages have more to do, and what a rank sends
beside its collectives (metrics, logs, idle bootstrap connections of NCCL) is seen, too.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, log
from random import Random

FIRST = 17_000_000_000  # the number of the first moment
MSS = 1448


@dataclass(frozen=True, slots=True)
class Shape:
    """`transport`: tcp, rdma.  `spins`: main threads wait busily.

    `saves`: nobody, all, first; logs: the first evaluates and logs, and writes nothing much.
    """

    nodes: int
    per_node: int
    stages: int
    transport: str
    step_s: float
    shares: float  # of a step, the collective
    window_s: float
    every_s: float
    noise: float  # of a step's work, relative
    cards: bool
    spins: bool
    saves: str
    swaps: bool  # all nodes
    crowded: bool  # processors: many threads a rank

    @property
    def world(self) -> int:
        return self.nodes * self.per_node

    def stage(self, rank: int) -> int:
        return rank // (self.world // self.stages)


@dataclass(frozen=True, slots=True)
class Fault:
    """`size`: of a step's work by which the rank is slower; of a NIC: see `spoiled`."""

    kind: str = ""
    rank: int = -1
    size: float = 0.0


@dataclass(slots=True)
class Step:
    began: float
    arrives: list[float]
    together: float
    done: float
    saving: dict[int, float] = field(default_factory=dict)  # seconds of each rank, at its end


@dataclass(slots=True)
class Run:
    shape: Shape
    fault: Fault
    steps: list[Step]
    rng: Random
    heavier: dict[int, float] = field(default_factory=dict)  # of a stage's work, by stage
    moments: list[float] = field(default_factory=list)  # the same on all nodes


def shape(rng: Random) -> Shape:
    nodes = rng.choices((8, 16, 32, 64, 128, 256, 512), (30, 25, 20, 12, 6, 4, 3))[0]
    per_node = rng.choice((1, 2, 4, 8) if nodes <= 64 else (1, 2) if nodes <= 256 else (1,))
    transport = rng.choice(("tcp", "tcp", "rdma"))
    return Shape(
        nodes,
        per_node,
        rng.choice((1, 1, 1, 2, 4, 8)),
        transport,
        exp(rng.uniform(log(0.1), log(30))),
        rng.uniform(0.05, 0.5),
        rng.choice((6.0, 10.0)),
        0.1 if nodes * per_node <= 128 else 0.2,
        rng.choice((0.003, 0.01, 0.02, 0.05)),
        transport == "rdma" or rng.random() < 0.4,
        rng.random() < 0.5,
        rng.choice(("nobody", "nobody", "nobody", "all", "first", "logs")),
        rng.random() < 0.1,
        rng.random() < 0.3,
    )


def run(one: Shape, fault: Fault, rng: Random) -> Run:
    """Steps until the window is over, from before it began."""
    heavier = {}
    if one.stages > 1:
        heavier = {0: rng.uniform(0, 0.3), one.stages - 1: rng.uniform(0, 0.3)}
    chips = [max(0.9, rng.gauss(1, 0.006)) for _ in range(one.world)]
    bursts = rng.uniform(0.001, 0.01)
    comm = one.step_s * one.shares
    save_at = rng.uniform(0.2, 0.8) * one.window_s
    now = -rng.uniform(0.2, 1.5) * one.step_s
    count = int(one.window_s / one.every_s)
    moments = [(at + 0.8 * rng.random()) * one.every_s for at in range(count)]
    found = Run(one, fault, [], rng, heavier, moments)
    while now < one.window_s + 1:
        work = one.step_s * (1 - one.shares)
        late = {node: rng.expovariate(10) for node in range(one.nodes) if rng.random() < bursts}
        arrives = []
        for rank in range(one.world):
            own = work * chips[rank] * max(0.5, rng.gauss(1, one.noise))
            own *= 1 + heavier.get(one.stage(rank), 0.0)
            own += late.get(rank // one.per_node, 0.0)
            arrives.append(now + own + extra(one, fault, rank, work))
        saving = {}
        if one.saves != "nobody" and now <= save_at < max(arrives):
            took = rng.uniform(0.3, 3.0)
            for rank in range(one.world) if one.saves == "all" else range(1):
                saving[rank] = took * rng.uniform(0.9, 1.1)
                arrives[rank] += saving[rank]
        together = max(arrives)
        done = together + comm * rng.lognormvariate(0, 0.1) * slower_ring(fault)
        found.steps.append(Step(now, arrives, together, done, saving))
        now = done + rng.uniform(0, 0.02) * one.step_s
    return found


LATE = frozenset({"compute", "sleep", "disk", "nfs", "swap", "cpu", "clock", "power", "quota"})


def extra(one: Shape, fault: Fault, rank: int, work: float) -> float:
    hit = rank == fault.rank
    if fault.kind in {"swap", "cpu"}:  # of a whole node
        hit = rank // one.per_node == fault.rank // one.per_node
    return fault.size * work if hit and fault.kind in LATE else 0.0


def slower_ring(fault: Fault) -> float:
    return 1 + fault.size if fault.kind == "nic" else 1.0


# ----------------------------------------------------------------------------- looks


def looks(job: Run, rank: int, behind: Sequence[float]) -> list[list[object]]:
    one, rng = job.shape, job.rng
    begins = [step.began for step in job.steps]
    idle_ms = rng.uniform(3.5e6, 3.6e6)  # NCCL's bootstrap connections, since the job began
    found: list[list[object]] = []
    for at, late in enumerate(behind):
        when = job.moments[at] + late / 1e3
        place = max(0, bisect_right(begins, when) - 1)
        step, before = job.steps[place], job.steps[max(0, place - 1)]
        state, since = doing(job, rank, when, step, before)
        silent = idle_ms + 1e3 * when if one.transport == "rdma" else max(0.0, 1e3 * since)
        if one.transport == "tcp" and rng.random() < 0.01:
            silent = rng.uniform(0, 30)  # metrics, a log line
        quantum = 4
        found.append(
            [FIRST + at, state, quantum * int(silent / quantum), int(silent), 0, 0, round(late)]
        )
    return found


def doing(job: Run, rank: int, when: float, step: Step, before: Step) -> tuple[str, float]:
    """(state, seconds since it sent)."""
    one, fault, rng = job.shape, job.fault, job.rng
    idle = "run" if one.spins else rng.choice(("wire", "lock", "lock"))
    if when >= step.together:
        if when >= step.done:
            return "run", when - step.done
        return idle, rng.uniform(0, 0.01)
    if when >= step.arrives[rank]:
        return idle, when - step.arrives[rank]
    work = (1 - one.shares) * one.step_s
    tail = step.arrives[rank] - when
    hit = extra(one, fault, rank, work)
    if hit and tail < hit:
        state = {"sleep": "sleep", "disk": "disk", "nfs": "file", "swap": "disk"}.get(
            fault.kind, "run"
        )
    elif tail < step.saving.get(rank, 0.0):
        state = "run" if one.saves == "logs" else rng.choice(("disk", "disk", "run"))
    else:
        busy = "run" if one.spins or rng.random() < 0.7 else "device"
        state = rng.choice(("lock", "file", "pipe")) if rng.random() < 0.02 else busy
    sent = before.done if before is not step else step.began - 0.1
    return state, when - sent + rng.uniform(0, 0.01)


# ----------------------------------------------------------------------------- rows


def texts(job: Run) -> dict[str, tuple[str, str]]:
    """Of each node what look_at_job and watch_gpus print."""
    one, rng = job.shape, job.rng
    found = {}
    noisy = {rng.randrange(one.nodes): rng.uniform(0.0, 0.04)}  # interrupts gather there
    moments = int(one.window_s / one.every_s)
    medians = {"ready": exp(rng.uniform(log(0.0005), log(0.02))), "swap": rng.uniform(50, 5000)}
    if one.crowded:
        medians["ready"] *= 5
    around = surroundings(job)
    for node in range(one.nodes):
        slow = 1 + 4 * (rng.random() < 0.02)
        behind = [
            min(400.0, rng.expovariate(1 / (3 * slow)) + 60 * (rng.random() < 0.02))
            for _ in range(moments)
        ]
        rows: list[dict[str, object]] = [
            {
                "k": "node",
                "name": name(node),
                "cpus": 64,
                "ranks": one.per_node,
                "seconds": one.window_s * rng.uniform(1, 1.01),
                "every": one.every_s,
                "ticks": 100,
            },
            {"k": "counters", **between(rng, counters(job, node, medians, around))},
            {"k": "foreign", "most": foreign(job, node, noisy.get(node, 0.0))},
        ]
        for rank in range(node * one.per_node, (node + 1) * one.per_node):
            rows.append(rank_row(job, rank, behind, medians["ready"], noisy.get(node, 0.0)))
            rows += link_rows(job, rank, around)
        rows.append({"k": "cost", "cpu_s": 0.1, "looks": moments})
        found[name(node)] = (printed(rows), cards(job, node) if one.cards else "")
    return found


def name(node: int) -> str:
    return f"n{node:03}"


def printed(rows: Sequence[object]) -> str:
    lines = [json.dumps(row) for row in rows]
    return "\n".join([*lines, json.dumps({"k": "end", "rows": len(lines)})]) + "\n"


def between(rng: Random, grown: dict[str, float]) -> dict[str, dict[str, float]]:
    before = {one: rng.randrange(10**9) for one in grown}
    return {"before": before, "after": {one: before[one] + grown[one] for one in grown}}


def foreign(job: Run, node: int, noise: float) -> list[list[object]]:
    one, rng = job.shape, job.rng
    ticks = 100 * one.window_s
    most = [["node_exporter", 1, int(ticks * rng.lognormvariate(log(0.004), 1))]]
    if noise:
        most.append(["ksoftirqd/3", 1, int(ticks * 2 * noise)])
    if rng.random() < 0.05:
        most.append(["updatedb", 1, int(ticks * rng.uniform(0.05, 0.6))])
    if job.fault.kind == "cpu" and node == job.fault.rank // one.per_node:
        most.append(["stress", 8, int(ticks * 8)])
    return [list(row) for row in most]


def rank_row(
    job: Run, rank: int, behind: Sequence[float], ready: float, noise: float
) -> dict[str, object]:
    one, rng, fault = job.shape, job.rng, job.fault
    hit = extra(one, fault, rank, 1.0)
    seen = looks(job, rank, behind)
    running = sum(row[1] == "run" for row in seen) / max(1, len(seen))
    waits = ready * rng.lognormvariate(0, 0.8) + noise
    lost = hit * (1 - one.shares) / (1 + hit * (1 - one.shares))
    halves = rng.betavariate(6, 6)
    if fault.kind == "cpu" and hit:
        waits, halves = waits + lost, rng.uniform(0.4, 0.6)
    whole = one.window_s * 1e9
    held = None
    if fault.kind == "quota":
        held = {"us": 0, "times": 0, "allowed": 2.0, "group": "/sys/fs/cgroup/job"}
    spent = {
        "main_run_ns": running * whole * 0.95,
        "main_ready_ns": whole * min(waits, 0.9) / (4 if one.crowded else 1),
        "run_ns": running * whole * (6 if one.crowded else 1.3),
        "ready_ns": whole * waits,
    }
    spent["read_bytes"] = rng.lognormvariate(log(5e7), 0.3)
    if one.saves != "logs" and any(rank in step.saving for step in job.steps):
        spent["write_bytes"] = 3e9
    parallel = {"pipeline": one.stages, "tensor": 1} if one.stages > 1 else {}
    return {
        "k": "rank",
        "pid": 1000 + rank % one.per_node,
        "rank": rank,
        "label": "",
        "job": "10.0.0.1:29500",
        "world": one.world,
        "local": rank % one.per_node,
        "parallel": parallel,
        "name": "python3",
        "before": {"start": 1, **dict.fromkeys(spent, 0)},
        "middle": {"start": 1, "ready_ns": spent["ready_ns"] * halves},
        "after": {"start": 1, **spent},
        "looks": seen,
        "limit_before": held,
        "limit_after": held and {**held, "us": lost * whole / 1e3 * bool(hit), "times": 50},
    }


# ----------------------------------------------------------------------------- connections


@dataclass(frozen=True, slots=True)
class Around:
    """Of the whole job: how busy rings are; `leaf`: nodes behind a fuller uplink, by how much."""

    busy: float
    leaf: frozenset[int]
    fuller: float
    spread: float
    loss: float
    discards: float


def surroundings(job: Run) -> Around:
    one, rng = job.shape, job.rng
    share = sum(step.done - step.together for step in job.steps) / max(
        1e-9, job.steps[-1].done - job.steps[0].began
    )
    begin = rng.randrange(one.nodes)
    return Around(
        share,
        frozenset((begin + at) % one.nodes for at in range(8))
        if rng.random() < 0.3
        else frozenset(),
        rng.uniform(0.0, 0.15),
        rng.uniform(0.02, 0.15),
        rng.choice((0.0, 0.0, 1e-6, 1e-5, 2e-4)),
        rng.choice((0.0, 0.0, 1.0, 30.0)),
    )


def ring(one: Shape, rank: int, ahead: int) -> int:
    """The next one of its stage."""
    size = one.world // one.stages
    first = rank // size * size
    return first + (rank - first + ahead) % size


def link_rows(job: Run, rank: int, around: Around) -> list[dict[str, object]]:
    one = job.shape
    if one.transport != "tcp" or one.world // one.stages < 2:
        return []
    after, before = ring(one, rank, 1), ring(one, rank, -1)
    return [
        link(job, rank, after, around, sends=True),
        link(job, before, rank, around, sends=False),
    ]


def link(job: Run, source: int, target: int, around: Around, *, sends: bool) -> dict[str, object]:
    """One end of the connection from one rank to the next; both ends draw the same figures."""
    one, fault = job.shape, job.fault
    rng = Random(f"{source}-{target}-{around.busy}")
    nodes = source // one.per_node, target // one.per_node
    share = around.busy * min(1.0, rng.lognormvariate(0, around.spread) * 0.8)
    if around.leaf.intersection(nodes):
        share *= 1 + around.fuller
    loss = back = around.loss * rng.expovariate(1)
    seen_rtt = rng.lognormvariate(log(300), 0.4)
    bad = fault.rank // one.per_node
    if fault.kind == "nic":
        share = around.busy if bad == nodes[0] else share / (1 + fault.size)
    if fault.kind == "loss":  # of all that comes to its node, acknowledgements too
        loss, back = loss + fault.size * (bad == nodes[1]), back + fault.size * (bad == nodes[0])
    busy_us = min(0.99, share) * one.window_s * 1e6
    segments = int(busy_us * rng.uniform(0.02, 0.08)) + 50
    words = int(segments * rng.uniform(0.1, 0.5))
    near, far = (source, target) if sends else (target, source)
    own = Random(f"{source}-{target}-{sends}-{around.busy}")
    marks = []
    for at in range(0, int(one.window_s / one.every_s), 4):
        part = at * one.every_s / one.window_s
        flying = own.expovariate(1 / 8)  # the ends are looked at some milliseconds apart
        out, come = (segments, words * (1 - back)) if sends else (words, segments * (1 - loss))
        moved = segments * MSS * part
        acked, received = (moved, 40 * words * part) if sends else (40 * words * part, moved)
        cells = [out * part + flying, come * part + flying, acked, received]
        marks.append([FIRST + at, *map(round, cells)])
    ends = {"near": address(one, near, sends, source), "far": address(one, far, not sends, source)}
    after = {
        "acked": segments * MSS if sends else 40 * words,
        "received": 40 * words if sends else segments * MSS,
        "busy_us": busy_us if sends else busy_us * own.uniform(0.1, 0.6),
        "receiver_us": 0,
        "segments_out": segments if sends else words,
        "segments_in": round(words * (1 - back) if sends else segments * (1 - loss)),
        "retransmitted": round(segments * loss) if sends else 0,
        "mss": MSS,
        "rtt_least_us": 0.7 * seen_rtt,
    }
    return {
        "k": "link",
        "pid": 1000 + near % one.per_node,
        "before": {**dict.fromkeys(after, 0), **ends},
        "after": {**after, **ends},
        "marks": marks,
        "looks": len(marks) * 4,
        "rtt_us": seen_rtt * own.uniform(0.9, 1.3),
        "unsent": 0.5,
    }


def address(one: Shape, rank: int, first: bool, source: int) -> str:
    node = rank // one.per_node
    return f"10.{node // 250}.{node % 250}.1 {20000 + 2 * source + first}"


# ----------------------------------------------------------------------------- the node


def counters(job: Run, node: int, medians: dict[str, float], around: Around) -> dict[str, float]:
    one, rng, fault = job.shape, job.rng, job.fault
    ill = fault.rank // one.per_node == node
    packets = rng.lognormvariate(log(2e6), 0.1)
    found = {
        "cpu.user": 1000.0,
        "nic.eth0.rx_packets": packets,
        "nic.eth0.tx_packets": packets * rng.uniform(0.9, 1.1),
        "nic.eth0.rx_dropped": rng.choice((0, 0, 3, 40)),
        "nic.eth1.rx_packets": rng.expovariate(1 / 800),
        "ethtool.eth0.rx_discards_phy": round(around.discards * rng.lognormvariate(0, 1.5)),
        "ethtool.eth0.rx_crc_errors_phy": int(rng.random() < 0.01),
        "ethtool.eth0.rx_prio3_pause": rng.choice((0, 0, 20, 900)) * rng.expovariate(1),
        "ethtool.eth1.rx_discards": rng.choice((0, 0, 4)),
        "pressure.memory.some": rng.lognormvariate(log(3e3), 2),
        "memory.pswpin": 0.0,
        "memory.pswpout": 0.0,
        "memory.pgscan_direct": rng.choice((0.0, 0.0, 0.0, rng.lognormvariate(4, 2))),
        "memory.numa_hit": rng.lognormvariate(log(2e6), 0.5),
        "memory.numa_miss": rng.lognormvariate(log(300), 1.5) * (rng.random() < 0.7),
    }
    if one.swaps:
        found["memory.pswpin"] = medians["swap"] * rng.lognormvariate(0, 0.8)
    elif rng.random() < 0.02:
        found["memory.pswpout"] = rng.lognormvariate(5, 1)  # a daemon's
    if one.transport == "rdma":
        found |= rdma(rng, packets)
    if rng.random() < 0.9:
        count = round(rng.lognormvariate(log(200), 1))
        found["nfs./data.READ.operations"] = count
        found["nfs./data.READ.rtt_ms"] = count * rng.lognormvariate(log(2), 0.4)
    if ill:
        spoil(found, fault, packets)
    return found


def rdma(rng: Random, packets: float) -> dict[str, float]:
    """Adaptive routing puts packets out of order by the thousand, and unevenly."""
    port = "rdma.mlx5_0/1."
    return {
        port + "port_xmit_packets": packets * 5,
        port + "port_rcv_packets": packets * 5,
        port + "port_xmit_data": packets * 1e3,
        port + "out_of_sequence": rng.lognormvariate(6, 2),
        port + "packet_seq_err": rng.choice((0, 0, 0, 2)),
        port + "np_cnp_sent": rng.lognormvariate(5, 2),
        port + "roce_adp_retrans": rng.choice((0, 0, 5)),
    }


def one_window(fault: Fault) -> float:
    """Seconds of six in which somebody waits for memory."""
    return 6 * fault.size / (1 + fault.size)


def spoil(found: dict[str, float], fault: Fault, packets: float) -> None:
    if fault.kind == "nic":
        found |= {"queue.eth0.drops": 40 * fault.size, "now.backlog.eth0": 3e5}
    if fault.kind == "swap":
        found["memory.pswpin"] += 2e5 * fault.size
        found["pressure.memory.some"] = 1e6 * one_window(fault)
    if fault.kind == "nfs":
        found["nfs./data.READ.operations"] = 200
        found["nfs./data.READ.rtt_ms"] = 200 * 2 * (1 + 100 * fault.size)
    if fault.kind == "port":
        found["ethtool.eth0.rx_discards_phy"] += packets * fault.size
        if "rdma.mlx5_0/1.packet_seq_err" in found:
            found["rdma.mlx5_0/1.packet_seq_err"] += packets * 5 * fault.size


# ----------------------------------------------------------------------------- accelerators


def cards(job: Run, node: int) -> str:
    """Power and clock scatter from chip to chip, and by place in the chassis (Sinha, SC '22)."""
    one, rng, fault = job.shape, job.rng, job.fault
    rows: list[object] = []
    waits = 1.0 - fault.size / (1 + fault.size) if fault.kind == "power" else 1.0
    links = []
    for index in range(one.per_node):
        rank = node * one.per_node + index
        hot = 1 + 0.004 * index
        power = 560 * rng.gauss(1, 0.035) * hot * (1 + 0.2 * job.heavier.get(one.stage(rank), 0.0))
        clock = 1755 * (1 - abs(rng.gauss(0, 0.012))) / hot
        hit = rank == fault.rank
        if fault.kind == "power" and not hit:
            power = 220 + (power - 220) * waits
        if fault.kind == "clock" and hit:
            clock /= 1 + fault.size
        mask = 0x4 | (0x20 if rng.random() < 0.005 else 0)
        rows.append({"k": "gpu", "index": index, "uuid": f"G{rank}", "mig": False, "limit_w": 700})
        for at in range(int(one.window_s)):
            flow = int(at * 5e9 * rng.uniform(0.9, 1.1))
            cells = [index, power * rng.gauss(1, 0.05), clock * rng.gauss(1, 0.005), 60]
            use = min(100, round(rng.gauss(97, 3)))
            rows.append({"k": "sample", "v": [*cells, mask, use, flow, flow, 0]})
        errors = [7, 7 + (rng.random() < 0.02) * round(rng.expovariate(0.1))]
        carried = {way: rng.lognormvariate(log(1e9), 0.5) for way in ("tx_bytes_s", "rx_bytes_s")}
        row = {"k": "link", "index": index, "errors": errors, "gen": 5, "width": 16}
        links.append({**row, **carried})
    return printed([*rows, *links])

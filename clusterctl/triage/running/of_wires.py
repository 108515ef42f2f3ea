"""Candidates among the NICs: one that carries slowly, one that loses, a fabric that is full."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from math import log1p
from statistics import mean, median

from clusterctl.triage.running.candidates import (
    LEAST,
    MOST_SURE,
    Candidate,
    highest,
    listed,
    percent,
    slower,
)
from clusterctl.triage.running.job import Job
from clusterctl.triage.running.of_stages import UNSURE
from clusterctl.triage.running.roles import STAGE, VOTERS, vote
from clusterctl.triage.running.wires import (
    FEWEST_SEGMENTS,
    RECEIVES,
    SENDS,
    Flow,
    Nic,
    data,
    nics,
)
from clusterctl.triage.verdict import Cause, Suspect

# Loss that a healthy path in a data centre does not have: 1 in 1000 already holds TCP over 10
# Gbit/s and 1 ms below a tenth of it (Mathis et al., CCR 1997: rate <= MSS / RTT / sqrt(loss)).
LOSS = 1e-3
# Ends are looked at some milliseconds apart: so many segments may be on their way in between.
UNDER_WAY = 20
SHORTEST_S = 0.05  # below it, the kernel's clock is too coarse to speak of a rate
FEWEST_LOST = 4  # of one partner
CONGESTED = (
    "rx_ecn_mark",
    "np_cnp_sent",
    "rp_cnp_handled",
    "np_ecn_marked_roce_packets",
    "port_xmit_wait",
    "packet_seq_err",
    "out_of_sequence",
    "rnr_nak_retry_err",
    "local_ack_timeout_err",
)


def slow(job: Job, told: Sequence[Flow]) -> Iterator[Candidate]:
    """The node whose connections are busy while everybody else's of their role wait for them."""
    moved = data(told)
    groups = of_flows(job, moved)
    busy: dict[str, float] = {}
    for one in moved:
        busy[path(one)] = max(one.busy, busy.get(path(one), 0.0))
    voted = vote(busy, groups, error=0.02)
    if voted is None:
        yield from one_way(job, moved)
        return
    worst = voted.found
    usual = typical(moved, groups, busy)
    over = [(one, one.busy - usual[path(one)]) for one in moved]
    nodes = {node for one in moved for node in one.ends}
    by_node = {node: mean(more for one, more in over if node in one.ends) for node in nodes}
    busiest = most_likely(job, by_node, nics(moved))
    rest = [more for one, more in over if busiest not in one.ends]
    # Where some connections are busy and some are not, it is no one node's doing.
    if worst.excess < LEAST or any(more > worst.excess / 2 for more in rest):
        return
    share = max(more for one, more in over if busiest in one.ends)
    sure = min(worst.confidence, highest_sure(by_node), UNSURE if voted.alone else MOST_SURE)
    ways = [nic for nic in nics(moved) if nic.node == busiest]
    nic = max(ways, key=lambda one: (queued(job, one), one.busy))
    why = (
        *speed(nic, [one for one in moved if busiest not in one.ends], worst.middle),
        *([f"held against {voted.among}"] if groups[worst.name] else []),
        *queue(job, nic),
    )
    suspect = Suspect(nic.called, ranks(job, nic.node), nic.node, slower(share), sure, why)
    yield Candidate(Cause.NETWORK, share, sure, why, (suspect,))


def most_likely(job: Job, by_node: Mapping[str, float], every: Sequence[Nic]) -> str:
    """The one whose connections are busiest; of two ends as busy, the one whose queue stands."""
    most = max(by_node.values())
    near = {node for node, busy in by_node.items() if most - busy < LEAST}
    holds = {nic.node for nic in every if queued(job, nic)}
    return max(near, key=lambda node: (node in holds, by_node[node]))


def speed(nic: Nic, others: Sequence[Flow], middle: float) -> list[str]:
    """What a NIC's connections do, and those of other nodes."""
    timed = [one.rate for one in others if one.rate and one.busy * one.seconds > SHORTEST_S]
    usual = f", others {median(timed) * 8 / 1e6:.1f} Mbit/s" if timed else ""
    rate = min((one.rate for one in nic.flows if one.rate), default=0.0)
    return [
        (
            f"its connections are busy {percent(nic.busy)} of the time, those of others "
            f"{percent(median(one.busy for one in others) if others else middle)}"
        ),
        f"while busy it {nic.way} {rate * 8 / 1e6:.1f} Mbit/s{usual}",
        f"round trip {nic.flows[0].rtt_us / 1e3:.1f} ms",
    ]


def path(one: Flow) -> str:
    return f"{one.source.node}>{one.target.node}"


Groups = dict[str, list[tuple[Hashable, str]]]


def of_flows(job: Job, moved: Sequence[Flow]) -> Groups:
    """Groups for `vote`, by path: what a stage sends to another, or shares within itself."""
    stages = {(one.node, one.pid): its.stage for one, its in zip(job.ranks, job.roles, strict=True)}
    found: Groups = {}
    for one in sorted(moved, key=lambda one: one.busy):  # a path is its busiest connection
        ends = [stages.get((rank.node, rank.pid)) for rank in (one.source, one.target)]
        words = f"{STAGE} {ends[0]} to {ends[1]}"
        found[path(one)] = [] if None in ends else [(("stages", *ends), words)]
    return found


def typical(moved: Sequence[Flow], groups: Groups, busy: Mapping[str, float]) -> dict[str, float]:
    """How busy those of a path's role are; where too few have its role, itself: nobody can say."""
    by_role: defaultdict[Hashable, list[float]] = defaultdict(list)
    for one in moved:
        for key, _ in groups[path(one)]:
            by_role[key].append(one.busy)
    every = median(one.busy for one in moved)
    medians = {key: median(told) for key, told in by_role.items() if len(told) > VOTERS}
    told = {
        name: [medians[key] for key, _ in levels if key in medians]
        for name, levels in groups.items()
    }
    return {
        name: found[0] if found else busy[name] if groups[name] else every
        for name, found in told.items()
    }


def one_way(job: Job, moved: Sequence[Flow]) -> Iterator[Candidate]:
    """Two nodes have no peers but the other way; nothing here tells which of the two it is."""
    ways = {path(one): one for one in sorted(moved, key=lambda one: one.busy)}  # its busiest
    if len(ways) != 2:
        return
    busier, other = sorted(ways.values(), key=lambda one: -one.busy)
    if busier.ends != other.ends or not (busier.rate and other.rate):
        return
    if busier.rate * 2 > other.rate:
        return
    share = busier.busy - other.busy
    slower, faster = (f"{one.rate * 8 / 1e6:.1f} Mbit/s" for one in (busier, other) if one.rate)
    shown = f"one way is busy {percent(busier.busy)} of the time at {slower}"
    why = (f"{shown}, the other {percent(other.busy)} at {faster}",)
    ends = ((busier.source.node, SENDS), (busier.target.node, RECEIVES))
    suspects = tuple(
        Suspect(f"{node} {way}", ranks(job, node), node, other.rate / busier.rate, 0.5, why)
        for node, way in ends
    )
    yield Candidate(Cause.NETWORK, share, 0.5, why, suspects)


def highest_sure(by_node: dict[str, float]) -> float:
    """With a ring, two nodes share each slow connection: the next one tells how sure we are."""
    ordered = sorted(by_node.values(), reverse=True)
    if len(ordered) < 3:
        return 0.5  # both ends of the only path
    first, second, rest = ordered[0], ordered[1], median(ordered[2:])
    return MOST_SURE if first - second > LEAST + (second - rest) / 4 else 0.6


def queued(job: Job, nic: Nic) -> bool:
    """Whether this node's own queue says that it holds back what is sent."""
    return nic.way == SENDS and bool(queue(job, nic))


def queue(job: Job, nic: Nic) -> list[str]:
    seen = job.nodes[nic.node]
    told = []
    for name, grown in seen.spent.items():
        kind, _, rest = name.partition(".")
        if kind == "queue" and rest.endswith(".drops") and nic.way == SENDS and grown > 0:
            told.append(f"the queue of {rest[:-6]} dropped {grown:.0f} packets of its own")
        if kind == "nic" and grown > 0 and ("_dropped" in rest or "_errors" in rest):
            told.append(f"{rest} {grown:.0f}")
    waiting = {name[8:]: one for name, one in seen.now.items() if name.startswith("backlog.")}
    told += [f"{one:.0f} bytes wait in the queue of {name}" for name, one in waiting.items() if one]
    return told


def ranks(job: Job, node: str) -> tuple[int, ...]:
    return tuple(one.rank for one in job.ranks if one.node == node and one.rank is not None)


def lossy(job: Job, told: Sequence[Flow]) -> Iterator[Candidate]:
    """The NIC that loses segments one way, of whichever partner, acknowledgements too.

    A queue that TCP itself fills drops data of the one connection that fills it, hardly anything
    else; twice the window either way is allowed for.
    """
    every = nics(told)
    usual = [one.own_loss for one in data(told)]
    limit = max(LOSS, 4 * median(usual)) if usual else LOSS
    found = [nic for nic in every if nic.lost > UNDER_WAY and loss(nic) > limit]
    if not found:
        return
    if len(found) > 2 and len(found) * 2 > len(every):
        shown = listed([f"{nic.called} {percent(nic.lost / nic.out)}" for nic in found])
        full = (f"{len(found)} of {len(every)} NICs lose segments at once: {shown}",)
        yield Candidate(Cause.CONGESTION, extra(told, found[0]), MOST_SURE, full)
        return
    worst = max(found, key=loss)
    sure = min(MOST_SURE if len(worst.pairs) > 1 else 0.5, alone_in_losing(told, worst))
    shown = "; ".join(f"{lost:.0f} of {out:.0f}" for out, lost in worst.pairs[:3])
    why: tuple[str, ...] = (
        (
            f"{worst.lost:.0f} of {worst.out:.0f} segments never came "
            f"({percent(worst.lost / worst.out)}, {worst.way}); by partner: {shown}"
        ),
        "by both ends' own count; elsewhere "
        + most_lost([nic for nic in every if nic.node != worst.node and nic not in found]),
        *queue(job, worst),
    )
    share = extra(told, worst)
    suspect = Suspect(worst.called, ranks(job, worst.node), worst.node, slower(share), sure, why)
    yield Candidate(Cause.NETWORK, share, sure, why, (suspect,))


def alone_in_losing(told: Sequence[Flow], worst: Nic) -> float:
    """How sure it loses more than NICs that its node has nothing to do with, by logarithms."""
    rest = nics(one for one in told if worst.node not in one.ends)
    usual = median([nic.out for nic in rest] or [0.0])
    values = {
        nic.called: log1p(loss(nic) * usual)
        for nic in (*rest, worst)
        if nic.pairs and nic.out >= FEWEST_SEGMENTS
    }
    found = highest(values, error=1.0, of=[worst.called])
    return found.confidence if found else MOST_SURE


def loss(nic: Nic) -> float:
    """Of the partner that loses second most: what one connection does to itself is no fault."""
    pairs = nic.pairs
    if not pairs:
        return 0.0
    out, lost = pairs[min(1, len(pairs) - 1)]
    return lost / out if lost > FEWEST_LOST else 0.0


def extra(told: Sequence[Flow], nic: Nic) -> float:
    """Of the window, by which its connections are busier than others; never below nothing."""
    others = [one.busy for one in data(told) if nic.node not in one.ends]
    return max(0.0, nic.busy - median(others)) if others else 0.0


def most_lost(rest: Sequence[Nic]) -> str:
    worst = max(rest, key=lambda nic: nic.lost / nic.out if nic.out else 0.0, default=None)
    if worst is None or not worst.out:
        return "nothing was counted"
    return f"at most {worst.lost:.0f} of {worst.out:.0f} ({worst.called})"


def marked(job: Job) -> Iterator[Candidate]:
    """What RDMA NICs and switches say of a full fabric: CNPs, ECN marks, pauses, on most nodes."""
    names: dict[str, list[str]] = {}
    for node, seen in job.nodes.items():
        for name, grown in seen.spent.items():
            kind, _, rest = name.partition(".")
            word = rest.partition(".")[2]
            if kind in {"rdma", "ethtool"} and grown > 0 and of_a_full_fabric(word):
                names.setdefault(word, []).append(node)
    most = {word: nodes for word, nodes in names.items() if 2 * len(set(nodes)) > len(job.nodes)}
    if most and len(job.nodes) > 2:
        shown = listed([f"{word} on {len(set(nodes))} nodes" for word, nodes in most.items()])
        why = (f"counters of a full fabric rise on most nodes at once: {shown}",)
        yield Candidate(Cause.CONGESTION, 0.0, 0.5, why)


def of_a_full_fabric(word: str) -> bool:
    """Pauses that are received hold back; those that are sent are the node's own doing."""
    return word.startswith(CONGESTED) or ("rx" in word and ("pause" in word or "pfc" in word))


def quiet(told: Sequence[Flow]) -> str:
    """What rules the network out, in figures."""
    moved = data(told)
    if not moved:
        return "no TCP connection between two of its nodes carried anything"
    busy = [one.busy for one in moved]
    lost, out = sum(one.lost or 0 for one in told), sum(one.out for one in told)
    return (
        f"connections are busy {percent(median(busy))} of the time, none more than "
        f"{percent(max(busy))}; {lost:.0f} of {out:.0f} segments lost"
    )

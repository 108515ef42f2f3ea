"""The candidate where nothing moves: who went silent first, or is not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from clusterctl.triage.ranks import ranks_word
from clusterctl.triage.running.candidates import Candidate
from clusterctl.triage.running.devices import owned
from clusterctl.triage.running.job import Job, silences
from clusterctl.triage.running.lateness import TICK_MS
from clusterctl.triage.running.observed import Link, Look, Process
from clusterctl.triage.running.of_ranks import DOING, INPUT, STACKS, number, states
from clusterctl.triage.verdict import Cause, Suspect

STORAGE = "look at the file system that they read, from one of the nodes: does `ls` return?"
CLOCK = "nothing came to it after that, so it may be only its node's clock that is wrong"
PULSE_BYTES = 4096.0
RDMA_SENT = (".port_xmit_data", ".tx_roce_bytes", ".port_xmit_packets")
AT_WORK = frozenset({"run", "device"})
AHEAD_S = 2 * TICK_MS / 1e3


def stuck(job: Job) -> Iterator[Candidate]:
    """No rank got a byte to another between the readings: which of the causes it is."""
    if len(job.ranks) < 2 or not all(still(job, rank) for rank in job.ranks):
        return
    dead = unanswered(job)
    if not dead and computing(job):
        return
    seconds = min(job.nodes[rank.node].seconds for rank in job.ranks)
    common = f"no rank got a byte to another for {seconds:.0f} s"
    reads = [rank for rank in job.ranks if share_of(rank, INPUT) > 0.9]
    if job.missing:
        yield nowhere(job, dead, common)
    elif dead:
        yield cut_off(dead, common)
    elif 2 * len(reads) > len(job.ranks):
        why = (common, f"main threads wait for a disk or a file, {reads[-1].called}'s among them")
        yield Candidate(Cause.DATA, 1.0, 0.9, why, stuck=True, next_step=STORAGE)
    else:
        yield went_first(job, common)


def nowhere(job: Job, dead: Mapping[str, int], common: str) -> Candidate:
    """Ranks that nobody saw; accused only where a node that would have them has none."""
    ranks = ranks_word(job.missing)
    where = [*silences(job.silent), *(f"{one} answers nothing" for one in dead)]
    why = (common, f"{ranks} of {job.world} nowhere to be seen: ended, or not looked for", *where)
    if job.silent or not short(job):
        return Candidate(Cause.WORKER, 1.0, 0.5, why, stuck=True)
    suspect = Suspect(ranks, job.missing, "", None, 0.9, why)
    return Candidate(Cause.WORKER, 1.0, 0.9, why, (suspect,), stuck=True)


def short(job: Job) -> bool:
    """Whether a node that told all it has, has fewer ranks than others: the rest were not asked."""
    here = Counter(rank.node for rank in job.ranks)
    most = max(here.values())
    return any(here[node] < most for node, seen in job.nodes.items() if not seen.troubles)


def share_of(rank: Process, names: frozenset[str]) -> float:
    seen = states(rank)
    return sum(seen.get(one, 0.0) for one in names)


def went_first(job: Job, common: str) -> Candidate:
    """The one that was silent before the others were, or is not where they are."""
    odd = minority(job.ranks)
    looks = last_looks(job.ranks)
    silent = [(look.sent_ms or 0.0) - look.behind_ms for look in looks]
    place = max(range(len(silent)), key=lambda at: silent[at])
    first = job.ranks[place]
    ahead_s = (silent[place] - max(silent[:place] + silent[place + 1 :])) / 1e3
    if only_met(job):
        return off_tcp(odd, common)
    if ahead_s <= AHEAD_S and odd is not None:
        first = odd  # nobody went first, and nobody else is where it is
    # What came to it later is told by its own clock; without that, its clock may be wrong.
    shown = after_it_sent_s(looks[place]) > ahead_s / 2
    sure = 0.5 + 0.4 * (ahead_s > AHEAD_S and (shown or odd is first)) + 0.05 * (odd is first)
    if odd is not None and odd is not first:
        sure -= 0.2  # two of them are unlike the others
    told = (
        common,
        f"{first.called} went silent {ahead_s:.2f} s before anyone else: the others sent on, "
        "and then waited for it"
        if ahead_s > AHEAD_S
        else "all went silent at once",
        f"its main thread {DOING.get(mostly(first), mostly(first))}"
        + (", and no other rank's does" if odd is first else ""),
        *([CLOCK] if ahead_s > AHEAD_S and not shown else []),
    )
    suspect = Suspect(
        f"{first.called} on {first.node}", number(first), first.node, None, sure, told
    )
    return Candidate(Cause.WORKER, 1.0, sure, told, (suspect,), stuck=True, next_step=STACKS)


def only_met(job: Job) -> bool:
    """Its connections carried no more than what ranks tell each other at the start.

    That is some words of every rank (ncclBootstrapAllGather, bootstrap.cc of NCCL).
    """
    carried = [
        mark.acked + mark.received
        for path in job.paths
        for link in (path.near, path.far)
        for mark in link.marks.values()
    ]
    if job.paths and not carried:
        return False  # nobody counted
    return max(carried, default=0) < PULSE_BYTES * max(job.world or 0, len(job.ranks))


def off_tcp(odd: Process | None, common: str) -> Candidate:
    """When each was last heard over TCP tells nothing: only where a main thread is."""
    told = (common, "its connections were only used to meet: they do not tell who went silent")
    if odd is None:
        return Candidate(Cause.WORKER, 1.0, 0.5, told, stuck=True, next_step=STACKS)
    doing = DOING.get(mostly(odd), mostly(odd))
    why = (*told, f"{odd.called}: its main thread {doing}, and no other rank's does")
    suspect = Suspect(f"{odd.called} on {odd.node}", number(odd), odd.node, None, 0.55, why)
    return Candidate(Cause.WORKER, 1.0, 0.55, why, (suspect,), stuck=True, next_step=STACKS)


def cut_off(dead: Mapping[str, int], common: str) -> Candidate:
    """Kernels acknowledge even for a process that hangs: who does not is not reached."""
    most = max(dead.values())
    suspects = tuple(
        Suspect(
            name,
            (),
            name,
            None,
            0.9 if count == most else 0.5,
            (
                common,
                f"{count} connections to it send the same data again and again: no answer",
            ),
        )
        for name, count in sorted(dead.items(), key=lambda one: -one[1])
    )
    return Candidate(Cause.NETWORK, 1.0, 0.9, suspects[0].why, suspects, stuck=True)


def unanswered(job: Job) -> dict[str, int]:
    """node, or address -> connections to it on which data is sent again and never acknowledged."""
    names = {
        link.near.partition(" ")[0]: link.node for seen in job.nodes.values() for link in seen.links
    }
    found: Counter[str] = Counter()
    for link in links(job):
        sent_again = link.spent.get("retransmitted", 0.0)
        if sent_again > 0 and not link.spent.get("acked", 0.0) and link.unsent > 0.9:
            address = link.far.partition(" ")[0]
            found[names.get(address, address)] += 1
    return dict(found)


def links(job: Job, rank: Process | None = None) -> list[Link]:
    """Of the job's ranks, or of one."""
    if rank is not None:
        return [link for link in job.nodes[rank.node].links if link.pid == rank.pid]
    owners = {(one.node, one.pid) for one in job.ranks}
    return [
        link
        for seen in job.nodes.values()
        for link in seen.links
        if (link.node, link.pid) in owners
    ]


def moved(job: Job, rank: Process | None = None) -> float:
    """Bytes that surely arrived, either way."""
    return sum(
        one.spent.get("acked", 0.0) + one.spent.get("received", 0.0) for one in links(job, rank)
    )


def elsewhere(job: Job) -> bool:
    """Its ranks talk over RDMA or NVLink: connections that say nothing are left from their start.

    Of an RDMA port port_xmit_data counts four bytes (InfiniBand, PortCounters), and of a port
    that has no such counter, packets.
    """
    nodes = {rank.node for rank in job.ranks}
    carried = sum(
        grown
        for node in nodes
        for name, grown in job.nodes[node].spent.items()
        if name.startswith("rdma.") and name.endswith(RDMA_SENT)
    )
    carried += sum(gpu.nvlink_bytes or 0.0 for gpu in owned(job).values())
    between = sum(
        path.near.spent.get("acked", 0.0) + path.far.spent.get("acked", 0.0) for path in job.paths
    )
    return between < PULSE_BYTES * len(job.ranks) <= carried


def computing(job: Job) -> bool:
    """Most main threads of most ranks: as in a step that is longer than the window."""
    shares = [share_of(rank, AT_WORK) for rank in job.ranks if rank.looks]
    return bool(shares) and median(shares) > 0.5


def still(job: Job, rank: Process) -> bool:
    """It got nothing through and nothing came, but for the pulse of the store where ranks meet.

    Sending again what nobody acknowledges is not progress.
    """
    sent = last_sent(rank)
    if sent is None:
        return False
    return sent >= 900 * job.nodes[rank.node].seconds or moved(job, rank) < PULSE_BYTES


def last_sent(rank: Process) -> float | None:
    """Milliseconds before its last look that it last sent anything."""
    told = [look.sent_ms - look.behind_ms for look in rank.looks[-1:] if look.sent_ms is not None]
    return told[0] if told else None


def after_it_sent_s(look: Look) -> float:
    """How long after it last sent, something came to it."""
    if look.sent_ms is None or look.come_ms is None:
        return 0.0
    return (look.sent_ms - look.come_ms) / 1e3


def mostly(rank: Process) -> str:
    return max(states(rank).items(), key=lambda one: one[1], default=("other", 0.0))[0]


def last_looks(ranks: Sequence[Process]) -> list[Look]:
    """Of each rank, its look at the last moment at which all were seen; else its own last one."""
    seen = [{look.moment: look for look in rank.looks} for rank in ranks]
    shared = set.intersection(*(set(one) for one in seen))
    return [one[max(shared or one)] for one in seen]


def minority(ranks: Sequence[Process]) -> Process | None:
    """The only rank whose main thread is elsewhere than the others'."""
    most = [mostly(rank) for rank in ranks]
    counted = Counter(most)
    alone = [rank for rank, state in zip(ranks, most, strict=True) if counted[state] == 1]
    return alone[0] if len(alone) == 1 else None

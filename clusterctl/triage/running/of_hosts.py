"""Candidates among the nodes: processors that others use, limits of groups, input for all."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from clusterctl.triage.running.candidates import (
    LEAST,
    MOST_SURE,
    Candidate,
    listed,
    percent,
    slower,
)
from clusterctl.triage.running.job import Job
from clusterctl.triage.running.lateness import Arrivals
from clusterctl.triage.running.observed import Process, Seen
from clusterctl.triage.running.of_pauses import writes
from clusterctl.triage.running.of_ranks import INPUT, crowd, held, states
from clusterctl.triage.running.roles import VOTERS, mates, of_stage, vote
from clusterctl.triage.verdict import Cause, Suspect


def ready(rank: Process, seconds: float) -> float:
    """Of the window, how long its threads together could have run and were not let."""
    return (rank.spent or {}).get("ready_ns", 0.0) / 1e9 / seconds if seconds else 0.0


def waits_for_cpu(job: Job) -> dict[int, float]:
    return {
        place: ready(rank, job.nodes[rank.node].seconds) for place, rank in enumerate(job.ranks)
    }


def held_share(job: Job, rank: Process) -> float:
    seconds = job.nodes[rank.node].seconds
    return min(1.0, rank.limit.held_s / seconds) if rank.limit and seconds else 0.0


def halves(job: Job) -> list[dict[str, float]]:
    """The same of each half of the window, by place; one whole where no middle was read."""
    whole = {str(place): one for place, one in waits_for_cpu(job).items()}
    first = {}
    for place, rank in enumerate(job.ranks):
        if rank.first_half and "ready_ns" in rank.first_half:
            seconds = job.nodes[rank.node].seconds / 2
            first[str(place)] = rank.first_half["ready_ns"] / 1e9 / seconds if seconds else 0.0
    if len(first) < len(whole):
        return [whole]
    return [first, {place: max(0.0, 2 * whole[place] - first[place]) for place in whole}]


def starved(job: Job, told: Arrivals) -> Iterator[Candidate]:
    """The rank whose threads wait for a processor far more than its peers' do, all the time.

    Who waited in one half of the window only met a burst, as all do now and then.  And something
    else must show it: others wait for it, or somebody else had its processors.
    """
    groups = {str(place): of_stage(one) for place, one in enumerate(job.roles)}
    whole = vote({str(at): one for at, one in waits_for_cpu(job).items()}, groups, error=0.02)
    if whole is None:
        return
    worst, voted = whole.found, [vote(one, groups, error=0.02) for one in halves(job)]
    found = [one.found if one else None for one in voted]
    if any(one is None or one.name != worst.name for one in found):
        return
    if any(one is not None and one.excess < LEAST for one in found):
        return
    sure = min(one.confidence for one in (*found, worst) if one is not None)
    rank = job.ranks[int(worst.name)]
    seconds = job.nodes[rank.node].seconds
    latest = max(told.late, key=lambda place: told.late[place].share, default=None)
    awaited = latest == int(worst.name) and told.late[latest].share >= LEAST
    if not awaited and held_share(job, rank) < LEAST > taken(job.nodes[rank.node]):
        return
    why = [
        (
            f"its threads were able to run and not let for {worst.value * seconds:.1f} of "
            f"{seconds:.0f} s, those of its peers for {worst.middle * seconds:.1f} s"
        ),
        *([f"held against {whole.among}"] if job.roles[int(worst.name)].stage is not None else []),
        *crowd(job, rank),
    ]
    if rank.limit and held_share(job, rank) > LEAST:
        why.insert(0, held(rank, seconds))
    share = min(worst.excess, 0.9)
    ranks = () if rank.rank is None else (rank.rank,)
    suspect = Suspect(rank.node, ranks, rank.node, slower(share), sure, tuple(why))
    yield Candidate(Cause.HOST, share, sure, tuple(why), (suspect,))


def taken(seen: Seen) -> float:
    """Of the node's processors, the share that others had: other processes, other guests."""
    foreign = sum(spent for _, _, spent in seen.foreign)
    ticks = sum(grown for name, grown in seen.spent.items() if name.startswith("cpu."))
    stolen = seen.spent.get("cpu.steal", 0.0) / ticks if ticks else 0.0
    return stolen + (foreign / (seen.cpus * seen.seconds) if seen.seconds else 0.0)


def limited(job: Job) -> Iterator[Candidate]:
    """Ranks whose group may use no more CPU: one of them, or all alike."""
    shares = {place: held_share(job, rank) for place, rank in enumerate(job.ranks)}
    if not shares:
        return
    place = max(shares, key=lambda one: shares[one])
    peers = mates(job.roles, place)
    peers = peers if len(peers) >= VOTERS else [at for at in shares if at != place]
    others = median([shares[at] for at in peers] or [0.0])
    if shares[place] < LEAST:
        return
    rank = job.ranks[place]
    why = (held(rank, job.nodes[rank.node].seconds),)
    if shares[place] - others > LEAST:
        ranks = () if rank.rank is None else (rank.rank,)
        share = shares[place] - others
        told = (*why, f"its {len(peers)} peers were held {percent(others)} of the time")
        suspect = Suspect(rank.node, ranks, rank.node, slower(share), MOST_SURE, told)
        yield Candidate(Cause.HOST, share, MOST_SURE, told, (suspect,))
    elif others > LEAST:
        alike = f"{len(peers) + 1} of {len(job.ranks)} ranks' groups reach their CPU limits alike"
        all_of_them = (f"{alike}: {why[0]}",)
        yield Candidate(Cause.HOST, others, MOST_SURE, all_of_them, next_step="raise the CPU limit")


def all_wait_for_input(job: Job) -> Iterator[Candidate]:
    """Main threads that wait for files lose that time, whoever else does."""
    told = [sum(states(rank).get(one, 0.0) for one in INPUT) for rank in job.ranks if rank.looks]
    if len(told) < 2 or median(told) < 2 * LEAST:
        return
    why = (
        (
            f"every rank's main thread waits for its input {percent(median(told))} of the time, "
            f"from {percent(min(told))} to {percent(max(told))}"
        ),
        *disks(job),
    )
    saves = 2 * sum(writes(rank) for rank in job.ranks) > len(job.ranks)
    cause = Cause.CHECKPOINT if saves else Cause.DATA
    yield Candidate(cause, median(told), MOST_SURE, why)


def disks(job: Job) -> list[str]:
    """The slowest disk or mount between the readings."""
    found: list[tuple[float, str]] = []
    for node, seen in job.nodes.items():
        for name, grown in seen.spent.items():
            if name.startswith("nfs.") and name.endswith(".operations") and grown > 0:
                took = seen.spent.get(name[:-10] + "rtt_ms", 0.0) / grown
                found.append((took, f"{node} {name[4:-11]}: {took:.1f} ms an operation"))
            if name.startswith("disk.") and name.endswith(".reads") and grown > 0:
                took = seen.spent.get(name[:-5] + "read_ms", 0.0) / grown
                found.append((took, f"{node} {name[5:-6]}: {took:.1f} ms a read"))
    return [f"slowest: {max(found)[1]}"] if found else []


# ----------------------------------------------------------------------------- ruled out


def fair(job: Job) -> str:
    """What rules hosts out, in figures."""
    waits = waits_for_cpu(job)
    if not waits:
        return "no rank was seen"
    place = max(waits, key=lambda one: waits[one])
    told = [
        (
            f"threads wait for a processor {percent(median(waits.values()))} of the time, at most "
            f"{percent(waits[place])} ({job.ranks[place].called})"
        )
    ]
    limits = [rank for rank in job.ranks if held_share(job, rank) > 0]
    told.append(
        f"{len(limits)} ranks reached a CPU limit" if limits else "no rank reached a CPU limit"
    )
    odd = [
        f"{node} {name}"
        for node, seen in job.nodes.items()
        for name in ("memory.pswpin", "memory.oom_kill", "cpu.throttled")
        if seen.spent.get(name, 0) > 0
    ]
    if odd:
        told.append(f"but {listed(odd)} rose")
    return "; ".join(told)

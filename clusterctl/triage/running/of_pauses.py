"""Candidates that pass: garbage collection now here, now there; a checkpoint that is written."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from clusterctl.triage.running.candidates import LEAST, Candidate, beyond_chance, percent
from clusterctl.triage.running.job import Job
from clusterctl.triage.running.lateness import Arrivals, Late
from clusterctl.triage.running.observed import Process
from clusterctl.triage.running.roles import usual
from clusterctl.triage.verdict import Cause

SEEN_LOOKS = 1.5  # of a pause, on average: what is only ever seen once may have been a moment
ONCE = "in one stretch, and once is a habit of nobody"
# Of one stretch, unless it is rank 0's, which logs, evaluates and saves for all.
LIKELY, DUTY = 0.6, 0.45
LONGER = "look again, and longer: --seconds 60"


def main_share(rank: Process, name: str, seconds: float) -> float:
    """Of the window, by the kernel's own count of the main thread: main_run_ns, main_ready_ns."""
    return (rank.spent or {}).get(name, 0.0) / 1e9 / seconds if seconds else 0.0


def over_usual(job: Job, told: Arrivals) -> dict[int, float]:
    """Of the moments, those at which it was waited for beyond what is usual in its stage."""
    shares = {place: one.share for place, one in told.late.items()}
    typical = usual(job.roles, shares)
    return {place: one - typical[place] for place, one in shares.items()}


def only_once(one: Late, share: float, rest: float) -> bool:
    """Beyond its longest stretch it is waited for no more than others: `rest`, of the next one."""
    return share - one.longest < max(one.longest / 4, rest) and one.longest <= 0.5


def writes(rank: Process) -> bool:
    """More than it reads: to disks, or where it uses none, at all."""
    spent = rank.spent or {}
    out, into = spent.get("write_bytes", 0.0), spent.get("read_bytes", 0.0)
    return out > into if out or into else spent.get("wchar", 0.0) > spent.get("rchar", 0.0)


def at_most(rank: Process) -> float:
    """How sure one stretch makes us of a rank."""
    return LIKELY if rank.rank else DUTY


def saves(rank: Process, worst: Late, *, once: bool) -> bool:
    """It writes while others wait for it: at a disk, or for once."""
    stored = sum(worst.states.get(state, 0) for state in ("disk", "file"))
    at_a_disk = 2 * stored > sum(worst.states.values())
    return writes(rank) and (at_a_disk or once)


def in_one_stretch(rank: Process, state: str) -> bool:
    """Four in five of the looks that saw it lie as closely, and within half of the window."""
    seen = [at for at, look in enumerate(rank.looks) if look.state == state]
    most = max(1, round(0.8 * len(seen)))
    spans = [last - first + 1 for first, last in zip(seen, seen[most - 1 :], strict=False)]
    return bool(spans) and min(spans) <= min(2 * most, len(rank.looks) / 2)


def checkpoint(rank: Process, share: float, moments: int) -> Candidate:
    why = (
        (
            f"all others waited for {rank.called} at {percent(share)} of {moments} "
            "moments, and it writes more than it reads"
        ),
    )
    return Candidate(Cause.CHECKPOINT, share, 0.6, why)


def moving(job: Job, told: Arrivals) -> Iterator[Candidate]:
    """Now one rank computes while all wait, now another: pauses that no part is to blame for."""
    if len(told.late) < 3:
        return
    share, over = told.share, list(over_usual(job, told).values())
    most = max(one.share for one in told.late.values())
    running = sum(one.states.get("run", 0) for one in told.late.values())
    looks = sum(sum(one.states.values()) for one in told.late.values())
    if share < LEAST or sum(over) < LEAST or max(over) > min(0.75 * share, sum(over) / 2):
        return
    if running < looks / 2:
        return
    spent = [
        (
            main_share(rank, "main_run_ns", job.nodes[rank.node].seconds),
            main_share(rank, "main_ready_ns", job.nodes[rank.node].seconds),
        )
        for rank in (job.ranks[place] for place in told.late)
    ]
    run, ready = (median(column) for column in zip(*spent, strict=True))
    if run < LEAST or ready > 2 * run:
        return  # nobody computes much: processors were busy, now here, now there
    spells = sum(one.spells for one in told.late.values())
    looks_each = sum(one.share for one in told.late.values()) * told.moments / max(1, spells)
    if looks_each < SEEN_LOOKS:
        return  # over by the next look: the noise of many ranks, and no pauses
    length = looks_each * min(job.nodes[rank.node].seconds for rank in job.ranks) / told.moments
    why = (
        (
            f"at {percent(share)} of {told.moments} moments one rank computes and all others wait, "
            f"and it is {len(told.late)} ranks in turn, none of them at more than {percent(most)}"
        ),
        (
            f"{spells} pauses, {length:.2f} s each; meanwhile the rank's main "
            "thread runs, and waits neither for data nor for a lock"
        ),
        f"main threads run {percent(run)} of the time and wait for a processor {percent(ready)}",
    )
    sure = min(0.8, beyond_chance(spells, told.moments, 0.01, 1))
    yield Candidate(Cause.GC, share, sure, why)

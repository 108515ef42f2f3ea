"""The candidate where nothing moves: who went silent first, or is not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from clusterctl.inventory.ranges import fold
from clusterctl.triage.candidates import Candidate
from clusterctl.triage.job import Job
from clusterctl.triage.lateness import TICK_MS
from clusterctl.triage.observed import Process
from clusterctl.triage.of_ranks import DOING, INPUT, STACKS, number, states
from clusterctl.triage.verdict import Cause, Suspect

STORAGE = "look at the file system that they read, from one of the nodes: does `ls` return?"
AHEAD_S = 2 * TICK_MS / 1e3


def stuck(job: Job) -> Iterator[Candidate]:
    """No rank sent a byte and none computed between the readings: who went silent first."""
    if len(job.ranks) < 2 or not job.ranks:
        return
    quiet = [rank for rank in job.ranks if still(rank, job.nodes[rank.node].seconds)]
    if len(quiet) < len(job.ranks) or not any(last_sent(rank) for rank in job.ranks):
        return
    seconds = min(job.nodes[rank.node].seconds for rank in job.ranks)
    common = f"no rank sent a byte to another for {seconds:.0f} s, and none computed"
    if job.missing:
        ranks = fold([str(one) for one in job.missing])
        why = (common, f"rank {ranks} of {job.world} is nowhere: it ended, or was not seen")
        suspect = Suspect(f"rank {ranks}", job.missing, "", None, 0.9, why)
        yield Candidate(Cause.WORKER, 1.0, 0.9, why, (suspect,), stuck=True)
        return
    reads = [rank for rank in job.ranks if sum(states(rank).get(one, 0.0) for one in INPUT) > 0.9]
    if 2 * len(reads) > len(job.ranks):
        why = (common, f"{len(reads)} of {len(job.ranks)} main threads wait for a disk or a file")
        yield Candidate(Cause.DATA, 1.0, 0.9, why, stuck=True, next_step=STORAGE)
        return
    odd = minority(job.ranks)
    silent = since_sent(job.ranks)
    place = max(range(len(silent)), key=lambda at: silent[at])
    first = job.ranks[place]
    ahead_s = (silent[place] - max(silent[:place] + silent[place + 1 :])) / 1e3
    if ahead_s <= AHEAD_S and odd is not None:
        first = odd  # nobody went first, and nobody else is where it is
    sure = 0.5 + 0.4 * (ahead_s > AHEAD_S) + 0.05 * (odd is first)
    if odd is not None and odd is not first:
        sure -= 0.2  # two of them are unlike the others
    state = next(iter(states(first)), "other")
    told = (
        common,
        (
            f"{first.called} went silent {ahead_s:.2f} s before anyone else: the others sent on, "
            "and then waited for it"
            if ahead_s > AHEAD_S
            else "all went silent at once"
        ),
        f"its main thread {DOING.get(state, state)}"
        + (", and no other rank's does" if odd is first else ""),
    )
    suspect = Suspect(
        f"{first.called} on {first.node}", number(first), first.node, None, sure, told
    )
    yield Candidate(Cause.WORKER, 1.0, sure, told, (suspect,), stuck=True, next_step=STACKS)


def still(rank: Process, seconds: float) -> bool:
    """It kept silent and hardly ran; one that spins while it waits is still too."""
    sent = last_sent(rank)
    return sent is not None and sent >= 900 * seconds


def last_sent(rank: Process) -> float | None:
    """Milliseconds before its last look that it last sent anything."""
    told = [look.sent_ms - look.behind_ms for look in rank.looks[-1:] if look.sent_ms is not None]
    return told[0] if told else None


def since_sent(ranks: Sequence[Process]) -> list[float]:
    """Of each rank, ms since it last sent anything, at the last moment at which all were seen."""
    seen = [{look.moment: look for look in rank.looks} for rank in ranks]
    shared = set.intersection(*(set(one) for one in seen))
    if not shared:
        return [last_sent(rank) or 0.0 for rank in ranks]
    looks = [one[max(shared)] for one in seen]
    return [(look.sent_ms or 0.0) - look.behind_ms for look in looks]


def minority(ranks: Sequence[Process]) -> Process | None:
    """The only rank whose main thread is elsewhere than the others'."""
    most = [max(states(rank).items(), key=lambda one: one[1])[0] for rank in ranks]
    counted = Counter(most)
    alone = [rank for rank, state in zip(ranks, most, strict=True) if counted[state] == 1]
    return alone[0] if len(alone) == 1 else None

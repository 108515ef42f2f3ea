"""The candidate that no part is to blame for: a pipeline stage that was given more to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from clusterctl.triage.running.candidates import LEAST, Candidate, beyond_chance, listed, percent
from clusterctl.triage.running.job import Job
from clusterctl.triage.running.lateness import Arrivals
from clusterctl.triage.running.roles import VOTERS, mates
from clusterctl.triage.verdict import Cause

UNSURE = 0.45  # of what a stage's work may explain, too: it is told, and accuses nobody
# What more work in a stage looks like: it computes longer; it may read samples, too.
WORK = frozenset({Cause.WORKER, Cause.DATA})
AT_WORK = ("run", "device", "disk", "file", "pipe")


def heavier(job: Job, told: Arrivals) -> Iterator[Candidate]:
    """The stage all of whose ranks are waited for alike."""
    stages = {one.stage for one in job.roles if one.stage is not None}
    if len(stages) < 2 or not told.moments:
        return
    shares = {
        stage: median(
            told.late[at].share if at in told.late else 0.0
            for at, one in enumerate(job.roles)
            if one.stage == stage
        )
        for stage in stages
    }
    ordered = sorted(shares, key=lambda stage: -shares[stage])
    first = ordered[0]
    share, rest = shares[first], shares[ordered[1]]
    own = [at for at, one in enumerate(job.roles) if one.stage == first]
    if share < LEAST or share < 2 * rest or len(own) < 2:
        return
    spells = sum(one.spells for one in told.late.values())
    hits = sum(told.late[at].spells for at in own if at in told.late)
    sure = beyond_chance(hits, spells, len(own) / len(job.ranks), len(stages))
    why = (
        (
            f"all {len(own)} ranks of stage {first} are waited for alike, at {percent(share)} of "
            f"{told.moments} moments; those of stage {ordered[1]} at {percent(rest)}"
        ),
    )
    yield Candidate(Cause.STAGE, share, sure, why)


def may_carry_more(job: Job, place: int, seen: Mapping[str, int]) -> bool:
    """Nobody else has its stage's work, so its work may be what takes longer; `seen`: states."""
    if not job.roles or job.roles[place].stage is None or mates(job.roles, place):
        return False
    return sum(seen.get(state, 0) for state in AT_WORK) > sum(seen.values()) / 2


def alone(job: Job, place: int, share: float, why: Sequence[str]) -> Candidate:
    rank = job.ranks[place]
    line = (
        f"{rank.called} on {rank.node} is all of stage {job.roles[place].stage}: nothing tells a "
        "stage with more to do from a rank that does it more slowly"
    )
    return Candidate(Cause.STAGE, share, 0.6, (line, *why))


def peers_of(job: Job, place: int, typical: float) -> list[str]:
    """Against whom lateness was held, where stages are known."""
    stage = job.roles[place].stage if job.roles else None
    if stage is None:
        return []
    others = mates(job.roles, place)
    few = "" if len(others) >= VOTERS else ", which is few"
    if not others:
        return [f"nobody else is of stage {stage}: held against all ranks, whose work may differ"]
    return [f"the {len(others)} others of stage {stage}{few}: at {percent(typical)}"]


def downstream(job: Job, late: Sequence[int], place: int) -> list[str]:
    """Those of its pipeline that seem as late because they wait for it."""
    names = [job.ranks[at].called for at in late if at != place]
    return [f"{listed(names)} of the same pipeline wait for it themselves"] if names else []

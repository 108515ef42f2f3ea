"""Candidates among the ranks: one that comes late, one that is elsewhere, pauses that move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from statistics import median

from clusterctl.triage.running import of_pauses, of_stages
from clusterctl.triage.running.candidates import (
    LEAST,
    Candidate,
    beyond_chance,
    listed,
    percent,
    slower,
)
from clusterctl.triage.running.job import Job
from clusterctl.triage.running.lateness import Arrivals, Late
from clusterctl.triage.running.observed import Process
from clusterctl.triage.running.of_pauses import main_share, over_usual
from clusterctl.triage.running.roles import of_stage, vote
from clusterctl.triage.verdict import Cause, Suspect

DOING = {
    "run": "is able to run",
    "sleep": "sleeps by itself (nanosleep)",
    "disk": "waits for a disk",
    "file": "waits for a file",
    "pipe": "waits for another process of its own",
    "lock": "waits in a lock",
    "wire": "waits for a connection",
    "device": "is in a call of a device's driver",
    "child": "waits for a child",
    "stopped": "is stopped by a signal or a debugger",
    "other": "waits in the kernel",
}
INPUT = frozenset({"disk", "file", "pipe"})
STACKS = "look at its stacks: clusterctl triage says which line, where py-spy may look"


def states(rank: Process) -> dict[str, float]:
    seen = Counter(look.state for look in rank.looks)
    return {state: count / seen.total() for state, count in seen.items()}


def late(job: Job, told: Arrivals) -> Iterator[Candidate]:
    """The rank, or the node, for which all others wait, and what it does meanwhile.

    By as much as it is waited for more than the others of its stage: a stage may have more to do.
    """
    if not told.late or not told.moments:
        return
    over = over_usual(job, told)
    place = max(over, key=lambda at: over[at])
    behind_it = chain(job, over, place)
    place = max(behind_it, key=lambda at: (busy_with_own(told.late[at]), over[at]))
    rank, worst, share = job.ranks[place], told.late[place], over[place]
    together = [at for at in over if job.ranks[at].node == rank.node]
    whole = any(over[at] > share / 2 for at in together if at != place)
    apart = [at for at in over if at not in behind_it and not (whole and at in together)]
    rest = max((over[at] for at in apart if at != place), default=0.0)
    if share < LEAST or share < 2 * rest:
        return
    sure = drawn(job, told, {place, *(set(over) - set(behind_it))}, share)
    weighed = more_than_others(job, rank, worst)
    cause, doing, hints = cause_of(job, rank, worst, weighed)
    once = of_pauses.only_once(worst, share, rest)
    if of_pauses.saves(rank, worst, once=once):
        yield of_pauses.checkpoint(rank, share, told.moments)
        return
    sure = min(sure, of_pauses.at_most(rank)) if once else sure
    if whole and cause is Cause.WORKER:
        cause = Cause.HOST
    why = (
        (
            f"all others wait for it at {percent(worst.share)} of {told.moments} moments, "
            f"{worst.spells} times in all; for the next one at {percent(max(rest, 0.0))}"
        ),
        f"meanwhile its main thread {doing}",
        *hints,
        *([of_pauses.ONCE] if once else []),
        *of_stages.peers_of(job, place, worst.share - share),
        *of_stages.downstream(job, behind_it, place),
    )
    if of_stages.may_carry_more(job, place, worst.states) and cause in of_stages.WORK:
        yield of_stages.alone(job, place, share, why)
        return
    name = rank.node if whole or cause is Cause.HOST else f"{rank.called} on {rank.node}"
    ranks = [one for at in (together if whole else [place]) for one in number(job.ranks[at])]
    suspect = Suspect(name, tuple(ranks), rank.node, slower(share), sure, why)
    step = of_pauses.LONGER if once else STACKS if cause is Cause.WORKER else ""
    doing_most = max(weighed, key=lambda state: weighed[state])
    yield Candidate(cause, share, sure, why, (suspect,), next_step=step, doing=doing_most)


def drawn(job: Job, told: Arrivals, among: Collection[int], share: float) -> float:
    """How sure it is no chance that this one was waited for so often.

    Each stretch of waiting is one draw; that of the longest ones counts by its length.
    """
    spells = sum(told.late[at].spells for at in among)
    hits = int(spells * share / sum(told.late[at].share for at in among))
    return beyond_chance(min(hits, spells), spells, 1 / len(job.ranks), len(job.ranks))


def chain(job: Job, over: Mapping[int, float], place: int) -> list[int]:
    """Ranks of the same pipeline that are as late: all but one of them wait for the one."""
    own = job.roles[place].replica if job.roles else None
    return [
        at
        for at in over
        if at == place
        or (own is not None and job.roles[at].replica == own and over[at] > over[place] / 2)
    ]


def busy_with_own(one: Late) -> float:
    """Of the looks while others waited for it, those at which it waited for nobody itself."""
    total = sum(one.states.values())
    return 1 - sum(one.states.get(state, 0) for state in ("wire", "lock")) / total if total else 0.0


def number(rank: Process) -> tuple[int, ...]:
    return () if rank.rank is None else (rank.rank,)


def more_than_others(job: Job, rank: Process, worst: Late) -> dict[str, float]:
    """Its looks while the others wait, less what everybody does in a step.

    A sleep or a read that all have in every step makes nobody late, though it ends late where
    something else does.
    """
    own = states(rank)
    others = [states(one) for one in job.ranks if one is not rank and one.looks]
    weighed: dict[str, float] = {}
    for state, count in worst.states.items():
        usual = median(one.get(state, 0.0) for one in others) if state in OWN and others else 0.0
        weighed[state] = count * max(0.0, 1 - usual / own[state]) if usual else float(count)
    return weighed if any(weighed.values()) else {**worst.states}


def cause_of(
    job: Job, rank: Process, worst: Late, weighed: Mapping[str, float]
) -> tuple[Cause, str, list[str]]:
    """By what its main thread does while the others wait; `weighed`: see more_than_others."""
    total = sum(weighed.values())
    state = max(weighed, key=lambda one: weighed[one])
    count, every = worst.states[state], sum(worst.states.values())
    doing = f"{DOING.get(state, state)} ({count} of {every} looks)"
    seconds = job.nodes[rank.node].seconds
    hints: list[str] = []
    inputs = sum(weighed.get(one, 0.0) for one in INPUT)
    busy_crew = sum(rank.crew_looks.get(one, 0.0) for one in ("disk", "file"))
    if inputs > total / 2 or (
        state in {"lock", "wire"} and busy_crew > sum(rank.crew_looks.values()) / 2
    ):
        return Cause.DATA, doing, reading(rank, busy_crew, seconds)
    if weighed.get("run", 0.0) > total / 2:
        return running(job, rank, doing, seconds)
    return Cause.WORKER, doing, hints


def reading(rank: Process, busy_crew: float, seconds: float) -> list[str]:
    read = (rank.spent or {}).get("read_bytes", 0.0) + rank.crew_spent.get("read_bytes", 0.0)
    told = [f"it read {read / seconds / 1e6:.2f} MB/s from disks"] if seconds else []
    if busy_crew:
        told.append(f"so do {rank.crew} loaders of its own")
    return told


def running(job: Job, rank: Process, doing: str, seconds: float) -> tuple[Cause, str, list[str]]:
    """Able to run: it computes, or it is not let."""
    run = main_share(rank, "main_run_ns", seconds)
    ready = main_share(rank, "main_ready_ns", seconds)
    if rank.limit and rank.limit.held_s > LEAST * seconds:
        return Cause.HOST, doing, [held(rank, seconds)]
    hint = f"it ran {percent(run)} of the time and was able to, and not let, {percent(ready)}"
    if ready > run:
        return Cause.HOST, doing, [hint, *crowd(job, rank)]
    return Cause.WORKER, doing, [hint]


def held(rank: Process, seconds: float) -> str:
    limit = rank.limit
    if limit is None:
        return ""
    allowed = f" of {limit.allowed:g} processors" if limit.allowed is not None else ""
    return (
        f"its group reached its CPU limit{allowed} {limit.times} times in {seconds:.0f} s "
        f"and was held {limit.held_s:.1f} s ({limit.group})"
    )


def crowd(job: Job, rank: Process) -> list[str]:
    """Who else used the node's processors."""
    seen = job.nodes[rank.node]
    most = [f"{count} {name} {spent:.1f} s" for name, count, spent in seen.foreign if spent > 0.1]
    if not most:
        return ["no other process of the node used its processors"]
    return [f"others used the node's {seen.cpus} processors meanwhile: {listed(most)}"]


# ----------------------------------------------------------------------------- without arrivals

OWN = ("sleep", "disk", "file", "pipe", "stopped", "child")


def apart(job: Job) -> Iterator[Candidate]:
    """Where nobody knows who arrives last: the rank whose main thread is elsewhere than others'.

    Waiting for other ranks is none of these states, so who is in one works on something of its own.
    """
    for state in OWN:
        by_place = {
            str(place): states(rank).get(state, 0.0)
            for place, rank in enumerate(job.ranks)
            if rank.looks
        }
        looks = min((len(rank.looks) for rank in job.ranks if rank.looks), default=0)
        groups = {name: of_stage(job.roles[int(name)]) for name in by_place}
        told = vote(by_place, groups, error=0.5 / max(1, looks) ** 0.5)
        if told is None or told.found.excess < LEAST:
            continue
        worst, sure = told.found, told.found.confidence
        if told.alone and state in INPUT:  # some stages read the data, and others do not
            sure = min(sure, of_stages.UNSURE)
        rank = job.ranks[int(worst.name)]
        once = of_pauses.in_one_stretch(rank, state)
        if once and of_pauses.writes(rank):
            yield of_pauses.checkpoint(rank, worst.value, len(rank.looks))
            continue
        sure = min(sure, of_pauses.at_most(rank)) if once else sure
        cause = Cause.DATA if state in INPUT else Cause.WORKER
        own, typical = percent(worst.value), percent(worst.middle)
        why = (
            f"its main thread {DOING[state]} {own} of the time, that of its peers {typical}",
            f"held against {told.among}",
            *([of_pauses.ONCE] if once else []),
        )
        share = min(worst.excess, 0.99)
        named = f"{rank.called} on {rank.node}"
        suspect = Suspect(named, number(rank), rank.node, slower(share), sure, why)
        yield Candidate(cause, share, sure, why, (suspect,), next_step=STACKS, doing=state)

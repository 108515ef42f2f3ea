"""The verdict on a job that runs, by two readings of every node.  Pure.

Every explanation is a candidate with the share of the time it costs and how sure the figures make
us; the one that weighs most is the answer, the others are what was ruled out, in figures too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

from clusterctl.triage.ranks import folded
from clusterctl.triage.running import (
    of_gpus,
    of_hosts,
    of_pauses,
    of_ranks,
    of_signals,
    of_stages,
    of_wires,
)
from clusterctl.triage.running.candidates import LEAST, SURE, Candidate, listed, percent
from clusterctl.triage.running.clocks import astray
from clusterctl.triage.running.devices import owned
from clusterctl.triage.running.gpu_links import gpu_links
from clusterctl.triage.running.job import Job
from clusterctl.triage.running.lateness import Arrivals, arrivals, enough
from clusterctl.triage.running.observed import Process
from clusterctl.triage.running.of_hangs import PULSE_BYTES, elsewhere, moved, still, stuck
from clusterctl.triage.running.ports import ports
from clusterctl.triage.running.signals import signals
from clusterctl.triage.running.wires import Flow, flows
from clusterctl.triage.verdict import NO_CULPRIT, Cause, RuledOut, Triage

FEWEST_MOMENTS = 12  # who is late at a quarter of all shows at one of them, 97 times in 100
# A fault that shows itself, a lossy NIC say, is one even where TCP hides what it costs.
SHOWN = frozenset({Cause.NETWORK, Cause.CONGESTION})


def judge(job: Job) -> Triage:
    """The whole answer from counters alone; see `combined` for stacks."""
    if not job.ranks:
        why = "no process of the job was found on the nodes that answered"
        return Triage(Cause.UNKNOWN, evidence=(why,), unseen=job.unseen, next_step=FIND)
    wrong = astray(job)
    if wrong:
        lines = (
            f"{node}: its clock is {abs(s):.1f} s {'slow' if s > 0 else 'fast'}, so when its "
            "ranks arrive is not known"
            for node, s in sorted(wrong.items())
        )
        job = replace(job, unseen=(*job.unseen, *lines))
    if elsewhere(job):
        job = replace(job, ranks=tuple(map(silenced, job.ranks)), paths=())
    told = arrivals([silenced(rank) if rank.node in wrong else rank for rank in job.ranks])
    carried = flows(job)
    odd = [*signals(job), *ports(job), *gpu_links(job)]
    every = [of_signals.supported(one, odd) for one in candidates(job, told, carried)]
    every += of_signals.lossy(job, odd)
    found = sorted(every, key=lambda one: -one.weight)
    best = next((one for one in found if counts(one)), None)
    if best is None:
        answer = nothing_wrong(job, told, carried, found)
        return replace(answer, evidence=(*answer.evidence, *of_signals.noted(job, odd)))
    return Triage(
        best.cause,
        slowdown=best.slowdown,
        suspects=() if best.cause in NO_CULPRIT else best.suspects,
        ruled_out=tuple(ruled_out(job, told, carried, found, best)),
        confidence=best.confidence,
        evidence=() if best.suspects else best.why,
        next_step=best.next_step,
        unseen=job.unseen,
    )


def silenced(rank: Process) -> Process:
    """Without when it last sent: it was looked at, at other moments than the rest."""
    return replace(rank, looks=tuple(replace(look, sent_ms=None) for look in rank.looks))


FIND = (
    "say whose processes: --pids n01:123,124; ranks are known by RANK and WORLD_SIZE in their "
    "environment, or by their Slurm job or pod"
)


def candidates(job: Job, told: Arrivals, carried: Sequence[Flow]) -> Iterator[Candidate]:
    hung = list(stuck(job))
    if hung:
        yield from hung
        return
    yield from of_stages.heavier(job, told)
    yield from of_ranks.late(job, told)
    yield from of_pauses.moving(job, told)
    yield from of_wires.slow(job, carried)
    yield from of_wires.lossy(job, carried)
    yield from of_wires.marked(job)
    yield from of_hosts.limited(job)
    yield from of_hosts.starved(job, told)
    yield from of_hosts.all_wait_for_input(job)
    yield from of_gpus.slowed(job)
    yield from of_gpus.drawing(job)
    if not told.moments:
        yield from of_ranks.apart(job)


def counts(one: Candidate) -> bool:
    """Sure enough, and dear enough unless the fault shows itself."""
    return (
        one.stuck
        or (one.confidence >= SURE and (one.share >= LEAST or one.cause in SHOWN))
        or (one.share >= 4 * LEAST and one.confidence >= 0.5)
    )


def nothing_wrong(
    job: Job, told: Arrivals, carried: Sequence[Flow], found: Sequence[Candidate]
) -> Triage:
    """Nobody differs from its peers: said only where enough was seen to tell."""
    seen = sum(bool(rank.looks) for rank in job.ranks)
    if len(job.ranks) < 2 or seen < len(job.ranks) or (job.world or 0) > 2 * len(job.ranks):
        why = f"{seen} of {job.world or '?'} ranks could be looked at: too few to compare"
        return Triage(Cause.UNKNOWN, evidence=(why,), unseen=job.unseen)
    once = next((one for one in found if of_pauses.ONCE in one.why), None)
    if once is not None and (once.confidence >= of_pauses.DUTY or once.share >= 4 * LEAST):
        line = f"{listed([one.what for one in once.suspects])}: {once.why[0]}"
        lines = (line, *once.why[1:], spends(job))
        step = of_pauses.LONGER
        return Triage(Cause.UNKNOWN, evidence=lines, next_step=step, unseen=job.unseen)
    if doubt := next(doubts(job, told), ""):
        return Triage(Cause.UNKNOWN, evidence=(doubt, spends(job)), unseen=job.unseen)
    evidence = (
        f"all {len(job.ranks)} ranks are alike: nobody keeps the others waiting",
        spends(job),
    )
    return Triage(
        Cause.HEALTHY,
        slowdown=1.0,
        ruled_out=tuple(ruled_out(job, told, carried, found, None)),
        confidence=0.9 if told.moments and not job.unseen else 0.7,
        evidence=evidence,
        next_step="nothing wrong here; where it was faster before, every rank does more now: "
        "compare what they spend their time with to an earlier triage",
        unseen=job.unseen,
    )


def doubts(job: Job, told: Arrivals) -> Iterator[str]:
    """Why nobody can say that it is well, though nobody stands out."""
    busy = of_gpus.busy_gpus(job)
    if not busy and moved(job) < PULSE_BYTES * len(job.ranks):
        yield "nothing moves between its ranks, and no accelerator is busy: it may hang, or wait"
    for (node, index), gpu in owned(job).items():
        if gpu.lost:
            yield f"gpu{index} of {node} does not answer its driver: {gpu.lost}"
    if all(still(job, rank) for rank in job.ranks):
        yield (
            "nothing moves between its ranks, and main threads compute: a step that is longer "
            "than the window, or it hangs; look longer: --seconds 60"
        )
    yield from barely_seen(job, told)
    if told.share > 4 * LEAST:
        yield (
            f"at {percent(told.share)} of the moments the others wait for somebody, and nothing "
            f"tells for whom or why: now for one, now for another of {len(told.late)} ranks"
        )
    if not told.moments and not busy:
        yield (
            "no busy accelerator, and no TCP between ranks that was looked at on all nodes at "
            "the same moments: nothing shows who waits for whom"
        )
    if (job.world or 0) > len(job.ranks):
        yield (
            f"{len(job.ranks)} of {job.world} ranks were seen, and are alike; whom they wait for "
            f"may be among those that were not: {folded(job.missing)}"
        )


def barely_seen(job: Job, told: Arrivals) -> Iterator[str]:
    """Moments that are too few, ranks that only seem to be seen, nodes that may have more."""
    if 0 < told.moments < FEWEST_MOMENTS:
        yield (
            f"only {told.moments} moments were seen of enough ranks at once: who is waited for "
            "now and then is not seen; look longer: --seconds 60"
        )
    heard = heard_with_others(job.ranks)
    unheard = [
        rank.called for rank, at in zip(job.ranks, heard, strict=True) if at < FEWEST_MOMENTS
    ]
    if told.moments and unheard:
        yield (
            f"when {listed(unheard)} sent was seen hardly ever: others may wait for it, and "
            "nothing would tell"
        )
    if job.world is None and job.silent:
        yield (
            f"how many ranks there are is not known, and {len(job.silent)} nodes said nothing: "
            "whom these wait for may be there"
        )


def heard_with_others(ranks: Sequence[Process]) -> list[int]:
    """Of each, looks that tell when it last sent, at moments at which enough of the others do."""
    own = [{look.moment for look in rank.looks if look.sent_ms is not None} for rank in ranks]
    seen = Counter(moment for one in own for moment in one)
    return [sum(seen[moment] >= enough(len(ranks)) for moment in one) for one in own]


def spends(job: Job) -> str:
    """What a typical rank's main thread does, most of it first."""
    names = {state for rank in job.ranks for state in of_ranks.states(rank)}
    usual = {
        name: median(of_ranks.states(rank).get(name, 0.0) for rank in job.ranks) for name in names
    }
    most = sorted(usual.items(), key=lambda one: -one[1])[:3]
    shown = ", ".join(f"{percent(share)} {of_ranks.DOING.get(name, name)}" for name, share in most)
    return f"a rank's main thread, of the time: {shown}"


def ruled_out(
    job: Job,
    told: Arrivals,
    carried: Sequence[Flow],
    found: Sequence[Candidate],
    best: Candidate | None,
) -> Iterator[RuledOut]:
    """The other classes, each with the figures that speak against it."""
    lesser: dict[Cause, Candidate] = {}
    for one in found:
        if best is None or one.cause is not best.cause:
            lesser.setdefault(one.cause, one)
    figures = {
        Cause.WORKER: nobody_late(job, told),
        Cause.HOST: of_hosts.fair(job),
        Cause.NETWORK: of_wires.quiet(carried),
        Cause.DATA: nobody_reads(job),
    }
    for cause in (*figures, *(one for one in lesser if one not in figures)):
        if best is not None and cause is best.cause:
            continue
        if cause in lesser:
            one = lesser[cause]
            sure = f"{percent(one.share)} of the time at most, {percent(one.confidence)} sure"
            yield RuledOut(cause, f"less: {sure}: {one.why[0]}")
        elif best is None or not best.stuck:
            yield RuledOut(cause, figures[cause])


def nobody_late(job: Job, told: Arrivals) -> str:
    if not told.moments:
        return "no TCP between ranks was seen, so who arrives last is not known"
    if not told.late:
        return f"at none of {told.moments} moments did all others wait for one rank"
    place = max(told.late, key=lambda one: told.late[one].share)
    share = percent(told.late[place].share)
    return f"{job.ranks[place].called} kept the others waiting most: {share} of the time"


def nobody_reads(job: Job) -> str:
    waits = {
        rank.called: sum(of_ranks.states(rank).get(one, 0.0) for one in of_ranks.INPUT)
        for rank in job.ranks
    }
    name = max(waits, key=lambda one: waits[one])
    return f"main threads wait for files at most {percent(waits[name])} of the time ({name})"

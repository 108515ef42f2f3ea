"""From what NCCL's RAS says once or twice: who is gone, who reports an error, who is behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import nan

from clusterctl.triage.collectives.ras_seen import Communicator, Level, Place, Snapshot
from clusterctl.triage.ranks import ranks_word
from clusterctl.triage.verdict import Cause, Suspect, Triage

VICTIM = "Remote process error"  # of a rank whose peer is gone: the peer is the one to look at
STANDS = (
    "every rank launched the same operations, and none launched another between the looks: all "
    "wait in one transfer, or in the program outside of NCCL"
)
ONE_LOOK = 0.5  # counts differ for a moment in every healthy job
APART_S = 10  # enough for a job that moves to launch something
ASK_TWICE = (
    f"ask twice, {APART_S} s apart: what does not change is stuck (`clusterctl triage --ras NODE`)"
)


def triage_ras(snapshots: Sequence[Snapshot], *, unseen: Sequence[str] = ()) -> Triage:
    """The snapshots in the order they were taken; the last tells how it stands."""
    if not snapshots:
        return Triage(Cause.UNKNOWN, unseen=tuple(unseen), next_step=ASK_TWICE)
    last = snapshots[-1]
    found = [*gone(last), *erring(last)] or list(behind(snapshots))
    unseen = [*unseen]
    if last.timeouts:
        unseen.append(f"RAS itself met {last.timeouts} timeouts while it asked the ranks")
    if found:
        once = len(snapshots) == 1
        return Triage(
            Cause.WORKER,
            slowdown=nan if once and all(one.confidence <= ONE_LOOK for one in found) else None,
            suspects=tuple(sorted(found, key=lambda one: -one.confidence)),
            confidence=max(one.confidence for one in found),
            evidence=tuple(victims(last)),
            next_step="look at the suspect's process and node: `clusterctl triage --stacks`, then "
            "`clusterctl sweep` (kernel log, accelerator)"
            + ("" if len(snapshots) > 1 else f"; or {ASK_TWICE}"),
            unseen=tuple(unseen),
        )
    return nobody_named(snapshots, unseen)


def nobody_named(snapshots: Sequence[Snapshot], unseen: Sequence[str]) -> Triage:
    last = snapshots[-1]
    if len(snapshots) > 1 and moved(snapshots[0], last):
        evidence = f"operations went on between {len(snapshots)} looks: it does not hang"
        advice = "slow, not stuck: look at timelines (`clusterctl triage --trace`) or counters"
        return Triage(Cause.UNKNOWN, evidence=(evidence,), next_step=advice, unseen=tuple(unseen))
    if len(snapshots) > 1 and told_counts(last):
        return Triage(
            Cause.NETWORK,
            confidence=0.5,
            evidence=(STANDS,),
            next_step="tell which: `clusterctl triage --stacks`; then the ports of these nodes",
            unseen=tuple(unseen),
        )
    evidence = (
        f"RAS knows {len(last.communicators)} communicators with something to say, and "
        "names no rank"
    )
    return Triage(
        Cause.UNKNOWN,
        evidence=(evidence, *victims(last)),
        next_step=ASK_TWICE,
        unseen=tuple(unseen),
    )


def of_all(last: Snapshot, one: Communicator) -> bool:
    """Whether it is of every rank, so that its ranks are the job's."""
    if one.size is None or last.gpus is None:
        return len(last.communicators) == 1
    return one.size >= last.gpus


def job_ranks(last: Snapshot) -> dict[tuple[str, int, str], int]:
    """By node, process and GPU, of those that RAS knows."""
    return {
        (place.node, place.pid, place.gpu): place.rank
        for one in last.communicators
        if of_all(last, one)
        for place in one.places
        if place.pid
    }


def gone(last: Snapshot) -> Iterator[Suspect]:
    """Processes that RAS cannot reach: stopped, hung hard, or dead."""
    dead = {(one.node, one.pid) for one in last.dead}
    said: set[tuple[str, int]] = set()
    ranks: dict[tuple[str, int], set[int]] = {}
    for one in last.communicators:
        for place in one.missing if of_all(last, one) else ():
            ranks.setdefault((place.node, place.pid), set()).add(place.rank)
    for place in (*last.dead, *last.lost, *(p for c in last.communicators for p in c.missing)):
        key = (place.node, place.pid)
        if key in said or (not place.node and any(said)):
            continue
        said.add(key)
        known = tuple(sorted(ranks.get(key) or ranks.get(("", 0), set())))
        why = "RAS considers its process dead" if key in dead else "its process does not answer RAS"
        yield Suspect(
            called(place, known),
            known,
            place.node,
            confidence=0.95 if key in dead else 0.85,
            why=(why, *(("the ranks are those of its communicator",) if known else ())),
        )


def called(place: Place, ranks: Sequence[int] = ()) -> str:
    who = ranks_word(ranks) if ranks else f"process {place.pid}" if place.pid else "a process"
    return f"{who} on {place.node}" if place.node else who


def known(
    last: Snapshot, one: Communicator, place: Place, ranks: Mapping[tuple[str, int, str], int]
) -> tuple[str, tuple[int, ...], str]:
    """(what to call it, its rank in the job, its node): within a group ranks have other numbers."""
    elsewhere = ranks.get((place.node, place.pid, place.gpu))
    rank = place.rank if of_all(last, one) else elsewhere
    if rank is not None:
        return called(place, (rank,)), (rank,), place.node
    where = f" on {place.node}" if place.node else ""
    return f"rank {place.rank} of communicator {one.name}{where}", (), place.node


def erring(last: Snapshot) -> Iterator[Suspect]:
    ranks = job_ranks(last)
    for one in last.communicators:
        for place, error in one.errors:
            if error != VICTIM:
                yield Suspect(
                    *known(last, one, place, ranks),
                    confidence=0.85,
                    why=(f"it reports {error!r} in communicator {one.name}",),
                )


def victims(last: Snapshot) -> Iterator[str]:
    for one in last.communicators:
        hit = {place.rank for place, error in one.errors if error == VICTIM}
        if hit:
            whose = "" if of_all(last, one) else f" of communicator {one.name}"
            they = ranks_word(sorted(hit))
            yield f"{they}{whose} lost a peer ({VICTIM}): look for the one that ended"
        if one.status_differs:
            yield f"communicator {one.name} is being made or taken down: its ranks differ in status"


def behind(snapshots: Sequence[Snapshot]) -> Iterator[Suspect]:
    """Who has launched fewer operations than most: surely stuck where a second look is the same."""
    last = snapshots[-1]
    said: set[tuple[str, int]] = set()
    ranks = job_ranks(last)
    for one in sorted(last.communicators, key=lambda each: -(each.size or 0)):
        earlier = [
            old for each in snapshots[:-1] for old in each.communicators if old.name == one.name
        ]
        for operation, levels in one.levels.items():
            if len(levels) < 2:
                continue
            low, top = levels[0], levels[-1]
            still = bool(earlier) and all(low in old.levels.get(operation, ()) for old in earlier)
            if len(snapshots) > 1 and not still:
                continue  # it moved, or was not behind before
            few = 2 * low.count < sum(level.count for level in levels)
            for place in low.places:
                if (key := (place.node, place.pid or -place.rank)) not in said:
                    said.add(key)
                    who = known(last, one, place, ranks)
                    yield late(one, operation, who, (low, top), still=still, few=few)


def late(
    one: Communicator,
    operation: str,
    who: tuple[str, tuple[int, ...], str],
    levels: tuple[Level, Level],
    *,
    still: bool,
    few: bool,
) -> Suspect:
    low, top = levels
    sure = (0.9 if still else ONE_LOOK) if few else 0.3
    what = f"{operation} operations" if operation else "operations"
    why = [
        f"it launched {low.value} {what} in communicator {one.name}, others up to {top.value}",
        "the same in a second look: it is stuck"
        if still
        else "seen once: it may only be on its way",
    ]
    if not few:
        why.append("as many ranks are behind as are ahead")
    return Suspect(
        *who,
        slowdown=None if still else nan,
        confidence=sure,
        why=tuple(why),
    )


def told_counts(one: Snapshot) -> bool:
    return any(each.levels for each in one.communicators)


def moved(first: Snapshot, last: Snapshot) -> bool:
    """Whether any rank launched anything between two looks."""
    before = {one.name: one.levels for one in first.communicators}
    return any(
        one.name in before and highest(one.levels[op]) > highest(before[one.name].get(op, ()))
        for one in last.communicators
        for op in one.levels
        if before.get(one.name, {}).get(op)
    )


def highest(levels: Sequence[Level]) -> int:
    return max((level.value for level in levels), default=-1)

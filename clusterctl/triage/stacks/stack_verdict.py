"""From where every rank is, several times: who is not where the others wait, and how sure.

A rank that does its work while all others wait for it, look after look, is what they wait for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from clusterctl.knowledge.frames import said
from clusterctl.triage.stacks.crowd import WAITING, Crowd, at_least, chance, crowd, waits
from clusterctl.triage.stacks.places import Stay
from clusterctl.triage.stacks.stack_tree import who
from clusterctl.triage.verdict import Cause, RuledOut, Suspect, Triage

SUREST = 0.95  # looks of one node are not independent
UNSURE = 0.4
# In a job that goes on, any rank may be seen elsewhere by chance: nobody is named before that is
# rarer than one healthy job in a hundred.
CHANCE = 0.01
CAUSES = {"data": Cause.DATA, "gc": Cause.GC, "checkpoint": Cause.CHECKPOINT}
# Of the whole node, where all its ranks do this and those of other nodes do not.
OF_THE_NODE = frozenset({"disk", "stopped"})
NEXT = {
    "lock": "see which thread holds the lock: all its threads with `py-spy dump --pid` there; no "
    "hardware does this",
    "sleep": "the program sleeps there by itself: read that line; no hardware does this",
    "data": "look at the data loader of this rank and the storage it reads (`clusterctl sweep`: "
    "mounts, disk)",
    "disk": "look at that file system and disk from the node (`clusterctl sweep`: mounts, drives)",
    "checkpoint": "look at the file system it writes to; write checkpoints asynchronously",
    "compile": "it compiles what the others have: warm the cache, or compile on all ranks at once",
    "stopped": "somebody stopped the process: see who traces it, send SIGCONT, thaw its cgroup",
    "compute": "it computes while the others wait: look at its node and accelerator (clocks, "
    "throttle reasons, CPU quota): `clusterctl sweep`",
}


def triage_stacks(stays: Sequence[Stay], *, unseen: Sequence[str] = ()) -> Triage:
    found = crowd(stays)
    if len(stays) < 2 or found is None:
        return unclear(stays, unseen)
    odd = [i for i, one in enumerate(stays) if not found.waits[i] and one.kind not in WAITING]
    crowded = [index for index in range(len(stays)) if found.share(index) > 0.5]
    if odd and 2 * len(crowded) > len(stays):
        return someone_else(stays, found, odd, crowded, unseen)
    if found.waits == found.looks:
        return all_wait(stays, found, unseen)
    return moving(stays, found, unseen)


def someone_else(
    stays: Sequence[Stay],
    found: Crowd,
    odd: Sequence[int],
    crowded: Sequence[int],
    unseen: Sequence[str],
) -> Triage:
    # Who waits and neither wakes nor runs has not left its collective: no step ended meanwhile.
    hangs = all(stays[index].still for index in crowded)
    luck = chance(found, odd, crowded)
    if not hangs and luck > CHANCE:
        return too_few_looks(stays, found, odd, luck, unseen)
    sure = UNSURE if 2 * len(odd) > len(stays) else SUREST if hangs else min(SUREST, 1 - luck)
    slowdown = None if hangs else 1 / (1 - at_least(found, crowded))
    suspects = [suspect(stays[index], len(crowded), slowdown, sure) for index in odd]
    kinds = Counter(stays[index].kind for index in odd)
    kind, _ = kinds.most_common(1)[0]
    others = who(stays[index].who for index in crowded)
    return Triage(
        cause_of(kind, stays, odd),
        slowdown=slowdown,
        suspects=tuple(suspects),
        confidence=sure,
        evidence=(
            f"{others}: {found.place.called}",
            pace(stays, found, crowded),
        ),
        ruled_out=tuple(ruled_out(kind)),
        next_step=NEXT.get(
            kind, "read what the suspect's stack says; then its node: `clusterctl sweep`"
        ),
        unseen=tuple(unseen),
    )


def too_few_looks(
    stays: Sequence[Stay], found: Crowd, odd: Sequence[int], luck: float, unseen: Sequence[str]
) -> Triage:
    they = who(stays[index].who for index in odd)
    looks = max(found.looks)
    seen = f"{they} did not wait with the others ({found.place.called}) in {looks} looks"
    return Triage(
        Cause.UNKNOWN,
        evidence=(f"{seen}; healthy ranks do so by chance {min(1.0, luck):.0%} of the time",),
        next_step=f"take more looks: --looks {min(100, 4 * looks)}",
        unseen=tuple(unseen),
    )


def pace(stays: Sequence[Stay], found: Crowd, crowded: Sequence[int]) -> str:
    crowd_of = [stays[index] for index in crowded]
    if all(one.still for one in crowd_of):
        return "none of them wakes or runs between the looks: the job hangs"
    least = f"they are there at least {at_least(found, crowded):.0%} of the time"
    if all(one.held and not one.woke for one in crowd_of):
        return f"they run there and never leave their line: it hangs or is slow; {least}"
    return f"they wake between the looks: the job goes on; {least}"


def suspect(one: Stay, others: int, slowdown: float | None, sure: float) -> Suspect:
    looks = len(one.places)
    why = [where(one), f"not where the other {others} wait, in any of {looks} looks"]
    if one.ran_ticks is not None:
        why.append("it uses the CPU" if one.ran_ticks else "it uses no CPU")
    if one.held and one.woke:
        why.append(f"it woke {one.woke} times meanwhile, so it came back there")
    if one.who.why:
        why.append(one.who.why)
    number = (one.who.rank,) if one.who.rank is not None else ()
    return Suspect(
        one.who.called,
        number,
        one.who.node,
        slowdown=slowdown,
        confidence=sure,
        why=tuple(why),
    )


def where(one: Stay) -> str:
    """`sleeps: step (train.py:40), in every look`"""
    same = "in every look at the same line" if one.held else "at changing lines"
    kinds = Counter(each.kind for each in one.places)
    kind, count = kinds.most_common(1)[0]
    shown = next(each for each in one.places if each.kind == kind)
    return f"it {shown.called}, {same}" + ("" if one.held else f" ({count} of {len(one.places)})")


def cause_of(kind: str, stays: Sequence[Stay], odd: Sequence[int]) -> Cause:
    if kind in CAUSES:
        return CAUSES[kind]
    nodes = {stays[index].who.node for index in odd}
    on_them = [index for index, one in enumerate(stays) if one.who.node in nodes]
    whole = len(nodes) == 1 and len(odd) > 1 and len(on_them) == len(odd) < len(stays)
    return Cause.HOST if whole or kind in OF_THE_NODE else Cause.WORKER


def ruled_out(kind: str) -> Iterator[RuledOut]:
    yield RuledOut(Cause.NETWORK, "who is waited for has not come to the collective")
    for other, cause in CAUSES.items():
        if other != kind:
            yield RuledOut(cause, f"no suspect {said(other)}")


def all_wait(stays: Sequence[Stay], found: Crowd, unseen: Sequence[str]) -> Triage:
    """Everybody came: the transfer is slow or stands; or who is waited for was not seen."""
    still = all(one.still for one in stays)
    evidence = [
        f"all {len(stays)} ranks wait in every look: {found.place.called}",
        "nobody wakes or runs between the looks: the job hangs"
        if still
        else "they wake between the looks, so it may go on",
    ]
    if unseen:
        evidence.append("whom they wait for may be among those that were not seen")
    return Triage(
        Cause.NETWORK if still and not unseen else Cause.UNKNOWN,
        confidence=UNSURE if still else 0.0,
        evidence=tuple(evidence),
        ruled_out=(RuledOut(Cause.WORKER, "no rank is anywhere else"),) if not unseen else (),
        next_step="ask what the collective waits for: `clusterctl triage --ras NODE` or --flight; "
        "a job that is only slow is told by timelines or counters",
        unseen=tuple(unseen),
    )


def moving(stays: Sequence[Stay], found: Crowd, unseen: Sequence[str]) -> Triage:
    held = [one for one in stays if one.held and not waits(one.last)]
    kinds = Counter(one.kind for one in stays)
    kind, count = kinds.most_common(1)[0]
    shared = CAUSES.get(kind)
    if shared and 2 * count > len(stays):
        return Triage(
            shared,
            slowdown=1 / (1 - min(0.9, count / len(stays))),
            confidence=UNSURE,
            evidence=(f"most ranks are found so: each {said(kind)}",),
            unseen=tuple(unseen),
        )
    average = sum(found.share(index) for index in range(len(stays))) / len(stays)
    return Triage(
        Cause.UNKNOWN,
        evidence=(
            f"the job moves: ranks are found waiting in {average:.0%} of the looks, none never"
            if not held
            else f"{who(one.who for one in held)} stay at one line, but too few others wait",
        ),
        ruled_out=(RuledOut(Cause.WORKER, "no rank is stuck"),) if not held else (),
        next_step="stacks tell a hang from work, not slow from healthy: take more looks "
        "(--looks 20), or see timelines and counters",
        unseen=tuple(unseen),
    )


def unclear(stays: Sequence[Stay], unseen: Sequence[str]) -> Triage:
    if not stays:
        evidence = "no stack of any rank was seen"
    elif len(stays) == 1:
        one = stays[0]
        evidence = f"one process only, with nobody to compare it with: {where(one)}"
    else:
        kinds = Counter(one.kind for one in stays)
        evidence = "nobody waits: " + ", ".join(
            f"{count} of {len(stays)}: {said(kind)}" for kind, count in kinds.most_common(3)
        )
        kind, count = kinds.most_common(1)[0]
        if kind in CAUSES and 2 * count > len(stays):
            return Triage(
                CAUSES[kind], confidence=UNSURE, evidence=(evidence,), unseen=tuple(unseen)
            )
    return Triage(
        Cause.UNKNOWN,
        evidence=(evidence,),
        next_step="look again while it is slow, at every rank; or see timelines and counters",
        unseen=tuple(unseen),
    )

"""From every rank's flight recorder: where the job stalled first, and which ranks did not come.

A collective ends for nobody before the last member has begun it.  So the group whose members stand
furthest apart names who is behind; a rank that is behind because it waits for another is excused.
The idea is PyTorch's own analyser's (tools/flight_recorder) and nvidia-resiliency-ext's wavefront;
a rank that began an operation and cannot end it while its peers did is ours to add.
"""

from __future__ import annotations

from collections.abc import Sequence

from clusterctl.triage.collectives.divergence import diverged, mismatches
from clusterctl.triage.collectives.flight import Flight
from clusterctl.triage.collectives.stalls import Stall, by_group, nobody_late, stalled, wave
from clusterctl.triage.collectives.waits import Root, culprits
from clusterctl.triage.ranks import ranks_word, waiters
from clusterctl.triage.verdict import Cause, Suspect, Triage

STANDS = (
    "every member began it and none ended it: its transfer does not move, or it was still under "
    "way when the dumps were written"
)


def triage_flights(flights: Sequence[Flight]) -> Triage:
    """Every rank's dump of one moment; ranks that gave none are said to be unseen."""
    unseen = [str(trouble) for one in flights for trouble in one.troubles]
    members = {rank for one in flights for ranks in one.groups.values() for rank in ranks}
    silent = sorted(members - {one.rank for one in flights})
    if silent:
        unseen.append(f"no dump of {ranks_word(silent)}")
    called = by_group(flights)
    if odd := list(mismatches(called)):
        return diverged(odd, unseen)
    if all(one.done for each in flights for one in each.operations):
        return nothing_waits(flights, unseen)
    stalls = sorted(stalled(flights, called), key=lambda one: one.operation.created_ns)
    roots = culprits(flights, stalls, called)
    if not roots:
        return all_joined(flights, stalls, unseen)
    return hung(flights, stalls, roots, unseen)


def hung(
    flights: Sequence[Flight],
    stalls: Sequence[Stall],
    roots: Sequence[Root],
    unseen: Sequence[str],
) -> Triage:
    many = 2 * len(roots) > len(flights)
    mine = {one.rank: one for one in flights}
    suspects = []
    for one in roots:
        sure = 0.4 if many else 0.95 if one.witnesses > 1 else 0.8
        suspects.append(
            Suspect(
                f"rank {one.rank}",
                (one.rank,),
                confidence=sure * 0.8 if one.clouded else sure,
                why=(one.why, last_call(mine.get(one.rank))),
            )
        )
    late = sorted(stalls, key=nobody_late)
    them = ranks_word([one.rank for one in roots])
    return Triage(
        Cause.WORKER,
        suspects=tuple(suspects),
        confidence=max(one.confidence for one in suspects),
        evidence=tuple(wave(one) for one in late[:3]),
        next_step=f"look at {them}: `clusterctl triage --stacks`; then the node (`clusterctl "
        "sweep`): kernel log, accelerator, file systems",
        unseen=tuple(unseen),
    )


def last_call(mine: Flight | None) -> str:
    if mine is None:
        return "it gave no dump"
    newest = max(mine.operations, key=lambda one: one.created_ns, default=None)
    if newest is None:
        return "nothing of it is under way: it called no collective since its last ones ended"
    place = f", from {newest.frame}" if newest.frame else ""
    return f"its last call was {newest.name}, number {newest.seq} in group {newest.group[0]}{place}"


def all_joined(flights: Sequence[Flight], stalls: Sequence[Stall], unseen: Sequence[str]) -> Triage:
    """Everybody came and nobody left: unless somebody gave no dump, it is the transfer itself."""
    silent = sorted({rank for one in stalls for rank in one.unseen})
    waiting = [one.rank for one in flights if any(not each.done for each in one.operations)]
    if silent:
        return Triage(
            Cause.WORKER,
            suspects=tuple(
                Suspect(
                    f"rank {rank}",
                    (rank,),
                    confidence=0.6 if len(silent) == 1 else 0.4,
                    why=("it gave no dump, and everyone who did waits for its groups",),
                )
                for rank in silent
            ),
            confidence=0.6 if len(silent) == 1 else 0.4,
            evidence=tuple(wave(one) for one in stalls[:3]),
            next_step="see whether these ranks live: `clusterctl triage --stacks` on their nodes",
            unseen=tuple(unseen),
        )
    return Triage(
        Cause.NETWORK,
        confidence=0.5,
        evidence=(
            *([wave(one) for one in stalls[:3]] or [f"{waiters(waiting)} in sends and receives"]),
            STANDS,
        ),
        next_step="ask NCCL which connection stands (`clusterctl triage --ras NODE`), and the "
        "ports of these nodes (`clusterctl sweep`)",
        unseen=tuple(unseen),
    )


def nothing_waits(flights: Sequence[Flight], unseen: Sequence[str]) -> Triage:
    count = sum(len(one.operations) for one in flights)
    said = f"{count} operations of {len(flights)} ranks were read and none is under way"
    if not flights:
        said = "no dump could be read"
    return Triage(
        Cause.UNKNOWN,
        evidence=(said,),
        next_step="the job does not hang in a collective of these dumps: take them while it "
        "hangs, or look at its stacks (`clusterctl triage --stacks`)",
        unseen=tuple(unseen),
    )

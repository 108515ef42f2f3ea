"""Members of one group that called different things under one number: the program, no hardware."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from clusterctl.triage.collectives.flight import Operation
from clusterctl.triage.collectives.stalls import Called
from clusterctl.triage.ranks import ranks_word
from clusterctl.triage.verdict import Cause, Suspect, Triage

# Whose members may rightly pass different sizes: the split of an all_to_all is data, and only one
# end of a gather or scatter holds all of it.
UNEVEN = ("all_to_all", "alltoall", "gather", "scatter", "coalesced", "allgather_v", "unknown")
SPLIT = frozenset({"split", "new_window"})


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Members that called another thing under the same number; `odd` are the fewer."""

    called: str
    what: str
    odd: tuple[int, ...]
    theirs: str
    usual: str


def mismatches(called: Called) -> Iterator[Mismatch]:
    """Where members of a group called different things under one number, the first a group."""
    for (name, _), by_rank in called.items():
        calls: defaultdict[int, dict[int, Operation]] = defaultdict(dict)
        for rank, each in by_rank.items():
            for one in each:
                calls[one.seq][rank] = one
        for seq in sorted(calls):
            if found := odd_ones(f"number {seq} in group {name}", calls[seq]):
                yield found
                break


def odd_ones(called: str, calls: Mapping[int, Operation]) -> Mismatch | None:
    """Of what ended everywhere nothing is said: it fitted, however it looks."""
    if len({(o.name, o.dtypes, o.sizes_in, o.sizes_out) for o in calls.values()}) == 1:
        return None
    if all(one.done for one in calls.values()):
        return None
    operations = [one.name for one in calls.values()]
    if SPLIT & set(operations):
        return None
    for what, views in (
        ("operation", {rank: one.name for rank, one in calls.items()}),
        ("data type", {rank: one.dtypes for rank, one in calls.items()}),
        ("size", {rank: f"{one.sizes_in} -> {one.sizes_out}" for rank, one in calls.items()}),
    ):
        if what != "operation" and operations[0].lstrip("_").startswith(UNEVEN):
            continue
        counted = Counter(views.values()).most_common()
        if len(counted) > 1:
            usual = counted[0][0]
            odd = tuple(sorted(rank for rank, value in views.items() if value != usual))
            return Mismatch(called, what, odd, views[odd[0]], usual)
    return None


def diverged(found: Sequence[Mismatch], unseen: Sequence[str]) -> Triage:
    one = found[0]
    split = f"{one.usual!r} on most and {one.theirs!r} on {ranks_word(one.odd)}"
    return Triage(
        Cause.WORKER,
        suspects=tuple(
            Suspect(
                f"rank {rank}",
                (rank,),
                confidence=0.7,
                why=(f"{one.called}: the {one.what} is {one.theirs!r}, elsewhere {one.usual!r}",),
            )
            for rank in one.odd
        ),
        confidence=0.7,
        evidence=tuple(f"{each.called}: the {each.what} differs" for each in found[1:3]),
        next_step=f"no hardware does this: the program took different branches ({one.what} {split})"
        "; compare the code path of these ranks",
        unseen=tuple(unseen),
    )

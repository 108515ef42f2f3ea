"""Which operation each group of a job stands in: who waits, who never came, who cannot leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clusterctl.triage.collectives.flight import Flight, GroupKey, Operation
from clusterctl.triage.ranks import ranks_word, waiters

Called = dict[GroupKey, dict[int, list[Operation]]]


@dataclass(frozen=True, slots=True)
class Stall:
    """One group's operation that some members wait in.

    `absent`: never began it.  `behind`: began it and cannot end it, though others did; or are
    still at an earlier one that others ended.  `waiting`: the rest.  `unseen`: gave no dump.
    """

    group: GroupKey
    described: str
    operation: Operation
    waiting: tuple[int, ...]
    absent: tuple[int, ...]
    behind: tuple[int, ...]
    unseen: tuple[int, ...]

    @property
    def called(self) -> str:
        name, _ = self.group
        group = f"group {name}" + (f" ({self.described})" if self.described else "")
        size = f" of {self.operation.sizes_in}" if self.operation.sizes_in else ""
        return f"{self.operation.name}{size}, number {self.operation.seq} in {group}"


def by_group(flights: Sequence[Flight]) -> Called:
    """The collectives of each group by rank; a member that shows none has an empty list.

    Gloo's recorder does not tell members: of its groups they are the ranks that show any of it.
    """
    seen = {one.rank for one in flights}
    found: Called = {}
    for one in flights:
        mine: dict[
            str, list[Operation]
        ] = {}  # a name is one group within a rank, and quick to hash
        for each in one.operations:
            if not each.one_to_one:
                mine.setdefault(each.group[0], []).append(each)
        for each_group in mine.values():
            group = each_group[0].group
            if group not in found:
                found[group] = {rank: [] for rank in group[1] if rank in seen}
            found[group][one.rank] = each_group
    return found


def stalled(flights: Sequence[Flight], called: Called) -> Iterator[Stall]:
    described = {name: said for one in flights for name, said in one.described.items()}
    seen = {one.rank for one in flights}
    for group, by_rank in called.items():
        first_open = {rank: first(each) for rank, each in by_rank.items()}
        open_ones = [each for each in first_open.values() if each is not None]
        if not open_ones:
            continue
        # The furthest that anybody waits at: whoever is not there is late.
        at = max(open_ones, key=lambda each: each.seq)
        absent = tuple(rank for rank, each in by_rank.items() if begun(each) < at.seq)
        behind = tuple(
            rank
            for rank, each in first_open.items()
            if each is not None and each.seq < at.seq and rank not in absent
        )
        late = {*absent, *behind}
        waiting = tuple(r for r, each in first_open.items() if each and r not in late)
        yield Stall(
            group,
            described.get(group[0], ""),
            at,
            tuple(sorted(waiting)),
            tuple(sorted(absent)),
            tuple(sorted(behind)),
            tuple(rank for rank in group[1] if rank not in seen),
        )


def first(operations: Sequence[Operation]) -> Operation | None:
    """The oldest that has not ended."""
    return min((one for one in operations if not one.done), key=lambda one: one.seq, default=None)


def begun(operations: Sequence[Operation]) -> int:
    return max((one.seq for one in operations), default=-1)


def nobody_late(one: Stall) -> bool:
    return not one.absent and not one.behind


def wave(one: Stall) -> str:
    parts = [f"{waiters(one.waiting)} in {one.called}"]
    if one.absent:
        parts.append(f"{ranks_word(one.absent)} never began it")
    if one.behind:
        parts.append(f"{ranks_word(one.behind)} did not end an earlier one")
    if one.unseen:
        parts.append(f"of {ranks_word(one.unseen)} there is no dump")
    return "; ".join(parts)

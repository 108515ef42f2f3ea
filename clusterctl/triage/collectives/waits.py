"""Who waits for whom in a job that stands: along that to the ranks that wait for nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from clusterctl.triage.collectives.flight import Flight, Operation
from clusterctl.triage.collectives.stalls import Called, Stall, begun
from clusterctl.triage.ranks import ranks_word, waiters


@dataclass(frozen=True, slots=True)
class Root:
    """A rank that others wait for and that waits for nobody; `witnesses`: how many wait."""

    rank: int
    witnesses: int
    why: str
    since_ns: int
    clouded: bool = False  # not every member of that group gave a dump


def culprits(flights: Sequence[Flight], stalls: Sequence[Stall], called: Called) -> list[Root]:
    """Who is late somewhere, or owes a message, and waits for nobody: first missed first."""
    waits = Waits({one.rank: one for one in flights}, called)
    late: dict[int, Root] = {}
    for one in stalls:
        for rank in (*one.absent, *one.behind):
            late.setdefault(rank, missed(rank, one))
    owing = {rank: root for one in flights if not late for rank, root in waits.owed(one)}
    named = {**owing, **late}
    ends = {end for rank in named for end in waits.chase(rank)}
    if ends - set(named):
        named = {**{rank: root for one in flights for rank, root in waits.owed(one)}, **named}
    found = [root for rank, root in named.items() if rank in ends]
    return sorted(found, key=lambda one: (one.since_ns, one.rank))


def missed(rank: int, at: Stall) -> Root:
    if rank in at.absent:
        why = f"{waiters(at.waiting)} in {at.called}; it never began that"
    else:
        why = (
            f"it is still before {at.called}, which {ranks_word(at.waiting)} reached: it began an "
            "earlier one and cannot end it"
        )
    return Root(rank, len(at.waiting), why, at.operation.created_ns, bool(at.unseen))


@dataclass(frozen=True, slots=True)
class Waits:
    """Who waits for whom."""

    flights: Mapping[int, Flight]
    called: Called
    known: dict[int, frozenset[int]] = field(default_factory=dict)  # what `on` has answered

    def oldest(self, rank: int) -> Operation | None:
        return min(self.open(rank), key=lambda one: one.created_ns, default=None)

    def open(self, rank: int) -> list[Operation]:
        mine = self.flights.get(rank)
        return [one for one in mine.operations if not one.done] if mine else []

    def on(self, rank: int) -> frozenset[int]:
        """Who is `absent`: asked anew along every chain."""
        if rank not in self.known:
            self.known[rank] = frozenset(self.absent(rank))
        return self.known[rank]

    def absent(self, rank: int) -> set[int]:
        """Who has not begun the oldest operation that this rank waits in."""
        oldest = self.oldest(rank)
        if oldest is None:
            return set()
        if oldest.one_to_one:
            peer = oldest.peer
            return {peer} if peer is not None and self.owes(peer, rank, oldest) else set()
        absent: set[int] = set()
        for other, each in self.called.get(oldest.group, {}).items():
            if begun(each) < oldest.seq:
                absent.add(other)
            elif all(one.done or one.seq > oldest.seq for one in each):
                return set()  # it ended there: what holds this rank up is its own
        return absent - {rank}

    def owes(self, peer: int, rank: int, message: Operation) -> bool:
        """Whether the other end of a message has not come to it."""
        other = "send" if message.name == "recv" else "recv"
        return not any(
            one.peer == rank and one.name == other and one.group[0] == message.group[0]
            for one in self.open(peer)
        )

    def owed(self, one: Flight) -> Iterator[tuple[int, Root]]:
        """The message that this rank waits for longest, where its other end has not come."""
        oldest = self.oldest(one.rank)
        if oldest is not None and oldest.peer is not None and self.on(one.rank):
            way = "from" if oldest.name == "recv" else "to"
            why = (
                f"rank {one.rank} waits in {oldest.name} {way} it, number {oldest.seq} in group "
                f"{oldest.group[0]}; it never began its side"
            )
            yield oldest.peer, Root(oldest.peer, 1, why, oldest.created_ns)

    def chase(self, rank: int) -> set[int]:
        """Along who waits for whom, to those who wait for nobody; round in a circle: itself."""
        seen, ends, left = {rank}, set[int](), [rank]
        while left:
            here = left.pop()
            ahead = self.on(here)
            if not ahead:
                ends.add(here)
            left += ahead - seen
            seen |= ahead
        return ends or {rank}

"""Who comes last to collectives: whoever is late waits least, so it is inside them the shortest.

Durations are each rank's own, so no clock need agree.  The factor is Aegis' (NSDI 2025): a
rank whose time in the collective is below 0.8 of its peers' mean is the one they wait for.
Somebody is shortest in each: a rank is named once luck among so many is ruled out, as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import nan
from statistics import median

from clusterctl.triage.collectives.inspector import Timing
from clusterctl.triage.ranks import folded, ranks_word
from clusterctl.triage.running.candidates import SURE, beyond_chance
from clusterctl.triage.verdict import Cause, RuledOut, Suspect, Triage

LATE = 0.8
MOST_OF_THE_TIME = 0.5  # of the operations: more often late than not
FEWEST = 5  # operations of a communicator, of which one may say "often"
# Of a root or a leaf that has sent its part the time inside is short by nature, not by coming late:
# NCCL's broadcast and reduce are chains without a way back (src/device/{broadcast,reduce}.h).
ONE_WAY = frozenset({"broadcast", "reduce", "gather", "scatter", "send", "recv"})
MORE = "give it more operations, of every rank: NCCL_INSPECTOR_ENABLE=1 with a dump interval"
SHOWN = 3  # communicators of which ranks are missing
MOST_RANKS = 1 << 20
SLOW_GROUP = 0.8  # of the median bus bandwidth of like groups, doing like operations


@dataclass(frozen=True, slots=True)
class Arrival:
    """`late`: in how many of `operations` this rank was the last; `waited`: its own time inside
    over its peers', in the median; `cost_s`: what its peers waited in all, a median peer's sum;
    `chance`: how often it would be the last if all came alike.
    """

    communicator: str
    rank: int
    host: str
    late: int
    operations: int
    waited: float
    cost_s: float
    chance: float
    pid: int = 0


def triage_timings(found: Sequence[Timing], *, unseen: Sequence[str] = ()) -> Triage:
    every = list(arrivals(found))
    often = [one for one in every if one.late > MOST_OF_THE_TIME * one.operations]
    late = [one for one in often if no_luck(one, len(every)) >= SURE]
    known = sum(several(each) for each in by_operation(found).values())
    slow = list(slow_groups(found))
    unseen = [*unseen, *without_files(found), *one_way(found)]
    if late:
        whole = of_all(found)
        worst = sorted(late, key=lambda one: (-one.cost_s, one.communicator != whole))
        return Triage(
            Cause.WORKER,
            slowdown=nan,  # of the job: what it does between collectives is not in these files
            suspects=tuple(suspect(one, whole) for one in leading(worst)),
            confidence=min(0.95, max(one.late / one.operations for one in worst)),
            ruled_out=(RuledOut(Cause.NETWORK, "transfers are short once the last rank came"),),
            unseen=tuple(unseen),
        )
    if slow:
        return Triage(
            Cause.NETWORK,
            slowdown=nan,
            suspects=tuple(slow),
            confidence=max(one.confidence for one in slow),
            ruled_out=()
            if often
            else (RuledOut(Cause.WORKER, "no rank comes last more often than not"),),
            unseen=tuple(unseen),
        )
    if often:
        return too_few(often, unseen)
    return Triage(
        Cause.UNKNOWN,
        evidence=(
            (
                f"{known} collectives that several ranks tell of: no rank comes last more often "
                "than not, and no group is slower than its like"
            ),
        ),
        next_step="not the collectives: look at timelines (`clusterctl triage --trace`)"
        if known >= FEWEST
        else MORE,
        unseen=tuple(unseen),
    )


def no_luck(one: Arrival, among: int) -> float:
    return beyond_chance(one.late, one.operations, one.chance, among)


def too_few(often: Sequence[Arrival], unseen: Sequence[str]) -> Triage:
    """Who came last more often than not, in fewer operations than rule out luck."""
    most = max(often, key=lambda one: (one.late / one.operations, one.operations))
    return Triage(
        Cause.UNKNOWN,
        evidence=(
            (
                f"rank {most.rank} of communicator {most.communicator} came last to {most.late} of "
                f"{most.operations} collectives; one of so many healthy ranks does so by chance"
            ),
        ),
        next_step=MORE,
        unseen=tuple(unseen),
    )


def arrivals(found: Sequence[Timing]) -> Iterator[Arrival]:
    """Of each member of each communicator that had enough operations seen by several."""
    last: defaultdict[tuple[str, int], int] = defaultdict(int)
    ratios: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    costs: defaultdict[tuple[str, int], float] = defaultdict(float)
    chances: defaultdict[tuple[str, int], float] = defaultdict(float)
    places = {(one.communicator, one.rank): (one.host, one.pid) for one in found}
    for (communicator, _, _), each in by_operation(found).items():
        if not several(each):
            continue
        total = sum(one.exec_us for one in each)
        for one in each:
            usual = (total - one.exec_us) / (len(each) - 1)
            chances[communicator, one.rank] += 1 / len(each)
            ratios[communicator, one.rank].append(one.exec_us / usual if usual > 0 else 1.0)
        first = min(each, key=lambda one: one.exec_us)
        if first.exec_us < LATE * (total - first.exec_us) / (len(each) - 1):
            peers = [other.exec_us for other in each if other is not first]
            last[communicator, first.rank] += 1
            costs[communicator, first.rank] += (median(peers) - first.exec_us) / 1e6
    for (communicator, rank), seen in ratios.items():
        if len(seen) >= FEWEST:
            key = (communicator, rank)
            host, pid = places[key]
            chance = chances[key] / len(seen)
            yield Arrival(*key, host, last[key], len(seen), median(seen), costs[key], chance, pid)


def by_operation(found: Sequence[Timing]) -> dict[tuple[str, str, int], list[Timing]]:
    """Those in which all wait for all."""
    calls: defaultdict[tuple[str, str, int], list[Timing]] = defaultdict(list)
    for one in found:
        if both_ways(one):
            calls[one.communicator, one.operation, one.seq].append(one)
    return calls


def both_ways(one: Timing) -> bool:
    return one.operation.lower() not in ONE_WAY


def one_way(found: Sequence[Timing]) -> Iterator[str]:
    names = sorted({one.operation for one in found if not both_ways(one)})
    if names:
        yield f"who came last to {', '.join(names)}: whoever is inside shortest may be its root"


def several(each: Sequence[Timing]) -> bool:
    return len({one.rank for one in each}) > 1


def without_files(found: Sequence[Timing]) -> Iterator[str]:
    """Members whose file is not here: whoever all wait for may be among them."""
    sizes = {one.communicator: min(one.size, MOST_RANKS) for one in found}
    seen: defaultdict[str, set[int]] = defaultdict(set)
    for one in found:
        seen[one.communicator].add(one.rank)
    lacking = [name for name, size in sizes.items() if len(seen[name]) < size]
    for name in lacking[:SHOWN]:
        ranks = [rank for rank in range(sizes[name]) if rank not in seen[name]]
        yield f"no collective of {ranks_word(ranks)} of communicator {name}"
    if len(lacking) > SHOWN:
        yield f"nor of some ranks of {len(lacking) - SHOWN} communicators more"


def leading(worst: Sequence[Arrival]) -> Iterator[Arrival]:
    """One a process: it may be late in several of its communicators."""
    said: set[tuple[str, int]] = set()
    for one in worst:
        if (one.host, one.pid) not in said:
            yield one
        if one.pid:
            said.add((one.host, one.pid))


def of_all(found: Sequence[Timing]) -> str:
    """The communicator whose ranks are the job's: the only one of the largest size; else none."""
    sizes = {one.communicator: one.size for one in found}
    most = max(sizes.values(), default=0)
    largest = [name for name, size in sizes.items() if size == most]
    return largest[0] if len(largest) == 1 else ""


def suspect(one: Arrival, whole: str) -> Suspect:
    return Suspect(
        f"rank {one.rank} of communicator {one.communicator}",
        (one.rank,) if one.communicator == whole else (),
        one.host,
        slowdown=nan,
        confidence=min(0.95, one.late / one.operations),
        why=(
            (
                f"last to come in {one.late} of {one.operations} collectives: it is inside for "
                f"{one.waited:.0%} of the time that its peers are"
            ),
            f"its peers waited {one.cost_s:.3g} s for it in all",
        ),
    )


def slow_groups(found: Sequence[Timing]) -> Iterator[Suspect]:
    """Communicators whose bus bandwidth is below their like: same operation, size and members."""
    rates: defaultdict[tuple[str, int, int], defaultdict[str, list[Timing]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for one in found:
        if one.busbw_gbyte_s:
            rates[one.operation, one.bytes, one.size][one.communicator].append(one)
    for (operation, size, members), groups in rates.items():
        typical = {
            name: median(one.busbw_gbyte_s or 0 for one in each) for name, each in groups.items()
        }
        usual = median(typical.values())
        for name, rate in sorted(typical.items(), key=lambda item: item[1]):
            each = groups[name]
            if (
                len(groups) < 3
                or len({one.seq for one in each}) < FEWEST
                or rate >= SLOW_GROUP * usual
            ):
                continue
            ranks = sorted({one.rank for one in each})
            hosts = sorted({one.host for one in each} - {""})
            yield Suspect(
                f"communicator {name}",
                (),  # its members have other numbers in the job
                ",".join(hosts[:8]),
                slowdown=usual / rate if rate > 0 else nan,
                confidence=min(0.9, 1 - rate / usual + 0.4),
                why=(
                    (
                        f"{operation} of {size} bytes among {members}: {rate:.4g} GB/s, "
                        f"{len(groups)} groups like it {usual:.4g} GB/s"
                    ),
                    f"its {ranks_word(ranks)} come together: nobody is late ({folded(ranks)})",
                ),
            )

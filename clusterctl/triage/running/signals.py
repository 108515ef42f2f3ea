"""What a node counts that its peers do not: evidence for a class, and by itself no verdict.

Nothing here is held against a limit.  Counters of daemons and fabrics scatter by factors, so they
are compared by their logarithm, and to within what one event more or less makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from math import log, log1p, sqrt
from statistics import median

from clusterctl.triage.running.candidates import LEAST, SURE
from clusterctl.triage.running.job import Job
from clusterctl.triage.running.observed import Seen
from clusterctl.triage.running.roles import Role, of_stage, vote
from clusterctl.triage.verdict import Cause

KINDS = 11  # sorts of signals that are looked through, each of which might stand out by chance
SLOW_CLOCK = log(1 / 0.9)  # a tenth slower than its peers
FEWEST_OPERATIONS = 10  # below it, one slow answer makes the mean
Groups = Mapping[str, list[tuple[Hashable, str]]]


@dataclass(frozen=True, slots=True)
class Signal:
    """`part`: a GPU or a port; empty: the node.  `loss`: of the packets, where it is loss.

    `pages`: who runs there may have to wait for its own memory.
    """

    node: str
    cause: Cause
    says: str
    confidence: float
    part: str = ""
    loss: float | None = None
    pages: bool = False


@dataclass(frozen=True, slots=True)
class Counted:
    """So many events, of so many that might have been, or in so many seconds."""

    events: float
    of: float

    @property
    def rate(self) -> float:
        return self.events / self.of if self.of > 0 else 0.0


def signals(job: Job) -> list[Signal]:
    """All that stand out surely, whoever waits for them or not."""
    found = [*counted(job), *slow_processors(job), *slow_shares(job)]
    return [one for one in found if one.confidence >= SURE]


def used(job: Job) -> dict[str, Seen]:
    """Nodes that have ranks of the job."""
    here = {rank.node for rank in job.ranks}
    return {node: seen for node, seen in job.nodes.items() if node in here and seen.seconds}


def by_node(job: Job) -> Groups:
    """Groups of the nodes all of whose ranks are of one stage."""
    roles: dict[str, list[Role]] = {}
    for rank, role in zip(job.ranks, job.roles, strict=True):
        roles.setdefault(rank.node, []).append(role)
    return {
        node: of_stage(its[0]) if len({one.stage for one in its}) == 1 else []
        for node, its in roles.items()
    }


def odd(
    values: Mapping[str, Counted], groups: Groups, sorts: int = KINDS
) -> tuple[str, float, float] | None:
    """(who stands out, its peers' rate, how sure), by the logarithm of as many chances each."""
    usual = median([one.of for one in values.values()] or [0.0])
    logs = {name: log1p(one.rate * usual) for name, one in values.items() if one.of > 0}
    told = vote(logs, groups, error=1.0, sorts=sorts)
    if told is None or told.alone or told.found.excess <= 0:
        return None
    rates = [one.rate for name, one in values.items() if name != told.found.name]
    return told.found.name, median(rates), told.found.confidence


# ----------------------------------------------------------------------------- memory, disks


def grown(seen: Seen, *names: str) -> float | None:
    told = [seen.spent["memory." + name] for name in names if "memory." + name in seen.spent]
    return sum(told) if told else None


def swapped(seen: Seen) -> Counted | None:
    pages = grown(seen, "pswpin", "pswpout")
    return None if pages is None else Counted(pages, seen.seconds)


def reclaimed(seen: Seen) -> Counted | None:
    pages = grown(seen, "pgscan_direct")
    return None if pages is None else Counted(pages, seen.seconds)


def misplaced(seen: Seen) -> Counted | None:
    hits, misses = grown(seen, "numa_hit"), grown(seen, "numa_miss")
    return None if hits is None or misses is None else Counted(misses, hits + misses)


def idle_for_disks(seen: Seen) -> Counted | None:
    ticks = sum(grown for name, grown in seen.spent.items() if name.startswith("cpu."))
    waited = seen.spent.get("cpu.iowait")
    return None if waited is None or not ticks else Counted(waited, ticks)


# Idle for a disk is whoever reads, and no reason why another computes: it decides no class.
COUNTED: tuple[tuple[Callable[[Seen], Counted | None], str, float, Cause], ...] = (
    (swapped, "{} pages/s go to swap or come from it", 1, Cause.HOST),
    (
        reclaimed,
        "{} pages/s are looked through by who waits for memory (direct reclaim)",
        1,
        Cause.HOST,
    ),
    (
        misplaced,
        "{} % of its pages come from another socket's memory (NUMA misses)",
        100,
        Cause.HOST,
    ),
    (
        idle_for_disks,
        "its processors stand idle for a disk {} % of the time (iowait)",
        100,
        Cause.UNKNOWN,
    ),
)


def counted(job: Job) -> Iterator[Signal]:
    for read, words, factor, cause in COUNTED:
        told = {node: read(seen) for node, seen in used(job).items()}
        values = {node: one for node, one in told.items() if one is not None}
        found = odd(values, by_node(job))
        if found is not None and matters(job.nodes[found[0]], values[found[0]], factor):
            node, usual, sure = found
            says = words.format(shown(values[node].rate * factor))
            yield Signal(
                node,
                cause,
                f"{says}, of its peers {shown(usual * factor)}",
                sure,
                pages=read in {swapped, reclaimed},
            )


def matters(seen: Seen, one: Counted, factor: float) -> bool:
    """Of a share of its pages, by the share; else by the time that somebody waited for memory.

    A kernel that does not count that time (/proc/pressure) leaves it open.
    """
    if factor > 1:
        return one.rate >= LEAST
    waited_us = seen.spent.get("pressure.memory.some")
    return waited_us is None or waited_us >= LEAST * seen.seconds * 1e6


def shown(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"


def alike(job: Job) -> list[str]:
    """What most nodes do: of the job or its machines, and nobody's fault."""
    said = []
    for read, words, factor, _ in COUNTED[:2]:
        told = [one.rate for seen in used(job).values() if (one := read(seen)) is not None]
        if len(told) > 2 and median(told) > 0:
            most = sum(rate > 0 for rate in told)
            typical = words.format(shown(median(told) * factor))
            said.append(f"{most} of {len(told)} nodes alike: {typical}")
    return said


# ----------------------------------------------------------------------------- processors


def slow_processors(job: Job) -> Iterator[Signal]:
    """A node whose fastest processors are slower than those of its peers: power, heat, governor."""
    mhz = {node: one for node, seen in used(job).items() if (one := seen.now.get("mhz", 0.0)) > 0}
    slow = {node: -log(one) for node, one in mhz.items()}
    told = vote(slow, by_node(job), error=SLOW_CLOCK / 4, sorts=KINDS)
    if told is None or told.alone or told.found.excess < SLOW_CLOCK:
        return
    node = told.found.name
    rest = median([one for at, one in mhz.items() if at != node])
    says = f"its processors run at {mhz[node]:.0f} MHz at most, its peers' at {rest:.0f} MHz"
    yield Signal(node, Cause.HOST, says, told.found.confidence)


# ----------------------------------------------------------------------------- NFS


def waits(seen: Seen) -> dict[str, Counted]:
    """By mount and operation: ms that answers took, and how many came.  Of few, nothing."""
    found = {}
    for name, count in seen.spent.items():
        if name.startswith("nfs.") and name.endswith(".operations") and count >= FEWEST_OPERATIONS:
            took = seen.spent.get(name.removesuffix("operations") + "rtt_ms")
            if took is not None:
                found[name[4:-11]] = Counted(took, count)
    return found


def slow_shares(job: Job) -> Iterator[Signal]:
    """An operation of a mount that takes one node far longer than its peers."""
    told = {node: waits(seen) for node, seen in used(job).items()}
    names = sorted({name for one in told.values() for name in one})
    for name in names:
        values = {node: one[name] for node, one in told.items() if name in one}
        # As the mean of waits that scatter as much as they are long; 1 ms: the counter's step.
        logs = {node: log(max(one.rate, 1 / one.of)) for node, one in values.items()}
        error = 1 / sqrt(min(one.of for one in values.values()))
        found = vote(logs, by_node(job), error=error, sorts=KINDS * len(names))
        if found is not None and not found.alone and found.found.excess > 0:
            node = found.found.name
            rest = median([one.rate for at, one in values.items() if at != node])
            mount, _, operation = name.rpartition(".")
            says = (
                f"NFS {mount}: {values[node].rate:.1f} ms a {operation}, its peers {rest:.1f} ms "
                f"({values[node].of:.0f} of them)"
            )
            if values[node].rate > rest:
                yield Signal(node, Cause.DATA, says, found.found.confidence)

"""Which nodes of a job run it now, which hold it paused, and which hold nothing of it.  Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from clusterctl.model import Node
from clusterctl.run import Paused
from clusterctl.triage.running.job import Job
from clusterctl.triage.running.observed import Process

STOPPED = frozenset({"stopped"})


@dataclass(frozen=True, slots=True)
class Standing:
    """`nodes`: those that answered.  `paused`: with ranks that all stand still.  `free`: with none.

    On all others somebody computes, or its processes could not be looked at.
    """

    nodes: tuple[Node, ...]
    paused: dict[str, Paused]
    free: frozenset[str]

    @property
    def resting(self) -> tuple[Node, ...]:
        return tuple(n for n in self.nodes if n.name in self.paused or n.name in self.free)

    @property
    def running(self) -> tuple[Node, ...]:
        return tuple(n for n in self.nodes if n not in self.resting)


def standing(job: Job, nodes: Sequence[Node], slurm: str = "") -> Standing:
    """A node is paused where all its ranks, of any job, stood still at every look.

    Slurm may have given it to that job: `slurm`, the number that was asked for, or its ranks' own.
    """
    ranks: defaultdict[str, list[Process]] = defaultdict(list)
    for seen in job.nodes.values():
        ranks[seen.node] += seen.ranks
    paused = {
        node: Paused(frozenset(rank.pid for rank in few), slurm or own_number(few))
        for node, few in ranks.items()
        if few and all(still(rank) for rank in few)
    }
    free = {name for name, seen in job.nodes.items() if not (seen.ranks or seen.troubles)}
    return Standing(tuple(n for n in nodes if n.name in job.nodes), paused, frozenset(free))


def own_number(ranks: Sequence[Process]) -> str:
    """Of the one Slurm job that all of them are of; empty: of none, or of several."""
    jobs = {rank.job for rank in ranks}
    return min(jobs) if len(jobs) == 1 and min(jobs).isdecimal() else ""


def still(rank: Process) -> bool:
    return bool(rank.looks) and {look.state for look in rank.looks} == STOPPED


def on_data_network(job: Job, nodes: Sequence[Node]) -> list[Node]:
    """With the address by which the job itself talks, where the inventory names none."""
    used: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for path in job.paths:
        if path.here.node != path.there.node:
            used[path.here.node][path.near.near.split(" ")[0]] += 1
            used[path.there.node][path.far.near.split(" ")[0]] += 1
    made = []
    for node in nodes:
        told = used[node.name].most_common(1)
        if told and not {"rail_addresses", "data_address"} & node.labels.keys():
            labels = {**node.labels, "data_address": told[0][0]}
            made.append(replace(node, labels=labels))
        else:
            made.append(node)
    return made

"""Which rank holds which accelerator, and whose peers those are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

from clusterctl.triage.running.job import Job
from clusterctl.triage.running.observed import Process
from clusterctl.triage.running.roles import of_device


def by_device(job: Job) -> dict[str, list[tuple[Hashable, str]]]:
    """Groups of every accelerator whose rank is known."""
    here: defaultdict[str, list[int]] = defaultdict(list)
    for at, rank in enumerate(job.ranks):
        here[rank.node].append(at)
    return {
        f"{node} gpu{gpu.index}": of_device(job.roles[at])
        for node, seen in job.nodes.items()
        for gpu in seen.gpus
        for at in here[node]
        if holds(job.ranks[at], node, gpu.index)
    }


def holds(rank: Process, node: str, index: int) -> bool:
    if rank.node != node:
        return False
    listed_gpus = [word for word in rank.visible.split(",") if word.strip().isdigit()]
    local = rank.local or 0
    if len(listed_gpus) > local:
        return int(listed_gpus[local]) == index
    if len(listed_gpus) == 1:
        return int(listed_gpus[0]) == index
    return local == index

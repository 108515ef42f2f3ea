"""Which rank holds which accelerator, and whose peers those are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

from clusterctl.triage.running.job import Job
from clusterctl.triage.running.observed import Gpu, Process
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


def owned(job: Job) -> dict[tuple[str, int], Gpu]:
    """By node and index, those that ranks of the job use: another job may have the rest."""
    mine: defaultdict[str, set[int]] = defaultdict(set)
    for rank in job.ranks:
        mine[rank.node] |= used_by(rank, job.nodes[rank.node].gpus)
    return {
        (node, gpu.index): gpu
        for node, indices in mine.items()
        for gpu in job.nodes[node].gpus
        if gpu.index in indices
    }


def used_by(rank: Process, gpus: Sequence[Gpu]) -> set[int]:
    """Indices: of what it has open (NCCL and NVML open all there are) what it was told to see.

    A container numbers its own from 0, so what it is told to see may be others than those.
    """
    told = set(visible(rank))
    open_ = {gpu.index for gpu in gpus if f"nvidia{gpu.minor}" in rank.devices}
    if open_:
        return told if told and told <= open_ else open_
    if rank.local is None:
        return told or {gpu.index for gpu in gpus}
    return {gpu.index for gpu in gpus if holds(rank, rank.node, gpu.index)}


def holds(rank: Process, node: str, index: int) -> bool:
    if rank.node != node:
        return False
    told, local = visible(rank), rank.local or 0
    if len(told) == 1:
        return told[0] == index
    return (told[local] if 0 <= local < len(told) else local) == index


def visible(rank: Process) -> list[int]:
    """Indices of CUDA_VISIBLE_DEVICES and the like, which may name what has none."""
    return [int(word) for word in rank.visible.split(",") if word.strip().isdecimal()]

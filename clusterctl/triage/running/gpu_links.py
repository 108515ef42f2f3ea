"""A GPU's links: that to its host narrower, slower or fuller, or any noisier, than its peers'."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import log, log2
from statistics import median

from clusterctl.triage.running.candidates import SURE
from clusterctl.triage.running.devices import by_device, owned
from clusterctl.triage.running.job import Job
from clusterctl.triage.running.observed import Gpu
from clusterctl.triage.running.roles import vote
from clusterctl.triage.running.signals import KINDS, Counted, Groups, Signal, odd, shown, used
from clusterctl.triage.verdict import Cause

# A driver that counts no bytes measures 20 ms of traffic that comes in bursts: good to a factor.
TO_WITHIN = log(2)


def gpu_links(job: Job) -> Iterator[Signal]:
    """A GPU one of whose links is not as those of its peers, surely."""
    here = used(job)
    gpus = {f"{node} gpu{at}": gpu for (node, at), gpu in owned(job).items() if node in here}
    groups = by_device(job)
    garbled = [
        *noisy(job, gpus, groups, corrected, "{}: PCIe corrects {} errors/s, its peers' {}"),
        *noisy(job, gpus, groups, garbling, "{}: NVLink corrects {} errors/s, its peers' {}"),
    ]
    found = [*garbled, *fuller(gpus, groups), *narrower(gpus, groups)]
    yield from (one for one in found if one.confidence >= SURE)


def narrower(gpus: Mapping[str, Gpu], groups: Groups) -> Iterator[Signal]:
    lanes = {name: -width for name, gpu in gpus.items() if (width := speed(gpu)) is not None}
    told = vote(lanes, groups, error=0.1, sorts=KINDS)
    if told is None or told.alone or told.found.excess < 1:
        return
    node, _, part = told.found.name.partition(" ")
    says = f"{part}: {link(gpus[told.found.name])}, its peers {2**told.found.excess:.0f} times that"
    yield Signal(node, Cause.HOST, says, told.found.confidence, part)


def fuller(gpus: Mapping[str, Gpu], groups: Groups) -> Iterator[Signal]:
    """Work is shared alike, so what one carries beyond its peers is no part of it: a spill, say."""
    rates = {name: gpu.pcie_bytes_s for name, gpu in gpus.items() if gpu.pcie_bytes_s}
    told = vote({name: log(one) for name, one in rates.items()}, groups, TO_WITHIN, KINDS)
    if told is None or told.alone or told.found.excess <= 0:
        return
    node, _, part = told.found.name.partition(" ")
    usual = median([one for name, one in rates.items() if name != told.found.name])
    own, rest = (f"{one / 1e9:.2g}" for one in (rates[told.found.name], usual))
    says = f"{part}: PCIe carries {own} GB/s, its peers' {rest}"
    yield Signal(node, Cause.HOST, says, told.found.confidence, part)


def noisy(
    job: Job,
    gpus: Mapping[str, Gpu],
    groups: Groups,
    read: Callable[[Gpu], float | None],
    words: str,
) -> Iterator[Signal]:
    errors = {
        name: Counted(told, job.nodes[name.partition(" ")[0]].seconds)
        for name, gpu in gpus.items()
        if (told := read(gpu)) is not None
    }
    found = odd(errors, groups)
    if found is None:
        return
    name, usual, sure = found
    node, _, part = name.partition(" ")
    says = words.format(part, shown(errors[name].rate), shown(usual))
    yield Signal(node, Cause.HOST, says, sure, part)


def garbling(gpu: Gpu) -> float | None:
    return gpu.nvlink_errors


def corrected(gpu: Gpu) -> float | None:
    told = [one for one in (gpu.pcie_replays, gpu.pcie_errors) if one is not None]
    return sum(told) if told else None


def speed(gpu: Gpu) -> float | None:
    """Log2 of lanes times their rate: each generation doubles it.  A GPU at rest slows its link."""
    if not gpu.pcie_width or gpu.pcie_gen is None or (gpu.use_percent or 0.0) <= 50:
        return None
    return log2(gpu.pcie_width) + gpu.pcie_gen


def link(gpu: Gpu) -> str:
    carried = f", carries {gpu.pcie_bytes_s / 1e9:.1f} GB/s" if gpu.pcie_bytes_s is not None else ""
    return f"PCIe gen {gpu.pcie_gen} x{gpu.pcie_width}{carried}"

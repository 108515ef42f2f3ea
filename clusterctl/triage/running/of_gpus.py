"""Candidates among the accelerators: one that its hardware slows, one that others wait for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from clusterctl.triage.running.candidates import LEAST, MOST_SURE, Candidate, slower
from clusterctl.triage.running.devices import by_device, holds, owned
from clusterctl.triage.running.job import Job
from clusterctl.triage.running.observed import Gpu
from clusterctl.triage.running.of_stages import UNSURE
from clusterctl.triage.running.roles import vote
from clusterctl.triage.verdict import Cause, Suspect

# Thermal and electrical causes that the hardware itself reports; a power cap is every GPU's life.
BAD_REASONS = frozenset({"hw_slowdown", "hw_thermal", "hw_power_brake", "sw_thermal"})

# GPUs of one kind under one load differ by 8 % on average, and by up to 22 % (Sinha et al., Not All
# GPUs Are Created Equal, SC 2022): power within that tells a chip, not a waiter.
CHIPS = 0.22


def slowed(job: Job) -> Iterator[Candidate]:
    """A GPU that its own hardware slows, or that runs at a lower clock than its peers."""
    gpus = owned(job)
    bad = {key: BAD_REASONS & set(gpu.reasons) for key, gpu in gpus.items()}
    struck = [key for key, reasons in bad.items() if reasons]
    clocks = {f"{node} gpu{index}": gpu.clock_mhz for (node, index), gpu in gpus.items()}
    behind = {name: -clock for name, clock in clocks.items() if clock is not None}
    for key in struck:
        if 2 * len(struck) > len(gpus):
            break
        usual = median([gpu.clock_mhz for gpu in gpus.values() if gpu.clock_mhz] or [0.0])
        own = gpus[key].clock_mhz
        share = max(0.0, 1 - own / usual) if own and usual else 0.0
        reasons = ", ".join(sorted(bad[key]))
        why = (f"its hardware slows it: {reasons}", figures(gpus[key]))
        yield of_gpu(job, key, share, MOST_SURE, why)
    yield from slowest(job, gpus, behind, struck)


def slowest(
    job: Job,
    gpus: Mapping[tuple[str, int], Gpu],
    behind: Mapping[str, float],
    struck: Sequence[tuple[str, int]],
) -> Iterator[Candidate]:
    """By its clock, for whatever reason; not one that has been told of with its reason."""
    voted = vote(behind, by_device(job), error=1.0)
    if voted is None or voted.found.middle >= 0:
        return
    worst = voted.found
    share = worst.excess / -worst.middle
    node, _, name = worst.name.partition(" gpu")
    key = (node, int(name))
    # One that waits and sleeps may clock down.
    if share <= LEAST or key in struck or (gpus[key].use_percent or 0.0) <= 50:
        return
    clock = f"its clock is {-worst.value:.0f} MHz, its peers' {-worst.middle:.0f} MHz"
    told = (f"{clock}; held against {voted.among}", figures(gpus[key]))
    sure = min(worst.confidence, UNSURE) if voted.alone else worst.confidence
    yield of_gpu(job, key, share, sure, told)


def of_gpu(
    job: Job, key: tuple[str, int], share: float, sure: float, why: tuple[str, ...]
) -> Candidate:
    node, index = key
    ranks = tuple(one.rank for one in job.ranks if holds(one, node, index) and one.rank is not None)
    suspect = Suspect(f"gpu{index} of {node}", ranks, node, slower(share), sure, why)
    return Candidate(Cause.WORKER, share, sure, why, (suspect,))


def figures(gpu: Gpu) -> str:
    told = [
        f"{gpu.power_w:.0f} W" if gpu.power_w is not None else "",
        f"{gpu.clock_mhz:.0f} MHz" if gpu.clock_mhz is not None else "",
        f"{gpu.temp_c:.0f} °C" if gpu.temp_c is not None else "",
        f"{gpu.use_percent:.0f} % busy" if gpu.use_percent is not None else "",
    ]
    return ", ".join(filter(None, told))


def busy_gpus(job: Job) -> dict[tuple[str, int], Gpu]:
    return {key: gpu for key, gpu in owned(job).items() if (gpu.use_percent or 0) > 50}


def drawing(job: Job) -> Iterator[Candidate]:
    """Who waits and who works, by power: who waits in a collective looks busy and draws little.

    One that computes all the time draws what computing draws.  Its peers draw that for the time
    they compute, and something when they wait: so they wait for the missing share at least.
    """
    powers = {key: gpu.power_w for key, gpu in busy_gpus(job).items() if gpu.power_w is not None}
    keys = {f"{node} gpu{index}": (node, index) for node, index in powers}
    voted = vote({name: powers[key] for name, key in keys.items()}, by_device(job), error=1.0)
    worst = voted.found if voted else None
    if voted is None or worst is None or worst.excess <= max(0.0, LEAST * worst.value):
        return
    told = (
        (
            f"it draws {worst.value:.0f} W, its peers, just as busy by their drivers' word, "
            f"{worst.middle:.0f} W: they wait, and it computes; held against {voted.among}"
        ),
    )
    share = worst.excess / worst.value
    alike = voted.alone or worst.excess < CHIPS * worst.middle
    sure = min(worst.confidence, UNSURE) if alike else worst.confidence
    yield of_gpu(job, keys[worst.name], share, sure, told)

"""What `remote/watch_gpus.py` says of one node's GPUs, as data.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from clusterctl.model import Kind, Trouble
from clusterctl.triage.running.observed import Gpu
from clusterctl.triage.running.readings import Cells, count, listed, number, rows, text

SAMPLE = 9  # cells
GENERATIONS, LANES = range(1, 16), range(1, 33)  # PCI Express Base, Link Capabilities: 4 bits; x32
# nvml.h, nvmlClocksEventReason…: those that take clock away from a busy GPU
REASONS = {
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x20: "sw_thermal",
    0x40: "hw_thermal",
    0x80: "hw_power_brake",
}


def gpus(stdout: str) -> tuple[list[Gpu], list[Trouble]]:
    """What a node said to watch_gpus."""
    found: dict[int, Gpu] = {}
    samples: dict[int, list[list[float | None]]] = {}
    links: dict[int, Cells] = {}
    troubles = []
    for row in rows(stdout):
        if isinstance(row, Trouble):
            troubles.append(row)
            continue
        index = count(row, "index")
        if row.get("k") == "gpu" and index is not None:
            limit_w = number(row, "limit_w")
            minor = count(row, "minor")  # mostly the same
            minor = index if minor is None else minor
            found[index] = Gpu(index, minor, text(row, "lost"), limit_w=limit_w)
        if row.get("k") == "link" and index is not None:
            links[index] = row
        told = listed(row, "v")
        if row.get("k") == "sample" and len(told) == SAMPLE:
            cells = [number({"one": cell}, "one") for cell in told]
            if cells[0] is not None:
                samples.setdefault(int(cells[0]), []).append(cells)
    return [
        with_link(summed(one, samples.get(one.index, [])), links.get(one.index, {}))
        for one in found.values()
    ], [*troubles, *lost(found.values())]


def lost(told: Iterable[Gpu]) -> Iterator[Trouble]:
    for one in told:
        if one.lost:
            yield Trouble(Kind.EXIT, f"gpu{one.index}: {one.lost}")


def with_link(gpu: Gpu, row: Cells) -> Gpu:
    rates = [number(row, "tx_bytes_s"), number(row, "rx_bytes_s")]
    told = [one for one in rates if one is not None and one >= 0]
    gen, width = count(row, "gen"), count(row, "width")
    return replace(
        gpu,
        pcie_errors=more(row, "errors"),
        nvlink_errors=more(row, "nvlink_errors"),
        pcie_bytes_s=sum(told) if len(told) == 2 else None,
        pcie_gen=gen if gen in GENERATIONS else None,
        pcie_width=width if width in LANES else None,
    )


def more(row: Cells, name: str) -> float | None:
    """By how much a counter grew; None where it was not read twice."""
    told = [number({"one": one}, "one") for one in listed(row, name)]
    before, after = told if len(told) == 2 else (None, None)
    return None if before is None or after is None else max(0.0, after - before)


def summed(gpu: Gpu, samples: list[list[float | None]]) -> Gpu:
    def mean(place: int) -> float | None:
        told = [value for one in samples if (value := one[place]) is not None and value >= 0]
        return sum(told) / len(told) if told else None

    def grown(*places: int) -> float | None:
        told = [[one[place] for place in places] for one in samples]
        full = [[value for value in row if value is not None] for row in told]
        if len(full) < 2 or any(len(row) != len(places) for row in (full[0], full[-1])):
            return None
        return max(0.0, sum(full[-1]) - sum(full[0]))

    mask = 0
    for one in samples:
        mask |= max(0, int(one[4] or 0))
    return replace(
        gpu,
        power_w=mean(1),
        clock_mhz=mean(2),
        temp_c=mean(3),
        use_percent=mean(5),
        reasons=tuple(name for bit, name in REASONS.items() if mask & bit),
        nvlink_bytes=grown(6, 7),
        pcie_replays=grown(8),
    )

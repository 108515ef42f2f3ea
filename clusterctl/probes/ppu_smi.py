"""T-Head (Alibaba) PPUs by ppu-smi: SAIL PPU-SMI manual, sections 3.2 and 3.2.1.

No output of a real machine was at hand but the manual's.
"""

from __future__ import annotations

from collections.abc import Iterator

from clusterctl.model import Accelerator, Applies, Fact, Probe, Trouble, Version
from clusterctl.probes.csv_answers import answered
from clusterctl.probes.transcript import asking

QUERY = "--query-ppu={} --format=csv"
CALLS = (
    QUERY.format("index,name,uuid,serial,pci.bus_id,driver_version,memory.total,memory.used"),
    QUERY.format("index,temperature.ppu,power.draw,power.limit,utilization.ppu"),
    QUERY.format("index,ecc.errors.corrected.volatile.total,ecc.errors.uncorrected.volatile.total"),
)


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    return answered(stdout, "ppu-smi", "ppu", "thead")


PROBES = (
    Probe(
        asking("ppu_smi", ("ppu-smi",), CALLS, places=("/usr/local/PPU_SDK/ppu-smi/bin",)),
        parse,
        yields=(Accelerator, Version),
        about="T-Head PPUs, from ppu-smi",
        subject="thead",
        rank=1,  # after the library, which nvml_alike asks
        applies=Applies(
            pci_vendors=("1ded",),
            kinds=("accelerator",),
            why_not="no T-Head accelerator on the PCI bus",
        ),
        proven="documentation",
    ),
)

"""Biren GPUs by brsmi, whose queries are like nvidia-smi's: BRsmi user guide (BIRENSUPA SDK).

No output of a real machine was at hand.
"""

from __future__ import annotations

from collections.abc import Iterator

from clusterctl.model import Accelerator, Applies, Fact, Probe, Trouble, Version
from clusterctl.probes.csv_answers import answered
from clusterctl.probes.transcript import asking

QUERY = "gpu --query-gpu={} --format=csv"
CALLS = (
    QUERY.format("index,name,uuid,pci.bus_id,memory.total,memory.used"),
    QUERY.format("index,serial,temperature.gpu,power.draw,utilization.gpu"),
    QUERY.format("index,ecc.errors.corrected.volatile.total,ecc.errors.uncorrected.volatile.total"),
)


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    return answered(stdout, "brsmi", "gpu", "biren")


PROBES = (
    Probe(
        asking(
            "brsmi", ("brsmi",), CALLS, places=("/usr/local/birensupa/bin", "/opt/birentech/bin")
        ),
        parse,
        yields=(Accelerator, Version),
        about="Biren GPUs, from brsmi",
        subject="biren",
        rank=1,  # after the library, which nvml_alike asks
        applies=Applies(
            pci_vendors=("1ee0",),
            kinds=("accelerator",),
            why_not="no Biren accelerator on the PCI bus",
        ),
        proven="documentation",
    ),
)

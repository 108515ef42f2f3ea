"""Cards whose maker's library is NVML in all but its name: libixml, libhgml, libbiren-ml.

`remote/ask_nvml_alike.py` says by whose headers they are asked.  No such card was at hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from clusterctl.model import (
    Accelerator,
    Applies,
    DeviceProcess,
    Fact,
    Kind,
    Link,
    Partition,
    Probe,
    Question,
    Trouble,
    Version,
)
from clusterctl.probes import nvml
from clusterctl.probes.ixsmi import failing
from clusterctl.probes.nvml_values import FIELDS
from clusterctl.spelling import visible


@dataclass(frozen=True, slots=True)
class Library:
    name: str  # the probe's, and the script's argument
    file: str
    maker: str
    vendor: str
    pci_vendor: str
    part: str  # gpu, ppu: as the maker's tool counts them
    link: str


LIBRARIES = (
    Library("ixml", "libixml", "Iluvatar", "iluvatar", "1e3e", "gpu", ""),
    Library("hgml", "libhgml", "T-Head", "thead", "1ded", "ppu", "icn"),
    Library("brml", "libbiren-ml", "Biren", "biren", "1ee0", "gpu", "brlink"),
)


def parse(stdout: str, library: Library) -> Iterator[Fact | Trouble]:
    """As NVML's answer, in this library's words; `health` stands beside what NVML has."""
    told = dict(healths(stdout))
    for found in nvml.parse(stdout):
        match found:
            case Trouble():
                detail = found.detail.replace("NVML", library.file)
                yield replace(found, detail=detail, part=ours(found.part, library))
            case Accelerator(index=index):
                part, said = ours(found.part, library), told.get(index or 0)
                health = said if isinstance(said, str) or said is None else None
                yield replace(found, part=part, vendor=library.vendor, health=health)
                if isinstance(said, Trouble):
                    yield replace(said, part=part)
            case Link():
                part, card = ours(found.part, library), ours(found.accelerator, library)
                yield replace(found, part=part, accelerator=card, kind=library.link)
            case DeviceProcess():
                yield replace(found, part=ours(found.part, library))
            case Version():
                name = found.part.replace("driver/nvidia", f"driver/{library.vendor}")
                yield replace(found, part=name.replace("/gpu", f"/{library.part}"))
            case Partition():
                continue  # none of these libraries is asked for them
            case _:
                raise AssertionError(found)


def ours(part: str, library: Library) -> str:
    return library.part + part[3:] if part.startswith("gpu") else part


def healths(stdout: str) -> Iterator[tuple[int, str | Trouble | None]]:
    """By index.  Iluvatar's bits in words, Biren's word; None: not reported."""
    for line in stdout.split("\n"):
        try:
            said = json.loads(line) if line.startswith('{"gpu":') else None
        except (ValueError, RecursionError):
            continue
        values = said.get("v") if isinstance(said, Mapping) else None
        index = said.get("gpu") if isinstance(said, Mapping) else None
        if isinstance(values, Mapping) and isinstance(index, int):
            yield index, health(values.get("health"))


def health(value: object) -> str | Trouble | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64:
        return failing(value)
    if isinstance(value, str) and value:
        return visible(value, 40)
    return Trouble(Kind.UNREADABLE, f"health: {visible(repr(value), 40)}")


def probe(library: Library) -> Probe:
    links = (Link,) if library.link else ()
    linked = " and the links" if library.link else ""
    return Probe(
        Question(
            library.name,
            (library.name, *FIELDS),
            script="ask_nvml_alike",
            timeout_s=30.0,
        ),
        partial(parse, library=library),
        yields=(Accelerator, *links, DeviceProcess, Version),
        about=f"{library.maker} cards{linked}, from the driver's library {library.file}",
        subject=library.vendor,
        rank=0,
        optional=True,  # the maker's tool, which stands on it, is asked as well
        applies=Applies(
            pci_vendors=(library.pci_vendor,),
            kinds=("accelerator",),
            why_not=f"no {library.maker} accelerator on the PCI bus",
        ),
        proven="documentation",
    )


PROBES = tuple(probe(library) for library in LIBRARIES)

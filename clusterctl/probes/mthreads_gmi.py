"""Moore Threads GPUs by mthreads-gmi: https://docs.mthreads.com (mthreads-gmi manual; 1.14 to 2.4).

Known outputs: the table, `-q` and `-q --json`; the last two from third parties' parsers only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from clusterctl.model import (
    Accelerator,
    Applies,
    DeviceProcess,
    Fact,
    Kind,
    Probe,
    Question,
    Trouble,
    Version,
)
from clusterctl.probes.labelled import blocks
from clusterctl.probes.smi_cards import (
    Readers,
    bare,
    card,
    complaints,
    counted,
    leaves,
    parsed,
    positive,
    quantity,
    refuse,
    size,
    tabled,
    unshown,
    version,
    words,
)
from clusterctl.probes.smi_tables import Cells
from clusterctl.spelling import Unreadable, pci_address, visible

DRIVER = re.compile(r"Driver Version *: *([0-9][\w.+-]*)")
ATTACHED = re.compile(r"^Attached GPUs\s*: *(.*?)\s*$", re.MULTILINE)
CARD = re.compile(r"GPU ?#?(?P<index>\d{1,3})?(?: *(?P<pci>[0-9A-Fa-f]{4,8}:[0-9A-Fa-f:.]+))?:?")
LANES = re.compile(r"(\d{1,2})x\((\d{1,2})x\)")
MEMORY = re.compile(r"([0-9]+ ?[A-Za-z]+) ?\(([0-9]+ ?[A-Za-z]+)\)")


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """A GPU's part is gpu0, by its number in mthreads-gmi."""
    return parsed(stdout, read, "moorethreads", json=True)


def read(text: str) -> Iterator[Fact | Trouble]:
    """Any one output."""
    if '"GPU"' in text:
        yield from from_json(text)
        return
    if "Pcie Lane Width" in text:
        if driver := DRIVER.search(text):
            yield Version("driver/mthreads", driver[1])
        yield from tabled(text, "Pcie Lane Width", "id", "gpu", TABLE)
    else:
        found = [*listed(text)]
        yield from found
        if attached := ATTACHED.search(text):
            yield from unshown(attached[1], found, "gpu")
    yield from complaints(text, "gpu")


# --------------------------------------------------------------------------- the table


def memory(side: int) -> Callable[[Cells], int | None]:
    """Of 662MiB(16384MiB): used and all."""

    def read(found: Cells) -> int | None:
        text = words(found.get("mem"))
        if not text:
            return None
        if not (both := MEMORY.fullmatch(text)):
            raise Unreadable(f"not like 0MiB(16384MiB): {text!r}")
        return size(both[side])

    return read


def lanes(side: int) -> Callable[[Cells], int | None]:
    """Of 4x(16x): now and at most."""

    def read(found: Cells) -> int | None:
        text = words(found.get("pcie lane width"))
        if not text:
            return None
        if not (both := LANES.fullmatch(text)):
            raise Unreadable(f"not like 16x(16x): {text!r}")
        return int(both[side])

    return read


def address(name: str) -> Callable[[Cells], str]:
    def read(found: Cells) -> str:
        said = words(found.get(name))
        return pci_address(said) if said else ""

    return read


TABLE: Readers = {
    "model": lambda found: words(found.get("name")),
    "pci": address("pcie"),
    "temp_c": lambda found: quantity(found.get("temp"), "C"),
    "utilisation_percent": lambda found: quantity(found.get("%gpu"), "%"),
    "memory_total_bytes": memory(2),
    "memory_used_bytes": memory(1),
    # "On-die, EDC" on an S5000; N/A on cards that have none
    "ecc_on": lambda found: True if words(found.get("ecc mode")) == "On-die, EDC" else None,
    "pcie_width": lanes(1),
    "pcie_width_max": lanes(2),
}


# --------------------------------------------------------------------------- -q, as text and JSON


def listed(text: str) -> Iterator[Fact | Trouble]:
    if driver := DRIVER.search(text):
        yield Version("driver/mthreads", driver[1])
    told = [(opens, found) for opens, found in blocks(text, CARD) if opens]
    for at, (opens, found) in enumerate(told):
        number = opens["index"] or found.get("Index") or str(at)
        if not re.fullmatch("[0-9]{1,3}", number):
            yield Trouble(Kind.UNREADABLE, f"a GPU without its number: {visible(number, 40)}")
            continue
        known = {**found, "PCI/Bus ID": found.get("PCI/Bus ID", opens["pci"] or "")}
        yield from asked(int(number), known)


def from_json(text: str) -> Iterator[Fact | Trouble]:
    try:
        told = json.loads(text[text.index("{") :], parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        yield Trouble(Kind.UNREADABLE, f"not JSON: {visible(str(error), 100)}")
        return
    top = dict(leaves({name: told[name] for name in told if name != "GPU"}))
    if driver := top.get("Driver Version"):
        yield Version("driver/mthreads", visible(driver, 40))
    found: list[Fact | Trouble] = []
    for item in told["GPU"] if isinstance(told.get("GPU"), list) else ():
        flat = dict(leaves(item))
        if re.fullmatch("[0-9]{1,3}", number := flat.get("Index", "")):
            found += asked(int(number), flat)
        else:
            shown = visible(str(item), 80)
            found.append(Trouble(Kind.UNREADABLE, f"a GPU without its number: {shown}"))
    yield from found
    yield from unshown(top.get("Attached GPUs"), found, "gpu")


def asked(index: int, found: Cells) -> Iterator[Fact | Trouble]:
    part = f"gpu{index}"
    said = {"/".join(name.strip() for name in path.split("/")): found[path] for path in found}
    yield from card(part, index, said, ASKED)
    yield from version("vbios", part, said.get("MTBios Version"))


def errors(kind: str) -> Callable[[Cells], int | None]:
    """Counts whose label says what kind they are; not those over the card's life."""
    pattern = re.compile(kind)
    return lambda found: counted(
        text
        for path, text in found.items()
        if "ECC Err" in path and "Aggregate" not in path and pattern.search(path.lower())
    )


def link(name: str) -> str:
    return f"PCI/GPU Link Info/{name}"


ASKED: Readers = {
    "model": lambda found: words(found.get("Product Name")),
    "uuid": lambda found: words(found.get("GPU UUID")),
    "serial": lambda found: words(found.get("Serial Number")),
    "pci": address("PCI/Bus ID"),
    "temp_c": lambda found: quantity(found.get("Temperature/GPU Current Temp"), "C"),
    "power_w": lambda found: quantity(found.get("Power Readings/Power Draw"), "W"),
    "power_limit_w": lambda found: quantity(found.get("Power Readings/Current Power Limit"), "W"),
    "clock_sm_mhz": lambda found: quantity(found.get("Clocks/Graphics"), "MHz"),
    "clock_memory_mhz": lambda found: quantity(found.get("Clocks/Memory"), "MHz"),
    "utilisation_percent": lambda found: quantity(found.get("Utilization/Gpu"), "%"),
    "memory_total_bytes": lambda found: size(found.get("FB Memory Usage/Total")),
    "memory_used_bytes": lambda found: size(found.get("FB Memory Usage/Used")),
    "ecc_corrected_volatile": errors("(?<!un)correct|single"),
    "ecc_uncorrected_volatile": errors("uncorrect|double"),
    "pcie_gen": lambda found: positive(found.get(link("PCIe Generation/Current"))),
    "pcie_gen_max": lambda found: positive(found.get(link("PCIe Generation/Max"))),
    "pcie_width": lambda found: width(found.get(link("Link Width/Current"))),
    "pcie_width_max": lambda found: width(found.get(link("Link Width/Max"))),
}


def width(text: str | None) -> int | None:
    said = words(text)
    return positive(said.removesuffix("x"))


PROBES = (
    Probe(
        Question(
            "mthreads_gmi",
            ("10", "30"),
            script="ask_mthreads_gmi",
            modules=("tool_calls",),
            timeout_s=35.0,
            without_python=bare("/usr/local/musa/bin", "mthreads-gmi"),
        ),
        parse,
        yields=(Accelerator, DeviceProcess, Version),
        about="Moore Threads GPUs and the processes on them, from mthreads-gmi",
        applies=Applies(
            pci_vendors=("1ed5",),
            kinds=("accelerator",),
            why_not="no Moore Threads accelerator on the PCI bus",
        ),
    ),
)

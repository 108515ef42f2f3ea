"""Enflame GCUs by efsmi: https://support.enflame-tech.com (EFSMI user guide).

The meaning of health and of the RMA hint: efml.h of Enflame's go-efml.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from clusterctl.model import Accelerator, Applies, Fact, Kind, Probe, Trouble, Version
from clusterctl.probes.bordered import rows, unfinished, words
from clusterctl.probes.labelled import (
    Block,
    Reader,
    address,
    amount,
    binary,
    blocks,
    cell,
    celsius,
    counter,
    flag,
    glued,
    label,
    marked,
    once,
    readings,
    size,
)
from clusterctl.probes.transcript import asking, nothing, told
from clusterctl.spelling import Unreadable, pci_address, reported, visible

DEVICE = re.compile(r"\s*DEV ID (\d{1,3})")
VERSION = re.compile(r"Driver Ver: *([0-9][\w.+-]*)")
Found = Accelerator | Version | Trouble
# The first row of a device, as in | 0  S60 | 33.6.2 | 00:01:00.0  Disable |
FIRST = re.compile(r"(\d{1,3})\s+(\S.*)")
TWO_DIGITS = re.compile(r"[0-9a-fA-F]{2}:.{2}:.{2}\..")  # of the domain, in the table


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Every device of `efsmi -q`, and those that only the table shows."""
    said, troubles = told(stdout)
    yield from troubles
    found: dict[str, list[Found]] = {}
    versions: dict[str, Version] = {}
    for text in said.values():
        if "DEV ID" in text:
            read = listed(text, versions)
        else:
            yield from unfinished(text)
            read = tabled(text, versions)
        for item in once(read):
            found.setdefault(item.part, []).append(item)
    yield from versions.values()
    seen: set[str] = set()
    for part, items in found.items():
        cards = [item for item in items if isinstance(item, Accelerator)]
        yield from (item for item in items if isinstance(item, Trouble))
        yield from cards[:1]
        yield from {item.part: item for item in items if isinstance(item, Version)}.values()
        seen |= {part} if cards or items else set()
    if not seen and not troubles:
        yield nothing("efsmi", said)


def listed(text: str, versions: dict[str, Version]) -> Iterator[Found]:
    """`efsmi -q`"""
    for opens, block in blocks(text, DEVICE):
        if opens is None:
            continue
        index = int(opens[1])
        part = f"gcu{index}"
        if version := re.fullmatch(r"[0-9][\w.+-]*", block.get("Driver Info/Ver", "")):
            versions["driver"] = Version("driver/enflame", version[0])
        yield from readings(part, "enflame", index, block, FIELDS)


def health(found: Block) -> str | None:
    """The device's word; a bad power cable is told apart from it, and is no better."""
    text = cell(found, "Device Info/Health")
    cable = cell(found, "Power Cable/Status")
    if text not in {None, "True", "False"}:
        raise Unreadable(f"neither True nor False: {text!r}")
    if text == "True" and cable not in {None, "Normal"}:
        return f"power cable {cable.lower()}" if cable else None
    return None if text is None else "ok" if text == "True" else "false"


def recovery(found: Block) -> str | None:
    hinted = flag("true", "false", "RMA Info/Flags")(found)
    return None if hinted is None else "rma" if hinted else "none"


def place(found: Block) -> str:
    names = ("Domain", "Bus", "Dev", "Func")
    told = [cell(found, f"PCIe Info/{name}") for name in names]
    return pci_address("{}:{}:{}.{}".format(*told)) if any(told) else ""


FIELDS: Mapping[str, Reader] = {
    "model": label("Device Info/Dev Name"),
    "uuid": label("Device Info/Dev UUID"),
    "serial": label("Device Info/Dev SN"),
    "pci": place,
    "health": health,
    "recovery_action": recovery,
    "temp_c": celsius("Temperature Info/GCU Temp"),
    "power_w": amount("W", "Power Info/Cur Power"),
    "power_limit_w": amount("W", "Power Info/Power Capa"),
    "clock_memory_mhz": amount("MHz", "Clock Info/Mem CLK"),
    "utilisation_percent": amount("%", "Device Usage Info/GCU Usage"),
    "memory_total_bytes": size("Device Mem Info/Total Size", "Device Mem Info/Mem Size"),
    "memory_used_bytes": size("Device Mem Info/Used Size", "Device Mem Info/Mem Usage"),
    "ecc_on": flag("enable", "disable", "ECC Mode/Current", "Device Mem Info/Mem Ecc"),
    # The only count of errors in memory that efsmi has; 1.4 tells it by memory controller as well.
    "ecc_uncorrected_volatile": counter("RMA Info/Total DBE", "RMA Info/DBE"),
    "pcie_gen": marked("Gen([1-7])", "PCIe Info/Cur Link Speed"),
    "pcie_gen_max": marked("Gen([1-7])", "PCIe Info/Max Link Speed"),
    "pcie_width": marked("X([0-9]{1,2})", "PCIe Info/Cur Link Width"),
    "pcie_width_max": marked("X([0-9]{1,2})", "PCIe Info/Max Link Width"),
}


def tabled(text: str, versions: dict[str, Version]) -> Iterator[Found]:
    """The table: two rows a device, below the two rows of its header."""
    if version := VERSION.search(text):
        versions.setdefault("driver", Version("driver/enflame", version[1]))
    headed, first = 0, ("", "", "")
    for row in rows(text):
        if len(row) != 3:
            if first[0]:
                yield broken(first[0])
            first = ("", "", "")
        elif headed < 2 and row[0].startswith(("DEV", "TEMP")):
            headed += 1
        elif headed < 2:
            continue
        elif first[0]:
            yield from device(first, (row[0], row[1], row[2]))
            first = ("", "", "")
        elif FIRST.fullmatch(row[0]):
            first = (row[0], row[1], row[2])
        else:
            yield Trouble(Kind.UNREADABLE, f"not a device's row: {visible(str(row), 100)}")
    if first[0]:
        yield broken(first[0])


def broken(first: str) -> Trouble:
    opens = FIRST.fullmatch(first)
    part = f"gcu{int(opens[1])}" if opens else ""
    return Trouble(Kind.CUT, "its second row is not there", part)


def device(first: tuple[str, str, str], second: tuple[str, str, str]) -> Iterator[Found]:
    opens = FIRST.fullmatch(first[0])
    index = int(opens[1]) if opens else 0
    state = re.fullmatch(r"(.*?)\s{2,}\S+\s+(\S+)\s+(\S+)", second[0])
    if not state:
        shown = visible(second[0], 60)
        yield Trouble(Kind.UNREADABLE, f"not temperature and power: {shown!r}", f"gcu{index}")
        return
    place, *ecc = first[2].split() or [""]
    use, *serial = words(second[2]) or [""]
    cells = {
        "model": opens[2] if opens else "",
        "pci": f"00{place}" if TWO_DIGITS.fullmatch(place) else place,
        "ecc": " ".join(ecc),
        "temp": state[1],
        "power": state[2],
        "cap": state[3],
        "total": (second[1].split() or [""])[0],
        "use": use,
        "serial": " ".join(serial),
    }
    yield from readings(f"gcu{index}", "enflame", index, cells, TABLED)
    if reported(first[1]) and re.fullmatch(r"[\w.+-]+", first[1]):
        yield Version(f"firmware/gcu{index}", first[1])


TABLED: Mapping[str, Reader] = {
    "model": label("model"),
    "serial": label("serial"),
    "pci": address("pci"),
    "temp_c": celsius("temp"),
    "power_w": glued("W", "power"),
    "power_limit_w": glued("W", "cap"),
    "utilisation_percent": glued("%", "use"),
    "memory_total_bytes": binary("MiB", "total"),
    "ecc_on": flag("enable", "disable", "ecc"),
}


PROBES = (
    Probe(
        asking("efsmi", ("efsmi",), ("-q", "")),
        parse,
        yields=(Accelerator, Version),
        about="Enflame GCUs, from efsmi",
        applies=Applies(
            pci_vendors=("1e36",),
            kinds=("accelerator",),
            why_not="no Enflame accelerator on the PCI bus",
        ),
    ),
)

"""The shapes in which Kunlunxin's tool prints its cards.  No probe of its own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from clusterctl.model import Accelerator, DeviceProcess, Kind, Trouble
from clusterctl.probes.bordered import below_header, pair, rows, unfinished, words
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
    readings,
    size,
)
from clusterctl.spelling import Unreadable, count, number, pci_address, visible

MIB = 1 << 20
Row = Sequence[str]
Found = Accelerator | DeviceProcess | Trouble
OPENING = re.compile(r"\s*XPU ([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7])")
NAMED = re.compile(r"\s*XPU (\d{1,3}): (.+?)(?: \(UUID: ([^)]+)\))?\s*")
# |   1       N/A  N/A    76262      C   python                165MiB |
PROCESS = re.compile(
    r"(\d{1,3})\s+(?:\S+\s+\S+\s+)?(\d{1,9})\s+(?:[CG+]{1,3}\s+)?(\S.*?)\s+(\d+)MiB"
)

LINK = "PCI/XPU Link Info"
FIELDS: Mapping[str, Reader] = {
    "model": label("Product Name"),
    "uuid": label("XPU UUID"),
    "serial": label("Serial Number"),
    "pci": address("PCI/Bus Id"),
    "temp_c": celsius("Temperature/XPU Current Temp"),
    "power_w": amount("W", "Power Readings/Power Draw"),
    "power_limit_w": amount("W", "Power Readings/Enforced Power Limit"),
    "clock_sm_mhz": amount("MHz", "Clocks/Cluster"),
    "utilisation_percent": amount("%", "Utilization/Xpu"),
    "memory_total_bytes": size("Memory Usage/Total"),
    "memory_used_bytes": size("Memory Usage/Used"),
    "ecc_on": flag("enabled", "disabled", "Ecc Mode/Current"),
    "ecc_corrected_volatile": counter("ECC Errors/Volatile/DRAM Correctable"),
    "ecc_uncorrected_volatile": counter("ECC Errors/Volatile/DRAM Uncorrectable"),
    "ecc_corrected_aggregate": counter("ECC Errors/Aggregate/DRAM Correctable"),
    "ecc_uncorrected_aggregate": counter("ECC Errors/Aggregate/DRAM Uncorrectable"),
    "pcie_gen": counter(f"{LINK}/PCIe Generation/Current"),
    "pcie_gen_max": counter(f"{LINK}/PCIe Generation/Max"),
    "pcie_width": marked("([0-9]{1,2})x", f"{LINK}/Link Width/Current"),
    "pcie_width_max": marked("([0-9]{1,2})x", f"{LINK}/Link Width/Max"),
}


def listed(text: str) -> Iterator[Found]:
    """`xpu_smi -q`; its number is the device's minor one, else its place in the list."""
    place = 0
    for opens, block in blocks(text, OPENING):
        if opens is None:
            continue
        minor = block.get("Minor Number", "")
        index = int(minor) if re.fullmatch(r"[0-9]{1,3}", minor) else place
        place += 1
        yield from readings(f"xpu{index}", "kunlunxin", index, block, FIELDS)
        yield from astray(f"xpu{index}", opens[1], block)


def astray(part: str, opens: str, block: Block) -> Iterator[Trouble]:
    """A block whose own address is not the one above it belongs to another card."""
    told = block.get("PCI/Bus Id", opens)
    if told.lower() != opens.lower():
        yield Trouble(
            Kind.UNREADABLE, visible(f"listed as {opens}, calls itself {told}", 100), part
        )


def tabled(text: str) -> Iterator[Found]:
    """The table of the P800, three rows a card, the third of its L3 cache and no news to us."""
    yield from unfinished(text)
    head, _, processes = text.partition("Processes:")
    held: list[Row] = []
    for row in (*rows(below_header(head)), ()):
        if any(row):
            held.append(row)
        elif held and not row:
            yield from card(held)
            held = []
    yield from running(processes)


def card(held: list[Row]) -> Iterator[Found]:
    named = words(held[0][0])
    index = int(named[0]) if named and re.fullmatch(r"[0-9]{1,3}", named[0]) else None
    part = "" if index is None else f"xpu{index}"
    if index is None or len(held) != 3 or any(len(row) != 3 for row in held):
        yield Trouble(Kind.UNREADABLE, f"not a card's rows: {visible(str(held), 100)}", part)
        return
    power = re.fullmatch(r"\S+\s+(\S+)\s+\S+\s+(\S+)\s*/\s*(\S+)", held[1][0])
    if not power:
        shown = visible(held[1][0], 60)
        yield Trouble(Kind.UNREADABLE, f"not fan, temperature and power: {shown!r}", part)
        return
    used, total = pair(held[1][1])
    cells = {
        "model": " ".join(named[1:2]),
        "pci": (held[0][1].split() or [""])[0],
        "ecc": held[0][2],
        "temp": power[1],
        "power": power[2],
        "cap": power[3],
        "used": used,
        "total": total,
        "use": (held[1][2].split() or [""])[0],
    }
    yield from readings(part, "kunlunxin", index, cells, TABLED)


def volatile(found: Block) -> int | None:
    """A number where ECC is on, Off where it is not: the table is nvidia-smi's."""
    text = cell(found, "ecc")
    return None if text in {None, "Off"} else count(text or "")


def switched(found: Block) -> bool | None:
    text = cell(found, "ecc")
    if text == "Off":
        return False
    return None if volatile(found) is None else True


TABLED: Mapping[str, Reader] = {
    "model": label("model"),
    "pci": address("pci"),
    "temp_c": celsius("temp"),
    "power_w": glued("W", "power"),
    "power_limit_w": glued("W", "cap"),
    "utilisation_percent": glued("%", "use"),
    "memory_total_bytes": binary("MiB", "total"),
    "memory_used_bytes": binary("MiB", "used"),
    "ecc_on": switched,
    "ecc_uncorrected_volatile": volatile,
}


def running(text: str) -> Iterator[Found]:
    for row in rows(text):
        for words_ in row:
            if found := PROCESS.fullmatch(words_):
                part, used = f"xpu{int(found[1])}", int(found[4]) * MIB
                yield DeviceProcess(part, int(found[2]), visible(found[3], 80), used)


def old_tabled(text: str) -> Iterator[Found]:
    """The tables of R200 and R300 (XRE 4); only DEVICES says what a card is."""
    yield from unfinished(text)
    section, columns = "", {}
    for line in text.split("\n"):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.strip().isupper() and "|" not in line:
            section = line.strip()
        elif "DevID" in cells:
            columns = {name: place for place, name in enumerate(cells)}
        elif line.strip().startswith("|") and section == "DEVICES":
            yield from old_card(cells, columns)
        elif line.strip().startswith("|") and section == "PROCESSES":
            yield from old_process(cells, columns)


def old_card(cells: list[str], columns: Mapping[str, int]) -> Iterator[Found]:
    part = f"xpu{int(cells[0])}" if re.fullmatch(r"[0-9]{1,3}", cells[0]) else ""
    if not part or len(cells) != len(columns):
        yield Trouble(Kind.UNREADABLE, f"not a card's row: {visible(str(cells), 100)}", part)
        return
    block = {name: cells[place].replace(" ", "") for name, place in columns.items()}
    block["used"], block["total"] = pair(block.get("Memory", ""))
    yield from readings(part, "kunlunxin", int(cells[0]), block, OLD_TABLED)


def used_megabytes(found: Block) -> int | None:
    """Of 0 / 32768 MB: only the total has its unit, 2^20 bytes; a card of 32 GiB says 32768."""
    value = number(found["used"])
    return None if value is None else int(value * MIB)


OLD_TABLED: Mapping[str, Reader] = {
    "pci": address("PCI Addr"),
    "model": label("Model"),
    "serial": label("SN"),
    "utilisation_percent": glued("%", "UseRate"),
    "memory_used_bytes": used_megabytes,
    "memory_total_bytes": binary("MB", "total"),
}


def old_process(cells: list[str], columns: Mapping[str, int]) -> Iterator[Found]:
    try:
        pid = count(cells[columns["PID"]])
        name, card = cells[columns["Command"]], count(cells[columns["DevID"]])
    except (KeyError, IndexError, Unreadable) as error:
        yield Trouble(Kind.UNREADABLE, visible(f"process: {error}", 120))
    else:
        yield DeviceProcess(f"xpu{card}", pid, visible(name, 80))


def numbered(text: str) -> Iterator[Found]:
    """`xpu_smi -m`: a line of bare values a device, by place.

    Known places: 0 bus address, 2 device, 3 serial, 4 temperature, 17 and 18 memory used and in
    all (MiB), 19 use, 21 model.  8 is power, in W of a P800 and in mW of a K200: left out.
    """
    for line in text.split("\n"):
        if not line.strip():
            continue
        try:
            yield machine_card(shlex.split(line))
        except (Unreadable, ValueError, IndexError) as error:
            yield Trouble(Kind.UNREADABLE, visible(f"{error}: {line}", 120))


def machine_card(cells: Row) -> Accelerator:
    index = count(cells[2])
    if len(cells) < 22:
        raise Unreadable(f"{len(cells)} values of 22 or more")
    return Accelerator(
        f"xpu{index}",
        "kunlunxin",
        index,
        serial=cells[3],
        model=cells[21],
        pci=pci_address(cells[0]),
        temp_c=number(cells[4]),
        memory_used_bytes=count(cells[17]) * MIB,
        memory_total_bytes=count(cells[18]) * MIB,
        utilisation_percent=number(cells[19]),
    )


def named(text: str) -> Iterator[Found]:
    """`xpu_smi -L`"""
    for line in text.split("\n"):
        if found := NAMED.fullmatch(line):
            index = int(found[1])
            yield Accelerator(
                f"xpu{index}", "kunlunxin", index, uuid=found[3] or "", model=found[2].strip()
            )

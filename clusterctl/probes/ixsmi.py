"""Iluvatar GPUs by ixsmi (CoreX SDK guide, ixsmi; versions 3.2 to 4.4).

Known outputs: the table, `--query-gpu=… --format=csv`, `-L`; `-q` as nvidia-smi prints it.  What
libixml.so adds, as `remote/ask_ixsmi.py` spells it, is from documentation only.
"""

from __future__ import annotations

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
    halves,
    parsed,
    positive,
    quantity,
    size,
    tabled,
    unshown,
    words,
)
from clusterctl.probes.smi_tables import Cells
from clusterctl.spelling import Unreadable, pci_address, visible

DRIVER = re.compile(r"Driver Version *: *([0-9][\w.+-]*)")
ATTACHED = re.compile(r"^Attached GPUs\s*: *(.*?)\s*$", re.MULTILINE)
CARD = re.compile(r"GPU (?P<pci>[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7])")
LISTED = re.compile(r"GPU (\d{1,3}): (\S.*?) \(UUID: (GPU-[0-9a-f-]{36})\)\s*")
HEAD = re.compile(r"^(?:[\w.]+(?: \[[\w%/]+\])?, ?)+[\w.]+(?: \[[\w%/]+\])?\s*$", re.MULTILINE)

ASKED_OF_LIBRARY = re.compile(
    r"gpu (?P<index>\d{1,3}) (?P<uuid>\S+) health (?P<health>\d{1,20}|none|error -?\d+)"
    r" ecc (?:(?P<single>\d{1,10}) (?P<double>\d{1,10})|(?P<ecc>none|error -?\d+))"
)
# IXML_HEALTH_… of ixml.h; 0: well
HEALTH = {0x1: "syshub", 0x2: "mc", 0x10: "ecc", 0x20: "memory", 0x40: "pcie"}


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """A GPU's part is gpu0, by its number in ixsmi; a card may hold two."""
    return parsed(stdout, read, "iluvatar")


def read(text: str) -> Iterator[Fact | Trouble]:
    """Any one output."""
    if "Bus-Id" in text:
        if version := DRIVER.search(text):
            yield Version("driver/iluvatar", version[1])
        yield from tabled(text, "Bus-Id", "gpu", "gpu", TABLE)
    elif text.startswith("gpu "):
        yield from from_library(text)
        return
    elif head := HEAD.search(text):
        yield from queried(head[0], text[head.end() :])
        return
    else:
        yield from listed(text)
    yield from complaints(text, "gpu")


# --------------------------------------------------------------------------- the table


def power(side: int) -> Callable[[Cells], float | None]:
    return lambda found: quantity(halves(found.get("pwr:usage/cap"))[side], "W")


def memory(side: int) -> Callable[[Cells], int | None]:
    return lambda found: size(halves(found.get("memory-usage"))[side])


def address(*names: str) -> Callable[[Cells], str]:
    def read(found: Cells) -> str:
        said = next((said for name in names if (said := words(found.get(name)))), "")
        return pci_address(said) if said else ""

    return read


TABLE: Readers = {
    "model": lambda found: words(found.get("name")),
    "pci": address("bus-id"),
    "temp_c": lambda found: quantity(found.get("temp"), "C"),
    "power_w": power(0),
    "power_limit_w": power(1),
    "clock_sm_mhz": lambda found: quantity(found.get("clock-sm"), "MHz"),
    "clock_memory_mhz": lambda found: quantity(found.get("clock-mem"), "MHz"),
    "utilisation_percent": lambda found: quantity(found.get("gpu-util"), "%"),
    "memory_total_bytes": memory(1),
    "memory_used_bytes": memory(0),
}


# --------------------------------------------------------------------------- --query-gpu


def queried(head: str, text: str) -> Iterator[Fact | Trouble]:
    """Rows below a head that names the fields, and their units where the values have none."""
    heads = [cell.strip() for cell in head.split(",")]
    names = [name.partition(" ")[0] for name in heads]
    units = [name.partition("[")[2].strip("]") for name in heads]
    at = 0
    for line in filter(str.strip, text.split("\n")):
        cells = [cell.strip() for cell in line.split(",")]  # no name of a GPU has a comma in it
        if len(cells) != len(names):
            said = visible(", ".join(cells), 120)
            yield Trouble(Kind.UNREADABLE, f"not a row of {len(names)} values: {said}")
            continue
        found = {
            name: f"{cell} {unit}" if unit and re.fullmatch("-?[0-9.]+", cell) else cell
            for name, unit, cell in zip(names, units, cells, strict=True)
        }
        number = found.get("index", str(at))
        at += 1
        if re.fullmatch("[0-9]{1,3}", number):
            yield from card(f"gpu{int(number)}", int(number), found, QUERIED)
        else:
            yield Trouble(Kind.UNREADABLE, f"a row of no GPU: {visible(', '.join(cells), 120)}")


def first(unit: str, *names: str) -> Callable[[Cells], float | None]:
    """The first of these fields that was asked.  A temperature comes without its unit."""

    def read(found: Cells) -> float | None:
        text = next((found[name] for name in names if name in found), "")
        bare = not unit or (unit == "C" and re.fullmatch("-?[0-9.]+", text))
        return quantity(f"{text} C" if bare else text, unit or "C")

    return read


def number(name: str) -> Callable[[Cells], int | None]:
    return lambda found: positive(words(found.get(name)))


def enabled(*names: str) -> Callable[[Cells], bool | None]:
    def read(found: Cells) -> bool | None:
        said = next((said for name in names if (said := words(found.get(name)))), "")
        if said not in {"", "Enabled", "Disabled", "enabled", "disabled"}:
            raise Unreadable(f"neither Enabled nor Disabled: {said!r}")
        return said.lower() == "enabled" if said else None

    return read


QUERIED: Readers = {
    "model": lambda found: words(found.get("name") or found.get("gpu_name")),
    "uuid": lambda found: words(found.get("uuid") or found.get("gpu_uuid")),
    "serial": lambda found: words(found.get("serial") or found.get("gpu_serial")),
    "pci": address("pci.bus_id", "gpu_bus_id"),
    "temp_c": first("C", "temperature.gpu"),
    "temp_memory_c": first("C", "temperature.memory"),
    "power_w": first("W", "gpu.power.draw", "power.draw"),
    "power_limit_w": first("W", "gpu.current.power.limit", "gpu.power.limit", "power.limit"),
    "power_limit_default_w": first("W", "gpu.default.power.limit"),
    "clock_sm_mhz": first("MHz", "clocks.current.sm", "clocks.sm"),
    "clock_sm_max_mhz": first("MHz", "clocks.max.sm"),
    "clock_memory_mhz": first("MHz", "clocks.current.memory", "clocks.mem"),
    "clock_memory_max_mhz": first("MHz", "clocks.max.memory", "clocks.max.mem"),
    "utilisation_percent": first("%", "utilization.gpu"),
    "memory_total_bytes": lambda found: size(found.get("memory.total")),
    "memory_used_bytes": lambda found: size(found.get("memory.used")),
    "ecc_on": enabled("ecc.mode.current"),
    "pcie_gen": number("pcie.link.gen.current"),
    "pcie_gen_max": number("pcie.link.gen.max"),
    "pcie_width": number("pcie.link.width.current"),
    "pcie_width_max": number("pcie.link.width.max"),
}


# --------------------------------------------------------------------------- -L and -q


def listed(text: str) -> Iterator[Fact | Trouble]:
    """`-q` has no numbers: its GPUs stand in their order."""
    found: list[Fact | Trouble] = []
    for line in text.split("\n"):
        if said := LISTED.fullmatch(line):
            index = int(said[1])
            found.append(
                Accelerator(f"gpu{index}", index=index, model=visible(said[2], 80), uuid=said[3])
            )
    told = [(opens, block) for opens, block in blocks(text, CARD) if opens]
    for index, (opens, block) in enumerate(told):
        found += card(f"gpu{index}", index, {**block, "pci": opens["pci"]}, ASKED)
    if told and (version := DRIVER.search(text)):
        yield Version("driver/iluvatar", version[1])
    yield from found
    if attached := ATTACHED.search(text):
        yield from unshown(attached[1], found, "gpu")


def errors(kind: str, since: str) -> Callable[[Cells], int | None]:
    pattern = re.compile(kind)
    return lambda found: counted(
        text
        for path, text in found.items()
        if path.startswith(f"ECC Errors/{since}") and pattern.search(path.lower())
    )


CORRECTED, UNCORRECTED = "(?<!un)correct|single", "uncorrect|double"
ASKED: Readers = {
    "model": lambda found: words(found.get("Product Name")),
    "uuid": lambda found: words(found.get("GPU UUID")),
    "serial": lambda found: words(found.get("Serial Number")),
    "pci": address("pci"),
    "temp_c": lambda found: quantity(found.get("Temperature/GPU Current Temp"), "C"),
    "power_w": lambda found: quantity(found.get("Power Readings/Power Draw"), "W"),
    "power_limit_w": lambda found: quantity(found.get("Power Readings/Power Limit"), "W"),
    "utilisation_percent": lambda found: quantity(found.get("Utilization/Gpu"), "%"),
    "memory_total_bytes": lambda found: size(found.get("FB Memory Usage/Total")),
    "memory_used_bytes": lambda found: size(found.get("FB Memory Usage/Used")),
    "ecc_on": enabled("Ecc Mode/Current", "ECC Mode/Current"),
    "ecc_corrected_volatile": errors(CORRECTED, "Volatile"),
    "ecc_uncorrected_volatile": errors(UNCORRECTED, "Volatile"),
    "ecc_corrected_aggregate": errors(CORRECTED, "Aggregate"),
    "ecc_uncorrected_aggregate": errors(UNCORRECTED, "Aggregate"),
}


# --------------------------------------------------------------------------- libixml.so


def from_library(text: str) -> Iterator[Fact | Trouble]:
    for line in text.strip("\n").split("\n"):
        named = re.match(r"gpu (\d{1,3}) ", line)
        part = f"gpu{int(named[1])}" if named else ""
        if found := ASKED_OF_LIBRARY.fullmatch(line):
            yield from answered(part, found)
        else:
            kind = Kind.EXIT if " error " in line else Kind.UNREADABLE
            yield Trouble(kind, f"libixml: {visible(line, 100)}", part)


def answered(part: str, found: re.Match[str]) -> Iterator[Fact | Trouble]:
    """A call that failed is a trouble; one that an older library does not have is none."""
    for name, said in (("health", found["health"]), ("ecc", found["ecc"])):
        if said and said.startswith("error"):
            yield Trouble(Kind.EXIT, f"libixml: {name}: {said}", part)
    uuid = found["uuid"] if found["uuid"].startswith("GPU-") else ""
    health = failing(int(found["health"])) if found["health"].isdecimal() else None
    single, double = (int(found[name]) if found[name] else None for name in ("single", "double"))
    if health or uuid or double is not None:
        yield Accelerator(
            part,
            index=int(found["index"]),
            uuid=uuid,
            health=health,
            ecc_corrected_volatile=single,
            ecc_uncorrected_volatile=double,
        )


def failing(bits: int) -> str:
    known = [word for bit, word in HEALTH.items() if bits & bit]
    rest = bits & ~sum(HEALTH)
    return ", ".join([*known, *([f"{rest:#x}"] if rest else [])]) or "ok"


PROBES = (
    Probe(
        Question(
            "ixsmi",
            ("10", "40"),
            script="ask_ixsmi",
            modules=("tool_calls",),
            timeout_s=45.0,
            without_python=bare("/usr/local/corex/bin", "ixsmi"),
        ),
        parse,
        yields=(Accelerator, DeviceProcess, Version),
        about="Iluvatar GPUs and the processes on them, from ixsmi",
        subject="iluvatar",
        rank=1,  # after the library, which nvml_alike asks
        applies=Applies(
            pci_vendors=("1e3e",),
            kinds=("accelerator",),
            why_not="no Iluvatar accelerator on the PCI bus",
        ),
    ),
)

"""MetaX GPUs by mx-smi, and by ht-smi of its OEM (mx-smi user guide; versions 2.0 to 2.3).

Known outputs: the table, -L, --show-…, --count-ecc and topo.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator

from clusterctl.model import (
    Accelerator,
    Applies,
    DeviceProcess,
    Fact,
    Kind,
    Link,
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
    quantity,
    size,
    tabled,
    unshown,
    words,
)
from clusterctl.probes.smi_tables import Cells
from clusterctl.spelling import Unreadable, pci_address, visible

ATTACHED = re.compile(r"^Attached GPUs\s*: *(.*?)\s*$", re.MULTILINE)
VERSIONS = {
    "driver/metax": re.compile(r"Kernel Mode Driver Version: *([0-9][\w.+-]*)"),
    "vbios/metax": re.compile(r"BIOS Version: *([0-9][\w.+-]*)"),
    "library/maca": re.compile(r"\bMACA Version: *([0-9][\w.+-]*)"),
    "library/hpcc": re.compile(r"\bHPCC Version: *([0-9][\w.+-]*)"),
}
ADDRESS = "(?P<pci>[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}[.][0-7])"
# GPU#0  MXC500  0000:08:00.0  Available (UUID: GPU-…), or bus Not Available(why)
LISTED = re.compile(
    rf"GPU#(?P<index>\d{{1,3}})\s+(?P<model>\S.*?)\s+(?:{ADDRESS}|bus)\s+"
    r"(?P<state>Available|Not Available)\s*(?:\((?!UUID)(?P<why>.*)\))?\s*"
    r"(?:\(UUID: (?P<uuid>GPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\))?"
)
HEADED = re.compile(rf"GPU#(?P<index>\d{{1,3}})\s+(?P<model>\S.*?)\s+{ADDRESS}")
MATRIX = re.compile(r"^[ \t]+GPU\d+\s.*$", re.MULTILINE)  # its head; topo -m has no other
RELATIONS = frozenset({"X", "SYS", "NODE", "PHB", "PXB", "PIX", "MX", "ETH", "NA"})


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """A GPU's part is gpu0, by its number in mx-smi."""
    return parsed(stdout, read, "metax")


def read(text: str) -> Iterator[Fact | Trouble]:
    """Any one output."""
    if "&emsp;" in text:  # pasted from a page
        text = html.unescape(text)
    found = [*told(text)]
    yield from found
    attached = ATTACHED.search(text)
    if attached and not MATRIX.search(text):
        yield from unshown(attached[1], found, "gpu")
    yield from complaints(text, "gpu")


def told(text: str) -> Iterator[Fact | Trouble]:
    if "Bus-i" in text:
        for part, pattern in VERSIONS.items():
            if version := pattern.search(text):
                yield Version(part, version[1])
        yield from tabled(text, "Bus-i", "gpu", "gpu", TABLE)
    elif matrix := MATRIX.search(text):
        yield from links(text[matrix.start() :])
    elif re.search(r"^GPU#\d+.*Available", text, re.MULTILINE):
        yield from listed(text)
    else:
        for heading, block in blocks(text, HEADED):
            if heading:
                known = {**block, "model": heading["model"], "pci": heading["pci"]}
                yield from card(f"gpu{int(heading['index'])}", int(heading["index"]), known, SHOWN)


# --------------------------------------------------------------------------- the table


def power(found: Cells) -> float | None:
    return quantity(found["power"] if "power" in found else halves(limits(found))[0], "W")


def power_limit(found: Cells) -> float | None:
    return quantity(halves(limits(found))[1], "W")


def limits(found: Cells) -> str | None:
    return found.get("pwr:usage/cap")


def memory(side: int) -> Callable[[Cells], int | None]:
    """Of 831/65536 MiB."""

    def read(found: Cells) -> int | None:
        used, total = halves(found.get("memory-usage"))
        unit = re.sub("[0-9 ]", "", total)
        return size((f"{used} {unit}", total)[side]) if total else None

    return read


def state(found: Cells) -> str | None:
    """Versions before 2.2 tell none."""
    said = found.get("gpu-state", "")
    if "ERR!" in said:
        raise Unreadable(f"an error: {said!r}")
    return "ok" if said == "Available" else visible(said.lower(), 120) or None


def persistence(found: Cells) -> bool | None:
    said = words(found.get("persist-m"))
    if said not in {"", "On", "Off"}:
        raise Unreadable(f"neither On nor Off: {said!r}")
    return said == "On" if said else None


def address(found: Cells) -> str:
    said = words(found.get("pci") or found.get("bus-id") or found.get("bus-i"))
    return pci_address(said) if said else ""


TABLE: Readers = {
    "model": lambda found: words(found.get("name")),
    "pci": address,
    "health": state,
    "temp_c": lambda found: quantity(found.get("temp"), "C"),
    "power_w": power,
    "power_limit_w": power_limit,
    "utilisation_percent": lambda found: quantity(found.get("gpu-util"), "%"),
    "memory_total_bytes": memory(1),
    "memory_used_bytes": memory(0),
    "persistence": persistence,
}


# --------------------------------------------------------------------------- -L, --show-…, …


def listed(text: str) -> Iterator[Fact | Trouble]:
    for line in text.split("\n"):
        if not line.startswith("GPU#"):
            continue
        if not (found := LISTED.fullmatch(line.strip())):
            named = re.match(r"GPU#(\d{1,3})\s", line)
            part = f"gpu{int(named[1])}" if named else ""
            yield Trouble(Kind.UNREADABLE, f"not a line of -L: {visible(line, 120)}", part)
            continue
        index = int(found["index"])
        why = f": {found['why']}" if found["why"] else ""
        yield Accelerator(
            f"gpu{index}",
            index=index,
            uuid=found["uuid"] or "",
            model=visible(found["model"], 80),
            pci=pci_address(found["pci"]) if found["pci"] else "",
            health="ok" if found["state"] == "Available" else visible(f"not available{why}", 120),
        )


def hottest(found: Cells) -> float | None:
    """hotspot(sensor0), of one chip or several."""
    told = [text for path, text in found.items() if "/hotspot" in path]
    values = [value for text in told if (value := quantity(text, "C")) is not None]
    return max(values) if values else None


def errors(which: str) -> Callable[[Cells], int | None]:
    """SRAM and DRAM together, since the last reboot; only the count of bad pages outlives that."""
    return lambda found: counted(
        text for path, text in found.items() if path.endswith(f" {which}") and "ECC Errors/" in path
    )


def at_end(*ends: str) -> Callable[[Cells], str]:
    return lambda found: next((found[path] for path in found if path.endswith(ends)), "")


SHOWN: Readers = {
    "model": lambda found: words(found["model"]),
    "pci": address,
    "temp_c": hottest,
    "utilisation_percent": lambda found: quantity(at_end("Utilization/GPU")(found), "%"),
    "memory_total_bytes": lambda found: size(at_end("vis_vram total")(found)),
    "memory_used_bytes": lambda found: size(at_end("vis_vram used")(found)),
    "ecc_corrected_volatile": errors("Correctable"),
    "ecc_uncorrected_volatile": errors("Uncorrectable"),
    "retired_pages": lambda found: counted(
        text for path, text in found.items() if re.search(r"Retired Pages/\w+ Bit ECC$", path)
    ),
}


def links(text: str) -> Iterator[Fact | Trouble]:
    """A MetaXLink for each MX between two GPUs; one that is lost shows beside its peers."""
    lines = text.split("\n")
    heads = re.split(r"\s(?:Node|NUMA|CPU) ", lines[0])[0].split()
    if not heads or not all(re.fullmatch(r"(?:GPU|NIC)\d{1,3}", head) for head in heads):
        yield Trouble(Kind.UNREADABLE, f"not the head of a matrix: {visible(lines[0], 80)!r}")
        return
    rows = [line.split() for line in lines[1:] if re.match(r"GPU\d{1,3}\s", line)]
    for name, *cells in rows:
        part = name.lower()
        relations = cells[: len(heads)]
        if len(relations) < len(heads) or not RELATIONS.issuperset(relations):
            yield Trouble(
                Kind.UNREADABLE, f"not a row of the matrix: {visible(' '.join(cells), 80)}", part
            )
            continue
        for far, relation in zip(heads, relations, strict=True):
            if relation == "MX" and far.startswith("GPU"):
                yield Link(f"{part}/{far.lower()}", part, "metaxlink", "up")
    there = {name for name, *_ in rows}
    for missing in [name for name in heads if name.startswith("GPU") and name not in there]:
        yield Trouble(Kind.CUT, "its row of the matrix is not there", missing.lower())


PROBES = (
    Probe(
        Question(
            "mx_smi",
            ("10", "40"),
            script="ask_mx_smi",
            modules=("tool_calls",),
            timeout_s=45.0,
            without_python=bare(
                "/opt/mxdriver/bin:/opt/maca/bin:/opt/hpcc/bin", "mx-smi", "ht-smi"
            ),
        ),
        parse,
        yields=(Accelerator, Link, DeviceProcess, Version),
        about="MetaX GPUs, their MetaXLinks and the processes on them, from mx-smi or ht-smi",
        applies=Applies(
            pci_vendors=("9999",),
            kinds=("accelerator",),
            why_not="no MetaX accelerator on the PCI bus",
        ),
    ),
)

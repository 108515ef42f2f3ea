"""Tecorigin cards by teco-smi: http://docs.tecorigin.com (TecoSMI user manual).

A card holds one SPA or several, each a device of its own for programs and a part here; those of
one card share its bus address.  SPE-Util N/A means that the card dropped off: gitee.com/tecorigin
modelzoo, frequently asked questions, 6.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from clusterctl.model import Accelerator, DeviceProcess, Fact, Kind, Probe, Trouble, Version
from clusterctl.probes.bordered import below_header, pair, rows, unfinished, words
from clusterctl.probes.labelled import (
    MIB,
    Reader,
    address,
    binary,
    celsius,
    glued,
    label,
    once,
    readings,
    word,
)
from clusterctl.probes.transcript import asking, nothing, told
from clusterctl.spelling import reported, visible

# TCML: 1.10.0  SDAADriver: 1.1.2b1  SDAARuntime: 1.1.2b0
VERSION = re.compile(r"(SDAADriver|SDAARuntime): *([0-9][\w.+-]*)")
PARTS = {"SDAADriver": "driver/tecorigin", "SDAARuntime": "sdaa-runtime"}
FIRST = re.compile(r"(\d{1,3})\s+(\S.*)")
# |     1       76262      python train.py                              165 MB |
PROCESS = re.compile(r"(\d{1,3})\s+(\d{1,9})\s+(\S.*?)\s+(\d{1,9}) ?MB")


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Every device of the table; one that dropped off is a Trouble."""
    said, troubles = told(stdout)
    yield from troubles
    text = "".join(said.values())
    yield from unfinished(text)
    yield from dict.fromkeys(Version(PARTS[name], value) for name, value in VERSION.findall(text))
    head, _, processes = text.partition("Processes:")
    found = list(once(devices(head)))
    yield from found
    yield from running(processes)
    if not found and not troubles:
        yield nothing("teco-smi", said)


def devices(text: str) -> Iterator[Accelerator | Trouble]:
    first: tuple[str, ...] = ()
    for row in (*rows(below_header(text)), ()):
        if first:
            yield from device(first, row)
            first = ()
        elif any(row):
            first = row


def device(first: tuple[str, ...], second: tuple[str, ...]) -> Iterator[Accelerator | Trouble]:
    opens = FIRST.fullmatch(first[0])
    part = f"sdaa{int(opens[1])}" if opens else ""
    heat = words(second[0]) if second else []
    if not opens or len(first) != 3 or len(second) != 3 or len(heat) != 2:
        yield Trouble(Kind.UNREADABLE, f"not a device's rows: {visible(str(first), 100)}", part)
        return
    state = words(first[2])
    use = (state[1:] or [second[2]])[0]
    if not reported(use):
        why = "SPE-Util is N/A: the card dropped off; the vendor wants to hear of it"
        yield Trouble(Kind.EXIT, why, part)
        return
    used, total = pair(second[1])
    cells = {
        "model": opens[2].strip(),
        "pci": first[1],
        "health": " ".join(state[:1]),
        "use": use,
        "temp": heat[0],
        "power": heat[1],
        "used": used,
        "total": total,
    }
    yield from readings(part, "tecorigin", int(opens[1]), cells, FIELDS)


FIELDS: Mapping[str, Reader] = {
    "model": label("model"),
    "pci": address("pci"),
    "health": word("health"),
    "temp_c": celsius("temp"),
    "power_w": glued("W", "power"),
    "utilisation_percent": glued("%", "use"),
    # Its MB are 2^20 bytes: a device of 64 GiB says 65536MB.
    "memory_total_bytes": binary("MB", "total"),
    "memory_used_bytes": binary("MB", "used"),
}


def running(text: str) -> Iterator[DeviceProcess | Trouble]:
    """By their ids on the host, in containers too."""
    for row in rows(below_header(text)):
        line = " ".join(row).strip()
        if not line or line.startswith("No Process"):
            continue
        if found := PROCESS.fullmatch(line):
            used = int(found[4]) * MIB
            yield DeviceProcess(f"sdaa{int(found[1])}", int(found[2]), visible(found[3], 80), used)
        else:
            yield Trouble(Kind.UNREADABLE, f"not a process's row: {visible(line, 80)}")


PROBES = (
    Probe(
        asking(
            "teco_smi", ("teco-smi",), ("",), places=("/opt/tecoai/bin", "/usr/local/tecoai/bin")
        ),
        parse,
        yields=(Accelerator, DeviceProcess, Version),
        about="Tecorigin devices and the processes on them, from teco-smi",
        # Nobody publishes the vendor's PCI id: the tool's own absence says that it does not apply,
        # and a card that it should have shown is one that nothing here can ask.
        optional=True,
        tool="teco-smi",
    ),
)

"""Kunlunxin XPUs by xpu_smi (xpu-smi): https://www.kunlunxin.com (XRE user manual).

Intel's GPU tool has the name xpu-smi too: what says neither XPU-RT nor DevID is not Kunlunxin's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.model import (
    Accelerator,
    Applies,
    DeviceProcess,
    Fact,
    Kind,
    Probe,
    Trouble,
    Version,
)
from clusterctl.probes.labelled import once
from clusterctl.probes.transcript import asking, nothing, told
from clusterctl.probes.xpu_smi_texts import Found, listed, named, numbered, old_tabled, tabled
from clusterctl.spelling import visible

OURS = re.compile("XPU-RT|XPUSMI LOG|Attached XPUs|DevID")
INTEL = re.compile(r"Intel|Level[- ]Zero|xpu-smi discovery", re.IGNORECASE)
VERSION = re.compile(r"(Driver|XPU-RT|Runtime) Version *: *([0-9][\w.+-]*)")
PARTS = {"Driver": "driver/kunlunxin", "XPU-RT": "xpu-rt", "Runtime": "xpu-rt"}
ATTACHED = re.compile(r"Attached XPUs\s*: *([0-9]{1,3})\s*")
# As in `xpu_smi -m`: bus address, number of the card, number of the device, serial, …
MACHINE_ROW = re.compile(r"(?:[0-9a-fA-F]{4,8}:)[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]\s.*")


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Every XPU by the first text that shows it: -q, the table, -m, -L."""
    said, troubles = told(stdout)
    yield from troubles
    whole = "".join(said.values())
    if INTEL.search(whole) and not OURS.search(whole):  # a process may be /opt/intel/…
        yield Trouble(Kind.UNREADABLE, "this xpu-smi is Intel's, not Kunlunxin's")
        return
    versions = {PARTS[name]: value for name, value in VERSION.findall(whole)}
    yield from (Version(part, value) for part, value in versions.items())
    seen: dict[str, list[Found]] = {}
    for text in sorted(said.values(), key=lambda text: "XPUSMI LOG" not in text):
        mine: dict[str, list[Found]] = {}
        for item in once(read(text)):
            mine.setdefault(item.part, []).append(item)
        for part, items in mine.items():
            if not any(isinstance(item, Accelerator) for item in seen.get(part, ())):
                seen[part] = [*items, *seen.get(part, ())]
    yield from (item for items in seen.values() for item in items)
    if not seen and not troubles:
        yield nothing("xpu_smi", said)
    yield from unseen(whole, seen)


def read(text: str) -> Iterator[Found]:
    """Whatever one call printed, by its shape."""
    if "XPUSMI LOG" in text or "Attached XPUs" in text:
        yield from listed(text)
    elif "XPU-SMI" in text or "Pwr:Usage/Cap" in text:
        yield from tabled(text)
    elif "DevID" in text:
        yield from old_tabled(text)
    elif any(MACHINE_ROW.fullmatch(line.strip()) for line in text.split("\n")):
        yield from numbered(text)
    else:
        yield from named(text)


def unseen(text: str, seen: dict[str, list[Found]]) -> Iterator[Trouble]:
    attached = ATTACHED.search(text)
    shown = sum(part.startswith("xpu") for part in seen)
    if attached and int(attached[1]) > shown:
        words = f"xpu_smi counts {visible(attached[1])} XPUs and shows {shown}"
        yield Trouble(Kind.CUT, words)


PROBES = (
    Probe(
        asking(
            "xpu_smi",
            ("xpu_smi", "xpu-smi"),
            ("", "-q", "-m"),
            places=("/usr/local/xpu/bin", "/opt/xre/bin"),
            after={"-q": "XPU-RT"},  # the tool of R200 and R300 is older than -q
        ),
        parse,
        yields=(Accelerator, DeviceProcess, Version),
        about="Kunlunxin XPUs and the processes on them, from xpu_smi",
        applies=Applies(
            pci_vendors=("1d22", "2057"),
            kinds=("accelerator",),
            why_not="no Kunlunxin accelerator on the PCI bus",
        ),
    ),
)

"""rocminfo of ROCm and of Hygon's DTK as people keep it; no probe: the tools beside it say more.

Source: ROCm/rocminfo, rocminfo.cc.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.model import Accelerator, Kind, Trouble
from clusterctl.spelling import Unreadable, count, pci_address, plain, visible

AGENT = re.compile(r"^Agent \d{1,4}[ \t]*$", re.MULTILINE)
LABEL = re.compile(r"^ {0,2}([A-Z][\w ().]{1,40}?):[ \t]+(\S.*?)[ \t]*$", re.MULTILINE)
# What the runtime calls its devices, and what we call them and who made them.
KINDS = {"GPU": ("gpu", "amd"), "DCU": ("dcu", "hygon")}


def parse(stdout: str) -> Iterator[Accelerator | Trouble]:
    """Every agent that is no CPU, numbered from 0 as the runtime numbers them."""
    text, found = plain(stdout), 0
    starts = list(AGENT.finditer(text))
    ends = [start.start() for start in starts[1:]]
    for start, end in zip(starts, [*ends, len(text)], strict=False):
        told: dict[str, str] = {}
        for key, value in LABEL.findall(text[start.end() : end]):
            told.setdefault(key, value)  # the first: pools and instruction sets have names too
        kind = told.get("Device Type")
        if kind == "CPU":
            continue
        yield agent(found, told)
        found += kind in KINDS
    if not starts:
        shown = visible(text.strip().split("\n")[0], 120)
        yield Trouble(Kind.UNREADABLE, f"no agent in it: {shown!r}")


def agent(index: int, told: dict[str, str]) -> Accelerator | Trouble:
    if told.get("Device Type") not in KINDS:
        return Trouble(Kind.UNREADABLE, f"an agent of no kind: {visible(repr(told), 120)}")
    name, vendor = KINDS[told["Device Type"]]
    part = f"{name}{index}"
    try:
        place = address(told["BDFID"], told.get("Domain", "0")) if "BDFID" in told else ""
    except Unreadable as error:
        return Trouble(Kind.UNREADABLE, visible(str(error), 80), part)
    uuid, model = told.get("Uuid", ""), told.get("Marketing Name", told.get("Name", ""))
    return Accelerator(
        part,
        vendor,
        index,
        uuid="" if uuid.endswith("-XX") else visible(uuid, 80),
        model=visible(model, 80),
        pci=place,
    )


def address(text: str, domain: str) -> str:
    """768 is bus 3, device 0, function 0."""
    number = count(text)
    if number > 0xFFFF:
        raise Unreadable(f"not a BDF: {number}")
    bus, slot, function = number >> 8, number >> 3 & 31, number & 7
    return pci_address(f"{count(domain) & 0xFFFF:04x}:{bus:02x}:{slot:02x}.{function}")


READS = {"rocminfo": parse}

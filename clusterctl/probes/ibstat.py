"""RDMA ports as ibstat prints them, of this node.  Layout: rdma-core, infiniband-diags/ibstat.c.

For texts that people send: a sweep reads the same from sysfs, without the tool.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from clusterctl.model import Fact, Kind, Port, Trouble, Version
from clusterctl.spelling import Unreadable, number, plain, visible

DEVICE = re.compile(r"CA '([^']+)'")
LINE = re.compile(r"\s*([A-Z][\w ]*?):\s*(.*)")
PORT = re.compile(r"Port ([0-9]{1,3})")
STATES = {"Active": "active", "Down": "down", "Initializing": "init", "Armed": "armed"}
LAYERS = {"InfiniBand": "infiniband", "Ethernet": "ethernet"}
# IB specification, PortPhysicalState, as libibmad spells them.
PHYSICAL = frozenset(
    {
        *("no state change", "sleep", "polling", "disabled", "portconfigurationtraining"),
        *("linkup", "linkerrorrecovery", "phytest"),
    }
)
ASKED = ("State", "Physical state", "Rate", "Link layer")
BROKEN = re.compile(r"ib(?:panic|warn).*|.*(?:No such file|[Ff]ailed|Permission denied).*")
# Of other lists that name hosts and GUIDs and no state.
GUIDS = re.compile(r"VM_hostname \S+|(?:0x)?[0-9a-fA-F]{16}")
Told = Mapping[str, str]


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """A port each; one that lacks its state, rate or link layer is a trouble."""
    device = ""
    about: dict[str, str] = {}
    into = about
    found: list[tuple[str, Told, Told]] = []
    listed = 0
    for line in plain(stdout).split("\n"):
        if head := DEVICE.fullmatch(line.strip()):
            device, about = visible(head[1], 60), {}
            into = about
        elif (told := LINE.fullmatch(line)) and device:
            if number_of := PORT.fullmatch(told[1]):
                into = {}
                found.append((f"{device}/{number_of[1]}", about, into))
            into[told[1]] = told[2].strip()
        elif GUIDS.fullmatch(line.strip()):
            listed += 1
        elif line.strip():
            yield strange(line.strip())
    for part, of_device, of_port in found:
        yield from port_of(part, of_device, of_port)
    if not found:
        said = f"{listed} lines of host names and GUIDs" if listed else "nothing"
        yield Trouble(Kind.UNREADABLE, f"no port in it: {said}")


def strange(line: str) -> Trouble:
    if BROKEN.fullmatch(line):
        return Trouble(Kind.EXIT, visible(line, 200))
    return Trouble(Kind.UNREADABLE, f"not a line of ibstat: {visible(line, 120)}")


def port_of(part: str, about: Told, told: Told) -> Iterator[Fact | Trouble]:
    lacking = [name for name in ASKED if not told.get(name)]
    layer = LAYERS.get(told.get("Link layer", ""))
    phys = told.get("Physical state", "").lower()
    if lacking or layer is None or told["State"] not in STATES or phys not in PHYSICAL:
        why = f"lacks {', '.join(lacking)}" if lacking else f"strange: {visible(str(told), 160)}"
        yield Trouble(Kind.UNREADABLE, why, part)
        return
    try:
        rate = number(told["Rate"])
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, str(error), part)
        return
    device, firmware = part.rpartition("/")[0], visible(about.get("Firmware version", ""), 60)
    guid = about.get("Node GUID", "").lower()
    yield Port(
        part,
        device=device,
        state=STATES[told["State"]],
        link_layer=layer,
        phys_state=phys,
        rate_gbit_s=rate or None,
        firmware=firmware or None,
        guid=guid if re.fullmatch("0x[0-9a-f]{16}", guid) else None,
        enabled=phys != "disabled",
    )
    if firmware:
        yield Version(f"firmware/{device}", firmware)


READS = {"ibstat": parse}

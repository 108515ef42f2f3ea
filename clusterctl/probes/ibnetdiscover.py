"""The InfiniBand subnet as ibnetdiscover walks it: every cable, told by both of its ends.

Both forms are read: the topology file, and one line a port (-p).  Layout: rdma-core,
infiniband-diags/ibnetdiscover.c.  One node asks for a whole subnet, so that no playbook's `all`
holds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from clusterctl.model import FabricLink, Fact, Kind, Probe, Question, Trouble
from clusterctl.probes.ib_rates import KINDS, SPEEDS, guid, lanes, name
from clusterctl.spelling import visible

HEX = "[0-9a-fA-F]{1,16}"
GUIDS = re.compile(rf"(?:switch|ca|rt)guid=0x({HEX})(?:\(({HEX})\))?.*")
BOX = re.compile(rf'(Switch|Ca|Rt)\s+[0-9]+ "([SHR])-({HEX})"\s+# "(.*)".*')
EXT = r"(?:\[ext [0-9]+\])?"
PORT = re.compile(
    rf"\[([0-9]{{1,3}})\]{EXT}(?:\(({HEX})\))?\s+"
    rf'"([SHR])-({HEX})"\[([0-9]{{1,3}})\]{EXT}\s*(?:\(({HEX})\))?\s*'
    r'# (?:lid [0-9]+ lmc [0-9]+ )?"(.*)" lid [0-9]+ ([0-9?]+x?)(\S+).*'
)
LINE = re.compile(
    rf"(CA|SW|RT)\s+[0-9]+\s+([0-9]{{1,3}}) 0x({HEX}) (\S+) (\S+)"
    rf"(?:\s+-\s+(CA|SW|RT)\s+[0-9]+\s+([0-9]{{1,3}}) 0x({HEX}) \( '(.*)' - '(.*)' \)|\s+'(.*)')"
)
# What says nothing about cables: identities, chassis, comments.
ASIDE = re.compile(r"(?:vendid=|devid=|sysimgguid=|Chassis [0-9]|Hostname:|#).*")


@dataclass(frozen=True, slots=True)
class Box:
    kind: str
    device: str  # its own GUID
    name: str


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """A link an end; what a line does not let us read costs that line."""
    *lines, rest = stdout.split("\n")
    links: list[FabricLink] = []
    boxes: set[str] = set()
    ports = port_guids(lines)
    box: Box | None = None
    for line in lines:
        text = line.strip()
        if found := BOX.fullmatch(text):
            box = Box(KINDS[found[2]], guid(found[3]), name(found[4]))
            boxes.add(box.device)
        elif (found := PORT.fullmatch(text)) and box:
            links.append(of_port(box, found, ports))
        elif found := LINE.fullmatch(text):
            links.append(of_line(found))
        elif text and not GUIDS.fullmatch(text) and not ASIDE.fullmatch(text):
            yield Trouble(Kind.UNREADABLE, f"not a line of ibnetdiscover: {visible(text, 120)}")
    yield from links
    yield from ends(links, rest)


def port_guids(lines: list[str]) -> dict[str, str]:
    """The GUID of a switch's port 0, which other tools call the switch by, of the switch's own."""
    heads = [found for line in lines if (found := GUIDS.fullmatch(line.strip()))]
    return {guid(found[1]): guid(found[2]) for found in heads if found[2]}


def of_port(box: Box, found: re.Match[str], ports: dict[str, str]) -> FabricLink:
    number, own, kind, device, far_port, far_own, far, width, speed = found.groups()
    far_guid = guid(far_own) if far_own else ports.get(guid(device), guid(device))
    return FabricLink(
        f"{box.name}/{number}",
        near=box.name,
        near_kind=box.kind,
        near_device=box.device,
        near_guid=guid(own) if own else ports.get(box.device, box.device),
        near_port=int(number),
        far=name(far),
        far_kind=KINDS[kind],
        far_guid=far_guid,
        far_port=int(far_port),
        width=lanes(width),
        speed_gbit_s=SPEEDS.get(speed),
    )


def of_line(found: re.Match[str]) -> FabricLink:
    kind, number, own, width, speed, far_kind, far_port, far_own, near, far, lone = found.groups()
    linked = far_kind is not None
    return FabricLink(
        f"{name(near if linked else lone)}/{number}",
        near=name(near if linked else lone),
        near_kind=KINDS[kind],
        near_guid=guid(own),
        near_port=int(number),
        far=name(far) if linked else "",
        far_kind=KINDS[far_kind] if linked else "",
        far_guid=guid(far_own) if linked else "",
        far_port=int(far_port) if linked else None,
        width=lanes(width) if linked else None,
        speed_gbit_s=SPEEDS.get(speed) if linked else None,
    )


def ends(links: list[FabricLink], rest: str) -> Iterator[Trouble]:
    """Every cable has two ends: where one of them does not tell, the answer was cut."""
    told = {(link.near_guid, link.near_port) for link in links}
    mute = [link for link in links if link.far and (link.far_guid, link.far_port) not in told]
    if rest.strip():
        yield Trouble(Kind.CUT, f"the answer ends within a line: {visible(rest, 120)}")
    elif mute:
        first = f"{mute[0].far}/{mute[0].far_port}"
        yield Trouble(Kind.CUT, f"{len(mute)} ports that others name do not tell, first {first}")
    elif not links:
        yield Trouble(Kind.UNREADABLE, "no link in it: is a port of this node active?")


def question(tool: str, *options: str, device: str = "", port: str = "") -> Question:
    """Asked through `device`; two of these at once would only slow each other down.

    The cap: 10,000 ports at 300 characters for each of two ends, and room.
    """
    through = ("-C", device, "-P", port) if device else ()
    return Question(
        tool,
        (tool, *options, *through),
        timeout_s=90.0,
        without_python=(tool, *options, *through),
        cap_bytes=32 << 20,
        group="subnet",
    )


FABRIC = (
    Probe(
        question("ibnetdiscover"),
        parse,
        yields=(FabricLink,),
        about="every cable of the InfiniBand subnet, with width and speed; asked of one node",
    ),
)

"""The links of an InfiniBand subnet with their states, and which could do more than they do.

Read with a line for each port (-l), and grouped by box.  Layout: rdma-core,
infiniband-diags/iblinkinfo.c.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from clusterctl.model import FabricLink, Fact, Kind, Probe, Trouble
from clusterctl.probes.ib_rates import KINDS, SPEEDS, guid, name
from clusterctl.probes.ibnetdiscover import HEX, ends, question
from clusterctl.spelling import visible

HEAD = re.compile(rf"(Switch|CA|Router): (?:0x({HEX}) )?(.*):")
BOXES = {"Switch": "switch", "CA": "ca", "Router": "router"}
ROW = re.compile(
    rf'(?:0x({HEX})\s+(?:"(.*)"\s+)?)?([0-9]+)\s+([0-9]{{1,3}})\[\s*[0-9]*\s*\] '
    r"==\((.*?/[^()]*)\).*?==>\s+(.*)"
)
LINK = re.compile(r"\s*([0-9]{1,2})X\s+([0-9.]+) Gbps(?: (\(FDR10\)))?\s+(\w+)/\s*([\w ]+?)\s*")
DARK = re.compile(r"\s*(\w+)/\s*([\w ]+?)\s*")
FAR = re.compile(rf'(?:0x({HEX})\s+)?([0-9]+)\s+([0-9]{{1,3}})\[\s*[0-9]*\s*\] "(.*)" \((.*)\)')
NOBODY = re.compile(r'(?:\[\s*\] "" \( \)|"Port not available")')
COULD_WIDTH = re.compile(r"Could be ([0-9]{1,2})X")
COULD_SPEED = re.compile(r"Could be (?:([0-9.]+) Gbps|(FDR10))")
STATES = {"Initialize": "init"}


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """A link an end, ports without a cable too; one bad line costs that line."""
    *lines, rest = stdout.split("\n")
    rows: list[tuple[FabricLink, str]] = []  # and the LID of its far end
    lids: dict[str, FabricLink] = {}
    box: tuple[str, str, str] = ("", "", "")
    for line in lines:
        text = line.strip()
        if found := HEAD.fullmatch(text):
            box = (BOXES[found[1]], guid(found[2]) if found[2] else "", name(found[3]))
        elif (found := ROW.fullmatch(text)) and (row := link(box, found)):
            rows.append((row, far_lid(found[6])))
            lids.setdefault(found[3], row)
        elif text:
            yield Trouble(Kind.UNREADABLE, f"not a line of iblinkinfo: {visible(text, 120)}")
    links = kinds([placed(row, lids.get(lid)) for row, lid in rows])
    yield from links
    yield from ends(links, rest)


def link(box: tuple[str, str, str], found: re.Match[str]) -> FabricLink | None:
    own, said, _lid, number, state, beyond = found.groups()
    kind, of_box, called = ("", "", name(said)) if said is not None else box
    whose = guid(own) if own else of_box
    far, alive, dark = FAR.fullmatch(beyond), LINK.fullmatch(state), DARK.fullmatch(state)
    if not (whose and (alive or dark) and (far or NOBODY.fullmatch(beyond))):
        return None
    here = FabricLink(
        f"{called}/{number}",
        near=called,
        near_kind=kind,
        near_guid=whose,
        near_port=int(number),
    )
    if alive:
        word, phys = alive[4], alive[5]
        here = replace(here, width=int(alive[1]), speed_gbit_s=speed(alive[2], alive[3]))
    else:
        assert dark is not None  # noqa: S101 - one of the two matched
        word, phys = dark[1], dark[2]
    here = replace(here, state=STATES.get(word, word.lower()), phys_state=phys.lower())
    if far is None:
        return here
    width, rate = COULD_WIDTH.search(far[5]), COULD_SPEED.search(far[5])
    return replace(
        here,
        far=name(far[4]),
        far_guid=guid(far[1]) if far[1] else "",
        far_port=int(far[3]),
        width_could=int(width[1]) if width else None,
        speed_could_gbit_s=speed(rate[1], rate[2]) if rate else None,
    )


def speed(text: str | None, fdr10: str | None) -> float | None:
    """Gbit/s of a lane.  FDR10 is spelled as QDR's 10.0 with a word behind it."""
    if fdr10:
        return SPEEDS["FDR10"]
    try:
        return float(text or "")
    except ValueError:
        return None


def far_lid(beyond: str) -> str:
    found = FAR.fullmatch(beyond)
    return found[2] if found else ""


def placed(row: FabricLink, far: FabricLink | None) -> FabricLink:
    """Grouped output names the far end by its LID alone, which its own lines begin with."""
    if not row.far or row.far_guid or far is None:
        return row
    return replace(row, far_guid=far.near_guid, far_kind=far.near_kind)


def kinds(links: list[FabricLink]) -> list[FabricLink]:
    """Only a switch has several ports of one GUID; line mode says no more of what it is."""
    ports = Counter(link.near_guid for link in links)
    known = {guid: KINDS["S"] if count > 1 else KINDS["H"] for guid, count in ports.items()}
    return [
        replace(
            link,
            near_kind=link.near_kind or known[link.near_guid],
            far_kind=link.far_kind or (known.get(link.far_guid, "") if link.far else ""),
        )
        for link in links
    ]


FABRIC = (
    Probe(
        question("iblinkinfo", "-l"),
        parse,
        yields=(FabricLink,),
        about="every link of the InfiniBand subnet: state, and what it could do; asked of one node",
    ),
)

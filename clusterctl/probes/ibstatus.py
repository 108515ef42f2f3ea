"""RDMA ports as ibstatus prints them: sysfs, in words.  Layout: infiniband-diags/ibstatus."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.model import Fact, Kind, Port, Trouble
from clusterctl.probes.sysfs_rdma import STATES, lanes, numbered
from clusterctl.spelling import Unreadable, plain, visible

HEAD = re.compile(r"Infiniband device '([^']+)' port ([0-9]{1,3}) status:")
LINE = re.compile(r"\s*([a-z][\w ]*?):\s+(.*)")
LAYERS = {"InfiniBand": "infiniband", "Ethernet": "ethernet"}


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """A port that lacks its link layer, its last line, was cut."""
    blocks: list[tuple[str, dict[str, str]]] = []
    for line in plain(stdout).split("\n"):
        if head := HEAD.fullmatch(line.strip()):
            blocks.append((f"{visible(head[1], 60)}/{head[2]}", {}))
        elif (told := LINE.fullmatch(line)) and blocks:
            blocks[-1][1][told[1]] = told[2].strip()
        elif line.strip():
            yield Trouble(Kind.UNREADABLE, f"not a line of ibstatus: {visible(line, 120)}")
    if not blocks:
        yield Trouble(Kind.UNREADABLE, "no port in it")
    for part, told_of in blocks:
        layer = LAYERS.get(told_of.get("link_layer", ""))
        if layer is None:
            yield Trouble(Kind.CUT, "the text ends within this port", part)
            continue
        try:
            rate, width = lanes(told_of.get("rate", ""))
            phys = numbered(told_of.get("phys state", "")).lower()
            state = STATES.get(numbered(told_of.get("state", "")), "unknown")
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, str(error), part)
            continue
        yield Port(
            part,
            device=part.rpartition("/")[0],
            state=state,
            link_layer=layer,
            phys_state=phys,
            rate_gbit_s=rate,
            width=width,
            enabled=phys != "disabled",
        )


READS = {"ibstatus": parse}

"""How InfiniBand's tools spell the width and speed of a link."""

from __future__ import annotations

import re

from clusterctl.spelling import visible

# Gbit/s of one lane: rdma-core, infiniband-diags/ibnetdiscover.c and libibmad/dump.c; IBTA roadmap
SPEEDS = {
    "SDR": 2.5,
    "DDR": 5.0,
    "QDR": 10.0,
    "FDR10": 10.3125,
    "FDR": 14.0625,
    "EDR": 25.78125,
    "HDR": 53.125,
    "NDR": 106.25,
    "XDR": 212.5,
}
# Gbit/s of one lane as the kernel counts them: 400 of 4X NDR (drivers/infiniband/core/sysfs.c)
NOMINAL = {
    "SDR": 2.5,
    "DDR": 5.0,
    "QDR": 10.0,
    "FDR10": 10.0,
    "FDR": 14.0,
    "EDR": 25.0,
    "HDR": 50.0,
    "NDR": 100.0,
    "XDR": 200.0,
}
WIDTH = re.compile(r"([0-9]{1,2})[xX]")
NAME_LIMIT = 80
KINDS = {"S": "switch", "H": "ca", "R": "router", "SW": "switch", "CA": "ca", "RT": "router"}


def lanes(text: str) -> int | None:
    """4 of "4x" or "4X"; None of "??", a width that the tool does not know."""
    found = WIDTH.fullmatch(text)
    return int(found[1]) if found else None


def guid(text: str) -> str:
    """One spelling, 0x and sixteen digits, of the tools' three."""
    return f"0x{int(text, 16):016x}"


def name(text: str) -> str:
    """A box's own description of itself, made safe, blanks as one."""
    return visible(" ".join(text.split()), NAME_LIMIT)

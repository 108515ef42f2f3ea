"""The tree of `lspci -tv`: which function hangs below which bridge.  Layout: pciutils, ls-tree.c.

A box's place in the line says its depth, and a bus number stands in the branch that leads to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.model import Fact, Kind, PcieDevice, Trouble
from clusterctl.spelling import visible

ROOT = re.compile(r"[-+\\|` ]*-?\[([0-9a-f]{4,8}:)?([0-9a-f]{2})(?:-[0-9a-f]{2})?\]")
BRANCH = re.compile(r"\[(?:([0-9a-f]{4,8}):)?([0-9a-f]{2})(?:-[0-9a-f]{2})?\]")
SLOT = re.compile(r"(?<=[-+\\])([0-9a-f]{2})\.([0-7])(?:-|  (\S.*)|$)")
KINDS = (
    (
        re.compile(r"NVIDIA .*\[(?:Tesla|A100|H100|GH100)|Display|Instinct|Device 738c"),
        "accelerator",
    ),
    (re.compile(r"NVIDIA Corporation (?:GV100|GA100|GH100|Device 20b)"), "accelerator"),
    (re.compile(r"Mellanox .*ConnectX|Ethernet|Infiniband|BlueField"), "nic"),
    (re.compile(r"NVMe|Non-Volatile|SSD"), "nvme"),
)


def is_tree(text: str) -> bool:
    first = next((line for line in text.split("\n") if line.strip()), "")
    return bool(re.match(r"-(?:\+-)?\[", first))


def parse(text: str) -> Iterator[Fact | Trouble]:
    """Functions at the tree's leaves.  It tells no class: what each is follows from its name."""
    *lines, rest = text.split("\n")
    if rest.strip():
        yield Trouble(Kind.CUT, f"the tree ends within a line: {visible(rest, 80)!r}")
    stack: list[tuple[int, str, str]] = []  # column, domain, bus
    seen = False
    for line in lines:
        for found in re.finditer(f"{BRANCH.pattern}|{SLOT.pattern}", line):
            at = found.start()
            while stack and stack[-1][0] >= at:
                stack.pop()
            if found[2]:
                domain = found[1] or (stack[-1][1] if stack else "0000")
                stack.append((at, domain, found[2]))
            elif stack and found[5]:
                seen = True
                address = f"{stack[-1][1]}:{stack[-1][2]}:{found[3]}.{found[4]}"
                yield PcieDevice(address, kind(found[5]), "", "", "")
                break
    if not seen:
        yield Trouble(Kind.UNREADABLE, "no PCI function in it")


def kind(name: str) -> str:
    return next((kind for pattern, kind in KINDS if pattern.search(name)), "other")

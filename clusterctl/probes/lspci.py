"""PCI functions as lspci prints them: short, -nn, -vv and -tv.  Layout: pciutils, lspci.c.

For texts that people send: a sweep reads the same from sysfs.  "(downgraded)" is common on healthy
nodes, so speeds and lanes are handed on as numbers, and the checks judge devices that matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.model import Fact, Kind, PcieDevice, Trouble, Version
from clusterctl.probes import lspci_tree
from clusterctl.probes.pci import GENERATION, VENDORS, kind_of
from clusterctl.spelling import Unreadable, pci_address, plain, visible

HEAD = re.compile(
    r"((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) ([^:\[]+?)(?: \[([0-9a-f]{4})\])?: (.*)"
)
IDS = re.compile(r"\[([0-9a-f]{4}):([0-9a-f]{4})\]")
LINK = re.compile(
    r"(LnkCap|LnkSta):\s*(?:Port #[0-9]+, )?Speed ([0-9.]+GT/s|unknown)(?: \((\w+)\))?, "
    r"Width x([0-9]{1,2})"
)
CONTROL = re.compile(r"\bRlxdOrd([+-])")
SIZES = re.compile(r"MaxPayload ([0-9]+) bytes, MaxReadReq ([0-9]+) bytes")
NODE = re.compile(r"NUMA node: ([0-9]{1,3})")
DRIVER = re.compile(r"Kernel driver in use: (\S+)")
HIDDEN = "Capabilities: <access denied>"
# lspci's names of the classes that the kernel's list is sorted by
CLASSES = {
    "3D controller": "0302",
    "VGA compatible controller": "0300",
    "Display controller": "0380",
    "Co-processor": "0b40",
    "Processing accelerators": "1200",
    "Ethernet controller": "0200",
    "Infiniband controller": "0207",
    "Network controller": "0280",
    "Non-Volatile memory controller": "0108",
}
# How pci.ids begins the names of the vendors whose cards count
MAKERS = {
    "NVIDIA": "10de",
    "Advanced Micro Devices": "1002",
    "Huawei": "19e5",
    "Mellanox": "15b3",
    "Intel": "8086",
    "Broadcom": "14e4",
    "ASPEED": "1a03",
    "Matrox": "102b",
}
UNNAMED = "device"


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Without -nn ids are not in it and stay empty, but for vendors whose names are known."""
    text = plain(stdout)
    if lspci_tree.is_tree(text):
        yield from lspci_tree.parse(text)
        return
    *lines, rest = text.split("\n")
    last = HEAD.fullmatch(rest) if rest.endswith(("]", ")")) else None  # pasted without its end
    blocks: list[tuple[str, list[str]]] = []
    for line in [*lines, rest] if last else lines:
        if line[:1] not in {"", "\t", " "} and HEAD.fullmatch(line):
            blocks.append((line, []))
        elif line.strip() and not head_lost(blocks, line):
            blocks[-1][1].append(line.strip())
    if rest.strip() and not last:
        yield Trouble(Kind.CUT, f"the text ends within a line: {visible(rest, 80)!r}")
    blocks = [(head, more) for head, more in blocks if head or any(map(LINK.match, more))]
    if not blocks:
        yield Trouble(Kind.UNREADABLE, "no PCI function in it")
        return
    for heading, more in blocks:
        yield from function(HEAD.fullmatch(heading), more)


def head_lost(blocks: list[tuple[str, list[str]]], line: str) -> bool:
    """Lines that grep took from below a function's heading are of a device without a name."""
    if not blocks:
        blocks.append(("", [line.strip()]))
        return True
    return False


def function(head: re.Match[str] | None, more: list[str]) -> Iterator[Fact | Trouble]:
    part = pci_address(head[1]) if head else UNNAMED
    class_id = (head[3] or CLASSES.get(head[2], "")) if head else ""
    ids = IDS.search(head[4]) if head else None
    vendor_id, device_id = (ids[1], ids[2]) if ids else (maker(head[4]) if head else "", "")
    try:
        link = links(more)
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, str(error), part)
        return
    said = " ".join(more)
    if HIDDEN in said:
        yield Trouble(Kind.DENIED, "lspci shows capabilities to root only", part)
    kind = kind_of(vendor_id, device_id, class_id) if class_id else "other"
    if link.get("width") == 0 and not (kind == "accelerator" and link.get("width_max")):
        del link["width"]  # an empty slot, a virtual function; of a card it is a lost link
    node, driver = NODE.search(said), DRIVER.search(said)
    yield PcieDevice(
        part,
        kind,
        vendor_id,
        device_id,
        f"{class_id}00" if class_id else "",
        vendor=VENDORS.get(vendor_id, "") if kind == "accelerator" else "",
        driver=visible(driver[1], 40) if driver else "",
        numa_node=int(node[1]) if node else None,
        gen=link.get("gen"),
        gen_max=link.get("gen_max"),
        width=link.get("width"),
        width_max=link.get("width_max"),
    )
    if kind in {"accelerator", "nic"}:
        yield from settings(part, said)


def maker(name: str) -> str:
    return next((number for start, number in MAKERS.items() if name.startswith(start)), "")


def links(lines: list[str]) -> dict[str, int]:
    """What it could do and what it does.  Raises Unreadable."""
    found: dict[str, int] = {}
    for line in lines:
        if not line.startswith(("LnkCap:", "LnkSta:")):
            continue
        told = LINK.match(line)
        if not told:
            raise Unreadable(f"not a link: {visible(line, 80)!r}")
        suffix = "_max" if told[1] == "LnkCap" else ""
        speed = told[2].removesuffix("GT/s").removesuffix(".0")
        if speed in GENERATION:
            found[f"gen{suffix}"] = GENERATION[speed]
        elif speed != "unknown":
            raise Unreadable(f"not a PCIe speed: {visible(told[2], 40)!r}")
        found[f"width{suffix}"] = int(told[4])
    return found


def settings(part: str, said: str) -> Iterator[Version]:
    """As the probe pcie_settings names them."""
    if order := CONTROL.search(said):
        yield Version(f"pcie/{part}/relaxed_ordering", "on" if order[1] == "+" else "off")
    if sizes := SIZES.search(said):
        yield Version(f"pcie/{part}/max_payload_bytes", sizes[1])
        yield Version(f"pcie/{part}/max_read_request_bytes", sizes[2])


READS = {"lspci": parse}

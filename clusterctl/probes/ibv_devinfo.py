"""RDMA ports as ibv_devinfo prints them.  Layout: rdma-core, libibverbs/examples/devinfo.c."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from clusterctl.model import Fact, Kind, Port, Trouble, Version
from clusterctl.probes.sysfs_rdma import guid
from clusterctl.spelling import plain, visible

LINE = re.compile(r"\s*([\w.]+):\s+(.*)")
STATE = re.compile(r"PORT_([A-Z_]+) \([0-9]\)|invalid state.*")
MTU = re.compile(r"([0-9]{3,4}) \([0-9]\)")
STATES = {"ACTIVE": "active", "DOWN": "down", "INIT": "init", "ARMED": "armed"}
LAYERS = {"InfiniBand": "infiniband", "Ethernet": "ethernet"}
Told = dict[str, str]
Device = tuple[str, Told, list[tuple[str, Told]]]  # name, about it, its ports


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """No rate is in it.  A port that lacks its link layer, its last line, was cut."""
    devices: list[Device] = []
    for line in plain(stdout).split("\n"):
        found = LINE.fullmatch(line.rstrip())
        if found and found[1] == "hca_id":
            devices.append((visible(found[2], 60), {}, []))
        elif found and devices and found[1] == "port":
            devices[-1][2].append((visible(found[2], 10), {}))
        elif found and devices:
            about, ports = devices[-1][1], devices[-1][2]
            (ports[-1][1] if ports else about)[found[1]] = found[2].strip()
        elif line.strip():
            yield Trouble(Kind.UNREADABLE, f"not a line of ibv_devinfo: {visible(line, 120)}")
    if not devices:
        yield Trouble(Kind.UNREADABLE, "no RDMA device in it")
    for one in devices:
        yield from of_device(*one)


def of_device(
    device: str, about: Told, ports: Sequence[tuple[str, Told]]
) -> Iterator[Fact | Trouble]:
    if not ports:
        yield Trouble(Kind.CUT, "the text ends before its first port", device)
    for name, value in (("firmware", "fw_ver"), ("board", "board_id")):
        if about.get(value):
            yield Version(f"{name}/{device}", visible(about[value], 60))
    for number, told in ports:
        yield port_of(device, number, about, told)


def port_of(
    device: str, number: str, about: Mapping[str, str], told: Mapping[str, str]
) -> Port | Trouble:
    part = f"{device}/{number}"
    layer, state = LAYERS.get(told.get("link_layer", "")), STATE.fullmatch(told.get("state", ""))
    if layer is None or not state:
        return Trouble(Kind.CUT, "the text ends within this port, or it is garbled", part)
    mtu = MTU.fullmatch(told.get("active_mtu", ""))
    return Port(
        part,
        device=device,
        state=STATES.get(state[1] or "", "unknown"),
        link_layer=layer,
        firmware=visible(about.get("fw_ver", ""), 60) or None,
        guid=guid(about.get("node_guid", "")),
        mtu_bytes=int(mtu[1]) if mtu else None,
    )


READS = {"ibv_devinfo": parse}

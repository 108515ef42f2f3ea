"""RDMA settings that must agree among peers, as sysfs and configfs show them.

GIDs by index and type, partition keys, MTU, ECN by priority, traffic class, and the connection
manager's RoCE mode and type of service where somebody has set them.  Layout:
Documentation/ABI/stable/sysfs-class-infiniband, Documentation/ABI/testing/configfs-rdma_cm; ecn and
tc are MLNX_OFED's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address, ip_address

from clusterctl.model import Fact, Kind, Probe, Trouble, Version
from clusterctl.spelling import visible
from clusterctl.sysfs import contents, files

END = "/proc/sys/kernel/ostype"  # on every Linux, and read last: when it came, all came
DEVICES = "/sys/class/infiniband/*"
PORT = re.compile(r"/sys/class/infiniband/([^/]+)/ports/([0-9]+)/(\w+(?:/types)?)/([0-9]+)")
NETDEV = re.compile(r"/sys/class/infiniband/([^/]+)/device/net/[^/]+/(.+)")
ECN = re.compile(r"ecn/roce_(np|rp)/enable/([0-7])")
CLASS = re.compile(r"/sys/class/infiniband/([^/]+)/tc/([0-9]+)/traffic_class")
MANAGER = re.compile(r"/sys/kernel/config/rdma_cm/([^/]+)/ports/([0-9]+)/default_roce_(mode|tos)")
EMPTY_PKEY = "0x0000"
Indexed = Mapping[int, str]


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Each setting as a version of what peers should have too; addresses are left out."""
    texts, refusals = contents(stdout)
    if END not in texts or any(trouble.kind is Kind.CUT for trouble in refusals):
        yield Trouble(Kind.CUT, "the answer does not reach its last file")
        return
    # A GID that is not set has no type: EINVAL.
    yield from (one for one in refusals if "/gid_attrs/" not in one.part)
    yield from of_devices(texts)
    tables: defaultdict[str, dict[str, dict[int, str]]] = defaultdict(lambda: defaultdict(dict))
    for path, text in texts.items():
        if found := PORT.fullmatch(path):
            value = visible(text.strip(), 80)
            tables[f"{found[1]}/{found[2]}"][found[3]][int(found[4])] = value
    for part, table in tables.items():
        yield from of_port(part, table)


def of_devices(texts: Mapping[str, str]) -> Iterator[Version]:
    ecn: defaultdict[str, set[str]] = defaultdict(set)
    for path, text in texts.items():
        value = visible(text.strip(), 80)
        if found := CLASS.fullmatch(path):
            yield Version(f"rdma/{found[1]}/traffic_class", value)
        elif found := MANAGER.fullmatch(path):
            yield Version(f"rdma/{found[1]}/{found[2]}/default_{found[3]}", value)
        elif found := NETDEV.fullmatch(path):
            if setting := ECN.fullmatch(found[2]):
                on = {setting[2]} if value == "1" else set()
                ecn[f"rdma/{found[1]}/ecn_{setting[1]}"] |= on
            elif found[2] == "mtu":
                yield Version(f"rdma/{found[1]}/mtu", value)
    for part, priorities in ecn.items():
        yield Version(part, ",".join(sorted(priorities)) or "off")


def of_port(part: str, table: Mapping[str, Indexed]) -> Iterator[Version]:
    if gids := indexes(table.get("gids", {}), table.get("gid_attrs/types", {})):
        yield Version(f"rdma/{part}/gids", gids)
    keys = sorted({key.lower() for key in table.get("pkeys", {}).values()} - {EMPTY_PKEY, ""})
    if "pkeys" in table:
        yield Version(f"rdma/{part}/pkeys", ",".join(keys) or "none")


def indexes(gids: Indexed, types: Indexed) -> str:
    """`3 RoCE v2 IPv4`: what a job that is told an index will get."""
    said = []
    for index, text in sorted(gids.items()):
        try:
            address = ip_address(text)
        except ValueError:
            continue
        if isinstance(address, IPv6Address) and int(address):
            said.append(" ".join(filter(None, (str(index), types.get(index, ""), scope(address)))))
    return ", ".join(said)


def scope(address: IPv6Address) -> str:
    if address.ipv4_mapped is not None:
        return "IPv4"
    return "link-local" if address.is_link_local else "IPv6"


FABRIC = (
    Probe(
        files(
            "rdma_settings",
            # A table has 16 to 256 entries, all but the first few of them empty.
            f"{DEVICES}/ports/*/gids/[0-9]",
            f"{DEVICES}/ports/*/gids/1[0-5]",
            f"{DEVICES}/ports/*/gid_attrs/types/[0-9]",
            f"{DEVICES}/ports/*/gid_attrs/types/1[0-5]",
            f"{DEVICES}/ports/*/pkeys/[0-9]",
            f"{DEVICES}/ports/*/pkeys/1[0-5]",
            f"{DEVICES}/tc/*/traffic_class",
            f"{DEVICES}/device/net/*/mtu",
            f"{DEVICES}/device/net/*/ecn/roce_[nr]p/enable/[0-7]",
            "/sys/kernel/config/rdma_cm/*/ports/*/default_roce_mode",
            "/sys/kernel/config/rdma_cm/*/ports/*/default_roce_tos",
            END,
        ),
        parse,
        yields=(Version,),
        about="RDMA settings that must agree: GID index and type, PKey, MTU, ECN, traffic class",
        proven="documentation",
    ),
)

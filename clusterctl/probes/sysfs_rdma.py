"""RDMA devices and ports, as the kernel shows them below /sys/class/infiniband.

Layout: Documentation/ABI/stable/sysfs-class-infiniband.  Neither root nor a tool is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from clusterctl.model import Fact, Kind, Port, Probe, Trouble, Version
from clusterctl.spelling import Unreadable, count, number, pci_address, visible
from clusterctl.sysfs import contents, files

# The reader works through its patterns in order, and this file is on every Linux: when it came, all
# came, so that a node without RDMA is told from an answer that was cut before the first device.
END = "/proc/sys/kernel/ostype"

# issm* and umad* are the devices' management doors, not ports (NVIDIA/NVSentinel#1663)
ROOT = "/sys/class/infiniband"
LISTED = re.compile(r"(?m)^([a-z]\w*/(?:ports/[0-9]+/|device/)?[\w/]+): ?(.*)\n")
PORT = re.compile(r"/sys/class/infiniband/(?!issm|umad)([^/]+)/ports/([0-9]+)/(.+)")
DEVICE = re.compile(r"/sys/class/infiniband/(?!issm|umad)([^/]+)/([^/]+@?|device/.+)")
COUNTER = re.compile(r"(?:hw_)?counters/(.+)")
NETDEV = re.compile(r"device/net/([^/]+)/dev_port")

# drivers/infiniband/core/sysfs.c: "4: ACTIVE", "5: LinkUp"; nop and active_defer are neither up
# nor down
STATES = {"DOWN": "down", "INIT": "init", "ARMED": "armed", "ACTIVE": "active"}
NUMBERED = re.compile(r"([0-9]+): ([\w <>]+)")
RATE = re.compile(r"([0-9.]+) Gb/sec(?: \(([0-9]+)X \w+\))?")

# A counter the hardware does not keep is refused or says so (as prometheus/procfs found:
# sysfs/class_infiniband.go); `lifespan` is a setting, the age in ms that hw_counters may have.
NOT_KEPT = frozenset({"EINVAL", "EOPNOTSUPP", "ENOTSUP", "ENOSYS", "ENODATA"})
NOT_KEPT_TEXT = "N/A (no PMA)"
NOT_COUNTERS = frozenset({"lifespan"})
ESSENTIAL = frozenset({"state", "phys_state", "rate"})

Texts = Mapping[str, str]


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """A port without a readable state is a trouble; a bad counter costs that counter.

    `guid` is the node's, spelled as ibstat does; counters of both folders keep their names.
    A listing as `grep -r . *` makes it in that folder, "mlx5_0/ports/1/state: 4: ACTIVE", is read
    as far as it goes.
    """
    if "/sys/" not in stdout and (listed := LISTED.findall(stdout)):
        if rest := stdout.rpartition("\n")[2].strip():
            yield Trouble(Kind.CUT, f"the listing ends within a line: {visible(rest, 80)!r}")
        stdout = "".join(f"{ROOT}/{path}\t{text}\n" for path, text in listed) + f"{END}\t-\n"
    texts, refusals = contents(stdout)
    if END not in texts or any(trouble.kind is Kind.CUT for trouble in refusals):
        # Every port is in pieces all over the answer, so that none of them can be believed.
        yield Trouble(Kind.CUT, "the answer does not reach its last file")
        return
    found_refused = tuple(refused(refusals))
    yield from found_refused
    unseen = {trouble.part for trouble in found_refused}
    devices = grouped(texts, DEVICE)
    ports = grouped(texts, PORT)
    for device, found in devices.items():
        yield from versions(device, found)
        if not any(owner(part) == device for part in (*ports, *unseen)):
            yield Trouble(Kind.UNREADABLE, "an RDMA device without a port", device)
    for part, found in ports.items():
        if part not in unseen or found.keys() >= ESSENTIAL:
            yield from port(part, found, devices.get(owner(part), {}))


def owner(part: str) -> str:
    """mlx5_4, of mlx5_4/1."""
    return part.partition("/")[0]


def refused(refusals: list[Trouble]) -> Iterator[Trouble]:
    """Files that could not be read, once per port or device and reason."""
    told = set()
    for trouble in refusals:
        match = PORT.fullmatch(trouble.part) or DEVICE.fullmatch(trouble.part)
        reason = trouble.detail.rpartition(": ")[2]
        if match and match.re is PORT:
            part, name = f"{match[1]}/{match[2]}", match[3]
            if name.startswith("gid_attrs/") or (COUNTER.match(name) and reason in NOT_KEPT):
                continue
        else:
            part = match[1] if match else ""
        if (part, reason) not in told:
            told.add((part, reason))
            yield Trouble(trouble.kind, trouble.detail, part)


def grouped(texts: Texts, pattern: re.Pattern[str]) -> dict[str, dict[str, str]]:
    """Files by what they are about: {"mlx5_4/1": {"state": "4: ACTIVE", …}} with PORT."""
    found: dict[str, dict[str, str]] = {}
    for path, text in texts.items():
        if match := pattern.fullmatch(path):
            *about, name = match.groups()
            found.setdefault("/".join(about), {})[name] = text
    return found


def versions(device: str, found: Texts) -> Iterator[Version]:
    """The board too: its PSID decides which firmware may go on it."""
    for kind, name in (("firmware", "fw_ver"), ("board", "board_id")):
        if value := found.get(name, "").strip():
            yield Version(f"{kind}/{device}", visible(value, 80))


def port(part: str, found: Texts, device: Texts) -> Iterator[Port | Trouble]:
    try:
        state = numbered(found.get("state", ""))
        phys = numbered(found.get("phys_state", "")).lower()
        rate, width = lanes(found.get("rate", ""))
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, str(error), part)
        return
    counters: dict[str, int] = {}
    for name, text in found.items():
        if not (match := COUNTER.fullmatch(name)) or match[1] in NOT_COUNTERS:
            continue
        if text.strip() == NOT_KEPT_TEXT:
            continue
        try:
            counters.setdefault(match[1], count(text))
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, f"{match[1]}: {error}", part)
    yield Port(
        part,
        device=owner(part),
        state=STATES.get(state, "unknown"),
        link_layer=visible(found.get("link_layer", "").strip().lower(), 40),
        phys_state=phys,
        rate_gbit_s=rate,
        width=width,
        netdev=netdev(found, device),
        driver=visible(device.get("device/driver@", "").strip(), 40) or None,
        firmware=visible(device.get("fw_ver", "").strip(), 80) or None,
        pci=pci(device.get("device@", "")),
        guid=guid(device.get("node_guid", "")),
        enabled=phys != "disabled",
        counters=counters,
    )


def numbered(text: str) -> str:
    """ACTIVE, of "4: ACTIVE"."""
    match = NUMBERED.fullmatch(text.strip())
    if not match:
        raise Unreadable(f"not a state: {visible(text, 80)!r}")
    return match[2]


def lanes(text: str) -> tuple[float | None, int | None]:
    """(400.0, 4) of "400 Gb/sec (4X NDR)": Gbit/s and lanes."""
    match = RATE.fullmatch(text.strip())
    if not match:
        raise Unreadable(f"not a rate: {visible(text, 80)!r}")
    return number(match[1]), count(match[2]) if match[2] else None


def netdev(port_files: Texts, device: Texts) -> str | None:
    """The port's own network device; else the only one its PCI function has.

    A function in switchdev mode has one per virtual function: then nothing here tells which.
    """
    if own := port_files.get("gid_attrs/ndevs/0", "").strip():
        return visible(own, 40)
    names = [match[1] for name in device if (match := NETDEV.fullmatch(name))]
    return visible(names[0], 40) if len(names) == 1 else None


def pci(text: str) -> str | None:
    """None for what sits on no PCI bus: rxe and siw are software."""
    try:
        return pci_address(text)
    except Unreadable:
        return None


def guid(text: str) -> str | None:
    """0x98039b030067ab0c, of the kernel's 9803:9b03:0067:ab0c; None where it is not set."""
    digits = text.strip().replace(":", "").lower()
    return f"0x{digits}" if re.fullmatch("[0-9a-f]{16}", digits) and int(digits, 16) else None


DEVICES = "/sys/class/infiniband/*"
PROBES = (
    Probe(
        files(
            "sysfs_rdma",
            f"{DEVICES}/fw_ver",
            f"{DEVICES}/board_id",
            f"{DEVICES}/hca_type",
            f"{DEVICES}/node_guid",
            f"{DEVICES}/device@",
            f"{DEVICES}/device/driver@",
            f"{DEVICES}/device/net/*/dev_port",
            f"{DEVICES}/ports/*/state",
            f"{DEVICES}/ports/*/phys_state",
            f"{DEVICES}/ports/*/rate",
            f"{DEVICES}/ports/*/link_layer",
            f"{DEVICES}/ports/*/gid_attrs/ndevs/0",
            f"{DEVICES}/ports/*/counters/*",
            f"{DEVICES}/ports/*/hw_counters/*",
            END,
        ),
        parse,
        yields=(Port, Version),
        about="RDMA ports: state, rate, lanes, error counters; firmware of their devices",
    ),
)
READS = {"sys_class_infiniband": parse}  # as people list the folder

"""Ethernet ports: what sysfs says of each, and ethtool's driver counters and optics where it is.

Without the ethtool binary state, rate and the kernel's own counters are all there; no optics and no
driver counters come then, and Version ethtool says "missing", so that peers show who lacks it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from clusterctl.model import Fact, Kind, Optic, Port, Probe, Question, Trouble, Version
from clusterctl.probes import ethtool_text
from clusterctl.probes.ethtool_module import optic
from clusterctl.spelling import Unreadable, count, number, pci_address, reported, visible, whole
from clusterctl.sysfs import rows

# Names of driver counters that matter, in all drivers: lost or damaged frames, links that went,
# congestion and flow control.  "interrupts" holds "err".
MATTERS = (
    r"err(?!upt)|drop|discard|bad|crc|fcs|fec|symbol|corrected|align|jabber|fragment|undersize"
    r"|oversize|illegal|fault|underrun|missed|no_buf|out_of_buffer|oom|timeout|carrier|link_down"
    r"|pause|pfc|xoff|xon|ecn|cnp|storm"
)
# One driver's own words for more of the same; each from its ethtool source or an `ethtool -S`.
DRIVER_NAMES = {
    # Documentation/networking/device_drivers/ethernet/mellanox/mlx5/counters.rst
    "mlx5_core": r"^module_|_pci_signal_integrity$|^outbound_pci_stalled|passed_thres_phy$",
    # drivers/net/ethernet/broadcom/bnxt/bnxt_ethtool.c
    "bnxt_en": r"_total_resets$|passed_threshold$",
    # Documentation/networking/device_drivers/ethernet/pensando/ionic.rst
    "ionic": r"^frames_[rt]x_(?:stomped|too_long|truncated|pripause)",
    # drivers/net/ethernet/huawei/hinic/hinic_ethtool.c
    "hinic": r"^mac_[rt]x_(?:undermin|unfilter)",
    "hinic3": r"^mac_[rt]x_(?:undermin|unfilter)",
    # drivers/net/ethernet/intel/{ice,i40e}/*_ethtool.c
    "ice": r"^tx_hang",
    "i40e": r"^port\.(?:[rt]x_hang|tx_dropped_link_down)",
}
# Per-queue counters, of which there are thousands and a sum; XDP programs drop on purpose.
PER_QUEUE = (
    r"^(?:\[\d+\]|(?:rx|tx|ch|rxq|txq)[-_.]?(?:queue[-_])?\d+[-_.]|queue_|xsk|veb\.)"
    r"|xdp|_cache_"
)
SYSFS_COUNTERS = frozenset({"carrier_changes", "carrier_up_count", "carrier_down_count"})
STATES = {
    "up": "active",
    "down": "down",
    "lowerlayerdown": "down",
    "notpresent": "down",
    "dormant": "down",
    "testing": "down",
}
# SPEED_UNKNOWN is -1, and was 16 and 32 bits wide in older kernels.
NO_SPEED = frozenset({-1, 65535, 4294967295})
LINK_LAYERS = {"1": "ethernet", "32": "infiniband"}  # ARPHRD_* of include/uapi/linux/if_arp.h
# For nodes without Python: the same rows, of sysfs alone.
POSIX_READER = r"""
n=1; printf 'clusterctl\tethtool\t1\n'
for d in /sys/class/net/*; do
  b=${d##*/}; [ -e "$d/device" ] && cd "$d" && read -r s <operstate || continue
  [ -e device/physfn ] && [ "$s" != up ] && continue
  printf 'device\t%s\n' "$b"; n=$((n+1))
  for f in operstate carrier carrier_changes speed duplex mtu flags type statistics/*; do
    { read -r v <"$f"; } 2>/dev/null || continue
    printf 'sys\t%s\t%s\t%s\n' "$b" "$f" "$v"; n=$((n+1))
  done
done
printf 'end\t%d\n' "$n"
"""
# What the tool says where a driver or a port has nothing of the kind; no trouble.
NOTHING_THERE = re.compile(
    r"not supported|no stats available|No data available|undecoded|bad command line"
)
# Of ethtool -I --show-fec, since 5.13; the same in all drivers: IEEE 802.3, 30.5.1.1.17 and .18
ENCODING = "Active FEC encoding"
BLOCKS = frozenset({"corrected_blocks", "uncorrectable_blocks"})


@dataclass(slots=True)
class Told:
    """The rows about one device, sorted."""

    sys: dict[str, str] = field(default_factory=dict)
    info: dict[str, str] = field(default_factory=dict)
    stats: dict[str, str] = field(default_factory=dict)
    module: list[tuple[str, str]] = field(default_factory=list)
    fec: dict[str, str] = field(default_factory=dict)
    modes: str = ""
    failures: list[tuple[str, str, str]] = field(default_factory=list)  # option, exit, words
    pasted: bool = False  # a text of the tool, which says no flags


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Of a cut answer the last device is left out: what it did not get to say is unknown.

    The tool's own texts are read too, each about one device.
    """
    if ethtool_text.pasted(stdout):
        yield from pasted(stdout)
        return
    devices: dict[str, Told] = {}
    troubles: list[Trouble] = []
    for row in rows(stdout):
        match row:
            case Trouble():
                troubles.append(row)
            case ("clusterctl", "ethtool", "1"):
                pass
            case ("tool", version):
                yield Version("ethtool", visible(version, 40))
            case ("device", name):
                devices[name] = Told()
            case (_, name, *_) if name in devices and sort_in(devices[name], row):
                pass
            case _:
                troubles.append(stray(row))
    if any(trouble.kind is Kind.CUT for trouble in troubles) and devices:
        devices.popitem()
    yield from troubles
    for name, told in devices.items():
        yield from device(visible(name, 40), told)


def pasted(stdout: str) -> Iterator[Fact | Trouble]:
    """A state that the text does not tell is unknown; a last line without an end is left out."""
    whole, end, rest = stdout.rpartition("\n")
    if rest.strip():
        yield Trouble(Kind.CUT, f"the text ends within a line: {visible(rest, 80)!r}")
    name, found = ethtool_text.told(whole + end)
    part, told = visible(name, 40), Told(pasted=True)
    for row in found:
        sort_in(told, row)
    yield from failures(part, told)
    if encoding := told.fec.get(ENCODING):
        yield Version(f"fec/{part}", visible(encoding, 60))
    if told.module:
        yield from optic(part, told.module)
    elif found:
        told.sys.setdefault("operstate", "unknown")
        yield from described(part, told)
    else:
        yield Trouble(Kind.UNREADABLE, "nothing of a port in it", part)


def sort_in(told: Told, row: tuple[str, ...]) -> bool:
    """Whether the row was one of ours."""
    match row:
        case ("sys", _, key, value):
            told.sys[key] = value
        case ("info", _, key, value):
            told.info[key] = value
        case ("stat", _, key, value):
            told.stats[key] = value
        case ("fec", _, key, value):
            told.fec[key] = value
        case ("module", _, key, value):
            told.module.append((key, value))
        case ("modes", _, modes):
            told.modes = modes
        case ("refused", _, key, reason):
            told.failures.append((key, reason, "reading it"))
        case ("failed", _, option, status, words):
            told.failures.append((option, status, words))
        case _:
            return False
    return True


def stray(row: tuple[str, ...]) -> Trouble:
    shown = visible(" ".join(row), 200)
    if row[0] == "failed":  # of no device: the listing itself, or the tool's version
        return Trouble(Kind.TIMEOUT if "timeout" in row else Kind.EXIT, shown)
    return Trouble(Kind.UNREADABLE, f"not a row of ours: {shown!r}")


def device(name: str, told: Told) -> Iterator[Fact | Trouble]:
    yield from failures(name, told)
    yield from described(name, told)
    if encoding := told.fec.get(ENCODING):
        yield Version(f"fec/{name}", visible(encoding, 60))
    if told.module:
        yield from optic(name, told.module)


def described(name: str, told: Told) -> Iterator[Fact | Trouble]:
    counters: dict[str, int] = {}
    for key, text in wanted_counters(told):
        try:
            counters.setdefault(key, count(text))
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, f"{visible(key, 60)}: {error}", name)
    try:
        found = port(name, told, counters)
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, str(error), name)
    else:
        yield found
        if found.firmware:
            yield Version(f"firmware/{name}", found.firmware)


def failures(name: str, told: Told) -> Iterator[Trouble]:
    """Calls that failed for another reason than that there is nothing to ask.

    A module that does not answer behind a port without carrier may well be none.
    """
    for option, status, words in told.failures:
        if NOTHING_THERE.search(words) or status == "undecoded":
            continue
        kind = Kind.EXIT
        if status in {"timeout", "skipped"}:
            kind = Kind.TIMEOUT
        elif status in {"EACCES", "EPERM"} or "not permitted" in words or "denied" in words:
            kind = Kind.DENIED
        if option == "-m" and kind is Kind.EXIT and told.sys.get("carrier") != "1":
            continue
        yield Trouble(kind, visible(f"ethtool {option}: {status}: {words}", 200), name)


def wanted_counters(told: Told) -> Iterator[tuple[str, str]]:
    """(name, value): the kernel's own first, which win over a driver's of the same name."""
    for key, text in told.sys.items():
        folder, _, name = key.rpartition("/")
        if folder == "statistics" or key in SYSFS_COUNTERS:
            yield name, text
    more = DRIVER_NAMES.get(driver_of(told) or "", r"(?!)")
    for name, text in told.stats.items():
        if not re.search(PER_QUEUE, name) and re.search(f"{MATTERS}|{more}", name):
            yield name, text
    for name, text in told.fec.items():
        if name in BLOCKS:
            yield f"fec_{name}", text


def driver_of(told: Told) -> str | None:
    return told.sys.get("driver") or told.info.get("driver") or None


def port(name: str, told: Told, counters: Mapping[str, int]) -> Port:
    """Raises Unreadable where the state, the rate or the flags are garbled."""
    flags = told.sys.get("flags", "")
    if not re.fullmatch("0x[0-9a-f]{1,8}", flags) and not told.pasted:
        raise Unreadable(f"not flags: {visible(flags, 40)!r}")
    speed = whole(told.sys.get("speed", "-"))
    if speed is not None and speed < 0 and speed not in NO_SPEED:
        raise Unreadable(f"not a speed: {speed}")
    duplex = told.sys.get("duplex", "")
    driver, firmware = driver_of(told), told.info.get("firmware-version", "")
    return Port(
        name,
        device=name,
        state=state(told.sys),
        link_layer=LINK_LAYERS.get(told.sys.get("type", ""), ""),
        rate_gbit_s=None if speed is None or speed in NO_SPEED else speed / 1000,
        rate_max_gbit_s=fastest(told.modes),
        duplex=duplex if duplex in {"full", "half"} else None,
        netdev=name,
        driver=visible(driver, 40) if driver else None,
        firmware=visible(firmware, 80) if firmware and reported(firmware) else None,
        pci=pci(told.sys.get("pci") or told.info.get("bus-info", "")),
        mtu_bytes=count(told.sys["mtu"]) if "mtu" in told.sys else None,
        enabled=None if told.pasted else bool(int(flags, 16) & 1),
        counters=counters,
    )


def state(sys: Mapping[str, str]) -> str:
    """Drivers that do not keep operstate leave it unknown: there the carrier decides."""
    operstate = sys.get("operstate", "")
    if operstate == "unknown":
        return {"1": "active", "0": "down"}.get(sys.get("carrier", ""), "unknown")
    if operstate not in STATES:
        raise Unreadable(f"not a state: {visible(operstate, 40)!r}")
    return STATES[operstate]


def fastest(modes: str) -> float | None:
    """400.0, of "… 100000baseCR4/Full 400000baseDR4/Full"."""
    speeds = [number(digits) for digits in re.findall(r"\b([0-9]{2,7})base", modes)]
    return max((speed for speed in speeds if speed is not None), default=0) / 1000 or None


def pci(text: str) -> str | None:
    """None for a device on another bus than PCI."""
    try:
        return pci_address(text)
    except Unreadable:
        return None


PROBES = (
    Probe(
        Question(
            "ethtool",
            # A module is read over I2C: mlx5 takes some 20 ms, a bad one its whole time-out.
            command=("20", "5", "|".join((MATTERS, *DRIVER_NAMES.values())), PER_QUEUE),
            script="ask_ethtool",
            brief=True,
            without_python=("sh", "-c", POSIX_READER),
            timeout_s=40.0,
        ),
        parse,
        yields=(Port, Optic, Version),
        about="Ethernet ports: state, speed, duplex, error counters of kernel and driver, optics",
    ),
)

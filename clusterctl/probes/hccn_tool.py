"""The network ports of Ascend NPUs by hccn_tool: Ascend HDK guide; its printf formats are in
Huawei's open driver source.  `-i` is the physical number; 950 and later put `-g` before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from clusterctl.model import (
    Address,
    Applies,
    Fact,
    Kind,
    Neighbour,
    Optic,
    Port,
    Probe,
    Question,
    Trouble,
    Version,
)
from clusterctl.probes.ascend_sections import END, TOOLS, Section, failure, pairs, sections
from clusterctl.probes.hccn_tool_history import history
from clusterctl.probes.hccn_tool_optic import optic
from clusterctl.spelling import Unreadable, count, reported, visible

FILE = "/etc/hccn.conf"
CONFIGURED = re.compile(r"\s*address_([0-9]{1,3})\s*=\s*(\S+)\s*")
STATES = {"up": "active", "down": "down"}
# Ascend HDK guide, hccn_tool -net_health -g: None: no address to watch is set, or not tried yet
REACH = {
    "success": "ok",
    "socket failed": "socket failed",
    "receive timeout": "receive timeout",
    "unreachable": "unreachable",
    "time exceeded": "time exceeded",
    "fault": "fault",
    "thread error": "thread error",
    "init": None,
    "detect ip set": None,
}
SPEED = re.compile(r"([0-9]{1,7}) *(G|Gb/s|Gbps|M|Mb/s|Mbps)", re.IGNORECASE)
OWNER = re.compile(r"\[dev(?:id|ice) (\d{1,3})\]|^dev_id:(\d{1,3}),", re.MULTILINE)
TLS = re.compile(r"dev_id:\d+, tls switch\[([01])\]")
UNSET = "no ip was preset"
STATISTICS = re.compile(r"packet statistics:|(?:mac|roce|nic)_\w+:\d", re.MULTILINE)
COUNTED = re.compile(r"[0-9]{1,20}")
MOST_COUNTERS = 256


@dataclass(slots=True)
class Told:
    """What the outputs say of one NPU's port."""

    values: dict[str, Any] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)


Reader = Callable[[str, str, Told], Iterator[Fact | Trouble]]


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """A Port an NPU that was asked for its link or counters; `npu` where nothing says which."""
    found, troubles = sections(stdout)
    yield from troubles
    configured = {
        match[1]: spelled(match[2])
        for section in found
        for match in map(CONFIGURED.fullmatch, section.text.split("\n"))
        if match and FILE in section.arguments
    }
    mine = [one for one in found if one.tool in {"hccn_tool", ""} and (one.tool or reads(one))]
    if any(section.text.strip() == NO_PORTS for section in found):
        return
    if not mine and not troubles:
        asked = END in stdout
        why = "no /dev/davinci0: is the driver loaded?" if asked else "nothing of hccn_tool's in it"
        yield Trouble(Kind.MISSING if asked else Kind.UNREADABLE, why)
    ports: dict[str, Told] = {}
    for section in mine:
        owner = section.after("-i") or next(("".join(m) for m in OWNER.findall(section.text)), "")
        npu = f"npu{owner}"
        told = ports.setdefault(npu, Told())
        for item in read(section, npu, told):
            if isinstance(item, Address) and FILE in stdout:
                yield Address(npu, item.actual, configured.get(owner, ""), FILE)
            else:
                yield item
    for npu, told in ports.items():
        if told.values or told.counters:
            state = told.values.pop("state", "unknown")
            yield Port(
                f"{npu}/1",
                npu,
                state,
                "ethernet",
                driver="hccn",
                counters=told.counters,
                **told.values,
            )


def reads(section: Section) -> bool:
    return bool(shapes(section))


def shapes(section: Section) -> list[Reader]:
    """How to read it, told by what it looks like."""
    return [how for looks, how in SHAPES if looks.search(section.text)]


def read(section: Section, npu: str, told: Told) -> Iterator[Fact | Trouble]:
    found = shapes(section)
    if not found:
        yield from failure(section, npu)
        return
    how, *others = found
    if others:
        yield Trouble(Kind.UNREADABLE, "several outputs and no command between them", npu)
    if section.status not in {"", "0"} and how is not address:
        command = visible(section.command, 60)
        yield Trouble(Kind.EXIT, f"{command}: exit {visible(section.status, 9)}", npu)
    try:
        yield from how(section.text, npu, told)
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, visible(str(error), 160), npu)


def link(text: str, _npu: str, told: Told) -> Iterator[Trouble]:
    for label, value in pairs(text):
        if label == "link status":
            if value.lower() not in STATES:
                raise Unreadable(f"link status: {value}")
            told.values["state"] = STATES[value.lower()]
    yield from ()


def net_health(text: str, npu: str, told: Told) -> Iterator[Trouble]:
    for label, value in pairs(text):
        if label != "net health status":
            continue
        word = value.lower()
        if word not in REACH:  # Unknown, too
            yield Trouble(Kind.UNREADABLE, visible(f"net health status: {value}", 80), npu)
        elif told.values.get("reach", "ok") in {"ok", None}:  # of two, the worse
            told.values["reach"] = REACH[word] or told.values.get("reach")


def link_stat(text: str, npu: str, told: Told) -> Iterator[Trouble]:
    counters, downs, odd = history(text)
    told.counters |= counters
    if downs is not None:
        told.values["downs_s_ago"] = downs
    elif odd:  # which may have been the one that says it went down
        yield Trouble(Kind.UNREADABLE, visible(f"link_stat: {odd}", 120), npu)
    else:
        yield Trouble(Kind.CUT, "the history of its link is not whole", npu)


def dev_info(text: str, npu: str, _told: Told) -> Iterator[Port | Trouble]:
    """950 and later: a table of an NPU's ports, Ethernet and UB, by die and number."""
    for line in text.split("\n"):
        row = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.strip().startswith("|") or row[0] == "UdieID":
            continue
        try:
            die, port, speed, kind, state, _ = row
            name = f"{npu}/{count(die)}.{count(port)}"
            rate = float(count(speed)) if reported(speed) else None
            state, layer = STATES[state.lower()], {"ETH": "ethernet", "UB": "ub"}[kind]
        except (ValueError, KeyError):
            yield Trouble(Kind.UNREADABLE, visible(f"dev_info: {line.strip()}", 120), npu)
        else:
            yield Port(name, npu, state, layer, rate_gbit_s=rate, driver="hccn")


def statistics(text: str, npu: str, told: Told) -> Iterator[Trouble]:
    bad: list[str] = []
    for line in text.split("\n"):
        name, _, value = line.strip().partition(":")
        if re.fullmatch(r"\w{3,60}", name) and COUNTED.fullmatch(value):
            if len(told.counters) < MOST_COUNTERS:
                told.counters[name] = int(value)
        elif line.strip() not in {"", "...", "packet statistics:"}:
            bad.append(line.strip())
    if bad:
        yield Trouble(Kind.UNREADABLE, visible(f"{len(bad)} no counters: {bad[0]}", 120), npu)


def light(text: str, npu: str, _told: Told) -> Iterator[Fact | Trouble]:
    yield from optic(text, npu, f"{npu}/1")


def speed(text: str, _npu: str, told: Told) -> Iterator[Trouble]:
    for label, value in pairs(text):
        if label == "speed":
            if value == "Unknown!":  # of a port that is down
                continue
            match = SPEED.fullmatch(value)
            if not match:
                raise Unreadable(f"speed: {value}")
            unit = 1.0 if match[2][0] in "gG" else 1000.0
            told.values["rate_gbit_s"] = int(match[1]) / unit
    yield from ()


def duplex(text: str, _npu: str, told: Told) -> Iterator[Trouble]:
    for label, value in pairs(text):
        if label == "duplex" and value.lower() in {"full", "half"}:
            told.values["duplex"] = value.lower()
        elif label == "duplex":
            raise Unreadable(f"duplex: {value}")
    yield from ()


def fec(text: str, npu: str, _told: Told) -> Iterator[Version]:
    for label, value in pairs(text):
        if label == "fec mode" and value:
            yield Version(f"rdma/{npu}/fec", visible(value, 60))


def tls(text: str, npu: str, _told: Told) -> Iterator[Version]:
    """HCCL's handshake fails between NPUs of which only one has it on."""
    if match := TLS.search(text):
        yield Version(f"rdma/{npu}/tls", {"0": "off", "1": "on"}[match[1]])


def address(text: str, npu: str, _told: Told) -> Iterator[Address]:
    if UNSET in text:
        yield Address(npu, "", "")
    for label, value in pairs(text):
        if label == "ipaddr":
            yield Address(npu, spelled(value), "")


def spelled(text: str) -> str:
    """One spelling of an address; what is none stays as it is, to be shown."""
    try:
        return str(ip_address(text.strip().strip("\"'")))
    except ValueError:
        return visible(text, 60)


def lldp(text: str, npu: str, _told: Told) -> Iterator[Fact]:
    """TLV by TLV: a title, then what it holds."""
    name = re.search(r"System Name TLV\s*\n\s*(\S[^\n]*)", text)
    port = re.search(r"Port ID TLV\s*\n(?:[^\n]*\n)?\s*Ifname:\s*(\S+)", text)
    if name or port:
        system, far = name[1].strip() if name else "", port[1] if port else ""
        yield Neighbour(f"{npu}/1", visible(system, 100), visible(far, 100))


SHAPES: tuple[tuple[re.Pattern[str], Reader], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), how)
    for pattern, how in (
        (r"\| *UdieID *\| *PortID *\|", dev_info),
        (r"^\s*net health status *:", net_health),
        (r"^\s*link status *:", link),
        (r"^\[dev(?:id|ice) \d+\] *(?:current time|link (?:up|down) count|link change)", link_stat),
        (r"^\s*optical info:|^\s*(?:[TR]x Power\d?|present) +:", light),
        (STATISTICS.pattern, statistics),
        (r"^\s*[Ss]peed *:", speed),
        (r"^\s*[Dd]uplex *:", duplex),
        (r"^\s*fec mode *:", fec),
        (r"^dev_id:\d+, tls switch", tls),
        (rf"^\s*ipaddr:|{UNSET}", address),
        (r"Port ID TLV|System Name TLV", lldp),
    )
)

# What matters most is asked of every NPU before the rest is.  Those of 310 and 310P (d100, d107,
# d500: Ascend's own log collector) have no port; a… are engines of the Kunpeng processor.
NO_PORTS = "no NPU here has a port"
COMMAND = (
    TOOLS
    + f"""
wait=8
command -v hccn_tool >/dev/null || {{ echo 'hccn_tool: not found' >&2; exit 127; }}
some= ports=
for d in /sys/bus/pci/devices/*; do
  {{ read -r v <"$d/vendor" && read -r c <"$d/class" && read -r i <"$d/device"; }} 2>/dev/null
  case "$v.$c" in 0x19e5.0x1200*) ;; *) continue ;; esac
  case "$i" in 0xa*) ;; 0xd1*|0xd5*) some=y ;; *) ports=y ;; esac
done
if [ "$some.$ports" = y. ]; then run echo '{NO_PORTS}'; echo "== end $n"; exit; fi
if [ -r {FILE} ]; then run cat {FILE}; fi
npus=$(for d in /dev/davinci[0-9]*; do [ -e "$d" ] && echo "${{d#/dev/davinci}}"; done | sort -n)
old() {{ timeout -k 2 $wait hccn_tool -i $1 -link -g </dev/null >/dev/null 2>&1; }}
new() {{ timeout -k 2 $wait hccn_tool -g -dev_info -i $1 </dev/null >/dev/null 2>&1; }}
one=${{npus%%[!0-9]*}}
if [ -n "$one" ] && ! old "$one" && new "$one"; then
  for npu in $npus; do run hccn_tool -g -dev_info -i "$npu"; done
  npus=
fi
for what in link net_health stat link_stat optical speed duplex ip fec tls lldp; do
  for npu in $npus; do run hccn_tool -i "$npu" -$what -g; done
done
echo "== end $n"
"""
)
PROBES = (
    Probe(
        Question(
            "hccn_tool",
            command=("sh", "-c", COMMAND),
            without_python=("sh", "-c", COMMAND),
            timeout_s=40.0,
            cap_bytes=2 << 20,
            group="ascend",
        ),
        parse,
        yields=(Port, Optic, Neighbour, Address, Version),
        about="network ports of Ascend NPUs, their modules, counters and addresses, from hccn_tool",
        applies=Applies(
            pci_vendors=("19e5",),
            kinds=("accelerator",),
            why_not="no Huawei accelerator on the PCI bus",
        ),
    ),
)

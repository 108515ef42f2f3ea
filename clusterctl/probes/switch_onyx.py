"""What an Onyx switch (MLNX-OS) prints of its ports, modules and neighbours.

Layouts by NVIDIA Onyx User Manual 3.10, chapters Ethernet Interfaces and LLDP; what varies between
releases (a colon after `Rx`, `Eth1/1 (Po7)`) by ska-sa/mellanox-exporter, which reads them live.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from clusterctl.model import Fact, Kind, Neighbour, Optic, Trouble, Version
from clusterctl.probes.switch_optics import by_lane
from clusterctl.probes.switch_texts import Rows, blocks, far_port, fields, port_of
from clusterctl.spelling import visible

INTERFACES = "show interfaces ethernet"
MODULES = "show interfaces ethernet transceiver"
LIGHT = "show interfaces ethernet transceiver diagnostics"
NEIGHBOURS = "show lldp interfaces ethernet remote"
LOSSLESS = "show dcb priority-flow-control"

NUMBER = r"\d+/\d+(?:/\d+)?"
STATE_HEAD = re.compile(rf"(Eth{NUMBER})(?: \(.*\))?:")
MODULE_HEAD = re.compile(rf"Port ({NUMBER}) state")
LIGHT_HEAD = re.compile(rf"Port ({NUMBER}) transceiver diagnostic data:")
LLDP_HEAD = re.compile(rf"(?:Eth|Ethernet )({NUMBER})(?: \(.*\))?:?")
COUNT = re.compile(r"\s*(\d{1,20})\s+(.*?)\s*")
COUNTS = {
    ("rx", "fcs errors"): "rx_crc_errors_phy", ("rx", "symbol errors"): "rx_symbol_err_phy",
    ("rx", "error packets"): "port_rcv_errors", ("rx", "discard packets"): "rx_discards_phy",
    ("tx", "discard packets"): "port_xmit_discards",
    ("rx", "pause packets"): "rx_pause", ("tx", "pause packets"): "tx_pause",
}  # fmt: skip
LANE = re.compile(r"Ch(\d{1,2}) (Rx Power|Tx Power|Tx Current)")
AMOUNT = re.compile(r"(-?\d{1,6}(?:\.\d{1,9})?) (?:mW / (?:-?\d+(?:\.\d+)?|-inf) dBm|mA|C|V)")
UNSAID = frozenset({"", "NA", "N/A", "N\\A", "None", "Not Advertised"})


def interfaces(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    """`Eth1/1:` with `Operational state : Up`, `Actual speed : 100G`, `Rx: … fcs errors`."""
    for name, _, lines in blocks(text, STATE_HEAD):
        said = fields(lines)
        speed = re.match(r"(\d{1,4}) ?G", said.get("actual speed", ""))
        counts: dict[str, int] = {}
        way = ""
        for line in lines:
            if found := re.fullmatch(r"\s*(Rx|Tx):?\s*", line):
                way = found[1].lower()
            elif (found := COUNT.fullmatch(line)) and (ours := COUNTS.get((way, found[2]))):
                counts[ours] = int(found[1])
        closed = said.get("admin state", "").lower() == "disabled"
        state = "disabled" if closed else said.get("operational state", "")
        up = state.lower() == "up"
        yield port_of(name, state, float(speed[1]) if speed and up else None, counts)


def modules(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    """Whose module it is; what it measures stands in the diagnostics."""
    for port, _, lines in blocks(text, MODULE_HEAD):
        said = fields(lines)
        names = [visible(said.get(key, ""), 60) for key in ("vendor", "part number")]
        if any(names):
            serial = visible(said.get("serial number", ""), 60)
            yield Optic(f"Eth{port}", vendor=names[0], model=names[1], serial=serial)


def optics(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    """One `Optic` a module that measures: `Ch1 Rx Power : 0.9 mW / -0.4 dBm`."""
    for port, _, lines in blocks(text, LIGHT_HEAD):
        part, said = f"Eth{port}", fields(lines)
        values: dict[str, dict[int, float]] = {}
        for key, value in lines_of(lines):
            lane = LANE.fullmatch(key)
            if lane is None or value in UNSAID:
                continue
            amount = measured(value)
            if amount is None:
                why = f"{key}: {visible(value, 40)!r} is not a number"
                yield Trouble(Kind.UNREADABLE, why, part)
                continue
            values.setdefault(lane[2], {})[int(lane[1])] = amount
        temp = measured(said.get("temperature", ""))
        if values or temp is not None:
            yield Optic(
                part,
                temp_c=temp,
                volt_v=measured(said.get("voltage", "")),
                rx_mw=by_lane(values.get("Rx Power")),
                tx_mw=by_lane(values.get("Tx Power")),
                bias_ma=by_lane(values.get("Tx Current")),
                alarms=tuple(alarms(said)),
            )


def lines_of(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        key, colon, value = line.partition(":")
        if colon:
            yield key.strip(), value.strip()


def measured(value: str) -> float | None:
    found = AMOUNT.fullmatch(value)
    return float(found[1]) if found else None


def alarms(said: Mapping[str, str]) -> Iterator[str]:
    """`Voltage Alarm : None`; any other word is one."""
    for key, value in said.items():
        if key.endswith("alarm") and value not in UNSAID:
            yield visible(f"{key}: {value}", 80)


def neighbours(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    """`Eth1/1` and below it `Remote port-id : eth0 ; port id subtype: Interface Name (5)`."""
    for port, _, lines in blocks(text, LLDP_HEAD):
        said = {
            key.lower(): word
            for key, value in lines_of(lines)
            if (word := value.partition(";")[0].strip()) not in UNSAID
        }
        text_of = said.get("remote port description", "")
        chassis = visible(said.get("remote chassis id", ""), 60)
        system = visible(said.get("remote system name", ""), 120) or chassis
        far = far_port(visible(said.get("remote port-id", ""), 120), visible(text_of, 120))
        if system and far:
            yield Neighbour(f"Eth{port}", system, far, chassis, visible(text_of, 120))
        elif said:
            yield Trouble(Kind.UNREADABLE, "a neighbour without a name or port", f"Eth{port}")


def lossless(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    """`Priority Enabled List: 3`, and whether each port does it: `Eth1/1  Auto  Enabled`."""
    listed = re.search(r"^Priority Enabled List *: *((?:[0-7] ?)*)\s*$", text, re.MULTILINE)
    if listed is None:
        return
    priorities = ",".join(listed[1].split()) or "off"
    for found in re.finditer(rf"^(Eth{NUMBER})\s+\w+\s+(Enabled|Disabled)\s*$", text, re.MULTILINE):
        yield Version(f"rdma/{found[1]}/pfc", priorities if found[2] == "Enabled" else "off")

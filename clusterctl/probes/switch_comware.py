"""What a Comware switch (H3C, HPE) prints of its ports, modules, neighbours and flow control.

`display transceiver diagnosis` and `display priority-flow-control`: H3C interface and QoS command
references; a module of several lanes shows `[module]` and `[channel]` rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.model import Fact, Kind, Neighbour, Optic, Trouble, Version
from clusterctl.probes.switch_texts import Rows, blocks, milliwatts, physical, port_of, whole, word
from clusterctl.spelling import visible

INTERFACES = "display interface"
NEIGHBOURS = "display lldp neighbor-information list"
LIGHT = "display transceiver diagnosis interface"
PAUSES = "display priority-flow-control interface"

HEAD = re.compile(r"([A-Z][\w-]*\d+(?:/\d+)+(?::\d+)?)")
LIGHT_HEAD = re.compile(r"(\S+) transceiver diagnostic information:")
COLUMNS = {
    "channel": re.compile(r"\[?channel\]?", re.IGNORECASE),
    "temp": re.compile(r"Temp\.?\s?\([^)]*\)"),
    "volt": re.compile(r"Voltage\(V\)"),
    "bias": re.compile(r"Bias\(mA\)"),
    "rx": re.compile(r"RX power\(dB[mM]\)"),
    "tx": re.compile(r"TX power\(dB[mM]\)"),
}
CELL = re.compile(r"-?\d{1,6}(?:\.\d{1,6})?")
PFC_ROW = re.compile(r"([A-Z]\S*\d(?:/\d+)+\S*)\s+(\w+)\s+(\w+)(.*)")
STATE = re.compile(r"Current state: (.*)")
SPEED = re.compile(r"(\d+)(G|M)bps-speed mode")
COUNTS = (
    ("in", re.compile(r"\b(\d+) CRC\b"), "rx_crc_errors_phy"),
    ("in", re.compile(r"\b(\d+) input errors\b"), "port_rcv_errors"),
    ("in", re.compile(r"\b(\d+) overruns\b"), "rx_discards_phy"),
    ("out", re.compile(r"\b(\d+) underruns\b"), "port_xmit_discards"),
)


def interfaces(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    for name, _, lines in blocks(text, HEAD):
        if not physical(name):
            continue
        state, rate, way, counters = "", None, "", {}
        for line in lines:
            if found := STATE.match(line.strip()):
                state = found[1].strip()
            if found := SPEED.match(line.strip()):
                rate = int(found[1][:6]) / (1 if found[2] == "G" else 1000)
            if found := re.match(r"\s*(Input|Output): ", line):
                way = "in" if found[1] == "Input" else "out"
            for side, form, ours in COUNTS:
                if side == way and (found := form.search(line)):
                    counters[ours] = int(found[1][:20])
        yield port_of(name, state, rate if state.upper() == "UP" else None, counters)


def neighbours(text: str, rows: Rows) -> Iterator[Fact | Trouble]:
    """By ntc-templates' hp_comware_display_lldp_neighbor-information_list."""
    for row in rows:
        local = word(row, "local_interface")
        if local:
            yield Neighbour(
                long_name(local),
                word(row, "neighbor_name"),
                word(row, "neighbor_interface"),
                chassis=word(row, "chassis_id"),
            )
    if not rows and "System Name" in text and len(text.strip().split("\n")) > 4:
        part = "display lldp neighbor-information list"
        yield Trouble(Kind.UNREADABLE, "no neighbour could be read", part)


SHORT = {
    "GE": "GigabitEthernet", "XGE": "Ten-GigabitEthernet", "WGE": "Twenty-FiveGigE",
    "FGE": "FortyGigE", "HGE": "HundredGigE", "FHGE": "FourHundredGigE",
    "THGE": "TwoHundredGigE", "EHGE": "EightHundredGigE",
}  # fmt: skip


def long_name(short: str) -> str:
    found = re.fullmatch(r"([A-Z]+)(\d.*)", short)
    return SHORT[found[1]] + found[2] if found and found[1] in SHORT else short


def optics(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    """What each module measures now; below `Alarm thresholds:` stand its limits."""
    for name, _, lines in blocks(text, LIGHT_HEAD):
        part = visible(name, 60)
        lanes: list[dict[str, float]] = []
        module: dict[str, float] = {}
        for row in measured(part, lines):
            if isinstance(row, Trouble):
                yield row
                continue
            module |= {key: row[key] for key in ("temp", "volt") if key in row}
            if "rx" in row or "tx" in row:
                lanes.append(row)
        if lanes or module:
            yield Optic(
                part,
                temp_c=module.get("temp"),
                volt_v=module.get("volt"),
                rx_mw=light(lanes, "rx"),
                tx_mw=light(lanes, "tx"),
                bias_ma=every(lanes, "bias"),
            )


def measured(part: str, lines: list[str]) -> Iterator[dict[str, float] | Trouble]:
    """Each row by the names above it; a cell of `-` is not measured."""
    names: list[str] = []
    for line in lines:
        if "thresholds" in line.lower():
            return
        found = {name: form.search(line) for name, form in COLUMNS.items()}
        if any(found.values()) and ("power" in line or found["temp"]):
            names = [name for name in COLUMNS if found[name]]
            continue
        cells = line.split()
        if not names or not cells or not re.match(r"-?\d|-$", cells[0]):
            continue
        numbers = [cell for cell in cells if cell == "-" or CELL.fullmatch(cell)]
        if len(cells) != len(names) or len(numbers) != len(cells):
            yield Trouble(
                Kind.UNREADABLE, f"not a row of values: {visible(line.strip(), 80)}", part
            )
            continue
        pairs = zip(names, cells, strict=True)
        yield {name: float(cell) for name, cell in pairs if cell != "-" and name != "channel"}


def every(lanes: list[dict[str, float]], name: str) -> tuple[float, ...] | None:
    values = [lane[name] for lane in lanes if name in lane]
    return tuple(values) if values and len(values) == len(lanes) else None


def light(lanes: list[dict[str, float]], name: str) -> tuple[float, ...] | None:
    values = every(lanes, name)
    return None if values is None else tuple(milliwatts(value) for value in values)


def pauses(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    """`HGE1/0/1 Enabled Enabled 3,5 3 0 0 0 0`: lossless priorities, then one row a priority."""
    told: dict[str, tuple[str, list[str]]] = {}
    name = ""
    for line in text.split("\n")[:-1]:
        if found := PFC_ROW.fullmatch(line.strip()):
            name, rest = long_name(found[1]), found[4].split()
            listed = rest.pop(0) if len(rest) in (1, 6) else ""
            on = found[3].lower() in ("enabled", "on")
            told[name] = (expanded(listed) if on else "off", rest)
        elif name and re.fullmatch(r"\s*[0-7](?:\s+\d+){4}\s*", line):
            told[name][1].extend(line.split())
    for port, (lossless, cells) in told.items():
        if physical(port):
            received = sum(whole(cell) or 0 for cell in cells[1::5])
            sent = sum(whole(cell) or 0 for cell in cells[2::5])
            if cells:
                yield port_of(port, "", None, {"rx_pause": received, "tx_pause": sent})
            if lossless:
                yield Version(f"rdma/{visible(port, 60)}/pfc", lossless)


def expanded(listed: str) -> str:
    """0,2-3 is 0,2,3; empty: not a list of priorities."""
    found: list[str] = []
    for piece in listed.split(","):
        first, dash, last = piece.partition("-")
        if not re.fullmatch("[0-7]", first) or (dash and not re.fullmatch("[0-7]", last)):
            return ""
        found += [str(one) for one in range(int(first), int(last or first) + 1)]
    return ",".join(found)

"""What switches print, each in its way: Huawei VRP, SONiC.

Error counters get the names that the NICs' have, so that one table of limits judges both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from clusterctl.model import Fact, Kind, Neighbour, Optic, Port, Trouble, Version
from clusterctl.spelling import Unreadable, visible

Rows = list[Mapping[str, Any]]
NEVER_EMPTY = frozenset(
    {
        "display interface", "show interfaces | json", "show interfaces status",
        "show interfaces counters", "ip -s -s -j link show", "show interfaces ethernet",
        "nv show interface",
    }
)  # fmt: skip
# What a switch says that has no neighbour, no module, or no lossless queue.
EMPTY = re.compile(
    r"has 0 neighbor|Total entries displayed: *0|System Name +Local Interface|\{|"
    r"transceiver (?:is )?(?:absent|not present)|no transceiver|not support|"
    r"EEPROM (?:not )?detected|No lldp remote information|No Diagnostic Data|"
    r"diagnostics-status|Port [\d/]+ state|PFC: disabled|Received\(Frames\)|Dot1pList|"
    r"Lossless priorities|EcnMarked|"
    r"\A(?![\s\S]*RX power)[\s\S]*transceiver (?:diagnostic )?information:",  # copper alone
    re.IGNORECASE,
)
# Ports that cables are plugged into; Vlanif, NULL0, LoopBack, Eth-Trunk and their like are none.
PHYSICAL = re.compile(
    r"(?:\d+GE|\d+\|?\d*GE|GE|XGE|MEth|[A-Za-z]*GigabitEthernet|[A-Za-z]*GigE|Ethernet|Et|Eth|swp"
    r"|HundredGigE|FortyGigE|FourHundredGigE|TwoHundredGigE|EightHundredGigE)\d[\d/:.s]*",
)
VRP_HEAD = re.compile(r"(\S+) current state ?: ?(ERROR DOWN ?\([^()]*\)|.*?)\s*(?:\(.*)?")
SHUT_ITSELF = re.compile(r"ERR-?DISABLED|ERROR DOWN.*")  # EOS, VRP: by the switch, after errors
VRP_COUNT = re.compile(r"(Total Error|CRC|Symbols|Discard|Pause): *(\d+)")
VRP_NAMES = {
    ("in", "CRC"): "rx_crc_errors_phy", ("in", "Symbols"): "rx_symbol_err_phy",
    ("in", "Discard"): "rx_discards_phy", ("out", "Discard"): "port_xmit_discards",
    ("in", "Pause"): "rx_pause", ("out", "Pause"): "tx_pause",
}  # fmt: skip
SPEED = re.compile(r"Speed ?: *(\d+)")
DBM = re.compile(r"(-?\d+(?:\.\d+)?)")
LEVEL = re.compile(r"-?\d{1,4}(?:\.\d{1,4})?")
UNMEASURED = frozenset({"-", "--", "NA", "N/A"})


def physical(name: str) -> bool:
    return bool(PHYSICAL.fullmatch(name))


def milliwatts(dbm: float) -> float:
    return float(10 ** (max(-60.0, min(60.0, dbm)) / 10))


def gbit(mbit: str) -> float | None:
    return int(mbit) / 1000 if re.fullmatch(r"[1-9]\d{0,7}", mbit) else None


def vrp_interfaces(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    """`display interface`; what ntc-templates leaves out are the counters."""
    for name, state, lines in blocks(text, VRP_HEAD):
        if not physical(name):
            continue
        word = state.upper()
        counters: dict[str, int] = {}
        way, rate = "", None
        for line in lines:
            if found := re.match(r"\s*(Input|Output): ", line):
                way = "in" if found[1] == "Input" else "out"
            elif found := SPEED.match(line.strip()):
                rate = gbit(found[1])
            for found in VRP_COUNT.finditer(line):
                if ours := VRP_NAMES.get((way, found[1])):
                    counters[ours] = int(found[2][:20])
        yield port_of(name, word, rate if word == "UP" else None, counters)


def port_of(name: str, word: str, rate: float | None, counters: Mapping[str, int]) -> Port:
    """`word`: the switch's own; what is neither up nor down is unknown."""
    upper = word.upper()
    up = upper in ("UP", "CONNECTED", "U")
    failed = bool(SHUT_ITSELF.fullmatch(upper))
    closed = not failed and ("ADMIN" in upper or "DISABLED" in upper or upper == "X")
    without = upper.startswith("DOWN") or upper in ("NOTCONNECT", "D", "NOTPRESENT")
    down = failed or closed or without
    return Port(
        visible(name, 60),
        visible(name, 60),
        "active" if up else "down" if down else "unknown",
        link_layer="ethernet",
        phys_state=visible(word.lower(), 40) if failed else None,
        rate_gbit_s=rate,
        enabled=False if closed else True if up else None,
        counters=dict(counters),
    )


def blocks(text: str, head: re.Pattern[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Each head line's groups and the lines below it.  The last line may be cut: left out."""
    name, state = "", ""
    lines: list[str] = []
    for line in text.split("\n")[:-1]:
        if (found := head.fullmatch(line.rstrip())) and not line.startswith(" "):
            if name:
                yield name, state, lines
            name, state, lines = found[1], found[2] if head.groups > 1 else "", []
        elif name:
            lines.append(line)
    if name:
        yield name, state, lines


def vrp_neighbours(text: str, rows: Rows) -> Iterator[Fact | Trouble]:
    """By ntc-templates' huawei_vrp_display_lldp_neighbor."""
    for row in rows:
        local = word(row, "local_interface")
        if local:
            yield Neighbour(
                local,
                word(row, "neighbor_name"),
                far_port(word(row, "neighbor_port_id"), word(row, "neighbor_interface")),
                chassis=word(row, "chassis_id"),
                text=word(row, "neighbor_interface"),
            )
    if not rows and "neighbor" in text.lower() and "has 0 neighbor" not in text:
        yield Trouble(Kind.UNREADABLE, "no neighbour could be read", "display lldp neighbor")


MAC = re.compile(
    r"[0-9a-fA-F]{2}(?:[:-]?[0-9a-fA-F]{2}){5}|[0-9a-fA-F]{4}(?:[.-][0-9a-fA-F]{4}){2}"
)


def far_port(own: str, described: str) -> str:
    """A port that gives its MAC address for an id is found on its node by its description."""
    return described or own if MAC.fullmatch(own) else own or described


PAUSE_ROW = re.compile(r"(\S+\d)\s+[0-7]\s+(\d{1,20})\s+\d+\s+(\d{1,20})\s*")
SENT_ROW = re.compile(r"\s+(\d{1,20})\s+\d+\s+\d+\s*")


def vrp_pauses(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    """`display dcb pfc`: two lines a queue, received and deadlocks, then sent and recoveries."""
    told: dict[str, dict[str, int]] = {}
    name = ""
    for line in text.split("\n")[:-1]:
        if (found := PAUSE_ROW.fullmatch(line)) and physical(found[1]):
            name = found[1]
            counts = told.setdefault(name, {"rx_pause": 0, "tx_pause": 0, "pfc_deadlocks": 0})
            counts["rx_pause"] += int(found[2])
            counts["pfc_deadlocks"] += int(found[3])
        elif name and (found := SENT_ROW.fullmatch(line)):
            told[name]["tx_pause"] += int(found[1])
    for port, counts in told.items():
        yield port_of(port, "", None, counts)


def word(row: Mapping[str, Any], *names: str) -> str:
    found = next((row[name] for name in names if row.get(name)), "")
    return visible(str(found).strip(), 120)


def vrp_optics(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    """`400GE1/0/1 transceiver information:`, of which a value may go on below its line.

    `Current RX Power (dBm)  :-1.20|-1.30(Lane0|Lane1)`, and `-1.10|-1.40(Lane2|Lane3)` below it.
    """
    for name, _, lines in blocks(text, re.compile(r"(\S+) transceiver information:")):
        said, below = fields(lines), goes_on(lines)
        try:
            rx, tx, bias = (
                lanes(f"{said.get(key, '')} {below.get(key, '')}")
                for key in ("current rx power", "current tx power", "bias current")
            )
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, str(error), visible(name, 60))
            continue
        temps, volts = (DBM.findall(said.get(key, "")) for key in ("temperature", "voltage"))
        if rx or tx:
            yield Optic(
                visible(name, 60),
                vendor=visible(said.get("vendor name", ""), 60),
                model=visible(said.get("vendor part number", ""), 60),
                serial=visible(said.get("manu. serial number", ""), 60),
                temp_c=float(temps[0]) if temps else None,
                volt_v=float(volts[0]) if volts else None,
                rx_mw=tuple(map(milliwatts, rx)) if rx else None,
                tx_mw=tuple(map(milliwatts, tx)) if tx else None,
                bias_ma=bias,
            )


def goes_on(lines: list[str]) -> dict[str, str]:
    """What stands below a name's line and has no name of its own, by that name."""
    found: dict[str, str] = {}
    name = ""
    for line in lines:
        head, colon, _ = line.partition(":")
        if colon:
            name = re.sub(r"\s*\(.*?\)", "", head).strip().lower()
        elif name and not line.startswith("---"):
            found[name] = f"{found.get(name, '')} {line.strip()}"
    return found


def fields(lines: list[str]) -> dict[str, str]:
    """`Name (unit)   :value`, the name without its unit in lower case."""
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(re.sub(r"\s*\(.*?\)", "", name).strip().lower(), value.strip())
    return found


def lanes(text: str) -> tuple[float, ...] | None:
    """One value, or one a lane between bars; None: not measured.  Raises Unreadable."""
    pieces = [piece.strip() for piece in re.sub(r"\(Lane[^)]*\)", "|", text).split("|")]
    told = [piece for piece in pieces if piece]
    if not told or all(piece in UNMEASURED for piece in told):
        return None
    if not all(LEVEL.fullmatch(piece) for piece in told):
        raise Unreadable(f"not a number a lane: {visible(text.strip(), 60)!r}")
    return tuple(float(piece) for piece in told)


def loaded(text: str, command: str) -> tuple[Mapping[str, Any], Trouble | None]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        return {}, Trouble(Kind.UNREADABLE, f"not JSON: {visible(str(error), 80)}", command)
    if not isinstance(found, Mapping):
        return {}, Trouble(Kind.UNREADABLE, "not a JSON object", command)
    return found, None


def each(found: object, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    inner = found.get(name) if isinstance(found, Mapping) else None
    for key, value in inner.items() if isinstance(inner, Mapping) else ():
        if isinstance(value, Mapping):
            yield str(key), value


def amount(found: object, *names: str) -> float | None:
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not abs(found) < 1e20:
        return None
    return float(found)


def table(text: str) -> Iterator[dict[str, str]]:
    """SONiC's tables: a head, a rule of dashes that says where columns are, rows until a blank.

    A line that was cut is left out.
    """
    lines = text.split("\n")[:-1]
    for place, line in enumerate(lines):
        if place and re.fullmatch(r"-+(?:\s+-+)+\s*", line):
            spans = [found.span() for found in re.finditer(r"-+", line)]
            names = [lines[place - 1][start:end].strip().lower() for start, end in spans]
            for row in lines[place + 1 :]:
                if not row.strip(" -"):
                    break
                cells = [row[start:end].strip() for start, end in spans]
                yield dict(zip(names, cells, strict=True))


def whole(text: str) -> int | None:
    digits = text.replace(",", "")
    return int(digits) if re.fullmatch(r"\d{1,20}", digits) else None


SONIC_COUNTS = {
    "rx_err": "port_rcv_errors",
    "rx_drp": "rx_discards_phy",
    "tx_drp": "port_xmit_discards",
}


def sonic_counters(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    for row in table(text):
        if physical(row.get("iface", "")):
            counts = {
                ours: count
                for theirs, ours in SONIC_COUNTS.items()
                if (count := whole(row.get(theirs, ""))) is not None
            }
            yield port_of(row["iface"], row.get("state", ""), None, counts)


def sonic_status(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    for row in table(text):
        if physical(row.get("interface", "")):
            speed = re.fullmatch(r"(\d{1,4})(G|M)", row.get("speed", ""))
            rate = int(speed[1]) / (1 if speed[2] == "G" else 1000) if speed else None
            state = row.get("oper", "")
            yield port_of(row["interface"], state, rate if state == "up" else None, {})


def sonic_neighbours(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    for row in table(text):
        if row.get("localport") and row.get("remotedevice"):
            described = visible(row.get("remoteportdescr", ""), 120)
            yield Neighbour(
                visible(row["localport"], 60),
                visible(row["remotedevice"], 120),
                far_port(visible(row.get("remoteportid", ""), 120), described),
                text=described,
            )


def sonic_pauses(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    """Two tables, what was received and what was sent, by priority."""
    for way in ("rx", "tx"):
        for row in table(text):
            name = row.get(f"port {way}", "")
            if physical(name):
                counts = [whole(cell) for key, cell in row.items() if key.startswith("pfc")]
                total = sum(count for count in counts if count is not None)
                yield port_of(name, "", None, {f"{way}_pause": total})


def sonic_lossless(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    """`show pfc priority`: the lossless priorities of each port."""
    for row in table(text):
        name, listed = row.get("interface", ""), row.get("lossless priorities", "")
        if physical(name) and re.fullmatch(r"[0-7](?:, *[0-7])*|", listed):
            value = listed.replace(" ", "") or "off"
            yield Version(f"rdma/{visible(name, 60)}/pfc", value)


def sonic_marks(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    """`show queue wredcounters`: one table a port, a row a queue."""
    told: dict[str, int] = {}
    for line in text.split("\n")[:-1]:
        cells = line.split()
        if len(cells) == 6 and physical(cells[0]) and (marked := whole(cells[4])) is not None:
            told[cells[0]] = told.get(cells[0], 0) + marked
    for port, marked in told.items():
        yield port_of(port, "", None, {"ecn_marked": marked})

"""What a Cumulus Linux switch prints of its ports and modules: iproute2 and NVUE.

NVUE's layouts by NVIDIA's NVUE reference, `nv show interface` (5.0) and `nv show platform
transceiver` (5.11), which has a tree of channels where `nv show interface swp1 transceiver` has
`ch-1-rx-power`: both are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from clusterctl.model import Fact, Kind, Optic, Trouble
from clusterctl.probes.switch_optics import by_lane
from clusterctl.probes.switch_texts import Rows, amount, physical, port_of, table
from clusterctl.spelling import visible

LINKS = "ip -s -s -j link show"
SPEEDS = "nv show interface"
MODULES = "nv show platform transceiver detail"

COUNTS = (
    (("rx", "crc_errors"), "rx_crc_errors_phy"),
    (("rx", "dropped"), "rx_discards_phy"),
    (("tx", "dropped"), "port_xmit_discards"),
)
LANE = re.compile(r"(?:ch-|channel/channel-)(\d{1,2})[-/](rx-power|tx-power|tx-bias-current)")
AMOUNT = re.compile(r"(-?\d{1,6}(?:\.\d{1,9})?) (?:mW / \S+ dBm|mA|V|(?:degrees )?C(?: / .*)?)")
UNSAID = frozenset({"", "N/A", "None"})


def links(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    """`ip -s -s -j link show`: a list, one mapping a link."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield Trouble(Kind.UNREADABLE, f"not JSON: {visible(str(error), 80)}", "ip link")
        return
    for one in found if isinstance(found, list) else ():
        name = one.get("ifname") if isinstance(one, Mapping) else None
        if isinstance(name, str) and physical(name):
            counts = {}
            for path, ours in COUNTS:
                value = amount(one, "stats64", *path)
                if value is not None and value >= 0:
                    counts[ours] = int(value)
            flags = one.get("flags")
            shut = isinstance(flags, list) and "UP" not in flags
            state = "disabled" if shut else str(one.get("operstate", ""))
            yield port_of(name, state, None, counts)


def speeds(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    """The rate that iproute2 does not tell: `swp1 … up … 400G`."""
    for row in table(text):
        name = row.get("interface", "")
        speed = re.fullmatch(r"(\d{1,4})(G|M)", row.get("speed", ""))
        state = row.get("oper status", row.get("state", ""))
        if physical(name):
            rate = int(speed[1]) / (1 if speed[2] == "G" else 1000) if speed else None
            yield port_of(name, state, rate if state.lower() == "up" else None, {})


def optics(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    """One `Optic` a module that measures."""
    for name, said in modules(text):
        values: dict[str, dict[int, float]] = {}
        alarms = []
        for path, value in said.items():
            place, _, leaf = path.rpartition("/")
            if leaf == "alarm" and value not in (*UNSAID, "Off"):
                alarms.append(visible(f"{place}: {value}", 80))
            lane = LANE.match(path)
            wanted = lane and (lane.end() == len(path) or leaf in ("power", "current"))
            if not lane or not wanted or value in UNSAID:
                continue
            found = measured(value)
            if found is None:
                why = f"{path}: {visible(value, 40)!r} is not a number"
                yield Trouble(Kind.UNREADABLE, why, name)
                continue
            values.setdefault(lane[2], {})[int(lane[1])] = found
        temp = measured(said.get("temperature/temperature", said.get("temperature", "")))
        if values or temp is not None:
            yield Optic(
                name,
                vendor=visible(said.get("vendor-name", ""), 60),
                model=visible(said.get("vendor-pn", ""), 60),
                serial=visible(said.get("vendor-sn", ""), 60),
                temp_c=temp,
                volt_v=measured(said.get("voltage/voltage", said.get("voltage", ""))),
                rx_mw=by_lane(values.get("rx-power")),
                tx_mw=by_lane(values.get("tx-power")),
                bias_ma=by_lane(values.get("tx-bias-current")),
                alarms=tuple(alarms),
            )


def modules(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each port, and {path: value}: channel/channel-1/rx-power/power.  A cut line is left out."""
    name, said = "", dict[str, str]()
    above: list[tuple[int, str]] = []
    for line in text.split("\n")[:-1]:
        key, colon, value = line.partition(":")
        word, depth = key.strip(), len(line) - len(line.lstrip())
        if not colon or not word:
            continue
        if not value.strip() and physical(word):
            if name:
                yield name, said
            name, said, above = word, {}, []
            continue
        above = [one for one in above if one[0] < depth]
        if value.strip():
            said.setdefault("/".join((*(one[1] for one in above), word)), value.strip())
        else:
            above.append((depth, word))
    if name:
        yield name, said


def measured(value: str) -> float | None:
    found = AMOUNT.fullmatch(value)
    return float(found[1]) if found else None

"""Modules of a SONiC switch, as sonic-utilities' `sfpshow` prints them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from clusterctl.model import Fact, Kind, Optic, Trouble
from clusterctl.probes.switch_texts import milliwatts
from clusterctl.spelling import visible

COMMAND = "show interfaces transceiver eeprom --dom"
HEAD = re.compile(r"(\S+): SFP EEPROM (detected|[Nn]ot detected)")
LANE = re.compile(r"(RX|TX)(\d+)(Power|Bias)")
NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)(?:dBm|mA|C|Volts)")
UNSAID = frozenset({"N/A", "", "nan", "Unknown"})


def sonic_optics(text: str, _rows: list[Mapping[str, Any]]) -> Iterator[Fact | Trouble]:
    """One `Optic` a module that measures; a port without a module, or a copper cable, has none.

    Names and values by sonic-net/sonic-utilities, doc/Command-Reference.md.
    """
    for name, lines in modules(text):
        said = {key: value for key, value in lines if key}
        values: dict[tuple[str, str], dict[int, float]] = {}
        for key, value in lines:
            found = LANE.fullmatch(key)
            if found is None or value in UNSAID:
                continue
            if found[3] == "Power" and value.startswith("-inf"):  # no light at all
                values.setdefault((found[1], found[3]), {})[int(found[2])] = 0.0
                continue
            amount = measured(value)
            if amount is None:
                why = f"{key}: {visible(value, 40)!r} is not a number"
                yield Trouble(Kind.UNREADABLE, why, visible(name, 60))
                continue
            power = milliwatts(amount) if found[3] == "Power" else amount
            values.setdefault((found[1], found[3]), {})[int(found[2])] = power
        temperature = measured(said.get("Temperature", ""))
        if values or temperature is not None:
            yield Optic(
                visible(name, 60),
                vendor=visible(said.get("Vendor Name", ""), 60),
                model=visible(said.get("Vendor PN", ""), 60),
                serial=visible(said.get("Vendor SN", ""), 60),
                temp_c=temperature,
                volt_v=measured(said.get("Vcc", "")),
                rx_mw=by_lane(values.get(("RX", "Power"))),
                tx_mw=by_lane(values.get(("TX", "Power"))),
                bias_ma=by_lane(values.get(("TX", "Bias"))),
            )


def modules(text: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Ports with a module, and (name, value) of the lines below; a cut line is left out."""
    name, lines = "", list[tuple[str, str]]()
    for line in text.split("\n")[:-1]:
        head = HEAD.fullmatch(line.strip())
        if head:
            if name:
                yield name, lines
            name, lines = (head[1] if head[2] == "detected" else ""), []
        elif name and ":" in line:
            key, _, value = line.partition(":")
            lines.append((key.strip(), value.strip()))
    if name:
        yield name, lines


def measured(value: str) -> float | None:
    found = NUMBER.fullmatch(value.replace(" ", ""))
    return float(found[1]) if found else None


def by_lane(values: Mapping[int, float] | None) -> tuple[float, ...] | None:
    """In the order of the lanes; None where one in between is missing: which is not known then."""
    if not values or sorted(values) != list(range(1, len(values) + 1)):
        return None
    return tuple(values[lane] for lane in sorted(values))

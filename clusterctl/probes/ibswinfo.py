"""An unmanaged InfiniBand switch, asked in band: power supplies, fans, temperature, firmware.

Layout: stanford-rc/ibswinfo, ibswinfo.sh.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from clusterctl.model import Chassis, Fact, Fan, Kind, Psu, Sensor, Trouble, Version
from clusterctl.spelling import Unreadable, number, plain, visible

ROW = re.compile(r"( *)(\S[^|]*?) +\| (.*)")
RULE = re.compile(r"[=-]{10,}")
SUPPLY = re.compile(r"PSU([0-9]{1,2}) status")
FAN = re.compile(r"(fan#[0-9]{1,2}) \(rpm\)")
TEMPERATURES = ("temperature (C)", "max temp (C)")
OWN = ("part number", "serial number", "product name", "firmware version", "PSID", "GUID")


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Health in our words, `ok` or `critical`.  A text that does not end with a rule was cut."""
    *lines, rest = plain(stdout).split("\n")
    about: dict[str, str] = {}
    supplies: list[Psu] = []
    fans: list[Fan] = []
    for line in lines:
        row = ROW.fullmatch(line.rstrip())
        below = supplies if line.startswith(" ") else []
        if not row and not below:
            continue
        name, value = (row[2], row[3].strip()) if row else (line.strip(), "")
        try:
            if read := read_row(name, value, below):
                yield from keep(read, supplies, fans)
            else:
                about[name] = value
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, f"{visible(name, 40)}: {error}", visible(name, 40))
            if below and name != "power (W)":  # it may be what says that the supply is ill
                supplies[-1] = replace(supplies[-1], health=None)
    if rest.strip() or not (lines and RULE.fullmatch(lines[-1].strip())):
        yield Trouble(Kind.CUT, "the text ends before its last rule")
    yield from supplies
    yield from fans
    yield from of_switch(about)


def keep(read: Fact, supplies: list[Psu], fans: list[Fan]) -> Iterator[Fact]:
    """The lines below a power supply tell more of it."""
    if isinstance(read, Fan):
        fans.append(read)
    elif isinstance(read, Psu):
        if supplies and supplies[-1].part == read.part:
            supplies.pop()
        supplies.append(read)
    else:
        yield read


def read_row(name: str, value: str, supplies: list[Psu]) -> Fact | None:
    """None: a line about the switch itself.  Raises Unreadable."""
    if found := SUPPLY.fullmatch(name):
        return Psu(f"psu{found[1]}", health=health(value))
    if found := FAN.fullmatch(name):
        return Fan(found[1], rpm=number(value))
    if name in TEMPERATURES:
        return Sensor(name.removesuffix(" (C)"), "temperature", number(value), "c")
    if supplies:
        return of_supply(supplies[-1], name, value)
    return Fan("fans", health=health(value)) if name == "fan status" else None


def of_supply(supply: Psu, name: str, value: str) -> Psu:
    """Raises Unreadable."""
    if name in {"DC power", "fan status"}:
        worst = "critical" if "critical" in (supply.health, health(value)) else supply.health
        words = supply.words if health(value) == "ok" else (*supply.words, f"{name}: {value}")
        return replace(supply, health=worst, words=words)
    if name == "power (W)":
        return replace(supply, power_w=number(value))
    if name == "S/N":
        return replace(supply, serial=visible(value, 40))
    if name == "P/N":
        return replace(supply, model=visible(value, 40))
    raise Unreadable("not known of a power supply")


def health(text: str) -> str:
    if text == "OK":
        return "ok"
    if text == "ERROR":
        return "critical"
    raise Unreadable(f"neither OK nor ERROR: {visible(text, 40)!r}")


def of_switch(about: dict[str, str]) -> Iterator[Fact | Trouble]:
    told = {name: visible(about[name], 60) for name in OWN if about.get(name)}
    if len(told) < len(OWN):
        lacking = ", ".join(name for name in OWN if name not in told)
        yield Trouble(Kind.UNREADABLE, f"the switch does not say its {lacking}")
        return
    firmware = told["firmware version"]
    yield Chassis(
        "switch",
        model=told["part number"],
        serial=told["serial number"],
        firmware=firmware,
    )
    yield Version("firmware/switch", firmware)
    yield Version("board/switch", told["PSID"])


READS = {"ibswinfo": parse}

"""What the node's own BMC says through ipmitool: sensors, supplies, fans, power, its event log.

Every line tells by its shape which sub-command printed it, so a saved text needs no label.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from clusterctl.model import (
    Chassis,
    Fact,
    Fan,
    Kind,
    Power,
    Probe,
    Psu,
    Question,
    SelEvent,
    Sensor,
    Trouble,
)
from clusterctl.probes.board import Reading, facts
from clusterctl.probes.tool_calls import Call, calls
from clusterctl.spelling import Unreadable, number, visible

# ipmitool lib/helper.c, val2str of threshold states: sdr prints nc cr nr, sensor lnc ucr unr
STATES = {
    "ok": "ok", "ns": None, "na": None, "us": None,
    "nc": "warning", "lnc": "warning", "unc": "warning",
    "cr": "critical", "lcr": "critical", "ucr": "critical",
    "nr": "critical", "lnr": "critical", "unr": "critical",
}  # fmt: skip
VALUE = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?) ([A-Za-z%/]+(?: [CF])?)")
HEX = re.compile(r"0x[0-9a-fA-F]{2,4}")
NO_VALUE = frozenset({"no reading", "not readable", "disabled", "not present", ""})
RECORD = re.compile(r"[0-9a-f]{1,4}")
# As in 07/07/2015 | 14:39:23, 10/05/22 | 14:17:42 CEST, Pre-Init | 0000000123
WHEN = re.compile(r"(\d\d)/(\d\d)/(\d{4}|\d\d)")
CLOCK = re.compile(r"(\d\d):(\d\d):(\d\d)(?: [A-Z]{2,5})?")
BMC_TIME = re.compile(r"(\d\d)/(\d\d)/(\d{4}|\d\d) (\d\d:\d\d:\d\d)")
SENSOR_TYPES = (
    "Temperature", "Voltage", "Current", "Fan", "Physical Security", "Platform Security",
    "Processor", "Power Supply", "Power Unit", "Cooling Device", "Memory", "Drive Slot / Bay",
    "Drive Slot", "POST Memory Resize", "System Firmwares", "System Firmware Error",
    "Event Logging Disabled", "Watchdog1", "System Event", "Critical Interrupt", "Button",
    "Module / Board", "Microcontroller", "Add-in Card", "Chassis", "Chip Set", "Cable/Interconnect",
    "Cable / Interconnect", "Terminator", "System Boot Initiated", "System Boot/Restart Initiated",
    "Boot Error", "OS Boot", "OS Critical Stop", "OS Stop/Shutdown", "Slot / Connector",
    "Slot/Connector", "System ACPI Power State", "Watchdog2", "Watchdog 2", "Platform Alert",
    "Entity Presence", "Monitor ASIC", "LAN", "Management Subsystem Health", "Battery",
    "Session Audit", "Version Change", "FRU State", "Unknown", "OEM",
)  # fmt: skip
DCMI = re.compile(
    r"(?P<what>Instantaneous power reading|Minimum during sampling period|"
    r"Maximum during sampling period|Power reading state is):\s+(?P<value>.+)"
)
CHASSIS = re.compile(r"([A-Z][A-Za-z/ ]+?)\s*:\s*(.*)")
FAULT_LINES = ("Power Overload", "Main Power Fault", "Drive Fault", "Cooling/Fan Fault")
# Beside readings: what ipmitool says where there is nothing, and lines of no interest here.
QUIET = re.compile(
    r"SEL has no entries|S\+|IPMI timestamp:|Average power reading|Sampling period:|"
    r"Power Interlock|Power Control Fault|Power Restore Policy|Chassis Intrusion|Front-Panel|"
    r"Sleep Button|Diag Button|Reset Button|Power Button|.*Disabled\s*:|.*Disable Allowed\s*:"
)


# Boards without DCMI say so; a BMC whose clock was never set counts from its start: S+ 04:42:02
NO_DCMI = re.compile(
    r"ipmitool dcmi .*(Invalid command|DCMI request failed|not supported)", re.IGNORECASE
)


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    asked, troubles = calls(stdout)
    yield from (one for one in troubles if not NO_DCMI.match(one.detail))
    if asked and not any(call.framed for call in asked) and not asked[0].text.strip():
        yield Trouble(Kind.UNREADABLE, "ipmitool printed nothing")
    yield from read([line for call in asked for line in lines_of(call)])


def lines_of(call: Call) -> list[str]:
    """Of a sub-command that failed only rows: what else it says is told once, as its trouble."""
    cut = call.framed and not call.ending
    lines = call.text.split("\n")
    if cut or (not call.framed and lines and lines[-1]):
        lines = lines[:-1] + [f"\0cut {lines[-1]}"] * bool(lines[-1])
    whole = call.succeeded or cut
    return [line for line in lines if line.strip() and (whole or "|" in line)]


@dataclass(slots=True)
class Heard:
    """What the lines of one answer were found to be."""

    readings: list[Reading] = field(default_factory=list)
    events: list[SelEvent] = field(default_factory=list)
    power: dict[str, str] = field(default_factory=dict)
    chassis: dict[str, str] = field(default_factory=dict)
    now: datetime | None = None


def read(lines: Iterable[str]) -> Iterator[Fact | Trouble]:
    heard = Heard()
    for line in lines:
        cells = [cell.strip() for cell in line.split("|")]
        if line.startswith("\0cut "):
            yield Trouble(Kind.CUT, f"ends within a line: {visible(line[5:], 80)!r}")
            continue
        try:
            take(heard, line.strip(), cells)
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, str(error), visible(cells[0], 80) if cells[1:] else "")
    yield from facts(heard.readings)
    yield from drawn(heard.power)
    yield from whole(heard.chassis)
    for one in heard.events:
        yield aged(one, heard.now)


def take(heard: Heard, line: str, cells: list[str]) -> None:
    """Raises Unreadable."""
    if len(cells) in (3, 5) and cells[2] in STATES and cells[0]:
        heard.readings.append(reading(cells))
    elif len(cells) >= 5 and RECORD.fullmatch(cells[0]):
        heard.events.append(event(cells))
    elif found := DCMI.fullmatch(line):
        heard.power[found["what"]] = found["value"].strip()
    elif found := BMC_TIME.fullmatch(line):
        heard.now = moment(found[1], found[2], found[3], found[4])
    elif QUIET.match(line):
        return
    elif found := CHASSIS.fullmatch(line):
        heard.chassis[found[1]] = found[2]
    else:
        raise Unreadable(f"not a line of ipmitool: {visible(line, 120)!r}")


def reading(cells: list[str]) -> Reading:
    """`sdr`: name, value, state; `sdr elist`: name, number, state, entity, values.

    Raises Unreadable.
    """
    name, state, text = cells[0], cells[2], cells[1] if len(cells) == 3 else cells[4]
    value, unit, words = None, "", []
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        found = VALUE.fullmatch(piece)
        if found and value is None:
            value, unit = number(found[1]), found[2]
        elif piece.lower() not in NO_VALUE and not HEX.fullmatch(piece):
            words.append(visible(piece, 80))
    if not re.search(r"\w", name):
        raise Unreadable(f"a sensor without a name: {visible(' | '.join(cells), 80)!r}")
    return Reading(name, value, unit, STATES[state], tuple(words))


def event(cells: list[str]) -> SelEvent:
    """`sel elist`: record, date, time, type and sensor, event, Asserted, detail.

    Raises Unreadable.
    """
    day, clock = WHEN.fullmatch(cells[1]), CLOCK.fullmatch(cells[2])
    if day and clock:
        at: datetime | None = moment(day[1], day[2], day[3], clock[0][:8])
        told = cells[3:]
    elif cells[1].startswith("Pre-Init"):
        at, told = None, cells[3:] if re.fullmatch(r"\d+|unknown|", cells[2]) else cells[2:]
    else:
        raise Unreadable(f"not a moment: {visible(' '.join(cells[1:3]), 40)!r}")
    where = told[0] if told else ""
    kind = next((one for one in SENSOR_TYPES if where.startswith(f"{one} ")), "")
    return SelEvent(
        visible(where.removeprefix(kind).strip() or where or "bmc", 80),
        record=cells[0],
        event=visible(told[1], 120) if len(told) > 1 else "",
        asserted={"Asserted": True, "Deasserted": False}.get(told[2]) if len(told) > 2 else None,
        sensor_type=kind,
        detail=visible(" ".join(told[3:]), 120),
        at=at,
        source="ipmitool",
    )


def moment(month: str, day: str, year: str, clock: str) -> datetime:
    """Raises Unreadable."""
    hour, minute, second = (int(part) for part in clock.split(":"))
    full = int(year) if len(year) == 4 else 2000 + int(year)
    try:
        return datetime(full, int(month), int(day), hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise Unreadable(f"not a moment: {month}/{day}/{year} {clock} ({error})") from None


def aged(one: SelEvent, now: datetime | None) -> SelEvent:
    if one.at is None or now is None or now < one.at:
        return one
    return replace(one, seconds_ago=(now - one.at).total_seconds())


def drawn(power: dict[str, str]) -> Iterator[Power | Trouble]:
    """`dcmi power reading`.  A reading that is not activated, or 0 W, is no reading."""
    if not power:
        return
    state = power.get("Power reading state is", "")
    try:
        now, least, most = (
            watts(power.get(key, ""))
            for key in (
                "Instantaneous power reading",
                "Minimum during sampling period",
                "Maximum during sampling period",
            )
        )
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, str(error), "dcmi")
        return
    if state == "activated" and now:
        yield Power("node", "ipmitool dcmi", now, least_w=least, most_w=most, whole=True)
    elif state not in ("activated", "deactivated", "not active"):
        yield Trouble(Kind.CUT, f"the power reading has no state: {visible(state, 40)!r}", "dcmi")


def watts(text: str) -> float | None:
    found = re.fullmatch(r"([0-9]{1,6}) Watts", text)
    if text and not found:
        raise Unreadable(f"not watts: {visible(text, 40)!r}")
    return float(found[1]) if found else None


def whole(said: dict[str, str]) -> Iterator[Chassis | Trouble]:
    """`chassis status` and `mc watchdog get`."""
    if not said:
        return
    known = {"System Power", *FAULT_LINES, "Last Power Event"}
    if not known & said.keys():
        yield Trouble(Kind.UNREADABLE, f"not a line of ipmitool: {visible(next(iter(said)), 80)!r}")
        return
    power = said.get("System Power")
    if power is not None and power not in ("on", "off"):
        yield Trouble(Kind.UNREADABLE, f"not on or off: {visible(power, 40)!r}", "bmc")
        power = None
    yield Chassis(
        "bmc",
        power=power,
        faults=tuple(name.lower() for name in FAULT_LINES if said.get(name) == "true"),
        last_power_event=visible(said.get("Last Power Event", ""), 80),
    )


PROBES = (
    Probe(
        Question("ipmitool", script="ask_ipmitool", modules=("tool_calls",), timeout_s=60.0),
        parse,
        yields=(Sensor, Psu, Fan, SelEvent, Chassis, Power),
        about="The node's own BMC: sensors, supplies, fans, power now, its event log (ipmitool)",
        subject="board",
        rank=1,
    ),
)

"""What a BMC says over Redfish: the resources of DMTF DSP0266 and DSP0268, old and new layouts.

The answer is {"redfish": 1, "resources": {path: resource}, "failed": {path: {kind, detail}}}, put
together where the BMC is asked, which is not on the node.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

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
from clusterctl.probes.board import COOLANT, INLET, RETURN, worst
from clusterctl.spelling import visible

HEALTH = {"OK": "ok", "Warning": "warning", "Critical": "critical"}
UNITS = {"Cel": "c", "W": "w", "V": "v", "A": "a", "%": "percent", "L/min": "lpm"}
KINDS = {"c": "temperature", "w": "power", "v": "voltage", "a": "current", "lpm": "flow"}
ABSENT = frozenset({"Absent"})
Resource = Mapping[str, Any]
MOST = 1e9  # of anything that a board measures; not a number is not below it either


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    try:
        said = json.loads(stdout)
    except (ValueError, RecursionError) as error:
        yield Trouble(Kind.UNREADABLE, f"not JSON: {visible(str(error), 80)}")
        return
    if not isinstance(said, Mapping) or said.get("redfish") != 1:
        yield Trouble(Kind.UNREADABLE, f"not an answer of ours: {visible(stdout, 80)!r}")
        return
    yield from failed(said.get("failed"))
    resources = said.get("resources")
    read = {
        str(path): one
        for path, one in (resources.items() if isinstance(resources, Mapping) else ())
        if isinstance(one, Mapping)
    }
    if not read and not said.get("failed") and "none" not in said:
        yield Trouble(Kind.UNREADABLE, "the BMC showed no resource")
    yield from understood(read)


def failed(said: object) -> Iterator[Trouble]:
    for path, why in said.items() if isinstance(said, Mapping) else ():
        kind, detail = text(why, "kind"), text(why, "detail")
        known = Kind(kind) if kind in set(Kind) else Kind.EXIT
        shown = visible(f"{path}: {detail or 'no reason given'}", 300)
        yield Trouble(known, shown, "" if path == "/redfish/v1/" else visible(str(path), 80))


def understood(read: Mapping[str, Resource]) -> Iterator[Fact | Trouble]:
    now = next(
        (at for one in of_type(read, "Manager") if (at := moment(one.get("DateTime")))), None
    )
    systems = list(of_type(read, "ComputerSystem"))
    if systems:
        yield machine(systems[0], next(of_type(read, "Manager"), {}))
    for one in of_type(read, "Thermal"):
        yield from (temperature(each) for each in rows(one, "Temperatures") if there(each))
        yield from (fan(each) for each in rows(one, "Fans"))
    for one in of_type(read, "Fan"):
        yield fan(one)
    for one in of_type(read, "Sensor"):
        if there(one):
            yield sensor(one)
    supplies = [each for one in of_type(read, "Power") for each in rows(one, "PowerSupplies")]
    supplies += of_type(read, "PowerSupply")
    for place, one in enumerate(supplies, 1):
        yield supply(one, place)
    for one in of_type(read, "Power"):
        yield from (redundancy(each) for each in rows(one, "Redundancy") if there(each))
    yield from drawn(read)
    for one in of_type(read, "LogEntryCollection"):
        yield from (entry(each, now) for each in rows(one, "Members"))


def of_type(read: Mapping[str, Resource], name: str) -> Iterator[Resource]:
    """Resources by "@odata.type": "#Thermal.v1_7_0.Thermal", without regard to the version."""
    for one in read.values():
        found = re.fullmatch(r"#(\w+)\.(?:v\w+\.)?(\w+)", text(one, "@odata.type"))
        if found and found[2] == name:
            yield one


def rows(one: Resource, name: str) -> list[Resource]:
    told = one.get(name)
    return [each for each in told if isinstance(each, Mapping)] if isinstance(told, list) else []


def text(one: object, *names: str) -> str:
    for name in names:
        one = one.get(name) if isinstance(one, Mapping) else None
    return visible(one.strip(), 160) if isinstance(one, str) else ""


def amount(one: object, *names: str) -> float | None:
    """A number.  Infinity and NaN, which Python's JSON takes, are no readings."""
    for name in names:
        one = one.get(name) if isinstance(one, Mapping) else None
    if isinstance(one, bool) or not isinstance(one, (int, float)) or not abs(one) <= MOST:
        return None
    return float(one)


def moment(told: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(told) if isinstance(told, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None


def there(one: Resource) -> bool:
    return text(one, "Status", "State") not in {"Absent", "Disabled", "UnavailableOffline"}


def health(one: Resource) -> str | None:
    return HEALTH.get(text(one, "Status", "Health"))


def name_of(one: Resource, *more: str) -> str:
    names = (*more, "Name", "DeviceName", "MemberId", "Id")
    return next((found for name in names if (found := text(one, name))), "nameless")


def machine(system: Resource, manager: Resource) -> Chassis:
    rollup = HEALTH.get(text(system, "Status", "HealthRollup"))
    progress = text(system, "BootProgress", "LastState")
    return Chassis(
        "bmc",
        power=text(system, "PowerState").lower() or None,
        health=worst((health(system), rollup)),
        boot=progress.lower() or None,
        watchdog=text(system, "HostWatchdogTimer", "Status", "State").lower() or None,
        model=" ".join(filter(None, (text(system, "Manufacturer"), text(system, "Model")))),
        serial=text(system, "SerialNumber"),
        firmware=text(manager, "FirmwareVersion"),
    )


def temperature(one: Resource) -> Sensor:
    name, context = name_of(one), text(one, "PhysicalContext")
    return Sensor(
        name,
        place_of(name, context),
        measured=amount(one, "ReadingCelsius"),
        unit="c",
        health=health(one),
        low_critical=amount(one, "LowerThresholdCritical"),
        high_warning=amount(one, "UpperThresholdNonCritical"),
        high_critical=amount(one, "UpperThresholdCritical"),
    )


def place_of(name: str, context: str) -> str:
    """By DSP0268's PhysicalContext where it is told, else by the name."""
    if context in ("LiquidInlet", "LiquidOutlet"):
        return "coolant_in" if context == "LiquidInlet" else "coolant_out"
    if COOLANT.search(name):
        return "coolant_out" if RETURN.search(name) else "coolant_in"
    if context in ("Intake", "Room") or INLET.search(name):
        return "inlet"
    return "temperature"


def sensor(one: Resource) -> Sensor:
    name, unit = name_of(one), UNITS.get(text(one, "ReadingUnits"), "")
    kind = KINDS.get(unit, "other")
    if unit == "c":
        kind = place_of(name, text(one, "PhysicalContext"))
    return Sensor(
        name,
        kind,
        measured=amount(one, "Reading"),
        unit=unit,
        health=health(one),
        low_critical=amount(one, "Thresholds", "LowerCritical", "Reading"),
        high_warning=amount(one, "Thresholds", "UpperCaution", "Reading"),
        high_critical=amount(one, "Thresholds", "UpperCritical", "Reading"),
    )


def fan(one: Resource) -> Fan:
    """Old: Reading with ReadingUnits; new: SpeedPercent with SpeedRPM in it."""
    turns = text(one, "ReadingUnits") == "RPM"
    reading = amount(one, "Reading")
    share = amount(one, "SpeedPercent", "Reading")
    return Fan(
        name_of(one, "FanName"),
        rpm=amount(one, "SpeedPercent", "SpeedRPM") if not turns else reading,
        percent=share if share is not None else None if turns else reading,
        health=health(one),
        words=tuple(filter(None, [text(one, "Status", "State")])),
        present=False if text(one, "Status", "State") in ABSENT else None,
        low_critical_rpm=amount(one, "LowerThresholdCritical") if turns else None,
    )


def supply(one: Resource, place: int) -> Psu:
    state = text(one, "Status", "State")
    number = re.search(r"(\d{1,2})\D*$", name_of(one))
    return Psu(
        f"psu{int(number[1]) if number else place}",
        present=False if state in ABSENT else True if state else None,
        health=health(one) if state not in ABSENT else None,
        words=tuple(filter(None, [state, text(one, "LineInputStatus")])),
        input_w=amount(one, "PowerInputWatts"),
        output_w=amount(one, "PowerOutputWatts"),
        power_w=amount(one, "LastPowerOutputWatts"),
        capacity_w=amount(one, "PowerCapacityWatts"),
        input_v=amount(one, "LineInputVoltage"),
        model=text(one, "Model"),
        serial=text(one, "SerialNumber"),
        firmware=text(one, "FirmwareVersion"),
    )


def redundancy(one: Resource) -> Sensor:
    mode = text(one, "Mode")
    words = tuple(filter(None, [mode, text(one, "Status", "State")]))
    return Sensor(name_of(one), "redundancy", health=health(one), words=words)


def drawn(read: Mapping[str, Resource]) -> Iterator[Power]:
    """The machine's own meter; where several chassis have one, the one that sees most."""
    seen = [
        (amount(control, "PowerConsumedWatts"), control)
        for one in of_type(read, "Power")
        for control in rows(one, "PowerControl")
    ]
    seen += [
        (amount(one, "PowerWatts", "Reading"), {}) for one in of_type(read, "EnvironmentMetrics")
    ]
    known = [(watts, control) for watts, control in seen if watts]
    if known:
        watts, control = max(known, key=lambda each: each[0])
        yield Power(
            "node",
            "Redfish",
            watts,
            least_w=amount(control, "PowerMetrics", "MinConsumedWatts"),
            most_w=amount(control, "PowerMetrics", "MaxConsumedWatts"),
            whole=True,
        )


def entry(one: Resource, now: datetime | None) -> SelEvent:
    at = moment(one.get("EventTimestamp")) or moment(one.get("Created"))
    age = (now - at).total_seconds() if now and at and now >= at else None
    code = text(one, "EntryCode").lower()
    asserted = {"assert": True, "deassert": False}.get(code)
    return SelEvent(
        text(one, "SensorType") or name_of(one, "OriginOfCondition"),
        record=text(one, "Id"),
        event=text(one, "Message") or text(one, "MessageId"),
        asserted=asserted,
        sensor_type=text(one, "SensorType"),
        severity=HEALTH.get(text(one, "Severity"), ""),
        at=at,
        seconds_ago=age,
        source="Redfish",
    )


# The BMC is asked by the controller itself: this question never travels to a node.
BY_NAME = (
    Probe(
        Question("redfish", timeout_s=60.0),
        parse,
        yields=(Sensor, Psu, Fan, SelEvent, Chassis, Power),
        about="A node's BMC over Redfish, for nodes with bmc and bmc_user in the inventory",
        subject="board",
        proven="documentation",
    ),
)

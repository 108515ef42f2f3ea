"""From a board's sensors, however a tool prints them, to supplies, fans and the rest.

What a name means is told by its unit first and its words second: makers agree on units only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from clusterctl.model import Fact, Fan, Psu, Sensor
from clusterctl.spelling import visible

UNITS = {
    "degrees c": "c", "c": "c", "rpm": "rpm", "watts": "w", "w": "w", "volts": "v", "v": "v",
    "amps": "a", "a": "a", "percent": "percent", "%": "percent", "feet": "feet", "cfm": "cfm",
    "lpm": "lpm", "l/min": "lpm",
}  # fmt: skip
KINDS = {"c": "temperature", "w": "power", "v": "voltage", "a": "current", "lpm": "flow"}
# "Power Supply 1", "PSU01_PIN", "PWR_PSU0", "PS1 Status", "STATUS_PSU1", "PS 2 Therm Fault"
SUPPLY = re.compile(
    r"(?:^|[ _])(?:power[ _]supply|psu|ps|pwr[ _]supply)[ _#-]*0*(\d{1,2})", re.IGNORECASE
)
INLET = re.compile(r"inlet|intake|ambient|front[ _]?(?:panel[ _])?temp|air[ _]in", re.IGNORECASE)
COOLANT = re.compile(r"coolant|liquid|water|\blcs\b|cdu|cold ?plate|manifold", re.IGNORECASE)
RETURN = re.compile(r"out|return|ret\b", re.IGNORECASE)
FAN = re.compile(r"fan", re.IGNORECASE)
HUMID = re.compile(r"humid", re.IGNORECASE)
REDUNDANCY = re.compile(r"redundan", re.IGNORECASE)
# IPMI 2.0 specification, table 42-3, sensor type 08h; the last are of ipmitool and FreeIPMI.
SUPPLY_FAULTS = {
    "failure detected": "critical",
    "power supply failure detected": "critical",
    "power supply ac lost": "critical",
    "power supply input lost (ac/dc)": "critical",
    "power supply input lost or out-of-range": "critical",
    "power supply input out-of-range, but present": "warning",
    "ac lost or out-of-range": "critical",
    "ac out-of-range, but present": "warning",
    "predictive failure": "warning",
    "config error": "critical",
    "configuration error": "critical",
    "power supply inactive": "warning",
}
PRESENT = "presence detected"
# IPMI 2.0 specification, table 42-2, generic types 0Bh (redundancy) and 07h (severity); FreeIPMI
# spells them so, ipmitool nearly so.
STATE_WORDS = (
    (re.compile(r"redundancy lost|insufficient resources", re.IGNORECASE), "critical"),
    (re.compile(r"redundancy degraded|non-redundant|degraded from", re.IGNORECASE), "warning"),
    (re.compile(r"transition to (critical|non-recoverable)", re.IGNORECASE), "critical"),
    (re.compile(r"transition to non-critical|predictive failure", re.IGNORECASE), "warning"),
    (re.compile(r"failure detected|drive fault|thermal trip|\bierr\b", re.IGNORECASE), "critical"),
    (re.compile(r"^fully redundant$", re.IGNORECASE), "ok"),
)
GRAVITY = ("ok", "warning", "critical")


@dataclass(frozen=True, slots=True)
class Reading:
    """One line of a tool.  `words`: states that are asserted; `health`: the tool's own verdict."""

    name: str
    value: float | None = None
    unit: str = ""  # as the tool spells it
    health: str | None = None
    words: tuple[str, ...] = ()


def facts(readings: Iterable[Reading]) -> Iterator[Fact]:
    """Every sensor once; what several sensors tell of one supply is one Psu."""
    supplies: dict[str, Psu] = {}
    for given in readings:
        reading = replace(given, name=visible(given.name, 80))
        unit = UNITS.get(reading.unit.lower(), "")
        number = SUPPLY.search(reading.name)
        if number and not REDUNDANCY.search(reading.name):
            part = f"psu{int(number[1])}"
            supplies[part] = told(supplies.get(part, Psu(part)), reading, unit)
        elif unit == "rpm" or (unit == "percent" and FAN.search(reading.name)):
            yield fan(reading, unit)
        else:
            yield sensor(reading, unit)
    yield from supplies.values()


def fan(reading: Reading, unit: str) -> Fan:
    return Fan(
        reading.name,
        rpm=reading.value if unit == "rpm" else None,
        percent=reading.value if unit == "percent" else None,
        health=reading.health,
        words=reading.words,
    )


def sensor(reading: Reading, unit: str) -> Sensor:
    """Of a sensor without a number "ok" says only that it can be read: its words judge."""
    said = [grave for form, grave in STATE_WORDS for word in reading.words if form.search(word)]
    measured = reading.value is not None
    return Sensor(
        reading.name,
        kind_of(reading.name, unit, reading),
        measured=reading.value,
        unit=unit,
        health=worst((reading.health if measured or reading.health != "ok" else None, *said)),
        words=reading.words,
    )


def kind_of(name: str, unit: str, reading: Reading) -> str:
    if REDUNDANCY.search(name) or any(REDUNDANCY.search(word) for word in reading.words):
        return "redundancy"
    if unit == "c" and COOLANT.search(name):
        return "coolant_out" if RETURN.search(name) else "coolant_in"
    if unit == "c" and INLET.search(name):
        return "inlet"
    if unit == "percent" and HUMID.search(name):
        return "humidity"
    return KINDS.get(unit, "other" if reading.value is not None else "discrete")


def told(psu: Psu, reading: Reading, unit: str) -> Psu:
    """What one more sensor says of the supply; the worst word on its health stands."""
    low = [word.lower() for word in reading.words]
    faults = [SUPPLY_FAULTS[word] for word in low if word in SUPPLY_FAULTS]
    healths = [psu.health, *faults]
    if unit or PRESENT in low:
        # Of a discrete sensor "ok" says only that it can be read.
        healths.append(reading.health)
    present = True if PRESENT in low else False if "absent" in low else psu.present
    values: dict[str, float | None] = {}
    if unit == "w":
        name = re.sub(r"[ _]+", "", reading.name.lower())
        side = next((f"{way}_w" for way in ("input", "output") if way in name), "")
        side = side or ("input_w" if name.endswith(("pin", "powerin")) else "")
        side = side or ("output_w" if name.endswith("pout") else "power_w")
        values[side] = reading.value
    elif unit == "v" and re.search(r"in|ac|vin", reading.name, re.IGNORECASE):
        values["input_v"] = reading.value
    elif unit == "c":
        values["temp_c"] = reading.value
    return Psu(
        psu.part,
        present=present,
        health=worst(healths),
        words=tuple(dict.fromkeys((*psu.words, *reading.words))),
        input_w=values.get("input_w", psu.input_w),
        output_w=values.get("output_w", psu.output_w),
        power_w=values.get("power_w", psu.power_w),
        input_v=values.get("input_v", psu.input_v),
        temp_c=values.get("temp_c", psu.temp_c),
    )


def worst(healths: Iterable[str | None]) -> str | None:
    known = [health for health in healths if health in GRAVITY]
    return max(known, key=GRAVITY.index, default=None)

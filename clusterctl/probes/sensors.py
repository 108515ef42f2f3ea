"""`sensors -j` and `sensors -u` of lm-sensors, as saved texts.

`-j` is no JSON where a sensor cannot be read: an ERROR line stands in the middle of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from clusterctl.model import Fact, Fan, Kind, Sensor, Trouble
from clusterctl.spelling import Unreadable, number, visible

BUSES = "isa|acpi|pci|i2c|virtual|spi|mdio|hid|scsi"
CHIP = re.compile(rf'\s*"?([\w.+-]+-(?:{BUSES})-[\w-]+)"?(?::\{{)?')
FEATURE = re.compile(r'\s*"?([^":{}]+?)"?:\s*\{?')
VALUE = re.compile(r'\s*"?(temp|fan|in|curr|power|humidity)(\d+)_(\w+)"?:\s*(\S+?),?')
ERROR = re.compile(r"ERROR: Can't get value of subfeature (\w+):?\s*(.*)")
KINDS = {"temp": ("temperature", "c"), "in": ("voltage", "v"), "curr": ("current", "a"),
         "power": ("power", "w"), "humidity": ("humidity", "percent")}  # fmt: skip
# -273.15 and 65261.85 are 0 and 0xFFFF Kelvin of the NVMe specification: no limit is set
COLDEST_C, HOTTEST_C = -273.0, 1000.0


@dataclass(slots=True)
class Found:
    name: str
    kind: str = ""
    values: dict[str, float] = field(default_factory=dict)


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    chip, seen, any_line = "", Found(""), False
    whole, _, rest = stdout.rpartition("\n")
    lines = whole.split("\n") + ([rest] if rest.strip() in {"}", "]"} else [])
    for line in lines:
        try:
            if found := ERROR.search(line):
                part = f"{chip}/{seen.name}"
                yield Trouble(Kind.EXIT, visible(line.strip(), 120), visible(part, 80))
            elif found := CHIP.fullmatch(line):
                yield from sensor(chip, seen)
                chip, seen, any_line = found[1], Found(""), True
            elif found := VALUE.fullmatch(line):
                take(seen, found)
            elif re.fullmatch(r"[\s{}\[\],]*", line) or "Adapter" in line:
                continue
            elif chip and (found := FEATURE.fullmatch(line)):
                yield from sensor(chip, seen)
                seen = Found(found[1].strip())
            else:
                yield Trouble(Kind.UNREADABLE, f"not a line of sensors: {visible(line, 120)!r}")
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, str(error), visible(f"{chip}/{seen.name}", 80))
    yield from sensor(chip, seen)
    if rest.strip() and rest.strip() not in {"}", "]"}:
        yield Trouble(Kind.CUT, f"ends within a line: {visible(rest, 80)!r}")
    elif not any_line:
        yield Trouble(Kind.UNREADABLE, "no chip in the text")


def take(seen: Found, found: re.Match[str]) -> None:
    """Raises Unreadable."""
    value = number(found[4])
    if value is not None:
        seen.kind = found[1]
        seen.values[found[3]] = value


def sensor(chip: str, seen: Found) -> Iterator[Fact]:
    """One feature with its own limits and alarms."""
    values, part = seen.values, visible(f"{chip}/{seen.name}", 80)
    now = values.get("input", values.get("average"))
    if not seen.kind or now is None:
        return
    alarmed = [name for name, value in values.items() if name.endswith("alarm") and value]
    health = "critical" if "crit_alarm" in alarmed else "warning" if alarmed else None
    if health is None and any(name.endswith("alarm") for name in values):
        health = "ok"
    if seen.kind == "fan":
        yield Fan(part, rpm=now, health=health, low_critical_rpm=values.get("min"))
        return
    kind, unit = KINDS[seen.kind]
    if kind == "temperature" and not COLDEST_C < now < HOTTEST_C:
        return
    limits = [values.get(name) for name in ("min", "max", "crit")]
    low, high, critical = (
        one if one is not None and COLDEST_C < one < HOTTEST_C else None for one in limits
    )
    yield Sensor(
        part,
        kind,
        measured=now,
        unit=unit,
        health=health,
        low_critical=low,
        high_warning=high,
        high_critical=critical,
    )


READS = {"sensors": parse}

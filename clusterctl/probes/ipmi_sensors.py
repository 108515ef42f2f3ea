"""`ipmi-sensors --comma-separated-output` of FreeIPMI, as a saved text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.model import Fact, Kind, Trouble
from clusterctl.probes.board import Reading, facts
from clusterctl.spelling import Unreadable, number, visible

# 70,PWR_PSU0,Power Supply,0.00,W,'At or Below (<=) Lower Critical Threshold'
ROW = re.compile(r"(\d+),([^,]+),([^,]+),(?:([^,]*),)?([^,]*),([^,]*),((?:'[^']*' ?)+|N/A)")
HEADER = re.compile(r"ID,Name,Type")
EVENT = re.compile(r"'([^']*)'")
STATES = {"nominal": "ok", "warning": "warning", "critical": "critical"}


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    readings = []
    whole, _, rest = stdout.rpartition("\n")
    for line in filter(str.strip, whole.split("\n")):
        if HEADER.match(line):
            continue
        try:
            readings.append(reading(line.strip()))
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, str(error))
    if rest.strip():
        yield Trouble(Kind.CUT, f"ends within a line: {visible(rest, 80)!r}")
    if not readings and not rest.strip():
        yield Trouble(Kind.UNREADABLE, "not a sensor in the text")
    yield from facts(readings)


def reading(line: str) -> Reading:
    """Raises Unreadable."""
    found = ROW.fullmatch(line)
    if not found:
        raise Unreadable(f"not a row of ipmi-sensors: {visible(line, 120)!r}")
    _, name, _, state, value, unit, events = found.groups()
    words = [word for word in EVENT.findall(events) if word]
    low = [word.lower() for word in words]
    health = STATES.get((state or "").lower())
    measured = number(value)
    if health is None and low == ["ok"] and measured is not None:
        health = "ok"
    if any("critical threshold" in word and "non-critical" not in word for word in low):
        health = "critical"
    elif any("non-critical threshold" in word for word in low):
        health = "warning"
    elif any("non-recoverable threshold" in word for word in low):
        health = "critical"
    told = tuple(visible(word, 80) for word in words if word.lower() != "ok")
    return Reading(name, measured, unit, health, told)


READS = {"ipmi_sensors": parse}

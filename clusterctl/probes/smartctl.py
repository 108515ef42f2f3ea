"""What smartctl and nvme-cli print for people, as saved texts; the `drives` probe asks for JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from clusterctl.model import Drive, Fact, Kind, Trouble
from clusterctl.probes import drives
from clusterctl.spelling import Unreadable, count, visible

LINE = re.compile(r"([A-Za-z][^:]*?)\s*:\s+(.*?)\s*")
ATTRIBUTE = re.compile(r"\s*(\d+) (\S+)\s+\S+\s+(\d+)\s+(\d+)\s+(?:\d+|---)\s+(\S+)\s+(\d+)\b.*")
NAMES = {
    "model": ("Device Model", "Model Number", "Product"),
    "serial": ("Serial Number", "Serial number"),
    "firmware": ("Firmware Version", "Revision"),
}
SIZES = ("User Capacity", "Total NVM Capacity", "Namespace 1 Size/Capacity")
PASSED = "SMART overall-health self-assessment test result"
SAS_HEALTH = "SMART Health Status"
OFFLINE_UNCORRECTABLE, CELSIUS = 198, 194
PART = "drive"  # the text does not say which


def smartctl(stdout: str) -> Iterator[Fact | Trouble]:
    if stdout.lstrip().startswith("{"):
        yield from of_json(stdout, "smartctl")
        return
    whole, _, rest = stdout.rpartition("\n")
    said: dict[str, str] = {}
    attributes: dict[int, str] = {}
    for line in whole.split("\n"):
        if found := ATTRIBUTE.fullmatch(line):
            attributes[int(found[1])] = found[6]
        elif found := LINE.fullmatch(line):
            said.setdefault(found[1], found[2])
    try:
        yield from described(said, attributes)
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, str(error), PART)
    if rest.strip():
        yield Trouble(Kind.CUT, f"ends within a line: {visible(rest, 80)!r}")


def described(said: Mapping[str, str], attributes: Mapping[int, str]) -> Iterator[Fact | Trouble]:
    """Raises Unreadable."""
    named = {
        field: visible(next((said[key] for key in keys if key in said), ""), 120)
        for field, keys in NAMES.items()
    }
    if not named["model"]:
        raise Unreadable("no drive in the text")
    verdict = said.get(PASSED) or said.get(SAS_HEALTH)
    if verdict is None:
        yield Trouble(Kind.UNREADABLE, "the drive's own verdict is not in the text", PART)
    size = next((said[key] for key in SIZES if key in said), "")
    warning = said.get("Critical Warning")
    yield Drive(
        PART,
        **named,
        size_bytes=size_of(size),
        smart_passed=None if verdict is None else verdict in {"PASSED", "OK"},
        critical_warning=None if warning is None else hexadecimal(warning),
        spare_percent=leading(said.get("Available Spare"), "%"),
        spare_threshold_percent=leading(said.get("Available Spare Threshold"), "%"),
        used_percent=leading(said.get("Percentage Used"), "%"),
        media_errors=grouped(said.get("Media and Data Integrity Errors"))
        if "Media and Data Integrity Errors" in said
        else grouped(attributes.get(OFFLINE_UNCORRECTABLE)),
        temp_c=leading(said.get("Temperature") or said.get("Current Drive Temperature"), " C")
        if "Temperature" in said or "Current Drive Temperature" in said
        else leading(attributes.get(CELSIUS), ""),
    )


def size_of(text: str) -> int | None:
    """500,107,862,016 bytes [500 GB]; 1 000 204 886 016 [1,00 TB] in other locales."""
    found = re.match(r"([0-9][0-9,. \u00a0\u202f]*)(?: bytes)? *\[", text)
    return count(re.sub(r"\D", "", found[1])) if found else None


def hexadecimal(text: str) -> int:
    if not re.fullmatch(r"0x[0-9a-fA-F]{2}", text):
        raise Unreadable(f"not a bit mask: {visible(text, 40)!r}")
    return int(text, 16)


def leading(text: str | None, unit: str) -> float | None:
    """Raises Unreadable where another unit follows."""
    if text is None:
        return None
    found = re.match(rf"([0-9]{{1,3}}){re.escape(unit)}", text)
    if not found:
        raise Unreadable(f"not a number of {unit.strip() or 'degrees'}: {visible(text, 40)!r}")
    return float(found[1])


def grouped(text: str | None) -> int | None:
    """119,699 or 119 699 or 119699."""
    return None if text is None else count(re.sub(r"(?<=\d)[,. \u00a0\u202f](?=\d{3})", "", text))


def of_json(text: str, tool: str) -> Iterator[Fact | Trouble]:
    try:
        yield Drive(PART, **drives.HEALTH[tool]("0", text))  # type: ignore[arg-type]
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, f"{tool}: {error}", PART)
    except drives.Refused as error:
        yield Trouble(error.kind, f"{tool}: {error}", PART)


def nvme(stdout: str) -> Iterator[Fact | Trouble]:
    """`nvme list -o json`, `nvme smart-log -o json`, `nvme id-ctrl`."""
    if not stdout.lstrip().startswith("{"):
        yield from id_ctrl(stdout)
    elif '"Devices"' in stdout:
        yield from listed(stdout)
    else:
        yield from of_json(stdout, "nvme")


def listed(text: str) -> Iterator[Fact | Trouble]:
    """nvme-cli 1.x and 2.0 list drives, 2.11 the subsystems with their controllers."""
    try:
        log = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield Trouble(Kind.UNREADABLE, f"not JSON: {visible(str(error), 80)}")
        return
    for device in items(log, "Devices"):
        if isinstance(device, Mapping) and "DevicePath" in device:
            yield Drive(
                visible(str(device["DevicePath"]).rpartition("/")[2], 40),
                model=word(device, "ModelNumber"),
                serial=word(device, "SerialNumber"),
                firmware=word(device, "Firmware"),
                size_bytes=bytes_of(device),
            )
        for subsystem in items(device, "Subsystems"):
            for controller in items(subsystem, "Controllers"):
                spaces = items(controller, "Namespaces") + items(subsystem, "Namespaces")
                sizes = [size for space in spaces if (size := bytes_of(space)) is not None]
                yield Drive(
                    word(controller, "Controller") or PART,
                    model=word(controller, "ModelNumber"),
                    serial=word(controller, "SerialNumber"),
                    firmware=word(controller, "Firmware"),
                    size_bytes=sum(sizes) if sizes else None,
                )


def items(log: object, name: str) -> list[Any]:
    found = drives.inside(log, name)
    return found if isinstance(found, list) else []


def word(log: object, name: str) -> str:
    return visible(str(drives.inside(log, name) or "").strip(), 120)


def bytes_of(log: object) -> int | None:
    size = drives.inside(log, "PhysicalSize")
    return size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None


def id_ctrl(stdout: str) -> Iterator[Fact | Trouble]:
    """`sn      : D704940282?`; lines that are none of its own are left out."""
    whole, _, rest = stdout.rpartition("\n")
    said = {
        found[1]: found[2]
        for line in whole.split("\n")
        if (found := re.fullmatch(r"(\w+)\s+: ?(.*?)\s*", line))
    }
    if not {"sn", "mn", "fr"} <= said.keys():
        yield Trouble(Kind.UNREADABLE, f"no drive in the text: {visible(stdout[:80], 80)!r}")
    else:
        yield Drive(
            PART,
            model=visible(said["mn"], 120),
            serial=visible(said["sn"], 120),
            firmware=visible(said["fr"], 120),
        )
    if rest.strip():
        yield Trouble(Kind.CUT, f"ends within a line: {visible(rest, 80)!r}")


READS = {"smartctl": smartctl, "nvme": nvme}

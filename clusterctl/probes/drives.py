"""Drives: what they are, whether their controller lives, and their own word on their health.

Without nvme-cli or smartctl on the node, the health fields are None: not asked, so neither good nor
bad.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from clusterctl.model import Drive, Fact, Kind, Probe, Question, Trouble
from clusterctl.spelling import Unreadable, count, number, visible, whole
from clusterctl.sysfs import rows

ZERO_K = 273  # nvme-cli's JSON has whole Kelvin
# smartctl(8), EXIT STATUS: these two mean that it saw nothing; the others are findings
USAGE, NOT_OPENED = 1, 2
OFFLINE_UNCORRECTABLE = 198  # ATA attribute: sectors that could not be read


@dataclass(slots=True)
class Found:
    attrs: dict[str, list[str]] = field(default_factory=dict)
    health: dict[str, object] = field(default_factory=dict)


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    drives: dict[str, Found] = {}
    for row in rows(stdout):
        trouble = row if isinstance(row, Trouble) else take(row, drives)
        if trouble:
            yield trouble
    for drive, found in drives.items():
        try:
            yield described(drive, found)
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, str(error), visible(drive, 40))


def take(row: tuple[str, ...], drives: dict[str, Found]) -> Trouble | None:
    """Files one row, or says what is wrong with it or with what it tells of."""
    match row:
        case ("attr", drive, name, text) if drive:
            drives.setdefault(drive, Found()).attrs.setdefault(name, []).append(text)
        case ("health", drive, "nvme" | "smartctl" as tool, code, text) if drive:
            found = drives.setdefault(drive, Found())
            try:
                found.health = HEALTH[tool](code, text)
            except Unreadable as error:
                return Trouble(Kind.UNREADABLE, f"{tool}: {error}", visible(drive, 40))
            except Refused as error:
                return Trouble(error.kind, f"{tool}: {error}", visible(drive, 40))
        case ("failed", drive, why):
            return Trouble(Kind.EXIT, visible(why), visible(drive, 40))
        case ("silent", drive, why):
            return Trouble(Kind.TIMEOUT, visible(why), visible(drive, 40))
        case _:
            return Trouble(Kind.UNREADABLE, f"not a row: {visible(chr(9).join(row))}")
    return None


class Refused(Exception):
    """The tool ran and did not tell us the drive's health."""

    def __init__(self, said: str) -> None:
        super().__init__(visible(said, 200))
        denied = re.search("permission denied|not permitted|root", said, re.IGNORECASE)
        self.kind = Kind.DENIED if denied else Kind.EXIT


def described(drive: str, found: Found) -> Drive:
    """What sysfs says, and smartctl where sysfs has nothing or cuts it.  Raises Unreadable."""
    attrs = {name: visible(values[0].strip(), 120) for name, values in found.attrs.items()}
    # sysfs counts sectors of 512 bytes whatever the drive's own sector is
    sizes = [count(text) * 512 for text in found.attrs.get("size", ())]
    fields: dict[str, Any] = {
        "model": attrs.get("model", ""),
        "serial": attrs.get("serial", ""),
        "firmware": attrs.get("firmware_rev") or attrs.get("rev", ""),
        "size_bytes": sum(sizes) if sizes else None,
        "state": attrs.get("state") or None,
    }
    return Drive(visible(drive, 40), **(fields | found.health))


def nvme(code: str, text: str) -> dict[str, object]:
    """`nvme smart-log -o json`: 1.x prints numbers; 2.x strings, floats, an object with bits."""
    if code != "0":
        raise Refused(f"exit {code}: {text}")
    log = loaded(text)
    warning = log.get("critical_warning")
    if isinstance(warning, Mapping):
        warning = warning.get("value")
    kelvin = value(log, "temperature")
    if kelvin and not 200 < kelvin < 500:
        raise Unreadable(f"not a temperature in Kelvin: {kelvin:g}")
    return {
        "critical_warning": bits(warning),
        "temp_c": kelvin - ZERO_K if kelvin else None,  # 0: the drive does not measure
        "spare_percent": value(log, "avail_spare"),
        "spare_threshold_percent": value(log, "spare_thresh"),
        "used_percent": value(log, "percent_used"),
        "media_errors": whole(str(log.get("media_errors"))),
    }


def smartctl(code: str, text: str) -> dict[str, object]:
    """`smartctl -j -i -H -A`; its exit status is a bit mask."""
    if "UNRECOGNIZED OPTION" in text:
        return {}  # before 7.0 it has no JSON: as if it was not installed
    log = loaded(text)
    status = count(code)
    said = messages(log)
    if status & NOT_OPENED and re.search("STANDBY|SLEEP", said):
        return {}
    if status & (USAGE | NOT_OPENED):
        raise Refused(f"exit {status}: {said}")
    named = {
        key: visible(str(log[name]), 120)
        for key, name in (
            ("model", "model_name"),
            ("serial", "serial_number"),
            ("firmware", "firmware_version"),
        )
        if log.get(name)
    }
    passed = inside(log, "smart_status", "passed")
    if not isinstance(passed, bool):
        if inside(log, "smart_support", "available") is False:
            return {**named}
        raise Refused(f"exit {status}: it tells nothing of the drive's health {said}")
    return {**named, "smart_passed": passed, **of_nvme(log), **of_disk(log)}


def of_nvme(log: Mapping[str, Any]) -> dict[str, object]:
    health = log.get("nvme_smart_health_information_log")
    if not isinstance(health, Mapping):
        return {}
    return {
        "critical_warning": bits(health.get("critical_warning")),
        "temp_c": value(health, "temperature"),  # Celsius here
        "spare_percent": value(health, "available_spare"),
        "spare_threshold_percent": value(health, "available_spare_threshold"),
        "used_percent": value(health, "percentage_used"),
        "media_errors": whole(str(health.get("media_errors"))),
    }


def of_disk(log: Mapping[str, Any]) -> dict[str, object]:
    """What SATA and SAS drives tell, where they tell it."""
    if "nvme_smart_health_information_log" in log:
        return {}
    found: dict[str, object] = {}
    temperature = inside(log, "temperature", "current")
    if temperature is not None:
        found["temp_c"] = number(str(temperature))
    used = inside(log, "endurance_used", "current_percent")
    if used is not None:
        found["used_percent"] = number(str(used))
    table = inside(log, "ata_smart_attributes", "table")
    for row in table if isinstance(table, list) else ():
        if isinstance(row, Mapping) and row.get("id") == OFFLINE_UNCORRECTABLE:
            found["media_errors"] = count(str(inside(row, "raw", "value")))
    unread = inside(log, "scsi_error_counter_log", "read", "total_uncorrected_errors")
    if unread is not None:
        found["media_errors"] = count(str(unread))
    return found


def loaded(text: str) -> Mapping[str, Any]:
    """The JSON object in the text; warnings may stand before it.  Raises Unreadable."""
    try:
        log = json.loads(text[text.index("{") :])
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON ({error}): {visible(text, 120)}") from None
    if not isinstance(log, Mapping):
        raise Unreadable(f"not a JSON object: {visible(text, 120)}")
    return log


def inside(log: object, *names: str) -> Any:
    """The value at that path; None where the path ends early."""
    for name in names:
        log = log.get(name) if isinstance(log, Mapping) else None
    return log


def value(log: Mapping[str, Any], name: str) -> float:
    """Raises Unreadable, also where the log lacks it: every NVMe drive must tell these."""
    found = number(str(log.get(name)))
    if found is None or found < 0:
        raise Unreadable(f"no {name} in the answer")
    return found


def bits(found: object) -> int:
    if isinstance(found, bool):
        raise Unreadable(f"not a bit mask: {found}")
    mask = whole(str(found))
    if mask is None or not 0 <= mask < 256:
        raise Unreadable(f"not a bit mask: {visible(str(found), 40)}")
    return mask


def messages(log: Mapping[str, Any]) -> str:
    told = inside(log, "smartctl", "messages")
    strings = [inside(one, "string") for one in told] if isinstance(told, list) else []
    return visible("; ".join(str(one) for one in strings if one), 200)


HEALTH = {"nvme": nvme, "smartctl": smartctl}

# sysfs alone: without Python there is no safe way here to give up on a tool that hangs.
WITHOUT_PYTHON = r"""
{
  for path in /sys/class/nvme/nvme*/model /sys/class/nvme/nvme*/serial \
    /sys/class/nvme/nvme*/firmware_rev /sys/class/nvme/nvme*/state \
    /sys/class/nvme/nvme*/nvme*n*/size; do
    [ -r "$path" ] || continue
    drive=${path#/sys/class/nvme/}
    printf 'attr\t%s\t%s\t%s\n' "${drive%%/*}" "${path##*/}" "$(cat "$path")"
  done
  for path in /sys/block/*/device/model /sys/block/*/device/rev /sys/block/*/device/state \
    /sys/block/*/size; do
    drive=${path#/sys/block/}; drive=${drive%%/*}
    case $drive in
      loop*|ram*|dm-*|md*|zram*|nbd*|sr*|fd*|zd*|drbd*|rbd*|bcache*|mtd*|nvme*) continue ;;
    esac
    [ -r "$path" ] && [ -e "/sys/block/$drive/device" ] || continue
    printf 'attr\t%s\t%s\t%s\n' "$drive" "${path##*/}" "$(cat "$path")"
  done
} | { n=0; while IFS= read -r line; do printf '%s\n' "$line"; n=$((n + 1)); done
      printf 'end\t%s\n' "$n"; }
"""

PROBES = (
    Probe(
        Question(
            "drives",
            script="ask_drives",
            brief=True,
            without_python=("sh", "-c", WITHOUT_PYTHON),
            timeout_s=20.0,
        ),
        parse,
        yields=(Drive,),
        about="NVMe, SATA and SAS drives: model, firmware, state, spare, wear, media errors",
    ),
)

"""Reading the values in NVML's answer; each is Unreadable at worst.  No probe of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clusterctl.spelling import Unreadable, pci_address, visible

ALL_ONES = frozenset({2**32 - 1, 2**64 - 1})  # NVML_VALUE_NOT_AVAILABLE, or nobody at the address

# nvmlClocksEventReason*, nvml.h
THROTTLE = {
    0x1: "idle",
    0x2: "clocks_setting",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal",
    0x40: "hw_thermal",
    0x80: "hw_power_brake",
    0x100: "display",
}
# nvmlGpuFabricState_t; 0 is "not supported"
FABRIC_STATES = {1: "not_started", 2: "in_progress", 3: "completed"}
# NVML_GPU_FABRIC_HEALTH_MASK_*: two bits each, 1 is true; the last is a number above 1 for why
FABRIC_TROUBLES = {
    0: "degraded_bandwidth",
    2: "route_recovery",
    4: "route_unhealthy",
    6: "access_timeout_recovery",
}
LINK_STATES = {0: "inactive", 1: "up"}


def bounded(value: object, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise Unreadable(f"not a number from 0 to {most}: {visible(repr(value), 40)}")
    return value


def count(value: object) -> int:
    number = bounded(value, 2**64 - 1)
    if number in ALL_ONES:
        raise Unreadable("all bits set")
    return number


def degrees(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -300 < value < 1000:
        raise Unreadable(f"not a temperature: {visible(repr(value), 40)}")
    return value


def text(value: object) -> str:
    if not isinstance(value, str):
        raise Unreadable(f"not text: {visible(repr(value), 40)}")
    return value.strip()


def flag(value: object) -> bool:
    return bool(bounded(value, 1))


def counts(value: object, size: int) -> list[int]:
    if not isinstance(value, list) or len(value) != size:
        raise Unreadable(f"not {size} numbers: {visible(repr(value), 40)}")
    return [count(item) for item in value]


def address(value: object) -> str:
    return pci_address(text(value))


def throttle(value: object) -> tuple[str, ...]:
    mask = count(value)
    unknown = mask & ~sum(THROTTLE)
    names = [name for bit, name in THROTTLE.items() if mask & bit]
    return (*names, f"reason_0x{unknown:x}") if unknown else tuple(names)


def fabric(value: object) -> tuple[str | None, str | None]:
    """State and status; the status counts only once the state is completed (nvml.h)."""
    if not isinstance(value, list) or len(value) != 3:
        raise Unreadable(f"not state, status, mask: {visible(repr(value), 40)}")
    state, status, mask = bounded(value[0], 15), text(value[1]), count(value[2])
    word = FABRIC_STATES.get(state, f"state_{state}") if state else None
    if word != "completed":
        return word, None
    ills = [name for shift, name in FABRIC_TROUBLES.items() if mask >> shift & 3 == 1]
    ills += ["incorrect_configuration"] if mask >> 8 & 15 > 1 else []
    return word, ",".join(ills) if ills and status == "Success" else status.lower()


def processes(value: object) -> list[tuple[int, str, int | None]]:
    if not isinstance(value, list):
        raise Unreadable(f"not a list: {visible(repr(value), 40)}")
    found = []
    for item in value:
        if not isinstance(item, list) or len(item) != 3:
            raise Unreadable(f"not pid, name, bytes: {visible(repr(item), 40)}")
        pid, name, used = item
        found.append((count(pid), text(name), None if used is None else count(used)))
    return found


def dictionaries(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Unreadable(f"not a list of links: {visible(repr(value), 40)}")
    return value


FIELDS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("name", "uuid", "serial", "vbios", "inforom"), text),
    "pci": address,
    **dict.fromkeys(("temp_c", "temp_memory_c", "temp_slowdown_c", "temp_memory_max_c"), degrees),
    **dict.fromkeys(("temp_margin_c", "tlimit_slowdown_c"), degrees),
    **dict.fromkeys(("power_mw", "power_limit_mw", "power_limit_default_mw"), count),
    **dict.fromkeys(("clock_sm_mhz", "clock_sm_max_mhz"), count),
    **dict.fromkeys(("clock_memory_mhz", "clock_memory_max_mhz"), count),
    "throttle_mask": throttle,
    **dict.fromkeys(("power_violation_ns", "thermal_violation_ns"), count),
    **dict.fromkeys(("sw_power_cap_ns", "hw_power_brake_ns"), count),
    **dict.fromkeys(("sw_thermal_ns", "hw_thermal_ns"), count),
    "utilisation_percent": lambda value: bounded(value, 100),
    "memory_bytes": lambda value: counts(value, 2),
    "ecc_mode": flag,
    **dict.fromkeys(("ecc_corrected_volatile", "ecc_uncorrected_volatile"), count),
    **dict.fromkeys(("ecc_corrected_aggregate", "ecc_uncorrected_aggregate"), count),
    **dict.fromkeys(("retired_single", "retired_double"), count),
    "retired_pending": flag,
    "remapped": lambda value: counts(value, 4),
    **dict.fromkeys(("pcie_gen", "pcie_gen_max", "pcie_width", "pcie_width_max"), count),
    "pcie_replays": count,
    "fabric": fabric,
    **dict.fromkeys(("recovery_action", "reset_needed", "drain_and_reset_needed"), count),
    **dict.fromkeys(("persistence", "mig"), flag),
    "processes": processes,
    "links": dictionaries,
}

LINK_FIELDS: dict[str, Callable[[Any], Any]] = {
    "state": lambda value: LINK_STATES[bounded(value, 1)],
    "speed_mbyte_s": count,
}

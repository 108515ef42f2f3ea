"""Reading the values in NVML's answer; each is Unreadable at worst.  No probe of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from clusterctl.model import Kind, Partition, Trouble
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
    return visible(value.strip(), 200)


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


def fabric(value: object) -> tuple[str | None, str | None, str | None, int | None]:
    """State, status, cluster, clique; the status counts once the state is completed (nvml.h).

    A cluster of zeros is this node's own fabric: no domain of several nodes, and no clique.
    """
    if not isinstance(value, list) or len(value) not in (3, 5):
        raise Unreadable(f"not state, status, mask: {visible(repr(value), 40)}")
    state, status, mask = bounded(value[0], 15), text(value[1]), count(value[2])
    domain, clique = joined(value[3:])
    word = FABRIC_STATES.get(state, f"state_{state}") if state else None
    if word != "completed":
        return word, None, domain, clique
    ills = [name for shift, name in FABRIC_TROUBLES.items() if mask >> shift & 3 == 1]
    ills += ["incorrect_configuration"] if mask >> 8 & 15 > 1 else []
    told = ",".join(ills) if ills and status == "Success" else status.lower()
    return word, told, domain, clique


def joined(value: list[object]) -> tuple[str | None, int | None]:
    """The cluster as nvidia-smi spells it, and the clique within it."""
    if not value:
        return None, None
    digits = text(value[0])
    if not re.fullmatch("[0-9a-f]{32}", digits):
        raise Unreadable(f"not a cluster: {visible(digits, 40)!r}")
    if not digits.strip("0"):
        return None, None
    spans = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
    return "-".join(digits[at:end] for at, end in spans), bounded(value[1], 2**32 - 1)


def partitions(part: str, said: Mapping[str, Any]) -> Iterator[Partition | Trouble]:
    """MIG devices.  Drivers, bindings and answers that know none say nothing of them."""
    values, errors = said.get("v"), said.get("e")
    error = errors.get("partitions") if isinstance(errors, dict) else None
    if error is not None:
        yield Trouble(Kind.EXIT, f"NVML: {visible(str(error), 80)} (MIG devices)", part)
    told = values.get("partitions") if isinstance(values, dict) else None
    for item in told if isinstance(told, list) else ():
        try:
            yield partition(part, item)
        except Unreadable as why:
            yield Trouble(Kind.UNREADABLE, f"MIG device: {visible(str(why), 120)}", part)


def partition(part: str, item: object) -> Partition:
    if not isinstance(item, list) or len(item) != 5:
        raise Unreadable(f"not index, uuid, total, used, errors: {visible(repr(item), 60)}")
    index, uuid, total, used, wrong = item
    return Partition(
        f"{part}/mig{bounded(index, 255)}",
        part,
        uuid=text(uuid),
        memory_total_bytes=count(total),
        memory_used_bytes=count(used),
        ecc_uncorrected_volatile=None if wrong is None else count(wrong),
    )


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

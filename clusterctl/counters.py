"""How much a counter rose between two readings, and when nobody can say."""

from __future__ import annotations

from dataclasses import dataclass

from clusterctl.model import Evidence
from clusterctl.verdicts import FIRST_READING

# Counters of the old InfiniBand PortCounters attribute stop at their ceiling instead of wrapping
# (InfiniBand Architecture Specification, volume 1, 16.1.3.5).
CEILINGS = {
    "symbol_error": 0xFFFF,
    "link_error_recovery": 0xFF,
    "link_downed": 0xFF,
    "port_rcv_errors": 0xFFFF,
    "port_rcv_remote_physical_errors": 0xFFFF,
    "port_rcv_switch_relay_errors": 0xFFFF,
    "port_xmit_discards": 0xFFFF,
    "port_xmit_constraint_errors": 0xFF,
    "port_rcv_constraint_errors": 0xFF,
    "local_link_integrity_errors": 0xF,
    "excessive_buffer_overrun_errors": 0xF,
    "VL15_dropped": 0xFFFF,
}
SIZES = (1 << 32, 1 << 64)
RESET = "it was reset in between"


@dataclass(frozen=True, slots=True)
class Rise:
    """`per_s` None: it rose by at least `count`, in a time nobody knows."""

    count: int
    per_s: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class NoRise:
    """Why there is nothing to compare.  `blind`: the counter stands at its ceiling and is mute."""

    why: str
    blind: bool = False


def rise(evidence: Evidence, name: str, now: int, then: int | None) -> Rise | NoRise:
    """Aware of saturation, reboot and reset (a value below the earlier one) and wrap."""
    if now == CEILINGS.get(name):
        return NoRise(f"{name} stands at its ceiling of {now} and counts no more", blind=True)
    if then is None:
        return NoRise(FIRST_READING)
    if not evidence.same_boot:
        return NoRise("rebooted since the last reading: nothing to compare with")
    count, note = risen(now, then)
    if note == RESET:
        return Rise(count, None, note)
    if not evidence.seconds or evidence.seconds <= 0:
        return Rise(count, None, "nobody knows in what time")
    return Rise(count, count / evidence.seconds, note)


def risen(now: int, then: int) -> tuple[int, str]:
    """By how much at least, never below zero, and what else happened to the counter.

    One that was in the last 1/16 of 32 or 64 bits and is now in the first has wrapped; any other
    that fell was reset, and what it counted before that since the last reading is lost.
    """
    if now >= then:
        return now - then, ""
    for size in SIZES:
        if size - size // 16 <= then < size and now < size // 16:
            return now + size - then, "it wrapped in between"
    return now, RESET

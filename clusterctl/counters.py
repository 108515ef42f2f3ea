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
    """Aware of saturation, reboot and reset (a value below the earlier one)."""
    if now == CEILINGS.get(name):
        return NoRise(f"{name} stands at its ceiling of {now} and counts no more", blind=True)
    if then is None:
        return NoRise(FIRST_READING)
    if not evidence.same_boot:
        return NoRise("rebooted since the last reading: nothing to compare with")
    if now < then:
        return Rise(now, None, "it was reset in between")
    if not evidence.seconds or evidence.seconds <= 0:
        return Rise(now - then, None, "nobody knows in what time")
    return Rise(now - then, (now - then) / evidence.seconds)

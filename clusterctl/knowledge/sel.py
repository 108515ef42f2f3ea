"""What a record of a BMC's event log asks of a person, as data with its source."""

from __future__ import annotations

import re
from dataclasses import dataclass

from clusterctl.model import SelEvent, Severity, Status

IPMI = "IPMI 2.0 specification, tables 42-2 and 42-3: sensor types and event offsets"
REDFISH = "DMTF DSP0268, LogEntry: Severity"


@dataclass(frozen=True, slots=True)
class Meaning:
    """`form` is looked for in "type event", lower case."""

    form: str
    status: Status
    severity: Severity
    why: str
    remedy: str
    source: str = IPMI


FAIL, WARN, NOTHING = Status.FAIL, Status.WARN, Status.PASS
# The first that fits holds.
MEANINGS = (
    Meaning(
        r"^(system event|button|version change|session audit|os boot|system acpi|entity presence)"
        r"|log area (reset|cleared)|timestamp clock sync|boot event|initiated by|presence detected"
        r"|device (present|enabled|inserted)|fully redundant|system boot|power off/down|power cycle"
        r"|drive present|slot is now (occupied|enabled)",
        NOTHING,
        Severity.NONE,
        "part of an ordinary life",
        "",
    ),
    Meaning(
        r"memory .*correctable ecc logging limit|logging limit reached",
        WARN,
        Severity.ISOLATE,
        "so many correctable memory errors that the BMC stopped counting",
        "drain the node; replace the module that memory_errors or the BMC names",
    ),
    Meaning(
        r"uncorrectable ecc|uncorrectable memory|memory .*(parity|uncorrectable)",
        FAIL,
        Severity.ISOLATE,
        "a memory module returned wrong data",
        "drain the node; replace the module that the record or memory_errors names",
    ),
    Meaning(
        r"correctable ecc",
        WARN,
        Severity.OBSERVE,
        "a memory error that was mended",
        "count it; replace the module if it goes on",
    ),
    Meaning(
        r"thermal trip|\bierr\b|frb\d|processor .*(failure|disabled|machine check)"
        r"|cpu .*(caterr|machine check)|machine check exception|processor .*uncorrectable",
        FAIL,
        Severity.ISOLATE,
        "a processor stopped itself",
        "drain the node; read the record in the BMC and the log of the boot before",
    ),
    Meaning(
        r"os critical stop|run-time stop|kernel panic|os stop|bus (fatal|uncorrectable)",
        FAIL,
        Severity.ISOLATE,
        "the system stopped: panic, or a fatal error on a bus",
        "read the journal of the boot before; the record names the device where it can",
    ),
    Meaning(
        r"^watchdog ?\d? .*(hard reset|power down|power cycle|expired)|watchdog .*expired",
        FAIL,
        Severity.REBOOT_NODE,
        "the watchdog found nobody alive",
        "read the journal of the boot before; burn the node in again if nothing explains it",
    ),
    Meaning(
        r"(ac lost|input lost|input out-of-range|out-of-range)|power input",
        FAIL,
        Severity.ISOLATE,
        "a power supply lost its feed",
        "look at its cord, the PDU's outlet and the breaker",
    ),
    Meaning(
        r"power supply .*failure|power unit .*(failure|power supply failure)|soft-power control f",
        FAIL,
        Severity.ISOLATE,
        "a power supply or the power unit failed",
        "reseat the supply; replace it if the BMC says the same again",
    ),
    Meaning(
        r"redundancy (lost|degraded)|non-redundant|predictive failure",
        WARN,
        Severity.OBSERVE,
        "one more failure and the node is off",
        "look at the findings of psu and fan on this node",
    ),
    Meaning(
        r"(bus|pci|critical interrupt) .*(uncorrectable|perr|serr|fatal)|pcie? .*(uncor|fatal)",
        FAIL,
        Severity.ISOLATE,
        "a fatal error on PCI Express",
        "look at pcie_errors and the kernel log for the device; reseat it",
    ),
    Meaning(
        r"critical interrupt",
        WARN,
        Severity.OBSERVE,
        "errors on PCI Express or a front-panel interrupt",
        "look at pcie_errors and the kernel log for the device",
    ),
    Meaning(
        r"drive (fault|failure)|drive slot.*(fault|predictive)|in (critical|failed) array",
        FAIL,
        Severity.ISOLATE,
        "a drive or its array failed",
        "look at disk_health; replace the drive",
    ),
    Meaning(
        r"(temperature|thermal).*(upper critical|upper non-recoverable|critical.* high)"
        r"|fan .*lower (critical|non-recoverable)|voltage .*(critical|non-recoverable)"
        r"|(lower|upper) (critical|non-recoverable)|transition to (critical|non-recoverable)",
        FAIL,
        Severity.ISOLATE,
        "a sensor passed the board's critical threshold",
        "look at the sensor now: board_sensors, fan, inlet_temperature",
    ),
    Meaning(
        r"non-critical|transition to non-critical",
        WARN,
        Severity.OBSERVE,
        "a sensor passed the board's first threshold",
        "look at the sensor now: board_sensors, fan, inlet_temperature",
    ),
    Meaning(
        r"log (almost )?full|sel full",
        WARN,
        Severity.OBSERVE,
        "the event log is full, so what comes next is lost",
        "keep it (`ipmitool sel save FILE`) and clear it",
    ),
)
BY_WORD = {
    "critical": Meaning(
        "",
        FAIL,
        Severity.ISOLATE,
        "the BMC calls this record critical",
        "read it in the BMC; the maker's support knows it",
        REDFISH,
    ),
    "warning": Meaning(
        "",
        WARN,
        Severity.OBSERVE,
        "the BMC calls this record a warning",
        "read it in the BMC; the maker's support knows it",
        REDFISH,
    ),
}
UNLISTED = Meaning(
    "",
    WARN,
    Severity.OBSERVE,
    "a record that nobody here knows",
    "read it in the BMC; tell us what it meant",
)
HARMLESS = MEANINGS[0]


def about(event: SelEvent) -> Meaning:
    """What is known of a record: its words first, then the BMC's own grade."""
    words = f"{event.sensor_type} {event.part} {event.event} {event.detail}".lower()
    typed = f"{event.sensor_type} {event.event}".lower()
    for one in MEANINGS:
        if re.search(one.form, typed) or (one.status is not NOTHING and re.search(one.form, words)):
            return one
    if event.severity in BY_WORD:
        return BY_WORD[event.severity]
    if event.severity == "ok" or event.asserted is False:
        return HARMLESS
    return UNLISTED

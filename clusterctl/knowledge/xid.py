"""What each XID and SXid asks of a person, as data with sources."""

from __future__ import annotations

import re
from dataclasses import dataclass

from clusterctl.model import Severity, Status

GPUD = "leptonai/gpud XID catalog, generated from NVIDIA's"
AWS = "AWS gpu-cluster-healthcheck XID table (driver r590)"
IMBUE = "imbue-ai/cluster-health: SXids seen harmless on 500 H100 nodes"


@dataclass(frozen=True, slots=True)
class Meaning:
    """`lasting`: it stays true until the device is reset or the node rebooted."""

    status: Status
    severity: Severity
    why: str
    remedy: str
    source: str
    lasting: bool = False


APPLICATION = Meaning(
    Status.WARN,
    Severity.RESTART_JOB,
    "usually the application's own error",
    "restart the job; the same on this device under other jobs means the device",
    GPUD,
)
CONTAINED = Meaning(
    Status.WARN,
    Severity.RESTART_JOB,
    "a memory error that hit one application only",
    "restart the job, no reboot; reset the device when idle if a repair is pending",
    GPUD,
)
COUNTED = Meaning(
    Status.WARN, Severity.OBSERVE, "informational", "count it; nothing to do now", GPUD
)
RESET = Meaning(
    Status.FAIL,
    Severity.RESET_DEVICE,
    "the device is not usable until it is reset",
    "drain the node and reset the device",
    GPUD,
    lasting=True,
)
REBOOT = Meaning(
    Status.FAIL,
    Severity.REBOOT_NODE,
    "the device is not usable until the node is rebooted",
    "drain the node and reboot it; if it happens again, return the card",
    GPUD,
    lasting=True,
)
POWER = Meaning(
    Status.FAIL,
    Severity.ISOLATE,
    "a power connector is not seated",
    "isolate the node and check the card's power cables on site",
    GPUD,
    lasting=True,
)
FIRMWARE = Meaning(
    Status.WARN,
    Severity.OBSERVE,
    "driver or firmware is out of date or mismatched",
    "update driver and firmware together at the next maintenance",
    GPUD,
)


def numbers(*spans: int | tuple[int, int]) -> frozenset[int]:
    """Single numbers and inclusive spans."""
    return frozenset(
        n
        for span in spans
        for n in (range(span[0], span[1] + 1) if isinstance(span, tuple) else (span,))
    )


CLASSES: tuple[tuple[frozenset[int], Meaning], ...] = (
    (
        numbers(
            *(8, 11, 13, 25, 31, 32, (39, 41), 60, (68, 72), (75, 77), 80, (82, 86)),
            *(88, 89, (96, 105), (126, 135), 139),
        ),
        APPLICATION,
    ),
    (numbers(94), CONTAINED),
    (
        numbers(
            *(14, 37, 38, 43, 44, 45, 63, 66, 67, 92, 93, (106, 108), 121, 137, 141),
            *(152, 153, 157, (160, 165), 167, (169, 172)),
        ),
        COUNTED,
    ),
    (numbers(46, 62, 64, 95, 109, 110, 119, 120, 136, 140, 143, 155, 156, 158), RESET),
    (numbers(79, 151), REBOOT),
    (numbers(54), POWER),
    (numbers(78, 159), FIRMWARE),
)

# Where the class alone would mislead.
SINGLE: dict[int, Meaning] = {
    43: Meaning(
        Status.WARN,
        Severity.OBSERVE,
        "the application was stopped after an error of its own",
        "see the XID before it; restart the job",
        GPUD,
    ),
    45: Meaning(
        Status.WARN,
        Severity.OBSERVE,
        "work was cleaned up after another error or a kill",
        "see the XID before it; restart the job",
        GPUD,
    ),
    48: Meaning(
        Status.FAIL,
        Severity.RESET_DEVICE,
        "an uncorrectable memory error",
        "drain; see 63, 64, 94 and 95 beside it; reset the device",
        GPUD,
        lasting=True,
    ),
    63: Meaning(
        Status.WARN,
        Severity.OBSERVE,
        "a memory repair was recorded",
        "reset the device when idle so that the repair happens",
        GPUD,
    ),
    64: Meaning(
        Status.FAIL,
        Severity.RESET_DEVICE,
        "a memory repair could not be recorded",
        "drain and reset the device; return the card if the repair fails again",
        GPUD,
        lasting=True,
    ),
    74: Meaning(
        Status.WARN,
        Severity.OBSERVE,
        "an error on a link between accelerators; not fatal by itself",
        "look at this link and at both its ends; reset the device if the link stays down",
        f"{GPUD}; gpud PR#1174",
    ),
    81: Meaning(Status.WARN, Severity.OBSERVE, "informational", "count it; nothing to do now", AWS),
    95: Meaning(
        Status.FAIL,
        Severity.RESET_DEVICE,
        "a memory error that was not contained: other jobs on it are suspect",
        "stop every job on it, drain and reset the device",
        GPUD,
        lasting=True,
    ),
    119: Meaning(
        Status.FAIL,
        Severity.RESET_DEVICE,
        "the device's own controller (GSP) does not answer",
        "drain and reset the device; reboot if it cannot be reset",
        GPUD,
        lasting=True,
    ),
    154: Meaning(
        Status.WARN,
        Severity.OBSERVE,
        "the driver changed the recovery action it asks for",
        "do what the device's recovery action says",
        GPUD,
    ),
    168: Meaning(
        Status.FAIL,
        Severity.REBOOT_NODE,
        "the device is not usable until the node is rebooted",
        "drain the node and reboot it",
        AWS,
        lasting=True,
    ),
    79: Meaning(
        Status.FAIL,
        Severity.REBOOT_NODE,
        "the card fell off the bus",
        "drain the node and reboot it; if it happens again, reseat or return the card",
        GPUD,
        lasting=True,
    ),
}
LINK = SINGLE[74]
UNLISTED = Meaning(
    Status.WARN,
    Severity.OBSERVE,
    "not in our table",
    "look this number up in the vendor's catalog",
    GPUD,
)


def meaning(code: str) -> Meaning:
    """Of an XID as the log writes it; anything we do not know is `UNLISTED`."""
    if not code.isdecimal():
        return UNLISTED
    number = int(code)
    if number in SINGLE:
        return SINGLE[number]
    if number in numbers((144, 150)):
        return LINK
    return next((found for members, found in CLASSES if number in members), UNLISTED)


HARMLESS_SXIDS = numbers(
    *(11012, (11021, 11023), 12021, 12023, 15008, 15011, 19049, 19055, 19057, 19059),
    *(19062, 19065, 19068, 19071, (24001, 24003), 22013),
)
SXID_FATAL = Meaning(
    Status.FAIL,
    Severity.REBOOT_NODE,
    "a fatal error of the switch between accelerators",
    "drain the node, reset all its accelerators together or reboot",
    "NVIDIA fabric manager guide: fatal SXids end every job on the switch",
    lasting=True,
)
SXID_NONFATAL = Meaning(
    Status.WARN,
    Severity.OBSERVE,
    "an error of the switch between accelerators that it got over",
    "watch it; look at the link it names if it comes back",
    "NVIDIA fabric manager guide: non-fatal SXids",
)


# The switch's own controller; the driver prints these without a severity.
SOE = numbers(26004, 26006, 26008)  # timeout, halt, watchdog
SXID_CONTROLLER = Meaning(
    Status.FAIL,
    Severity.RESET_DEVICE,
    "the switch's own controller (SOE) stopped or does not answer",
    "drain the node, reset all its accelerators together; reboot if it comes back",
    "NVIDIA/open-gpu-kernel-modules, nvswitch error.h and soe",
    lasting=True,
)


def switch_meaning(code: str, lines: str) -> Meaning | None:
    """Of an SXid and its lines: one of them says how bad it is, others only add registers.

    None where it is known to be harmless (source: `IMBUE`), and no line calls it fatal.
    """
    number = int(code) if code.isdecimal() else 0
    if re.search(r"(?i)(?<!non)(?<!non-)fatal", lines):
        return SXID_FATAL
    if number in SOE:
        return SXID_CONTROLLER
    return None if number in HARMLESS_SXIDS else SXID_NONFATAL

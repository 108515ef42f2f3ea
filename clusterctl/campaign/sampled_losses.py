"""What samples say went away under load: cards, fans, the mains of a power supply."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.campaign.watched import OUT, Watched
from clusterctl.model import Finding, Node, Severity, Status, Verdict
from clusterctl.spelling import visible

LOST, FAN, PSU = "accelerator_lost", "fan", "psu"
HWMON = re.compile(r"/sys/class/hwmon/(hwmon\d+)/((?:fan|power)\d+)_(?:alarm|fault)")
HWMON_SOURCE = "Linux Documentation/hwmon/sysfs-interface: 1 is an alarm, or a part that is broken"


def lost(node: Node, watched: Watched) -> Iterator[Finding]:
    for part, why in watched.gone.items():
        verdict = Verdict(
            node.name,
            part,
            Status.FAIL,
            expected="an answer from NVML, as before",
            actual=visible(why, 40),
            why="it was there when the load began and went away under load",
            remedy="read the kernel log for its XID; power the node off and on, reseat the card",
            severity=Severity.ISOLATE,
            source="NVML API reference, nvmlReturn_t: the GPU has fallen off the bus or needs a "
            "reset",
        )
        yield Finding(LOST, verdict)


def fans(node: Node, watched: Watched) -> Iterator[Finding]:
    for name, value in watched.latest.items():
        found = HWMON.fullmatch(name)
        if found and isinstance(value, int) and value:
            verdict = Verdict(
                node.name,
                f"{found[1]}/{found[2]}",
                Status.FAIL,
                expected="0",
                actual=str(value),
                why="its own sensor chip says that this fan or power supply fails",
                remedy="look at it; the BMC's event log names its place",
                severity=Severity.ISOLATE,
                source=HWMON_SOURCE,
            )
            yield Finding(FAN, verdict)


def unfed(node: Node, watched: Watched) -> Iterator[Finding]:
    for name, volts in watched.lowest.items():
        _, _, place = name.partition("psu.")
        if place and volts <= OUT["psu"]:
            verdict = Verdict(
                node.name,
                place.removesuffix(".in_v"),
                Status.FAIL,
                expected="mains, as before",
                actual=f"{volts} V",
                why="this power supply had mains when the load began and lost it under load",
                remedy="look at its cord, its PDU outlet and breaker; then swap the supply",
                severity=Severity.ISOLATE,
                source="Linux Documentation/hwmon/pmbus.rst: vin is the voltage at its input",
            )
            yield Finding(PSU, verdict)

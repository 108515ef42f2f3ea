"""XIDs and SXids as topics: what they are called, their class in xid.py, and what stands beside."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from clusterctl.knowledge import chinese, xid
from clusterctl.knowledge.meaning import NOTHING, Text, Topic, text
from clusterctl.model import Severity, Status

XIDS = "NVIDIA XID catalog"
SXIDS = "NVIDIA Fabric Manager User Guide DU-09883-001, appendix D"
BESIDE = {
    xid.APPLICATION: "application",
    xid.CONTAINED: "application",
    xid.COUNTED: "counted",
    xid.RESET: "reset",
    xid.REBOOT: "reboot",
    xid.POWER: "power",
    xid.FIRMWARE: "firmware",
    xid.UNLISTED: "unlisted",
}
BY_SEVERITY = {
    Severity.RESTART_JOB: "application",
    Severity.RESET_DEVICE: "reset",
    Severity.REBOOT_NODE: "reboot",
    Severity.ISOLATE: "power",
}
GRAVE = {
    "harmless": (Status.PASS, Severity.NONE),
    "nonfatal": (Status.WARN, Severity.OBSERVE),
    "unlisted": (Status.WARN, Severity.OBSERVE),
    "controller": (xid.SXID_CONTROLLER.status, xid.SXID_CONTROLLER.severity),
    "fatal": (Status.FAIL, Severity.REBOOT_NODE),
    "always": (Status.FAIL, Severity.REBOOT_NODE),
}
SOURCES = {"harmless": xid.IMBUE, "controller": xid.SXID_CONTROLLER.source}


@cache
def document() -> Mapping[str, Any]:
    shipped = files("clusterctl.knowledge").joinpath("nvidia.yml").read_text(encoding="utf-8")
    found: Mapping[str, Any] = yaml.load(shipped, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return found


def named(name: Text, what: Text) -> Text:
    """What it is called, and what that means."""
    joined = text(document()["named"])
    if not name:
        return what
    return Text(joined.en.format(name.en, what.en), joined.zh.format(name.zh, what.zh))


def xids() -> dict[str, Topic]:
    """Every XID that the catalog names or that has a class."""
    listed = {number for members, _ in xid.CLASSES for number in members}
    numbers = sorted({*document()["xids"], *listed, *xid.SINGLE})
    return {str(number): xid_topic(number) for number in numbers}


def xid_topic(number: int) -> Topic:
    known = xid.meaning(str(number))
    name = text(document()["xids"].get(number))
    more = document()["more"].get(number, {})
    why = Text(known.why, chinese.of(known.why))
    beside = BESIDE.get(known) or BY_SEVERITY.get(known.severity, "counted")
    return Topic(
        "XID",
        str(number),
        named(name, why),
        Text(known.remedy, chinese.of(known.remedy)),
        text(more.get("then") or document()["then"][beside]),
        text(more.get("confused")),
        f"{XIDS}; {known.source}",
        known.status,
        known.severity,
        "" if number != 79 else "NVRM: Xid (PCI:0000:b7:00): 79, GPU has fallen off the bus.",
    )


def sxids() -> dict[str, Topic]:
    """Every SXid that the guide names, that is known to be harmless, or that was met."""
    numbers = sorted({*document()["sxids"], *xid.HARMLESS_SXIDS, *xid.SOE})
    return {str(number): sxid_topic(number) for number in numbers}


def sxid_topic(number: int, line: str = "") -> Topic:
    """As check xid judges it; where there is a line, it says how grave it is.

    What the guide calls fatal to the whole switch is so whatever its line says.
    """
    grave, en, zh = document()["sxids"].get(number, ("unlisted", "", ""))
    known = xid.switch_meaning(str(number), line)
    if known is None:
        grave = "harmless"
    elif known is xid.SXID_CONTROLLER:
        grave = "controller"
    elif line and grave != "always":
        grave = "fatal" if known is xid.SXID_FATAL else "nonfatal"
    told = document()["switch"][grave]
    what = text(told["what"])
    status, severity = GRAVE[grave]
    return Topic(
        "SXid",
        str(number),
        named(Text(en, zh), what),
        text(told["first"]),
        text(told["then"]),
        text(told.get("confused")) or NOTHING,
        SXIDS if en and grave == "harmless" else SOURCES.get(grave, SXIDS),
        status,
        severity,
    )

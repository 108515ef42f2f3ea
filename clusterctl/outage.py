"""Why a node that does not answer is silent, as far as its BMC knows.

What is common to many nodes stands first, before a colon or bracket: they are one finding then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from clusterctl.model import WHOLE_NODE, Chassis, Kind, Observation, Psu, SelEvent, Trouble

DAY_S = 86400.0
BMC_PROBES = ("redfish",)
PANIC = re.compile(
    r"os critical stop|run-time (critical )?stop|kernel panic|os stop", re.IGNORECASE
)
WATCHDOG = re.compile(r"watchdog", re.IGNORECASE)
BEAT = re.compile(r"hard reset|power down|power cycle|expired|timed? ?out", re.IGNORECASE)


# By what the way to a node says of it: a BMC has no part in these.
NEARER = (
    (
        re.compile("behind jump host"),
        "mend the way to the jump host first: all nodes behind it wait for it",
    ),
    (
        re.compile("jump host"),
        "try it from the jump host; silent there too: ask its BMC for power and console",
    ),
    (
        re.compile("no address for the name"),
        "correct its name, or give it an address in the inventory",
    ),
    (
        re.compile("refuses"),
        "it is up: start sshd there, correct its port in the inventory, or let it boot",
    ),
    (re.compile("was not tried"), "lower --at-once, or raise ulimit -n on this machine"),
    (
        re.compile("without a word"),
        "lower --at-once; look at sshd's MaxStartups and fail2ban on the node",
    ),
    (re.compile("does not speak SSH"), "correct its port in the inventory"),
)


def nearer(trouble: Trouble) -> str:
    """What to do about a node that is not reached, where the reason says it is not its power."""
    if trouble.kind is not Kind.UNREACHABLE:
        return ""
    return next((remedy for words, remedy in NEARER if words.search(trouble.detail)), "")


@dataclass(frozen=True, slots=True)
class Outage:
    why: str
    remedy: str


def explained(observations: Sequence[Observation]) -> Outage | None:
    """What the BMC says; None where there is none to ask."""
    asked = [one for one in observations if one.probe in BMC_PROBES]
    facts = [fact for one in asked for fact in one.facts]
    chassis = next((fact for fact in facts if isinstance(fact, Chassis)), None)
    if chassis is not None:
        supplies = [fact for fact in facts if isinstance(fact, Psu)]
        events = [fact for fact in facts if isinstance(fact, SelEvent)]
        return told(chassis, supplies, events)
    troubles = [trouble for one in asked for trouble in one.troubles if trouble.part != WHOLE_NODE]
    if not troubles:
        return None
    if any(trouble.kind is Kind.UNREACHABLE for trouble in troubles):
        return Outage(
            "its BMC does not answer either: the node has no power at all, or the management "
            "network is down",
            "look at the rack's feed and the management switch; neighbours tell which",
        )
    return Outage(
        f"its BMC could not be asked: {troubles[0]}", "mend the way to its BMC first: see observed"
    )


def told(chassis: Chassis, supplies: Sequence[Psu], events: Sequence[SelEvent]) -> Outage:
    recent = [one for one in events if one.seconds_ago is None or one.seconds_ago <= DAY_S]
    stopped = [one for one in recent if one.asserted is not False and PANIC.search(words(one))]
    barked = [
        one
        for one in recent
        if one.asserted is not False and WATCHDOG.search(words(one)) and BEAT.search(words(one))
    ]
    unfed = [one for one in supplies if one.health == "critical" and one.present is not False]
    there = [one for one in supplies if one.present is not False]
    if chassis.power == "off" and unfed and len(unfed) == len(there):
        names = ", ".join(one.part for one in unfed)
        return Outage(
            f"power is off and no supply is fed, says its BMC ({names})",
            "restore the feed: cords, PDU, breaker",
        )
    if chassis.power == "off":
        return Outage(
            "power is off, says its BMC" + last(events),
            "find out who or what switched it off, then switch it on by its BMC",
        )
    if stopped:
        return Outage(
            f"power is on and the system stopped, says its BMC: {shown(stopped[-1])}",
            "look at the console's last screen by its BMC, keep it, then reset the node",
        )
    if barked:
        return Outage(
            f"power is on and the watchdog acted, says its BMC: {shown(barked[-1])}",
            "wait for it to boot; read the journal of the boot before",
        )
    if chassis.power is None:
        return Outage("its BMC does not say whether it has power", "open its console by the BMC")
    stage = f", and it got as far as {chassis.boot}" if chassis.boot else ""
    return Outage(
        f"power is {chassis.power}, says its BMC{stage}{last(events)}",
        "open its console by the BMC: a stuck boot, a hung system and a dead network look alike",
    )


def words(one: SelEvent) -> str:
    return f"{one.sensor_type} {one.part} {one.event} {one.detail}"


def shown(one: SelEvent) -> str:
    at = f" at {one.at:%Y-%m-%d %H:%M:%S}" if one.at else ""
    return f"{one.event or one.part}{at}"


def last(events: Sequence[SelEvent]) -> str:
    """The newest grave record, which may be the reason."""
    graves = [one for one in events if one.severity == "critical" and one.asserted is not False]
    newest = max((one for one in graves if one.at), key=lambda one: str(one.at), default=None)
    return f"; the last critical record: {shown(newest)}" if newest else ""

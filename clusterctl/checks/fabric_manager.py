"""Does the fabric manager match its driver, and does it run where accelerators wait for it?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import (
    Accelerator,
    Check,
    Evidence,
    Limit,
    Service,
    Severity,
    Verdict,
    Version,
)
from clusterctl.verdicts import (
    facts_of,
    failing,
    passing,
    settled,
    skipping,
    source_of,
    unknown,
    warning,
)

PART, UNIT, DRIVER = "fabricmanager", "nvidia-fabricmanager", "driver/nvidia"
SAME = "install the fabric manager of the driver's own version and restart it; jobs end"


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        yield from settled((version(evidence), service(evidence)))


def told(evidence: Evidence, part: str) -> set[str]:
    return {one.value for one in facts_of(evidence, Version) if one.part == part}


def state(evidence: Evidence) -> str:
    """Of the service; empty where nobody told of one."""
    found = [one.state for one in facts_of(evidence, Service) if one.part == UNIT]
    return found[0] if found else ""


def version(evidence: Evidence) -> Verdict:
    """A log tells of the last start: where the service is known to be down, of nothing now."""
    drivers, running = told(evidence, DRIVER), told(evidence, PART)
    runs = bool(running) and state(evidence) in {"", "active"}
    here = running if runs else told(evidence, f"{PART}/installed")
    if not here:
        now = state(evidence)
        why = f"its service is {now}, and nobody told its version" if now else "none here"
        return skipping(evidence, PART, f"{why}; only NVSwitches need one")
    if not drivers:
        return unknown(
            evidence,
            PART,
            "the driver's version is not known",
            expected="the driver's version",
            actual=", ".join(sorted(here)),
            remedy="see why neither the driver's library nor its tool answered",
            source=source_of(evidence, "version"),
        )
    if here <= drivers:
        actual = f"{', '.join(sorted(here))}, as the driver"
        return passing(evidence, PART, actual, source=source_of(evidence, "version"))
    expected, actual = " or ".join(sorted(drivers)), ", ".join(sorted(here))
    if runs:
        return failing(
            evidence,
            PART,
            expected=expected,
            actual=actual,
            why="the fabric manager runs in another version than its driver",
            remedy=SAME,
            severity=Severity.ISOLATE,
            source=source_of(evidence, "version"),
        )
    return warning(
        evidence,
        PART,
        expected=expected,
        actual=actual,
        why="the fabric manager that is installed is of another version than the driver",
        remedy=SAME,
        source=source_of(evidence, "version"),
    )


def service(evidence: Evidence) -> Verdict:
    """Only where accelerators are known to wait: racks have theirs on the switches."""
    waiting = [
        card.part
        for card in facts_of(evidence, Accelerator)
        if card.fabric_state not in {None, "completed"}
    ]
    now = state(evidence)
    if not now:
        return skipping(evidence, PART, "no such service here")
    if now == "active" or not waiting:
        who = "accelerators wait although it runs" if waiting else "no accelerator waits for it"
        return skipping(evidence, PART, f"the service is {now}; {who}")
    return failing(
        evidence,
        PART,
        expected="active",
        actual=now,
        why=f"{', '.join(waiting)} wait to join their fabric",
        remedy="read `journalctl -u nvidia-fabricmanager`, then restart it",
        severity=Severity.ISOLATE,
        source=source_of(evidence, "version"),
    )


CHECKS = (
    Check(
        name="fabric_manager",
        asks="Is the fabric manager of its driver's version, and running where it is waited for?",
        wants=(Version,),
        uses=(Accelerator, Service),
        judge=judge,
        limits={
            "version": Limit(
                "the driver's",
                "NVIDIA fabric manager guide: its version must match the driver's",
            )
        },
    ),
)

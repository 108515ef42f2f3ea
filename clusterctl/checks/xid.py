"""What accelerators and the switches between them reported in the kernel log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from clusterctl.kernel_log import before_this_boot, device, recent, slot, unseen, window
from clusterctl.knowledge.xid import IMBUE, UNLISTED, Meaning, meaning, switch_meaning
from clusterctl.model import (
    Accelerator,
    Boot,
    Check,
    Evidence,
    KernelEvent,
    Limit,
    LogWindow,
    PcieDevice,
    Severity,
    Status,
    Verdict,
)
from clusterctl.verdicts import facts_of, passing, skipping, threshold

PART = "kernel log"


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        events = [e for e in facts_of(evidence, KernelEvent) if e.kind in {"xid", "sxid"}]
        found = [verdict for group in grouped(events) for verdict in about(evidence, group)]
        yield from found or [nothing(evidence, events)]


def nothing(evidence: Evidence, events: Sequence[KernelEvent]) -> Verdict:
    cards = [d for d in facts_of(evidence, PcieDevice) if d.kind == "accelerator"]
    if not events and not cards and not facts_of(evidence, Accelerator):
        return skipping(evidence, PART, "no accelerator seen here")
    if blind := unseen(evidence, PART):
        return blind
    seen = f"{len(events)} old or harmless" if events else "none"
    return passing(evidence, PART, f"{seen} in {window(evidence)}", expected="none that matters")


def grouped(events: Sequence[KernelEvent]) -> list[list[KernelEvent]]:
    """The same code of the same device is one finding, however often it was logged."""
    groups: defaultdict[tuple[str, str, str], list[KernelEvent]] = defaultdict(list)
    for event in events:
        groups[event.kind, slot(event.part), event.code].append(event)
    return list(groups.values())


def about(evidence: Evidence, group: Sequence[KernelEvent]) -> Iterator[Verdict]:
    event = group[-1]
    if event.kind == "sxid":
        lines = "\n".join(one.line for one in group)
        known, name = switch_meaning(event.code, lines), f"SXid {event.code}"
    else:
        known, name = meaning(event.code), f"XID {event.code}"
    if known is None:
        return
    severity, status, why = known.severity, known.status, known.why
    if not known.lasting and not recent(group, threshold(evidence, "window_s")):
        return
    if before_this_boot(evidence, group):
        severity, status, why = Severity.OBSERVE, Status.WARN, f"{why}, before the last boot"
    times = f", {len(group)} times" if len(group) > 1 else ""
    yield Verdict(
        evidence.node.name,
        device(evidence, event.part) or PART,
        status,
        expected="none",
        actual=name + times,
        why=f"{why}{among(evidence, event, known)}",
        remedy=known.remedy,
        severity=severity,
        source=known.source,
        yardstick="floor",
    )


def among(evidence: Evidence, event: KernelEvent, known: Meaning) -> str:
    """One application on many devices hits them all: that does not make them all bad."""
    others = {
        slot(e.part)
        for e in facts_of(evidence, KernelEvent)
        if e.kind == event.kind and e.code == event.code
    }
    if len(others) < 2 or known is UNLISTED or known.severity is not Severity.RESTART_JOB:
        return ""
    return f"; {len(others)} devices at once, so the application and not the devices"


CHECKS = (
    Check(
        name="xid",
        asks="Did an accelerator or a switch between them report an error that matters?",
        wants=(KernelEvent, LogWindow),
        uses=(Accelerator, PcieDevice, Boot),
        judge=judge,
        limits={
            "window_s": Limit(
                86400,
                f"clusterctl: errors of applications are news for a day; harmless SXids: {IMBUE}",
                "errors that last until a reset count however old they are",
            )
        },
    ),
)

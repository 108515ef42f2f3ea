"""Did the kernel report broken hardware: CPU, memory, PCIe, drives, network cards, lock-ups?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from clusterctl.kernel_log import before_this_boot, device, unseen, window
from clusterctl.knowledge.kernel import Meaning, about_hardware, meaning
from clusterctl.model import (
    Accelerator,
    Boot,
    Check,
    Evidence,
    KernelEvent,
    LogWindow,
    Severity,
    Status,
    Verdict,
)
from clusterctl.verdicts import facts_of, passing

PART = "kernel log"


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        events = [e for e in facts_of(evidence, KernelEvent) if about_hardware(e)]
        faults = [v for known, group in grouped(events) for v in about(evidence, known, group)]
        yield from faults or [nothing(evidence, events)]


def nothing(evidence: Evidence, events: Sequence[KernelEvent]) -> Verdict:
    if blind := unseen(evidence, PART):
        return blind
    seen = f"{len(events)} harmless lines" if events else "no fault"
    return passing(evidence, PART, f"{seen} in {window(evidence)}", expected="no fault")


def grouped(events: Sequence[KernelEvent]) -> list[tuple[Meaning, list[KernelEvent]]]:
    """The same trouble of the same part is one finding, however often it was logged."""
    groups: defaultdict[tuple[Meaning, str], list[KernelEvent]] = defaultdict(list)
    for event in events:
        groups[meaning(event), event.part].append(event)
    return [(known, group) for (known, _), group in groups.items()]


def about(evidence: Evidence, known: Meaning, group: Sequence[KernelEvent]) -> Iterator[Verdict]:
    if known.status is Status.PASS:
        return
    event = group[-1]
    status, severity, why = known.status, known.severity, known.why
    if before_this_boot(evidence, group):
        status, severity, why = Status.WARN, Severity.OBSERVE, f"{why}, before the last boot"
    times = f" ({len(group)} times)" if len(group) > 1 else ""
    yield Verdict(
        evidence.node.name,
        device(evidence, event.part) or PART,
        status,
        expected="no fault",
        actual=f"{event.kind} {event.code}".strip() + times,
        why=f"{why}: {event.line[:160]}",
        remedy=known.remedy,
        severity=severity,
        source=known.source,
        yardstick="floor",
    )


CHECKS = (
    Check(
        name="kernel_faults",
        asks="Did the kernel report broken hardware or a lock-up?",
        wants=(KernelEvent, LogWindow),
        uses=(Accelerator, Boot),
        judge=judge,
    ),
)

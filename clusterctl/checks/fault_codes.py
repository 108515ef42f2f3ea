"""Which of its maker's fault codes does a device report?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from clusterctl.knowledge.faults import Fault, fault
from clusterctl.model import Accelerator, Check, Evidence, Severity, Verdict
from clusterctl.verdicts import absent, facts_of, passing


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        cards = facts_of(evidence, Accelerator)
        shared = Counter(code for card in cards for code in set(card.error_codes or ()))
        for card in cards:
            yield from codes(evidence, card, shared)


def codes(evidence: Evidence, card: Accelerator, shared: Counter[str]) -> Iterator[Verdict]:
    if card.error_codes is None:
        yield absent(evidence, card, "error_codes")
    elif not card.error_codes:
        yield passing(evidence, card.part, "no fault code", expected="none")
    for code in dict.fromkeys(card.error_codes or ()):
        yield about(evidence, card, fault(card.vendor, code), shared[code])


def about(evidence: Evidence, card: Accelerator, known: Fault, devices: int) -> Verdict:
    """One job on many devices fails on them all: that does not make them all bad."""
    many = devices > 1 and known.severity is Severity.RESTART_JOB
    others = f"; {devices} devices at once, so the job or the network and not the devices"
    return Verdict(
        evidence.node.name,
        card.part,
        known.status,
        expected="no fault code",
        actual=known.code,
        why=known.what + (others if many else ""),
        remedy=f"{known.first}; then: {known.then}" if known.then else known.first,
        severity=known.severity,
        source=known.source,
        yardstick="floor",
    )


CHECKS = (
    Check(
        name="fault_codes",
        asks="Does a device report a fault code of its maker's?",
        wants=(Accelerator,),
        judge=judge,
    ),
)

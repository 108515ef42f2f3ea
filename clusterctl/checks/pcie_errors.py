"""Do PCIe links repeat or lose what they carry?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clusterctl.counters import NoRise, rise
from clusterctl.kernel_log import device, slot
from clusterctl.model import (
    Accelerator,
    Check,
    Evidence,
    Limit,
    PcieDevice,
    Severity,
    Status,
    Verdict,
)
from clusterctl.verdicts import (
    before,
    facts_of,
    passing,
    settled,
    skipping,
    source_of,
    threshold,
)

RESEAT = "reseat the device and its riser; drain the node if it goes on"


@dataclass(frozen=True, slots=True)
class Counted:
    """A counter, the limit of its rate and that limit's unit of time in seconds."""

    limit: str
    per_s: float
    unit: str
    status: Status
    severity: Severity
    why: str


AER = {
    "aer_fatal": Counted(
        "fatal_per_h", 3600, "h", Status.FAIL, Severity.ISOLATE, "the PCIe link broke"
    ),
    "aer_nonfatal": Counted(
        "nonfatal_per_h", 3600, "h", Status.WARN, Severity.OBSERVE, "PCIe transfers failed"
    ),
    "aer_corrected": Counted(
        "corrected_per_min",
        60,
        "min",
        Status.WARN,
        Severity.OBSERVE,
        "the PCIe link corrects more than it should",
    ),
}
REPLAYS = Counted(
    "replays_per_h",
    3600,
    "h",
    Status.WARN,
    Severity.OBSERVE,
    "the PCIe link repeats more than it should",
)


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        yield from settled((*on_bus(evidence), *replays(evidence)))


def on_bus(evidence: Evidence) -> Iterator[Verdict]:
    earlier = before(evidence, PcieDevice)
    for found in facts_of(evidence, PcieDevice):
        part, then = device(evidence, found.part), earlier.get(found.part)
        counted = [(name, getattr(found, name)) for name in AER]
        if all(now is None for _, now in counted):
            yield skipping(evidence, part, "this device reports no AER counters")
        for name, now in counted:
            if now is not None:
                past = getattr(then, name) if then else None
                yield grown(evidence, part, name, counted=AER[name], now=now, past=past)


def replays(evidence: Evidence) -> Iterator[Verdict]:
    earlier = before(evidence, Accelerator)
    slots = {slot(found.part) for found in facts_of(evidence, PcieDevice)}
    for card in facts_of(evidence, Accelerator):
        if card.pcie_replays is None:
            if slot(card.pci) not in slots:
                yield skipping(evidence, card.part, "this device counts no replays")
            continue
        then = earlier.get(card.part)
        past = then.pcie_replays if then else None
        yield grown(
            evidence,
            card.part,
            "pcie_replays",
            counted=REPLAYS,
            now=card.pcie_replays,
            past=past,
        )


def grown(
    evidence: Evidence, part: str, name: str, *, counted: Counted, now: int, past: int | None
) -> Verdict:
    rose = rise(evidence, name, now, past)
    words = name.replace("_", " ")
    if isinstance(rose, NoRise):
        return skipping(evidence, part, rose.why)
    limit = threshold(evidence, counted.limit)
    # Without a known time any rise above the limit's number is said, as a count.
    amount = rose.per_s * counted.per_s if rose.per_s is not None else float(rose.count)
    if amount <= limit:
        return passing(evidence, part, f"{words} +{rose.count}", yardstick="past")
    return Verdict(
        evidence.node.name,
        part,
        counted.status,
        expected=f"{words} ≤ {limit:g}/{counted.unit}",
        actual=f"{amount:.3g}/{counted.unit}" if rose.per_s is not None else f"+{rose.count}",
        why=counted.why + (f"; {rose.note}" if rose.note else ""),
        remedy=RESEAT,
        severity=counted.severity,
        source=source_of(evidence, counted.limit),
        yardstick="past",
    )


CHECKS = (
    Check(
        name="pcie_errors",
        asks="Do PCIe links repeat, correct or lose what they carry?",
        wants=(PcieDevice,),
        uses=(Accelerator,),
        judge=judge,
        limits={
            "fatal_per_h": Limit(0, "Linux pcieaer-howto: a fatal error makes the link unreliable"),
            "nonfatal_per_h": Limit(0, "Linux pcieaer-howto: a transaction was lost"),
            "corrected_per_min": Limit(32, "DCGM diag: AER 480 = 32/min x 15 min"),
            "replays_per_h": Limit(
                80, "DCGM diag: 80 replays", "DCGM counts over a diag run; here an hour"
            ),
        },
    ),
)

"""Has device memory lost data, or is it correcting more than it should?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.counters import NoRise, rise
from clusterctl.model import Accelerator, Check, Evidence, Limit, Partition, Severity, Verdict
from clusterctl.verdicts import (
    absent,
    before,
    facts_of,
    failing,
    passing,
    settled,
    skipping,
    source_of,
    threshold,
    warning,
)

RESET = "stop the job, reset the device; if it comes back, return the card"


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        earlier = before(evidence, Accelerator)
        for card in facts_of(evidence, Accelerator):
            if card.ecc_on is False:
                yield off(evidence, card)
                continue
            yield from in_partitions(evidence, card)
            then = earlier.get(card.part)
            same_card = then if then and then.uuid == card.uuid else None
            yield from settled(
                (
                    uncorrected(evidence, card),
                    corrected(evidence, card),
                    deferred(evidence, card),
                    growth(evidence, card, same_card),
                )
            )


def off(evidence: Evidence, card: Accelerator) -> Verdict:
    return warning(
        evidence,
        card.part,
        expected="ECC on",
        actual="off",
        why="memory errors pass unseen",
        remedy="switch ECC on and reset the device, unless that was a choice",
        source="the device's own setting",
    )


def in_partitions(evidence: Evidence, card: Accelerator) -> Iterator[Verdict]:
    """What only a part of a divided card counts: an error there hit one tenant's job."""
    most = threshold(evidence, "uncorrected")
    for seen in facts_of(evidence, Partition):
        count = seen.ecc_uncorrected_volatile
        if seen.accelerator == card.part and count is not None and count > most:
            yield lost(evidence, seen.part, count)


def uncorrected(evidence: Evidence, card: Accelerator) -> Verdict:
    count = card.ecc_uncorrected_volatile
    if count is None:
        return absent(evidence, card, "ecc_uncorrected_volatile")
    limit, source = threshold(evidence, "uncorrected"), source_of(evidence, "uncorrected")
    if count > limit:
        return lost(evidence, card.part, count)
    return passing(
        evidence,
        card.part,
        f"{count} uncorrected",
        expected=f"≤ {limit:g}",
        source=source,
        yardstick="floor",
    )


def lost(evidence: Evidence, part: str, count: int) -> Verdict:
    return failing(
        evidence,
        part,
        expected=f"≤ {threshold(evidence, 'uncorrected'):g} uncorrected",
        actual=str(count),
        why="data in device memory was lost since the driver was loaded",
        remedy=RESET,
        severity=Severity.RESET_DEVICE,
        source=source_of(evidence, "uncorrected"),
    )


def corrected(evidence: Evidence, card: Accelerator) -> Verdict:
    return counted(
        evidence,
        card,
        "corrected",
        why="memory needs correction far more often than usual",
        remedy="watch this card; run a memory test at the next maintenance",
    )


def deferred(evidence: Evidence, card: Accelerator) -> Verdict:
    return counted(
        evidence,
        card,
        "deferred",
        why="data in device memory was lost that nobody has used yet",
        remedy="let the job end, then reset the device; if it comes back, return the card",
    )


def counted(evidence: Evidence, card: Accelerator, kind: str, *, why: str, remedy: str) -> Verdict:
    """Errors that warn when they are more than the limit of their kind."""
    count: int | None = getattr(card, f"ecc_{kind}_volatile")
    if count is None:
        return absent(evidence, card, f"ecc_{kind}_volatile")
    limit, source = threshold(evidence, kind), source_of(evidence, kind)
    if count > limit:
        return warning(
            evidence,
            card.part,
            expected=f"≤ {limit:g} {kind}",
            actual=str(count),
            why=why,
            remedy=remedy,
            source=source,
        )
    return passing(evidence, card.part, f"{count} {kind}", source=source, yardstick="floor")


def growth(evidence: Evidence, card: Accelerator, then: Accelerator | None) -> Verdict:
    """The life-time count survives driver reloads, which hide what happened in the volatile one."""
    now = card.ecc_uncorrected_aggregate
    if now is None:
        return absent(evidence, card, "ecc_uncorrected_aggregate")
    past = then.ecc_uncorrected_aggregate if then else None
    rose = rise(evidence, "ecc_uncorrected_aggregate", now, past)
    if isinstance(rose, NoRise):
        # A count over the card's life does not care which boot it is.
        if past is None or now <= past:
            return skipping(evidence, card.part, rose.why)
        more = now - past
    else:
        more = rose.count if past is not None and now > past else 0
    if more > threshold(evidence, "growth"):
        return failing(
            evidence,
            card.part,
            expected="no growth of the life-time count",
            actual=f"+{more} to {now}",
            why="data in device memory was lost since the last reading",
            remedy=RESET,
            severity=Severity.RESET_DEVICE,
            source=source_of(evidence, "growth"),
            yardstick="past",
        )
    return passing(evidence, card.part, f"{now} in its life, no growth", yardstick="past")


CHECKS = (
    Check(
        name="ecc",
        asks="Did device memory lose data or correct far more than usual?",
        wants=(Accelerator,),
        uses=(Partition,),
        judge=judge,
        limits={
            "uncorrected": Limit(0, "gcm check_nvidia_smi: ECC uncorrected 0"),
            "corrected": Limit(
                20_000_000, "azurehpc-health-checks: ECC limit", "count since the driver was loaded"
            ),
            "deferred": Limit(0, "amd/node-scraper, amdsmi_analyzer.py: a warning", "AMD"),
            "growth": Limit(0, "gcm check_nvidia_smi: ECC uncorrected 0", "between two readings"),
        },
    ),
)

"""Is device memory waiting for a repair, or out of spare rows?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import Accelerator, Check, Evidence, Limit, Severity, Verdict
from clusterctl.verdicts import (
    absent,
    facts_of,
    failing,
    passing,
    settled,
    source_of,
    threshold,
    warning,
)

VENDOR = "NVIDIA GPU memory error management; gpud and DCGM: pending → reset, failure → RMA"
RESET = "drain the node and reset the device; the repair happens then"
RETURN = "drain the node and return the card"


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        for card in facts_of(evidence, Accelerator):
            yield from settled(
                (
                    failed(evidence, card),
                    pending(evidence, card, "remap_pending", card.remap_pending),
                    pending(evidence, card, "retired_pending", card.retired_pending),
                    rows(evidence, card),
                    pages(evidence, card),
                )
            )


def failed(evidence: Evidence, card: Accelerator) -> Verdict:
    if card.remap_failed is None:
        return absent(evidence, card, "remap_failed")
    if not card.remap_failed:
        return passing(evidence, card.part, "no failed repair", source=VENDOR)
    return failing(
        evidence,
        card.part,
        expected="no failed repair",
        actual="a row could not be remapped",
        why="this card has no spare rows left where it needs one",
        remedy=RETURN,
        severity=Severity.RETURN,
        source=VENDOR,
    )


def pending(evidence: Evidence, card: Accelerator, field: str, waits: bool | None) -> Verdict:
    if waits is None:
        return absent(evidence, card, field)
    if not waits:
        return passing(evidence, card.part, "no repair pending", source=VENDOR)
    return failing(
        evidence,
        card.part,
        expected="no repair pending",
        actual="a repair is pending",
        why="bad memory stays in use until the device is reset",
        remedy=RESET,
        severity=Severity.RESET_DEVICE,
        source=VENDOR,
    )


def rows(evidence: Evidence, card: Accelerator) -> Verdict:
    count = card.remapped_uncorrected
    if count is None:
        return absent(evidence, card, "remapped_uncorrected")
    limit, source = threshold(evidence, "rows"), source_of(evidence, "rows")
    if count <= limit:
        return passing(
            evidence, card.part, f"{count} rows", expected=f"≤ {limit:g} rows", source=source
        )
    return failing(
        evidence,
        card.part,
        expected=f"≤ {limit:g} rows remapped for uncorrected errors",
        actual=str(count),
        why="cards with so many remapped rows mostly turn out defective",
        remedy=RETURN,
        severity=Severity.RETURN,
        source=source,
    )


def pages(evidence: Evidence, card: Accelerator) -> Verdict:
    count = card.retired_pages
    if count is None:
        return absent(evidence, card, "retired_pages")
    limit, source = threshold(evidence, "pages"), source_of(evidence, "pages")
    if count <= limit:
        return passing(
            evidence, card.part, f"{count} pages", expected=f"≤ {limit:g} pages", source=source
        )
    return warning(
        evidence,
        card.part,
        expected=f"≤ {limit:g} retired pages",
        actual=str(count),
        why="memory wears out faster than on other cards",
        remedy="watch this card; ask the vendor whether it may be returned",
        source=source,
    )


CHECKS = (
    Check(
        name="row_remap",
        asks="Is a memory repair pending or failed, and are there too many repaired places?",
        wants=(Accelerator,),
        judge=judge,
        limits={
            "rows": Limit(
                10,
                "SuperBench, ATC'24: of nodes with more than 10 remapped rows 83.3 % regress",
                "A100 and newer",
            ),
            "pages": Limit(10, "gcm check_nvidia_smi: retired pages 10", "before A100"),
        },
    ),
)

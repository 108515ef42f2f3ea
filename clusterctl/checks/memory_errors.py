"""Does main memory make errors?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.counters import Rise, rise
from clusterctl.model import Boot, Check, Dimm, Evidence, Limit, Severity, Verdict
from clusterctl.verdicts import (
    absent,
    before,
    facts_of,
    failing,
    passing,
    settled,
    source_of,
    threshold,
    unknown,
    warning,
)

DAY_S = 86400


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        earlier = before(evidence, Dimm)
        for dimm in facts_of(evidence, Dimm):
            then = earlier.get(dimm.part)
            yield from settled((uncorrected(evidence, dimm), corrected(evidence, dimm, then)))


def uncorrected(evidence: Evidence, dimm: Dimm) -> Verdict:
    if dimm.uncorrected is None:
        return absent(evidence, dimm, "uncorrected")
    limit = threshold(evidence, "uncorrected")
    if dimm.uncorrected <= limit:
        return passing(evidence, dimm.part, f"{dimm.uncorrected} uncorrected")
    return failing(
        evidence,
        dimm.part,
        expected=f"≤ {limit:g} uncorrected",
        actual=str(dimm.uncorrected),
        why=f"main memory lost data since boot {dimm.label}".strip(),
        remedy="drain the node and replace this DIMM",
        severity=Severity.RETURN,
        source=source_of(evidence, "uncorrected"),
    )


def corrected(evidence: Evidence, dimm: Dimm, then: Dimm | None) -> Verdict:
    count = dimm.corrected
    if count is None:
        return absent(evidence, dimm, "corrected")
    if not count:
        return passing(evidence, dimm.part, "0 corrected")
    rate, yardstick = per_day(evidence, count, then.corrected if then else None)
    if rate is None:
        return unknown(
            evidence,
            dimm.part,
            "nobody knows in what time these errors came",
            actual=f"{count} corrected",
            remedy="sweep again: the next reading gives a rate",
        )
    limit = threshold(evidence, "corrected_per_day")
    if rate <= limit:
        return passing(
            evidence,
            dimm.part,
            f"{rate:.3g} corrected a day",
            expected=f"≤ {limit:g}",
            yardstick=yardstick,
        )
    return warning(
        evidence,
        dimm.part,
        expected=f"≤ {limit:g} corrected a day",
        actual=f"{rate:.3g}",
        why=f"this memory is failing slowly {dimm.label}".strip(),
        remedy="replace this DIMM at the next maintenance",
        source=source_of(evidence, "corrected_per_day"),
        yardstick=yardstick,
    )


def per_day(evidence: Evidence, count: int, past: int | None) -> tuple[float | None, str]:
    """Between the readings, else since boot; never over less than a day, or one error is many."""
    rose = rise(evidence, "corrected", count, past)
    if isinstance(rose, Rise) and rose.per_s is not None and evidence.seconds:
        return rose.count * DAY_S / max(evidence.seconds, DAY_S), "past"
    uptimes = [boot.uptime_s for boot in facts_of(evidence, Boot) if boot.uptime_s]
    if not uptimes:
        return None, ""
    return count * DAY_S / max(*uptimes, DAY_S), "floor"


CHECKS = (
    Check(
        name="memory_errors",
        asks="Does main memory make errors?",
        wants=(Dimm,),
        uses=(Boot,),
        judge=judge,
        limits={
            "uncorrected": Limit(0, "Linux admin-guide/RAS: an uncorrected error lost data"),
            "corrected_per_day": Limit(
                50, "rasdaemon: PAGE_CE_THRESHOLD=50 in PAGE_CE_REFRESH_CYCLE=24h", "per module"
            ),
        },
    ),
)

"""The five answers a check can give, and what a missing value means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import isfinite
from typing import TypeVar

from clusterctl.model import (
    Accelerator,
    Cpu,
    Evidence,
    Fact,
    Limit,
    Severity,
    Status,
    UserError,
    Verdict,
)

T = TypeVar("T")
FIRST_READING = "first reading: nothing to compare with yet"


def passing(
    evidence: Evidence,
    part: str,
    actual: str,
    *,
    expected: str = "",
    why: str = "",
    source: str = "",
    yardstick: str = "",
) -> Verdict:
    name = evidence.node.name
    return Verdict(
        name,
        part,
        Status.PASS,
        expected=expected,
        actual=actual,
        why=why,
        source=source,
        yardstick=yardstick,
    )


def warning(
    evidence: Evidence,
    part: str,
    *,
    expected: str,
    actual: str,
    why: str,
    remedy: str,
    source: str,
    severity: Severity = Severity.OBSERVE,
    yardstick: str = "floor",
) -> Verdict:
    name = evidence.node.name
    return Verdict(
        name, part, Status.WARN, expected, actual, why, remedy, severity, source, yardstick
    )


def failing(
    evidence: Evidence,
    part: str,
    *,
    expected: str,
    actual: str,
    why: str,
    remedy: str,
    source: str,
    severity: Severity,
    yardstick: str = "floor",
) -> Verdict:
    name = evidence.node.name
    return Verdict(
        name, part, Status.FAIL, expected, actual, why, remedy, severity, source, yardstick
    )


def unknown(
    evidence: Evidence,
    part: str,
    why: str,
    *,
    expected: str = "",
    actual: str = "",
    remedy: str = "",
    source: str = "",
) -> Verdict:
    name = evidence.node.name
    return Verdict(
        name,
        part,
        Status.UNKNOWN,
        expected=expected,
        actual=actual,
        why=why,
        remedy=remedy,
        source=source,
    )


def skipping(evidence: Evidence, part: str, why: str) -> Verdict:
    return Verdict(evidence.node.name, part, Status.SKIP, why=why)


SEE_WHY = "see why this source did not tell all; then sweep again"
PEERS_REPORT = "peers of this model report it"


def absent(evidence: Evidence, fact: Fact, field: str) -> Verdict:
    """The verdict on a field that is None.

    UNKNOWN where a peer of the same model reports it (`Evidence.reported`), else SKIP.
    """
    words = field.replace("_", " ")
    if (type(fact).__name__, model_of(fact), field) in evidence.reported:
        return unknown(
            evidence,
            part_of(fact),
            PEERS_REPORT,
            expected=words,
            actual="not reported",
            remedy="ask the tool by hand; a sensor that went silent is a finding of its own",
        )
    return skipping(evidence, part_of(fact), f"{words} is not reported by this model")


def model_of(fact: Fact) -> str:
    """What tells one make from another: `model`, else `driver` (ports), else nothing.

    An accelerator in MIG mode reports less than it would as a whole: it is another make.
    """
    make = str(getattr(fact, "model", None) or getattr(fact, "driver", None) or "")
    return f"{make} in MIG mode" if getattr(fact, "mig", None) is True else make


def part_of(fact: Fact) -> str:
    return str(getattr(fact, "part", ""))


def facts_of(evidence: Evidence, kind: type[T]) -> list[T]:
    return [fact for fact in evidence.facts if isinstance(fact, kind)]


def before(evidence: Evidence, kind: type[T]) -> dict[str, T]:
    """The earlier reading of each part."""
    return {str(getattr(f, "part", "")): f for f in evidence.earlier if isinstance(f, kind)}


def hidden(evidence: Evidence, kind: type[Fact], part: str = "") -> str:
    """Why something of this kind, or this part that peers have, may be there and was not seen.

    Empty: whatever is not among the facts is not there.
    """
    gaps = evidence.gaps.get(kind, ())
    return next((gap.why for gap in gaps if not part or gap.hides(part)), "")


def settled(aspects: Iterable[Verdict]) -> Iterator[Verdict]:
    """Of all that was asked about a part: every fault and every gap, else one PASS, else one SKIP.

    So a part that passes one question and leaves another open is never reported as healthy.
    """
    by_part: dict[str, list[Verdict]] = {}
    for verdict in aspects:
        by_part.setdefault(verdict.part, []).append(verdict)
    for verdicts in by_part.values():
        open_ones = [v for v in verdicts if v.status not in (Status.PASS, Status.SKIP)]
        passes = [v for v in verdicts if v.status is Status.PASS]
        yield from dict.fromkeys(one_gap(open_ones)) or passes[:1] or verdicts[:1]


def one_gap(verdicts: list[Verdict]) -> list[Verdict]:
    """Several values that a part does not report are one gap, not a line each."""
    gaps = [verdict for verdict in verdicts if verdict.why == PEERS_REPORT]
    if len(gaps) < 2:
        return verdicts
    others = [verdict for verdict in verdicts if verdict.why != PEERS_REPORT]
    return [*others, replace(gaps[0], expected=", ".join(gap.expected for gap in gaps))]


def number_in(limit: Limit) -> float:
    """Raises UserError where a limit that must be a number is not one."""
    value = limit.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise UserError(f"a limit must be a number here, not {value!r} ({limit.source})")
    return value


def threshold(evidence: Evidence, name: str) -> float:
    return number_in(evidence.limits[name])


def source_of(evidence: Evidence, name: str) -> str:
    return evidence.limits[name].source


def words_in(evidence: Evidence, name: str) -> tuple[str, ...]:
    value = evidence.limits[name].value
    return value if isinstance(value, tuple) else (str(value),) if value else ()


def make(evidence: Evidence) -> str:
    """Which nodes are peers: the `sku` label, else what accelerators, else what CPU they have."""
    if sku := evidence.node.labels.get("sku"):
        return sku
    models = {card.model for card in facts_of(evidence, Accelerator) if card.model}
    models = models or {cpu.model for cpu in facts_of(evidence, Cpu) if cpu.model}
    return " + ".join(sorted(models))

"""Is a device too hot, or hotter than its peers at the same work?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from clusterctl.model import Accelerator, Check, Evidence, Limit, Severity, Verdict
from clusterctl.peers import SIGMA_PER_MAD, Crowd, crowd, excess
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

COOL = "look at fans, coolant, air flow and the card's heat sink"


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A temperature at which to say something, and who says so."""

    value_c: float
    source: str


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    loaded: dict[str, list[float]] = {}
    for evidence in fleet:
        for card in facts_of(evidence, Accelerator):
            if card.temp_c is not None and busy(evidence, card):
                loaded.setdefault(card.model, []).append(card.temp_c)
    crowds = {model: whole_degrees(crowd(values)) for model, values in loaded.items()}
    for evidence in fleet:
        for card in facts_of(evidence, Accelerator):
            peers = crowds.get(card.model) if busy(evidence, card) else None
            yield from settled(
                (core(evidence, card), memory(evidence, card), *apart(evidence, card, peers))
            )


def whole_degrees(found: Crowd | None) -> Crowd | None:
    """Tools tell whole degrees, so a median deviation of 1 may be 1.5: half as much again."""
    return found and replace(found, sigma=found.sigma + SIGMA_PER_MAD / 2)


def busy(evidence: Evidence, card: Accelerator) -> bool:
    used = card.utilisation_percent
    return used is not None and used >= threshold(evidence, "busy_percent")


def core(evidence: Evidence, card: Accelerator) -> Verdict:
    if card.temp_c is None:
        return absent(evidence, card, "temp_c")
    hot = Ceiling(threshold(evidence, "core_fail_c"), source_of(evidence, "core_fail_c"))
    if card.temp_slowdown_c is not None and card.temp_slowdown_c > 0:
        hot = Ceiling(card.temp_slowdown_c, "the device's own slowdown temperature")
    warm = Ceiling(threshold(evidence, "core_warn_c"), source_of(evidence, "core_warn_c"))
    return within(evidence, card.part, card.temp_c, hot=hot, warm=warm)


def memory(evidence: Evidence, card: Accelerator) -> Verdict:
    if card.temp_memory_c is None:
        return absent(evidence, card, "temp_memory_c")
    hot = Ceiling(threshold(evidence, "memory_c"), source_of(evidence, "memory_c"))
    if card.temp_memory_max_c is not None and card.temp_memory_max_c > 0:
        hot = Ceiling(card.temp_memory_max_c, "the device's own memory limit")
    return within(evidence, card.part, card.temp_memory_c, hot=hot, what="memory ")


def within(
    evidence: Evidence,
    part: str,
    now_c: float,
    *,
    hot: Ceiling,
    warm: Ceiling | None = None,
    what: str = "",
) -> Verdict:
    actual = f"{what}{now_c:g} °C"
    if now_c >= hot.value_c:
        return failing(
            evidence,
            part,
            expected=f"{what}< {hot.value_c:g} °C",
            actual=actual,
            why="so hot that it slows down",
            remedy=COOL,
            severity=Severity.ISOLATE,
            source=hot.source,
        )
    if warm and now_c > warm.value_c:
        return warning(
            evidence,
            part,
            expected=f"{what}≤ {warm.value_c:g} °C",
            actual=actual,
            why="close to the temperature where it slows down",
            remedy=COOL,
            source=warm.source,
        )
    return passing(
        evidence,
        part,
        actual,
        expected=f"< {hot.value_c:g} °C",
        source=hot.source,
        yardstick="floor",
    )


def apart(evidence: Evidence, card: Accelerator, peers: Crowd | None) -> Iterator[Verdict]:
    """Compared under load only: idle cards differ by where they sit, and that harms nobody."""
    if peers is None or card.temp_c is None:
        return
    above = excess(card.temp_c, peers, sigmas=threshold(evidence, "sigmas"))
    if above > threshold(evidence, "apart_c"):
        yield warning(
            evidence,
            card.part,
            expected=f"about {peers.middle:g} °C as {peers.count} loaded peers",
            actual=f"{card.temp_c:g} °C",
            why=f"{above:g} °C hotter than its peers at work",
            remedy=COOL,
            source=source_of(evidence, "apart_c"),
            yardstick="peers",
        )


CHECKS = (
    Check(
        name="temperature",
        asks="Is a device's core or memory too hot, or hotter than its peers at work?",
        wants=(Accelerator,),
        judge=judge,
        scope="fleet",
        limits={
            "core_warn_c": Limit(84, "gcm check_nvidia_smi example", "air-cooled data-centre GPUs"),
            "core_fail_c": Limit(90, "bee: critical above 90 °C", "where the device names none"),
            "memory_c": Limit(
                95,
                "manishklach.github.io: HBM throttles at about 95 °C while the core reads 60 °C",
                "where the device names none",
            ),
            "busy_percent": Limit(50, "clusterctl: half busy counts as loaded"),
            "apart_c": Limit(
                5, "d-robotics: spread within a node at most 5 °C", "between loaded devices"
            ),
            "sigmas": Limit(5, "clusterctl: five robust standard deviations"),
        },
    ),
)

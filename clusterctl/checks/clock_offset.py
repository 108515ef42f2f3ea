"""Does the node know what time it is?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import Check, Clock, Evidence, Limit, Severity, Verdict
from clusterctl.verdicts import (
    facts_of,
    failing,
    passing,
    skipping,
    source_of,
    threshold,
    unknown,
    warning,
)

REMEDY = "start chrony or ntpd and see that it reaches its time servers"


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        clocks = sorted(facts_of(evidence, Clock), key=trust)
        for rank, clock in enumerate(clocks):
            if rank:
                yield skipping(evidence, clock.part, f"{clocks[0].part} is believed here")
            else:
                yield told(evidence, clock)


def trust(clock: Clock) -> tuple[bool, bool, bool]:
    """Best first: synchronised, with an offset, from a daemon.

    The kernel's own flag comes last: chrony without `rtcsync` never sets it.
    """
    return (not clock.synchronised, clock.offset_s is None, clock.part == "timex")


def told(evidence: Evidence, clock: Clock) -> Verdict:
    if clock.synchronised is None:
        return unknown(
            evidence,
            clock.part,
            "it does not say whether it is synchronised",
            expected="synchronised",
            remedy=REMEDY,
        )
    if not clock.synchronised:
        return warning(
            evidence,
            clock.part,
            expected="synchronised",
            actual="not synchronised",
            why="nothing keeps this clock right, and nobody knows how wrong it is",
            remedy=REMEDY,
            source="chronyc, ntpq and adjtimex(2): leap status",
        )
    if clock.offset_s is None:
        return passing(evidence, clock.part, "synchronised", expected="synchronised")
    return off_by(evidence, clock.part, abs(clock.offset_s))


def off_by(evidence: Evidence, part: str, offset_s: float) -> Verdict:
    actual = f"{offset_s * 1e3:.3g} ms off"
    for name, said in (("fail_s", failing), ("warn_s", warning)):
        limit = threshold(evidence, name)
        if offset_s > limit:
            return said(
                evidence,
                part,
                expected=f"≤ {limit * 1e3:g} ms off",
                actual=actual,
                why="its logs cannot be lined up with other nodes'",
                remedy=REMEDY,
                severity=Severity.ISOLATE if name == "fail_s" else Severity.OBSERVE,
                source=source_of(evidence, name),
            )
    limit = threshold(evidence, "warn_s")
    return passing(evidence, part, actual, expected=f"≤ {limit * 1e3:g} ms", yardstick="floor")


CHECKS = (
    Check(
        name="clock_offset",
        asks="Is the clock synchronised, and how far off?",
        wants=(Clock,),
        judge=judge,
        limits={
            "warn_s": Limit(0.128, "RFC 5905: ntpd steps the clock from 128 ms on"),
            "fail_s": Limit(1.0, "clusterctl: kernel logs are lined up by the second"),
        },
    ),
)

"""Did a part compute wrong results under load?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import Burn, Check, Evidence, Limit, Severity, Verdict
from clusterctl.verdicts import (
    facts_of,
    failing,
    passing,
    settled,
    skipping,
    source_of,
    threshold,
    unknown,
)


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        yield from settled(
            verdict
            for burn in facts_of(evidence, Burn)
            for verdict in (results(evidence, burn), worked(evidence, burn), loaded(evidence, burn))
        )


def results(evidence: Evidence, burn: Burn) -> Verdict:
    if burn.errors is None:
        return unknown(
            evidence,
            burn.part,
            f"{burn.engine} did not check its results",
            expected="0 wrong results",
            actual="not checked",
            remedy="use an engine that checks, or do not call this part tested",
        )
    limit = threshold(evidence, "errors")
    if burn.errors > limit:
        return failing(
            evidence,
            burn.part,
            expected=f"≤ {limit:g} wrong results",
            actual=str(burn.errors),
            why=f"wrong results under load ({burn.engine}) {burn.detail}".strip(),
            remedy="isolate the node; run it once more alone, then return the part",
            severity=Severity.ISOLATE,
            source=source_of(evidence, "errors"),
        )
    return passing(evidence, burn.part, f"0 wrong in {burn.seconds:.0f} s", expected="0 wrong")


def worked(evidence: Evidence, burn: Burn) -> Verdict:
    """No wrong result means nothing where nothing was computed (gpu-burn #123: 0 Gflop/s, OK)."""
    if burn.rate is None and burn.amount is None:
        return unknown(
            evidence,
            burn.part,
            f"{burn.engine} does not say that it computed anything",
            expected="> 0",
            actual="no amount",
            remedy="run the engine by hand and look at what it prints",
        )
    if burn.rate == 0 or burn.amount == 0 or burn.covered == 0:
        return failing(
            evidence,
            burn.part,
            expected="> 0",
            actual=f"0 {burn.rate_unit or burn.unit}".strip(),
            why=f"{burn.engine} ran and nothing was computed",
            remedy="run the engine by hand; see the kernel log",
            severity=Severity.ISOLATE,
            source="gpu-burn #123: 0 Gflop/s passed as OK",
        )
    return passing(evidence, burn.part, "it worked")


def loaded(evidence: Evidence, burn: Burn) -> Verdict:
    """What was not loaded was not tested, however well the rest did."""
    if burn.asked is None:
        return skipping(evidence, burn.part, f"{burn.engine} was not told how much to load")
    expected = f"{100 * burn.asked:.3g} % loaded"
    if burn.covered is None:
        return unknown(
            evidence,
            burn.part,
            f"{burn.engine} does not say how much it loaded",
            expected=expected,
            actual="not said",
            remedy="burn it again with the built-in engine",
        )
    if burn.covered < burn.asked * threshold(evidence, "covered"):
        return unknown(
            evidence,
            burn.part,
            f"the rest was not tested ({burn.detail})",
            expected=expected,
            actual=f"{100 * burn.covered:.3g} % loaded",
            remedy="see what holds it (jobs, huge pages, offline cores, a full disk), free it and "
            "burn again, or ask for less",
            source=source_of(evidence, "covered"),
        )
    return passing(evidence, burn.part, "all that was asked was loaded", expected=expected)


CHECKS = (
    Check(
        name="burn_errors",
        asks="Did a part compute wrong results, or nothing, or only in part, under load?",
        wants=(Burn,),
        judge=judge,
        limits={
            "errors": Limit(0, "a computer computes the same every time"),
            "covered": Limit(0.95, "clusterctl: of what was asked, but for rounding"),
        },
    ),
)

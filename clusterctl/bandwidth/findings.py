"""What the paths say of their parts: suspects fail, what is not clear is unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from clusterctl.bandwidth.paths import Row, measured
from clusterctl.localise.columns import MISSING, Topology
from clusterctl.localise.located import Floor, Located
from clusterctl.localise.muddle import PASSING, WELL_BELOW, muddle
from clusterctl.model import Finding, Severity, Status, Verdict

CHECK = "paths"
SOURCE = "rate of a path = min over the parts it crosses (NetBouncer, 007: flows over known paths)"


def floors(gbit_s: float | None) -> list[Floor]:
    return [] if gbit_s is None else [Floor(gbit_s, "--floor, of the operator")]


def findings(located: Located, rows: Sequence[Row], topology: Topology) -> list[Finding]:
    """Suspects fail, also those that belong to no node; what is not clear is unknown."""
    found = [
        *(*suspected(located), *doubted(located), *shared(located)),
        *muddled(located, rows, topology),
    ]
    blamed = {one.verdict.node for one in found}
    return [*found, *nodes_told(rows, topology, blamed)]


def nodes_told(
    rows: Sequence[Row], topology: Topology, blamed: AbstractSet[str]
) -> Iterator[Finding]:
    """Of every node that nothing else was said of: cleared by its rates, or not measured."""
    heard: dict[int, list[float]] = {}
    whys: dict[int, str] = {}
    lost: dict[int, list[str]] = {}
    tests: Counter[int] = Counter()
    for row in rows:
        for end in (row.src, row.dst):
            tests[end] += 1
            if row.gbit_s is not None:
                heard.setdefault(end, []).append(row.gbit_s)
            else:
                whys.setdefault(end, row.why)
            if row.status == MISSING and silent(topology.nodes[end], row):
                lost.setdefault(end, []).append(row.why)
    for at, name in enumerate(topology.nodes):
        if at not in heard:
            why = whys.get(at, "it had no partner in any round")
            yield Finding(CHECK, unmeasured(name, why))
        elif name not in blamed and at in lost:
            yield Finding(CHECK, broke_off(name, lost[at], tests[at]))
        elif name not in blamed:
            yield Finding(CHECK, cleared(name, heard[at]))


def gave_out(rows: Sequence[Row], names: Sequence[str]) -> set[int]:
    """Nodes for want of which a test did not run: what they gave before clears none of them."""
    lost = [row for row in rows if row.status == MISSING]
    return {end for row in lost for end in (row.src, row.dst) if silent(names[end], row)}


def silent(name: str, row: Row) -> bool:
    """Whether a test was not run for want of this node, and not of its partner."""
    return any(why.startswith(f"{name}: ") for why in row.why.split("; "))


def muddled(located: Located, rows: Sequence[Row], topology: Topology) -> Iterator[Finding]:
    """Passing trouble holds up a few tests; where it is many, nobody was cleared by the rest."""
    found = muddle(located.suspects, topology, measured(rows))
    if found is None:
        return
    yield Finding(
        CHECK,
        Verdict(
            "all paths",
            "paths",
            Status.UNKNOWN,
            expected=f"≤ {PASSING:.0%} of tests {WELL_BELOW:.0%} below their like",
            actual=f"{found.slow} of {found.tried}",
            why=found.why,
            remedy="measure again when the fabric is idle; say via0_addresses, … if spines can be "
            "chosen; more --rounds average it out",
            severity=Severity.OBSERVE,
            source="gpu-fryer: 10 % below peers fails; passing trouble: 1 to 10 % of tests",
            yardstick="peers",
        ),
    )


def node_of(component: str) -> str:
    """The node a component belongs to; else the component itself: fabric has no node."""
    kind, _, rest = component.partition(":")
    return rest.split("/")[0] if kind in {"host", "nic-tx", "nic-rx"} else component


def suspected(located: Located) -> Iterator[Finding]:
    for one in located.suspects:
        yield Finding(
            CHECK,
            Verdict(
                node_of(one.component),
                one.component,
                Status.FAIL,
                expected="100 % of its peers' rate",
                actual=f"{one.rate:.0%} ({one.low:.0%} to {one.high:.0%})",
                why=f"posterior {sure(one.posterior)}: {len(one.evidence_for)} slow tests across "
                f"it, {len(one.evidence_against)} that clear the rest",
                remedy=one.advice,
                severity=Severity.ISOLATE,
                source=SOURCE,
                yardstick="peers",
            ),
        )


def sure(posterior: float) -> str:
    """Never 1: nothing is that sure."""
    return f"{min(posterior, 0.9999):.3f}" if posterior < 0.9995 else "> 0.999"


def doubted(located: Located) -> Iterator[Finding]:
    for one in located.inconclusive:
        yield Finding(
            CHECK,
            Verdict(
                node_of(one.component),
                one.component,
                Status.UNKNOWN,
                expected="a clear answer",
                actual="" if one.posterior is None else f"posterior {sure(one.posterior)}",
                why=one.why,
                remedy="measure again: more rounds, or --confirm",
                severity=Severity.OBSERVE,
                source=SOURCE,
            ),
        )


def shared(located: Located) -> Iterator[Finding]:
    for one in located.population:
        expected = one.expected_gbit_s
        yield Finding(
            CHECK,
            Verdict(
                f"all of {one.where}",
                "paths",
                Status.FAIL,
                expected="" if expected is None else f"≥ {expected:.4g} Gbit/s",
                actual=f"{one.gbit_s:.4g} Gbit/s",
                why=one.why,
                remedy="one cause for all: configuration, driver, cabling or the engine; "
                "not so many broken parts",
                severity=Severity.OBSERVE,
                source=one.source,
                yardstick="floor",
            ),
        )


def cleared(name: str, rates: Sequence[float]) -> Verdict:
    return Verdict(
        name,
        "paths",
        Status.PASS,
        actual=f"{min(rates):.4g} to {max(rates):.4g} Gbit/s over {len(rates)} paths",
        source=SOURCE,
        yardstick="peers",
    )


def unmeasured(name: str, why: str) -> Verdict:
    return Verdict(
        name,
        "paths",
        Status.UNKNOWN,
        expected="a rate on at least one path",
        actual="none",
        why=why,
        remedy="see why, and measure again",
        severity=Severity.OBSERVE,
        source="what was not measured is not healthy",
    )


def broke_off(name: str, whys: Sequence[str], tests: int) -> Verdict:
    """It gave rates, and then was not there any more: what load does to a bad node."""
    return Verdict(
        name,
        "paths",
        Status.UNKNOWN,
        expected="every one of its tests to run",
        actual=f"{len(whys)} of {tests} did not run",
        why=whys[0],
        remedy="see why, and measure again",
        severity=Severity.OBSERVE,
        source="what was not measured is not healthy",
    )

"""One word a node, whoever gave it: a sweep's status or a burn-in's decision."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clusterctl.acceptance import Decision, Outcome
from clusterctl.model import Finding, Run, Status
from clusterctl.report.accounts import Accounts

KINDS = {
    Decision.ACCEPT: "pass",
    Decision.INCOMPLETE: "unknown",
    Decision.QUARANTINE: "fail",
    Decision.RETURN: "return",
}
GRAVEST_FIRST = ("return", "fail", "unknown", "warn", "pass")


@dataclass(frozen=True, slots=True)
class Standing:
    """`kind`: a glyph's name.  `good`: nothing stands against handing the node over."""

    node: str
    word: str
    kind: str
    rule: str
    source: str
    evidence: tuple[Finding, ...] = ()

    @property
    def good(self) -> bool:
        return self.kind in {"pass", "warn"}


def decided(outcomes: Iterable[Outcome], accounts: Accounts) -> list[Standing]:
    """After a burn.  What was accepted in spite of a warning says so."""
    found = []
    for one in outcomes:
        warned = one.decision is Decision.ACCEPT and accounts.nodes[one.node] is Status.WARN
        word = f"{one.decision} with warnings" if warned else str(one.decision)
        kind = "warn" if warned else KINDS[one.decision]
        source = "warnings and nothing graver: see the findings" if warned else one.source
        found.append(Standing(one.node, word, kind, one.rule, source, one.evidence))
    return found


def looked_at(run: Run, accounts: Accounts) -> list[Standing]:
    """After a sweep, which accepts nothing: the worst that was found."""
    against: defaultdict[str, list[Finding]] = defaultdict(list)
    for one in run.findings:
        if one.verdict.status is accounts.nodes.get(one.verdict.node):
            against[one.verdict.node].append(one)
    return [
        Standing(
            node,
            status.upper(),
            str(status),
            "the worst of its findings",
            "",
            () if status is Status.PASS else tuple(against[node]),
        )
        for node, status in accounts.nodes.items()
    ]


BURNT = re.compile(r"([0-9.e+]+) h burnt")  # as campaign/verdict.py says it


def burnt_h(run: Run) -> dict[str, float]:
    """Hours under load by node, of a campaign; empty for any other run."""
    said = [(one, BURNT.fullmatch(one.verdict.actual)) for one in run.findings
            if one.check == "burnt_time"]  # fmt: skip
    return {one.verdict.node: float(hours[1]) for one, hours in said if hours}


@dataclass(frozen=True, slots=True)
class Tally:
    """Nodes of one word and one rule."""

    word: str
    kind: str
    rule: str
    source: str
    nodes: tuple[str, ...]


def tallied(standings: Sequence[Standing]) -> list[Tally]:
    """Gravest first."""
    alike: defaultdict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for one in standings:
        alike[one.word, one.kind, one.rule, one.source].append(one.node)
    found = [Tally(*key, tuple(nodes)) for key, nodes in alike.items()]
    return sorted(found, key=lambda one: (GRAVEST_FIRST.index(one.kind), one.rule))


def words(standings: Sequence[Standing]) -> list[tuple[str, str, int]]:
    """(word, kind, how many nodes), gravest first; the counts add up to all nodes."""
    counted = Counter((one.word, one.kind) for one in standings)
    return sorted(
        ((word, kind, count) for (word, kind), count in counted.items()),
        key=lambda one: GRAVEST_FIRST.index(one[1]),
    )

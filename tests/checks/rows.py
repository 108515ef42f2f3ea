"""One row of a check's table: facts in, statuses out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clusterctl.model import Evidence, Fact, Gap, Kind, Limit, Node, Trouble, Verdict


@dataclass(frozen=True)
class Row:
    """`expect`: the worst status of each part ("part", or "node part" in a fleet).

    Parts not named there must be PASS or SKIP.  `says`: words that some verdict must hold.
    `gaps`: by node, the source of a kind that did not tell all.
    """

    claim: str
    nodes: Mapping[str, Sequence[Fact]]
    expect: Mapping[str, str]
    earlier: Sequence[Fact] = ()
    seconds: float | None = 3600.0
    same_boot: bool = True
    limits: Mapping[str, object] = field(default_factory=dict)
    reported: frozenset[tuple[str, str, str]] = frozenset()
    says: str = ""
    sku: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    gaps: Mapping[str, Mapping[type[Fact], Gap]] = field(default_factory=dict)

    def evidence(self, declared: Mapping[str, Limit]) -> list[Evidence]:
        over = {name: Limit(value, "this row") for name, value in self.limits.items()}
        return [
            Evidence(
                Node(name, labels={**self.labels, **({"sku": self.sku} if self.sku else {})}),
                tuple(facts),
                limits={**declared, **over},
                earlier=tuple(self.earlier),
                seconds=self.seconds,
                same_boot=self.same_boot,
                reported=self.reported,
                gaps={kind: (gap,) for kind, gap in self.gaps.get(name, {}).items()},
            )
            for name, facts in self.nodes.items()
        ]


def gap(*elsewhere: str, part: str = "", kind: Kind = Kind.TIMEOUT) -> Gap:
    """A source that tells of these parts elsewhere, and did not answer here."""
    return Gap("a probe", Trouble(kind, "no answer in 20 s", part), frozenset(elsewhere))


def row(claim: str, *facts: Fact, expect: Mapping[str, str], **rest: object) -> Row:
    return Row(claim, {"n1": facts}, expect, **rest)


WORST = ("fail", "warn", "unknown", "pass", "skip")


def worst(verdicts: Sequence[Verdict], *, by_node: bool) -> dict[str, str]:
    found: dict[str, str] = {}
    for verdict in verdicts:
        key = f"{verdict.node} {verdict.part}" if by_node else verdict.part
        found[key] = min(found.get(key, "skip"), str(verdict.status), key=WORST.index)
    return found

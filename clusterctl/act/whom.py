"""Findings -> the nodes that should go, and why the other bad ones stay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from clusterctl.act.deed import BY_HAND, Wanted
from clusterctl.model import Act, Finding, Node, Run, Severity, Status
from clusterctl.shared import fault

SEVERITIES = list(Severity)
PEERS = "peers"

Silenced = Callable[[Finding], str]  # who silenced it and why; empty: nobody


@dataclass(frozen=True, slots=True)
class Spared:
    """A node with something wrong that is not taken out for it."""

    node: str
    check: str
    why: str


def called(node: Node, label: str) -> str:
    """Its name in the scheduler: a label of the inventory, else its own."""
    return node.labels.get(label) or node.name


def whom(
    run: Run, act: Act, *, label: str, silenced: Silenced, now: datetime
) -> tuple[list[Wanted], list[Spared]]:
    """The gravest finding that counts, a node; of the others why none of theirs does."""
    nodes = {node.name: node for node in run.nodes}
    wanted: list[Wanted] = []
    spared: list[Spared] = []
    for name, findings in bad(run.findings).items():
        reasons = [(one, stays(one, run, act, silenced, now)) for one in findings]
        if name not in nodes:
            reasons = [(one, why or "one finding about several nodes") for one, why in reasons]
        counting = [one for one, why in reasons if not why]
        if counting:
            node = nodes[name]
            wanted.append(of_findings(node, called(node, label), counting, run.id))
        else:
            one, why = max(reasons, key=lambda pair: rank(pair[0]))
            spared.append(Spared(name, one.check, why))
    return wanted, spared


def bad(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    by_node: defaultdict[str, list[Finding]] = defaultdict(list)
    for one in findings:
        if one.verdict.status in {Status.FAIL, Status.UNKNOWN}:
            by_node[one.verdict.node].append(one)
    return by_node


def rank(finding: Finding) -> int:
    """A fault before what was not seen, grave before mild."""
    failed = finding.verdict.status is Status.FAIL
    return len(SEVERITIES) * failed + SEVERITIES.index(finding.verdict.severity)


def stays(finding: Finding, run: Run, act: Act, silenced: Silenced, now: datetime) -> str:
    """Why this finding takes no node out; empty: it does."""
    verdict = finding.verdict
    who = silenced(finding)
    old = now - run.finished > timedelta(hours=act.oldest_h)
    reasons = (
        (verdict.status is not Status.FAIL, "unknown: what was not seen is no fault"),
        (finding.shared, f"explained by {finding.shared}: mend what is shared"),
        (
            verdict.severity not in act.drain_on,
            f"severity {verdict.severity}: drains on {', '.join(act.drain_on)}",
        ),
        (finding.check in act.never, "act: never names this check"),
        (
            verdict.yardstick == PEERS and not act.peers_alone,
            "only its peers speak against it: act: peers_alone: true would drain",
        ),
        (who, f"acknowledged: {who}"),
        (old, f"found {run.finished:%Y-%m-%d %H:%M}, over {act.oldest_h:g} h ago: sweep again"),
    )
    return next((why for met, why in reasons if met), "")


def of_findings(node: Node, name: str, counting: Sequence[Finding], run_id: str) -> Wanted:
    finding = max(counting, key=rank)
    verdict = finding.verdict
    expected = f" (expected {verdict.expected})" if verdict.expected else ""
    short = f"{verdict.part} {verdict.actual or verdict.why}{expected}"
    return Wanted(
        node.name, name, run_id, finding.check, short,
        finding=finding, fault=alike(finding), beside=frozenset(map(alike, counting)),
        rank=rank(finding),
    )  # fmt: skip


def alike(finding: Finding) -> str:
    same = fault(finding.check, finding.verdict)
    return f"{same.check} {same.kin} {same.gist}"


def by_hand(nodes: Sequence[Node], label: str, who: str, why: str) -> Iterator[Wanted]:
    """What an operator names; graver than any finding, for somebody has looked."""
    for node in nodes:
        yield Wanted(node.name, called(node, label), BY_HAND, who, why, rank=1000)

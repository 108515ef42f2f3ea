"""The same fault on many parts or nodes at once is one finding about what they share."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from clusterctl.model import Finding, Node, Severity, Status, Verdict

BAD = (Status.FAIL, Status.UNKNOWN)
AT_LEAST_PARTS = 4  # half of the usual eight; fewer may be two faults
AT_LEAST_NODES = 3  # two nodes may break together by chance; a shelf or a switch takes more
SHARE = 0.8  # of the nodes behind the shared thing
ELSEWHERE = 0.2  # at most this share of the others fails the same check
# Ascend's device plugin counts one fault on several chips of a job within 30 s as not the chips'
# (peers.md 1.18); a label says what nodes share where no clock does.
SOURCE = "one fault on ≥ 80 % of what shares a label and ≤ 20 % elsewhere is about what is shared"


def explain_shared(findings: list[Finding], nodes: Sequence[Node]) -> list[Finding]:
    """The findings, the explained ones marked, and one more for each thing shared."""
    return about_labels(about_nodes(findings), nodes)


def about_nodes(findings: list[Finding]) -> list[Finding]:
    """Nearly all parts of one kind in a node: one finding about the node's like parts."""
    alike: defaultdict[tuple[str, str, str], list[Verdict]] = defaultdict(list)
    for finding in findings:
        alike[kin(finding)].append(finding.verdict)
    explained: dict[tuple[tuple[str, str, str], Status], str] = {}
    extra = []
    for (check, node, stem), verdicts in alike.items():
        for status in BAD:
            hit = [verdict for verdict in verdicts if verdict.status is status]
            if len(hit) < AT_LEAST_PARTS or len(hit) < SHARE * len(verdicts):
                continue
            label = f"{node}: {len(hit)} of {len(verdicts)} parts"
            explained[(check, node, stem), status] = label
            extra.append(Finding(check, about_parts(hit, len(verdicts))))
    marked = [
        finding
        if finding.shared
        else replace(finding, shared=explained.get((kin(finding), finding.verdict.status), ""))
        for finding in findings
    ]
    return marked + extra


def kin(finding: Finding) -> tuple[str, str, str]:
    """Check, node, and the part without its numbers: gpu0 and gpu7 are kin."""
    verdict = finding.verdict
    return finding.check, verdict.node, re.sub(r"\d+", "#", verdict.part)


def about_parts(hit: Sequence[Verdict], total: int) -> Verdict:
    worst = max(hit, key=lambda verdict: list(Severity).index(verdict.severity))
    actual = sorted({verdict.actual for verdict in hit})
    return replace(
        worst,
        part=" ".join(verdict.part for verdict in hit),
        actual=" … ".join(dict.fromkeys((actual[0], actual[-1]))),
        why=f"{len(hit)} of {total} at once: {worst.why}".rstrip(": "),
        remedy=f"look at what they share (cooling, power, driver) first; then: {worst.remedy}",
        source=f"{worst.source}; {SOURCE}",
    )


def about_labels(findings: list[Finding], nodes: Sequence[Node]) -> list[Finding]:
    bad: defaultdict[tuple[str, Status], dict[str, Verdict]] = defaultdict(dict)
    for finding in findings:
        verdict = finding.verdict
        if verdict.status in BAD and not finding.shared:
            bad[finding.check, verdict.status].setdefault(verdict.node, verdict)
    groups = labelled(nodes)
    explained: dict[tuple[str, Status, str], str] = {}
    extra = []
    for (check, status), verdicts in bad.items():
        for label, members in common(groups, set(verdicts), len(nodes)):
            hit = [name for name in members if name in verdicts]
            fresh = [name for name in hit if (check, status, name) not in explained]
            if len(fresh) < AT_LEAST_NODES:
                continue
            explained.update({(check, status, name): label for name in fresh})
            share = f"{len(hit)} of {len(members)} nodes of {label} at once"
            extra.append(Finding(check, about(verdicts[fresh[0]], label, hit, share)))
    return [mark(finding, explained) for finding in findings] + extra


def labelled(nodes: Sequence[Node]) -> dict[str, list[str]]:
    """Node names by "key=value", for labels that part the fleet, and "all nodes"."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for node in nodes:
        for key, values in node.labels.items():
            for value in values.split(","):  # a node may be in many groups
                groups[f"{key}={value}"].append(node.name)
    return {"all nodes": [node.name for node in nodes]} | {
        label: members for label, members in groups.items() if len(members) < len(nodes)
    }


def common(
    groups: Mapping[str, list[str]], bad: set[str], total: int
) -> Iterator[tuple[str, list[str]]]:
    """The widest groups first in which nearly all are bad while nearly no others are."""
    for label, members in sorted(groups.items(), key=lambda item: -len(item[1])):
        inside = sum(name in bad for name in members)
        outside, others = len(bad) - inside, total - len(members)
        if len(members) < AT_LEAST_NODES or inside < SHARE * len(members):
            continue
        if outside <= ELSEWHERE * others:
            yield label, members


def about(sample: Verdict, label: str, hit: Sequence[str], share: str) -> Verdict:
    return replace(
        sample,
        node=",".join(hit),
        part=label,
        why=f"{share}: {sample.why}".rstrip(": "),
        remedy=f"look at what {label} shares (power, switch, image) first; then: {sample.remedy}",
        source=f"{sample.source}; {SOURCE}",
    )


def mark(finding: Finding, explained: Mapping[tuple[str, Status, str], str]) -> Finding:
    label = explained.get((finding.check, finding.verdict.status, finding.verdict.node))
    return replace(finding, shared=label) if label and not finding.shared else finding

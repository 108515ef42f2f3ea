"""The same fault on many parts or nodes at once is one finding about what they share."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from clusterctl.model import Finding, Node, Severity, Status, Verdict

BAD = (Status.FAIL, Status.UNKNOWN)
TOLD = (*BAD, Status.WARN)
GRAVEST = {Status.WARN: 0, Status.UNKNOWN: 1, Status.FAIL: 2}
# Checks that ask who has another value: the same other value on many nodes is one difference.
BY_VALUE = frozenset({"drift"})
ALL_NODES = "all nodes"
AT_LEAST_PARTS = 4  # half of the usual eight; fewer may be two faults
AT_LEAST_NODES = 3  # two nodes may break together by chance; a shelf or a switch takes more
SHARE = 0.8  # of the nodes behind the shared thing
ELSEWHERE = 0.2  # at most this share of the others fails the same check
# Ascend's device plugin counts one fault on several chips of a job within 30 s as not the chips'
# (Ascend/mind-cluster); a label says what nodes share where no clock does.
SOURCE = "one fault on ≥ 80 % of what shares a label and ≤ 20 % elsewhere is about what is shared"


def explain_shared(findings: list[Finding], nodes: Sequence[Node]) -> list[Finding]:
    """The findings, the explained ones marked, and one more for each thing shared."""
    return about_labels(about_values(about_nodes(findings), nodes), nodes)


def about_nodes(findings: list[Finding]) -> list[Finding]:
    """Nearly all parts of one kind in a node: one finding about the node's like parts."""
    troubled = {(f.check, f.verdict.node) for f in findings if f.verdict.status in BAD}
    alike: defaultdict[tuple[str, str, str], list[Verdict]] = defaultdict(list)
    for finding in findings:
        if (finding.check, finding.verdict.node) in troubled and not finding.shared:
            alike[finding.check, finding.verdict.node, kin(finding.verdict)].append(finding.verdict)
    explained: dict[tuple[str, Fault], str] = {}
    extra = []
    for (check, node, _), verdicts in alike.items():
        faults: defaultdict[Fault, list[Verdict]] = defaultdict(list)
        for verdict in verdicts:
            if verdict.status in BAD:
                faults[fault(check, verdict)].append(verdict)
        for same, hit in faults.items():
            if len(hit) < AT_LEAST_PARTS or len(hit) < SHARE * len(verdicts):
                continue
            explained[node, same] = f"{node}: {len(hit)} of {len(verdicts)} parts"
            extra.append(Finding(check, about_parts(hit, len(verdicts))))
    return [mark(finding, explained) for finding in findings] + extra


@dataclass(frozen=True, slots=True)
class Fault:
    """What must be alike for findings to be one: another reason is another fault."""

    check: str
    status: Status
    kin: str
    gist: str


def fault(check: str, verdict: Verdict) -> Fault:
    return Fault(check, verdict.status, kin(verdict), gist(verdict))


def kin(verdict: Verdict) -> str:
    """The part without its numbers: gpu0 and gpu7 are kin."""
    return re.sub(r"\d+", "#", verdict.part)


def gist(verdict: Verdict) -> str:
    """The kind of trouble and the reason up to its first detail: addresses and amounts differ."""
    actual = verdict.actual if verdict.status is Status.UNKNOWN else ""
    return f"{re.sub(r'[0-9]+', '#', actual)}: {re.split(r'[:;(0-9]', verdict.why)[0].strip()}"


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


def about_values(findings: list[Finding], nodes: Sequence[Node]) -> list[Finding]:
    """The same other value on many nodes, as a rollout that is under way leaves it."""
    alike: defaultdict[tuple[str, Verdict], dict[str, int]] = defaultdict(dict)
    for place, finding in enumerate(findings):
        if finding.check in BY_VALUE and finding.verdict.status in TOLD and not finding.shared:
            anywhere = replace(finding.verdict, node="")
            alike[finding.check, anywhere].setdefault(finding.verdict.node, place)
    groups = {label: set(few) for label, few in labelled(nodes).items() if label != ALL_NODES}
    marked, extra = list(findings), []
    for (check, verdict), places in alike.items():
        if len(places) < AT_LEAST_NODES:
            continue
        for place in places.values():
            marked[place] = replace(findings[place], shared=verdict.part)
        where = [label for label, few in groups.items() if few == set(places)]
        why = "; ".join([verdict.why, *(f"they are {label}" for label in where[:1])])
        extra.append(Finding(check, replace(verdict, node=",".join(places), why=why)))
    return marked + extra


def about_labels(findings: list[Finding], nodes: Sequence[Node]) -> list[Finding]:
    bad: defaultdict[Fault, dict[str, Verdict]] = defaultdict(dict)
    for finding in findings:
        verdict = finding.verdict
        if verdict.status in TOLD and not finding.shared and finding.check not in BY_VALUE:
            bad[fault(finding.check, verdict)].setdefault(verdict.node, verdict)
    groups = labelled(nodes)
    parted = {label: members for label, members in groups.items() if label != ALL_NODES}
    explained: dict[tuple[str, Fault], str] = {}
    extra: list[Finding] = []
    for same, verdicts in bad.items():
        # A mild word about everybody is a habit of the fleet; equal lines are folded anyway.
        among = parted if same.status is Status.WARN else groups
        for label, members in common(among, set(verdicts), len(nodes)):
            hit = [name for name in members if name in verdicts]
            fresh = [name for name in hit if (name, same) not in explained]
            if len(fresh) < AT_LEAST_NODES:
                continue
            explained.update({(name, same): label for name in fresh})
            share = f"{len(hit)} of {len(members)} nodes of {label} at once"
            extra.append(Finding(same.check, about(verdicts[fresh[0]], label, hit, share)))
    return [mark(finding, explained) for finding in findings] + one_cause(extra)


def one_cause(extra: Sequence[Finding]) -> list[Finding]:
    """What several checks say of the same nodes by the same label: the gravest speaks for all."""
    by_label: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in extra:
        by_label[finding.verdict.part].append(finding)
    told: list[Finding] = []
    for label, few in by_label.items():
        lead = max(few, key=lambda one: (gravity(one.verdict), one.verdict.node.count(",")))
        hit = set(lead.verdict.node.split(","))
        others = [one for one in few if one is not lead and alike_nodes(one, hit)]
        also = ", ".join(sorted({one.check for one in others} - {lead.check}))
        why = f"{lead.verdict.why}; the same nodes fail {also}" if also else lead.verdict.why
        told.append(replace(lead, verdict=replace(lead.verdict, why=why)))
        told += [
            replace(one, shared=label) if one in others else one for one in few if one is not lead
        ]
    return told


def alike_nodes(one: Finding, hit: set[str]) -> bool:
    names = set(one.verdict.node.split(","))
    return len(names & hit) >= SHARE * len(names)


def gravity(verdict: Verdict) -> tuple[int, int]:
    return GRAVEST[verdict.status], list(Severity).index(verdict.severity)


def labelled(nodes: Sequence[Node]) -> dict[str, list[str]]:
    """Node names by "key=value", for labels that part the fleet, and "all nodes"."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for node in nodes:
        for key, values in node.labels.items():
            for value in values.split(","):  # a node may be in many groups
                groups[f"{key}={value}"].append(node.name)
    return {ALL_NODES: [node.name for node in nodes]} | {
        label: members for label, members in groups.items() if len(members) < len(nodes)
    }


def common(
    groups: Mapping[str, list[str]], bad: set[str], total: int
) -> Iterator[tuple[str, list[str]]]:
    """The widest groups first in which nearly all are bad while nearly no others are."""
    if len(bad) < AT_LEAST_NODES:
        return
    for label, members in sorted(groups.items(), key=lambda item: -len(item[1])):
        inside = sum(name in bad for name in members)
        outside, others = len(bad) - inside, total - len(members)
        if len(members) < AT_LEAST_NODES or inside < SHARE * len(members):
            continue
        if outside <= ELSEWHERE * others:
            yield label, members


def about(sample: Verdict, label: str, hit: Sequence[str], share: str) -> Verdict:
    what = "" if sample.part == "node" else f"{sample.part}: "
    return replace(
        sample,
        node=",".join(hit),
        part=label,
        why=f"{share}: {what}{sample.why}".rstrip(": "),
        remedy=f"look at what {label} shares (power, switch, image) first; then: {sample.remedy}",
        source=f"{sample.source}; {SOURCE}",
    )


def mark(finding: Finding, explained: Mapping[tuple[str, Fault], str]) -> Finding:
    verdict = finding.verdict
    if finding.shared or verdict.status not in TOLD:
        return finding
    label = explained.get((verdict.node, fault(finding.check, verdict)))
    return replace(finding, shared=label) if label else finding

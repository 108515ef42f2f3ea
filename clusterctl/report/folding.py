"""Equal findings of many nodes and parts as one line."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from clusterctl.inventory.ranges import fold
from clusterctl.model import Finding, Severity, Status, Verdict
from clusterctl.sources import NO_CARD, merged

URGENT_FIRST = tuple(reversed(Severity))
NUMBERED = re.compile(r"([a-z][a-z0-9]*_|[a-z_]+)(\d{1,4})((?:/\d+)?)")  # gpu3, mlx5_4/1
NOT_THEIRS = "no accelerator of that vendor on the PCI bus"
ORDER = (Status.FAIL, Status.UNKNOWN, Status.WARN, Status.SKIP, Status.PASS)


@dataclass(frozen=True, slots=True)
class Row:
    """`nodes` and `parts` are folded; `count` is how many nodes; `verdict` is any one of them."""

    check: str
    nodes: str
    parts: str
    count: int
    verdict: Verdict


def to_act_on(findings: Iterable[Finding]) -> Iterator[Finding]:
    """What a person must look at: neither passed, nor skipped, nor explained by another line."""
    for one in findings:
        if one.verdict.status not in {Status.PASS, Status.SKIP} and not one.shared:
            yield one


def rows(findings: Iterable[Finding]) -> list[Row]:
    """Worst first; what differs only by node or part stands on one line."""
    alike: defaultdict[tuple[str, ...], dict[str, dict[str, Verdict]]] = defaultdict(dict)
    for one in findings:
        verdict = one.verdict
        alike[key(one)].setdefault(verdict.node, {})[verdict.part] = verdict
    found: list[Row] = []
    for (check, *_), nodes in alike.items():
        together: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for node, verdicts in nodes.items():
            together[tuple(verdicts)].append(node)
        for parts, names in together.items():
            flat = [name for joined in names for name in joined.split(",")]
            verdict = next(iter(nodes[names[0]].values()))
            flat_parts = [name for joined in parts for name in spread(joined)]
            found.append(Row(check, fold(flat), fold_parts(flat_parts), len(flat), verdict))
    return sorted(found, key=rank)


def spread(part: str) -> list[str]:
    """The parts of a finding about several, as `shared.about_parts` joins them."""
    words = part.split(" ")
    return words if all(NUMBERED.fullmatch(word) for word in words) else [part]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something was not asked: once for each reason and not once for each node."""

    why: str
    nodes: tuple[str, ...]
    checks: str  # folded


def reasons(findings: Iterable[Finding]) -> list[Reason]:
    """Most nodes first."""
    skipped: dict[str, tuple[set[str], set[str]]] = {}
    for one in findings:
        if one.verdict.status is Status.SKIP:
            nodes, checks = skipped.setdefault(one.verdict.why, (set(), set()))
            nodes.add(one.verdict.node)
            checks.add(one.check if one.check != "observed" else one.verdict.part)
    found = [
        Reason(why, tuple(sorted(nodes)), fold_parts(sorted(checks)))
        for why, (nodes, checks) in absent_vendors(skipped).items()
    ]
    return sorted(found, key=lambda one: -len(one.nodes))


Skipped = dict[str, tuple[set[str], set[str]]]  # why -> nodes, checks


def absent_vendors(skipped: Skipped) -> Skipped:
    """With the dozen vendors whose cards are not there as one reason, in a mixed room as well."""
    absent = {why: skipped[why] for why in skipped if NO_CARD.fullmatch(why)}
    if len(absent) < 2:
        return skipped
    everywhere = {frozenset(nodes) for nodes, _ in absent.values()}
    (why,) = merged(absent) if len(everywhere) == 1 else (NOT_THEIRS,)
    nodes = set().union(*(nodes for nodes, _ in absent.values()))
    checks = set().union(*(checks for _, checks in absent.values()))
    rest = {reason: told for reason, told in skipped.items() if reason not in absent}
    return {**rest, why: (nodes, checks)}


def key(one: Finding) -> tuple[str, ...]:
    verdict = one.verdict
    return (
        one.check,
        verdict.status,
        verdict.severity,
        verdict.expected,
        verdict.actual,
        verdict.why,
        verdict.remedy,
    )


def rank(row: Row) -> tuple[int, int, str, str]:
    verdict = row.verdict
    return (
        ORDER.index(verdict.status),
        URGENT_FIRST.index(verdict.severity),
        row.check,
        row.nodes,
    )


def fold_parts(parts: Iterable[str]) -> str:
    """gpu0, gpu1, gpu2 as gpu[0-2]; what does not count up is listed."""
    numbered: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    other = []
    for part in parts:
        found = NUMBERED.fullmatch(part)
        if found:
            numbered[found[1], found[3]].append(int(found[2]))
        else:
            other.append(part)
    folded = [
        f"{head}{spans(sorted(set(numbers)))}{tail}" for (head, tail), numbers in numbered.items()
    ]
    return ", ".join(folded + other)


def spans(numbers: list[int]) -> str:
    """[0, 1, 2, 5] as [0-2,5]; one number stays bare."""
    if len(numbers) == 1:
        return str(numbers[0])
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return "[" + ",".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs) + "]"

"""Accounting for every node and every part: the last line, and the exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

from clusterctl.judge import REACHABLE, by_node
from clusterctl.limits import LABELS, Sku, told
from clusterctl.model import (
    Accelerator,
    Finding,
    Kind,
    Node,
    PcieDevice,
    Run,
    Severity,
    Status,
    Verdict,
)
from clusterctl.sources import Seen, believe, lost

WORST_FIRST = (Status.FAIL, Status.UNKNOWN, Status.WARN, Status.PASS)
EXIT_PASS, EXIT_FAIL, EXIT_USAGE, EXIT_NO_NODE, EXIT_UNKNOWN = 0, 1, 2, 3, 4
EXIT_BUG, EXIT_INTERRUPTED = 70, 130


@dataclass(frozen=True, slots=True)
class Parts:
    """`expected`: as many as the bus, the inventory or the playbook promise; at least `seen`."""

    name: str
    seen: int
    expected: int


@dataclass(frozen=True, slots=True)
class Accounts:
    """`nodes`: the worst status of each.  `findings`: how many of each status.

    `acked`: how many findings somebody knows of; `excused`: the worst status of each node without
    them, where there are any.
    """

    nodes: dict[str, Status]
    answered: int
    findings: Counter[Status]
    parts: tuple[Parts, ...]
    bugs: int
    acked: int = 0
    excused: dict[str, Status] | None = None

    def count(self, status: Status) -> int:
        return sum(found is status for found in self.nodes.values())

    @property
    def exit_code(self) -> int:
        """Exit codes are API: README lists them."""
        if not self.nodes:
            return EXIT_NO_NODE
        if self.bugs:
            return EXIT_BUG
        open_ones = set((self.nodes if self.excused is None else self.excused).values())
        if Status.FAIL in open_ones:
            return EXIT_FAIL
        return EXIT_UNKNOWN if Status.UNKNOWN in open_ones else EXIT_PASS

    @property
    def line(self) -> str:
        """`1019 pass · 2 fail · 3 unknown of 1024 nodes; 8190 of 8192 accelerators seen`."""
        counted = [
            f"{self.count(status)} {status}"
            for status in (Status.PASS, Status.WARN, Status.FAIL, Status.UNKNOWN)
            if self.count(status) or status is Status.PASS
        ]
        seen = [f"{part.seen} of {part.expected} {part.name}" for part in self.parts]
        nodes = "1 node" if len(self.nodes) == 1 else f"{len(self.nodes)} nodes"
        acked = f"; {self.acked} acked" if self.acked else ""
        return f"{' · '.join(counted)} of {nodes}; {', '.join(seen)} seen{acked}"


def account(run: Run, skus: Sequence[Sku] = ()) -> Accounts:
    """`skus`: what an inventory's `sku` label promises; without them no part is by it."""
    names = {node.name for node in run.nodes}
    silent = {
        one.verdict.node
        for one in run.findings
        if one.check == REACHABLE and one.verdict.status is not Status.PASS
    }
    return Accounts(
        nodes=worst(run),
        answered=len(names - silent),
        findings=Counter(one.verdict.status for one in run.findings),
        parts=parts(run, skus),
        bugs=sum(is_bug(one.verdict) for one in run.findings),
    )


def is_bug(verdict: Verdict) -> bool:
    """As judge.bug and judge.troubled say it; a node's own word may be "bug", too.

    What a check itself calls unknown asks nothing of anybody.
    """
    unseen = verdict.status is Status.UNKNOWN and verdict.severity is not Severity.NONE
    return unseen and verdict.actual == Kind.BUG


def excusing(accounts: Accounts, run: Run, others: Sequence[Finding], acked: int) -> Accounts:
    """`others`: the findings of the run that no ack covers; who has none left is excused."""
    told = [one.verdict for one in others if one.verdict.status in WORST_FIRST]
    left = {name for verdict in told for name in verdict.node.split(",")}
    found = worst(replace(run, findings=tuple(others)))
    excused = {name: status if name in left else Status.WARN for name, status in found.items()}
    return replace(accounts, acked=acked, excused=excused)


def worst(run: Run) -> dict[str, Status]:
    """The status of each node; one of which nothing was judged is UNKNOWN, not a pass."""
    found: dict[str, set[Status]] = {node.name: set() for node in run.nodes}
    for finding in run.findings:
        for name in finding.verdict.node.split(","):  # one about many counts for each of them
            if name in found:
                found[name].add(finding.verdict.status)
    return {
        name: next((status for status in WORST_FIRST if status in had), Status.UNKNOWN)
        for name, had in found.items()
    }


def parts(run: Run, skus: Sequence[Sku] = ()) -> tuple[Parts, ...]:
    """Seen by a driver, of those promised; a silent node is promised what most others have."""
    probes = {probe.name: probe for probe in run.playbook.probes}
    seen = by_node(one for one in run.observations if one.probe in probes)
    here: dict[str, int] = {}
    there: dict[str, int] = {}
    silent: set[str] = set()
    for node in run.nodes:
        believed = believe(seen.get(node.name, ()), probes)
        facts = believed.facts((Accelerator, PcieDevice))
        slots = sum(isinstance(fact, PcieDevice) and fact.kind == "accelerator" for fact in facts)
        cards = [fact for fact in facts if isinstance(fact, Accelerator)]
        model = next((card.model for card in cards), "")
        here[node.name] = len({card.part for card in cards})
        there[node.name] = max(here[node.name], slots, promised(run, node, skus, model))
        if lost(seen.get(node.name, ())) or (not facts and unanswered(believed)):
            silent.add(node.name)
    heard = [count for name, count in there.items() if name not in silent]
    usual = Counter(heard).most_common(1)[0][0] if heard else 0
    there |= {name: max(there[name], usual) for name in silent}
    return (Parts("accelerators", sum(here.values()), sum(there.values())),)


def unanswered(believed: Seen) -> bool:
    """Somebody should have told of accelerators and could not."""
    return any(believed.troubles(kind) for kind in (Accelerator, PcieDevice))


def promised(run: Run, node: Node, skus: Sequence[Sku], model: str) -> int:
    """What its check would hold this node to; 0: nothing says how many it should have."""
    check, name = LABELS["accelerators"]
    limit = told(check, run.playbook, skus, node, model).get(name)
    said = limit.value if limit else 0
    # A label that spells no number is told of by those verbs that judge by it.
    return int(said) if isinstance(said, int | float) and isfinite(said) else 0

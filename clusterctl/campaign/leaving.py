"""The verdict of a node that leaves a campaign while others burn on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from clusterctl.acceptance import decide, shipped_rules
from clusterctl.campaign.decisions import Case, Decision
from clusterctl.campaign.early import Bench
from clusterctl.campaign.told import every_node
from clusterctl.campaign.verdict import Told, verdict
from clusterctl.model import Run

PEERS = 16  # that a leaving node is compared with: enough for a median


class Farewells:
    """Owns what the nodes that left last have told: each is read once, and compared with later."""

    def __init__(self) -> None:
        self.told: dict[str, Told] = {}

    def verdict(
        self, case: Case, left: Sequence[Case], opening: Run, by: Bench
    ) -> tuple[Decision, str]:
        """The decision, and what speaks against the node most.  `left`: who is done."""
        beside = {one.node.name: one.node for one in (*left[-PEERS:], case)}
        new = [node for name, node in beside.items() if name not in self.told]
        told = every_node(by.path, by.book, new, by.now)
        self.told |= {one.case.node.name: one for one in told}
        self.told = {name: self.told[name] for name in beside}
        here = replace(opening, nodes=tuple(beside.values()))
        run = verdict(here, self.told.values(), by.skus, by.now)
        found = {one.node: one for one in decide(run, shipped_rules())}[case.node.name]
        why = "".join(f"{one.check}: {one.verdict.actual}" for one in found.evidence[:1])
        return {"do": "verdict", "decision": str(found.decision), "rule": found.rule}, why

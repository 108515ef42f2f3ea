"""What became of nodes in earlier burn-ins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from clusterctl.acceptance import outcome, shipped_rules
from clusterctl.memory.cache import Memory
from clusterctl.memory.digest import FINDING
from clusterctl.model import Finding, Status, Verdict
from clusterctl.store import finding


@dataclass(frozen=True, slots=True)
class Burnt:
    """A node after a burn: ACCEPT, QUARANTINE, … and the rule that decided."""

    node: str
    run: str
    at: datetime
    decision: str
    rule: str

    @property
    def words(self) -> str:
        rule = f" ({self.rule})" if self.rule else ""
        return f"burnt in {self.run}: {self.decision}{rule}"


def burns(remembered: Memory, nodes: Collection[str]) -> Iterator[Burnt]:
    """Of these nodes, oldest first, by the rules of today."""
    rules = shipped_rules()
    nights = {one.id: one for one in remembered.nights if one.verb == "burnin"}
    if not nights:
        return
    remembered = remembered.only(set(nights))
    there = remembered.frame("nodes", ["node"], node=nodes).astype({"run": "str", "node": "str"})
    rows = remembered.frame("bad", FINDING, node=nodes)
    rows = rows.astype(dict.fromkeys((*FINDING, "run"), "str"))
    said: defaultdict[tuple[str, str], list[Finding]] = defaultdict(list)
    for row in rows.to_dict("records"):
        cells = {str(name): str(value) for name, value in row.items()}
        said[cells["run"], cells["node"]].append(finding(cells))
    well = remembered.frame("well", ["node"], node=nodes, status=["pass"])
    for run, node in well[["run", "node"]].drop_duplicates().itertuples(index=False):
        said[run, node].append(Finding("judged", Verdict(node, "node", Status.PASS)))
    for run, node in there[["run", "node"]].itertuples(index=False):
        if run in nights:
            told = outcome(node, said[run, node], rules, {})
            yield Burnt(node, run, nights[run].started, str(told.decision), told.rule)

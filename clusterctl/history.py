"""What earlier burns said of a node or of its parts, and what that demands of the next one."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from clusterctl import playbook, store
from clusterctl.acceptance import Decision, Outcome, Rule, outcome, shipped_rules
from clusterctl.campaign import folder as campaign_folder
from clusterctl.campaign.verdict import reading
from clusterctl.model import Fact, Finding, Node, Observation, Playbook, UserError
from clusterctl.yaml_files import read_mapping, refuse_unknown

log = logging.getLogger(__name__)

BAD = frozenset({Decision.QUARANTINE, Decision.RETURN})
MARKS = ("uuid", "serial")  # what tells a part from its like, wherever it is plugged


@dataclass(frozen=True, slots=True)
class Earlier:
    """A burn after which a node was not accepted.  `marks`: of all parts that it had."""

    run: str
    node: str
    decision: str
    rule: str
    hours: float
    trials: frozenset[str]
    marks: frozenset[str]


@dataclass(frozen=True, slots=True)
class Bar:
    """From so many earlier ones on: `factor` times the hours; `strict`: a warning fails it."""

    earlier: int
    factor: float
    strict: bool
    source: str


@dataclass(frozen=True, slots=True)
class History:
    """`looked`: how many runs there were to look into."""

    where: str
    looked: int
    known: Sequence[Earlier]
    bars: Sequence[Bar]

    def demands(self, book: Playbook, node: str, marks: frozenset[str]) -> dict[str, Any]:
        """The cells of a `bar` decision, campaign/decisions.py."""
        met = [(one, by) for one in self.known if (by := same(one, node, marks))]
        reached = [bar for bar in self.bars if bar.earlier <= len(met)]
        bar = max(reached, key=lambda one: one.earlier, default=None)
        own_h = book.soak.hours if book.soak else 0.0
        here = {one.trial.name for one in (*book.stages, *(book.soak.load if book.soak else ()))}
        return {
            "hours": max([own_h, *(one.hours for one, _ in met)]) * (bar.factor if bar else 1.0),
            "strict": bool(bar and bar.strict),
            "source": bar.source if bar else "",
            "lacks": sorted({name for one, _ in met for name in one.trials} - here),
            "earlier": [f"{one.decision} in {one.run} ({one.rule}), by {by}" for one, by in met],
            "looked": f"{self.looked} earlier burns in {self.where}",
        }


def same(earlier: Earlier, node: str, marks: frozenset[str]) -> str:
    """By what it is the same node, or has a part of it; empty: it is another."""
    if earlier.node == node:
        return "name"
    shared = sorted(earlier.marks & marks)
    return f"part {shared[0]} of {earlier.node}" if shared else ""


def marks_of(facts: Iterable[Fact]) -> frozenset[str]:
    found = (str(getattr(fact, name, "") or "") for fact in facts for name in MARKS)
    return frozenset(mark for mark in found if len(mark) > 3)  # "0", "N/A" name no part


def marks_seen(seen: Iterable[Observation]) -> frozenset[str]:
    return marks_of(fact for one in seen for fact in one.facts)


# --------------------------------------------------------------------------- looking back


def history(runs_dir: Path, but: str = "") -> History:
    """Of every burn there, ended or still led, `but` the one that asks.

    Raises UserError where the rules are wrong.
    """
    rules, looked = shipped_rules(), 0
    known: list[Earlier] = []
    for file in sorted(runs_dir.glob("*/run.json")):
        try:
            found = store.stored(file.parent)
            if found.about["verb"] == "burnin" and found.id != but:
                looked += 1
                known += of_run(found, rules)
        except UserError as error:
            log.warning("%s; it is no part of the history", error)
    return History(str(runs_dir), looked, known, shipped_bars())


def of_run(found: store.Stored, rules: Sequence[Rule]) -> Iterator[Earlier]:
    """Raises UserError."""
    if found.path.suffix != store.PARTIAL:
        bad = {one.node: (str(one.decision), one.rule) for one in judged(found, rules)}
        marks = store.marks(found, list(bad), MARKS) if bad else {}
    elif campaign_folder.is_campaign(found.path):
        taken = campaign_folder.decisions(found.path)
        left = {one["node"]: one for one in taken if one["do"] == "verdict"}
        bad = {
            n: (one["decision"], one["rule"]) for n, one in left.items() if one["decision"] in BAD
        }
        marks = read_marks(found, bad)
    else:
        return
    spelled = found.about["playbook"]
    soak = spelled.get("soak") or {}
    trials = frozenset(map(trial_name, (*spelled.get("stages", ()), *soak.get("load", ()))))
    for node, (decision, rule) in bad.items():
        kept = frozenset(mark for mark in marks.get(node, ()) if len(mark) > 3)
        yield Earlier(found.id, node, decision, rule, float(soak.get("hours", 0)), trials, kept)


def trial_name(spelled: object) -> str:
    return str(next(iter(spelled))) if isinstance(spelled, Mapping) else str(spelled)


def judged(found: store.Stored, rules: Sequence[Rule]) -> Iterator[Outcome]:
    """The nodes that were not accepted then.  Raises UserError."""
    by_node: defaultdict[str, list[Finding]] = defaultdict(list)
    for rows in store.batches(found, "findings"):
        for row in rows.to_pylist():
            if row["status"] == "fail" or row["severity"] == "return":
                by_node[row["node"]].append(store.finding(row))
    for node, findings in by_node.items():
        told = outcome(node, findings, rules, {})
        if told.decision in BAD:
            yield told


def read_marks(found: store.Stored, nodes: Iterable[str]) -> dict[str, frozenset[str]]:
    """Of a campaign that is still led, from what its nodes said before they burnt."""
    book = playbook.build(str(found.path / "run.json"), found.about["playbook"])
    return {
        node: marks_seen(reading(found.path, Node(node), book, "before") or ()) for node in nodes
    }


# --------------------------------------------------------------------------- what it demands


def shipped_bars() -> tuple[Bar, ...]:
    """`again:` of expected/verdict.yml.  Raises UserError."""
    path = resources.files("clusterctl.expected") / "verdict.yml"
    found = []
    for entry in read_mapping(path).get("again") or ():
        where = f"{path}: again"
        if not isinstance(entry, dict):
            raise UserError(f"{where}: expected keys and values, found {json.dumps(entry)}")
        refuse_unknown(where, entry, ("earlier", "factor", "strict", "source"))
        if not entry.get("source") or not entry.get("earlier") or entry.get("factor", 1) < 1:
            raise UserError(f"{where}: {entry}: needs earlier, a factor of 1 or more and a source")
        strict = bool(entry.get("strict", False))
        found.append(
            Bar(entry["earlier"], float(entry.get("factor", 1)), strict, str(entry["source"]))
        )
    return tuple(found)

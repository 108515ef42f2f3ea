"""Findings of a burn -> accept, quarantine or return each node, by rules that are data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from clusterctl.model import Finding, Limit, Run, Severity, Status, UserError
from clusterctl.yaml_files import nearest, read_mapping, refuse_unknown


class Decision(StrEnum):
    """What becomes of a node, gravest first."""

    RETURN = "RETURN"
    QUARANTINE = "QUARANTINE"
    INCOMPLETE = "INCOMPLETE"
    ACCEPT = "ACCEPT"


GRAVEST_FIRST = tuple(Decision)
ACCEPTED = "accepted"  # the rule of a node that no finding speaks against
NO_PARTNER = "stage-without-partner"
UNRULED = {ACCEPTED: Decision.ACCEPT, NO_PARTNER: Decision.INCOMPLETE}  # rules of no file


@dataclass(frozen=True, slots=True)
class Rule:
    """Met by a finding of that check, part and actual (patterns), status and severity."""

    name: str
    verdict: Decision
    source: str
    check: str = "*"
    part: str = "*"
    actual: str = "*"
    status: Status | None = None
    severity: Severity | None = None

    def met_by(self, finding: Finding) -> bool:
        verdict = finding.verdict
        return (
            fnmatchcase(finding.check, self.check)
            and fnmatchcase(verdict.part, self.part)
            and fnmatchcase(verdict.actual, self.actual)
            and self.status in {None, verdict.status}
            and self.severity in {None, verdict.severity}
            and verdict.status not in {Status.PASS, Status.SKIP}
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """One node's decision, the rule that made it and the findings that met the rule."""

    node: str
    decision: Decision
    rule: str
    source: str
    evidence: tuple[Finding, ...] = ()


def decide(run: Run, rules: Sequence[Rule]) -> list[Outcome]:
    """One outcome a node, in node order.  A node of which nothing was judged is INCOMPLETE."""
    by_node: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in run.findings:
        by_node[finding.verdict.node].append(finding)
    lonely = without_partner(run)
    return [outcome(node.name, by_node[node.name], rules, lonely) for node in run.nodes]


def without_partner(run: Run) -> Mapping[str, str]:
    """Why a planned stage did not run, by node: no partner is no reason to accept."""
    trials = {stage.trial.name for stage in run.playbook.stages}
    return {seen.node: seen.skip for seen in run.observations if seen.probe in trials and seen.skip}


def outcome(
    node: str, findings: Sequence[Finding], rules: Sequence[Rule], lonely: Mapping[str, str]
) -> Outcome:
    met: defaultdict[Rule, list[Finding]] = defaultdict(list)
    for finding in findings:
        for rule in rules:
            if rule.met_by(finding):
                met[rule].append(finding)
                break
    if met:
        rule = min(met, key=lambda rule: (GRAVEST_FIRST.index(rule.verdict), rules.index(rule)))
        alike = (one for same, found in met.items() if same.name == rule.name for one in found)
        return Outcome(node, rule.verdict, rule.name, rule.source, tuple(alike))
    judged = any(one.verdict.status in {Status.PASS, Status.WARN} for one in findings)
    if node in lonely or not judged:
        why = lonely.get(node, "nothing was judged")
        return Outcome(node, Decision.INCOMPLETE, NO_PARTNER if node in lonely else "not-seen", why)
    return Outcome(node, Decision.ACCEPT, ACCEPTED, "no finding speaks against it")


def shipped_rules() -> tuple[Rule, ...]:
    return load(resources.files("clusterctl.expected") / "verdict.yml")


def samples_share() -> Limit:
    """Of the samples due under load, how many there must be."""
    return limit("samples_share")


def steps_in_vain() -> Limit:
    """Of one trial, one after the other, until its node leaves."""
    return limit("steps_in_vain")


@cache
def limit(name: str) -> Limit:
    path = resources.files("clusterctl.expected") / "verdict.yml"
    given = read_mapping(path)["limits"][name]
    return Limit(float(given["value"]), str(given["source"]))


def load(path: Traversable) -> tuple[Rule, ...]:
    """Raises UserError with file, rule and the nearest valid word."""
    given = read_mapping(path)
    refuse_unknown(str(path), given, ("rules", "limits", "again"))  # again: see history.py
    return tuple(rule(f"{path}: rules", entry) for entry in entries(path, given))


def entries(path: Traversable, given: Mapping[str, Any]) -> Iterable[Any]:
    if not isinstance(given.get("rules"), list):
        raise UserError(f"{path}: rules: expected a list")
    return given["rules"]  # type: ignore[no-any-return]


def rule(where: str, given: object) -> Rule:
    if not isinstance(given, dict):
        raise UserError(f"{where}: expected keys and values, found {given!r}")
    known = ("name", "verdict", "source", "check", "part", "actual", "status", "severity")
    refuse_unknown(where, given, known)
    for key in known[:3]:
        if not given.get(key):
            raise UserError(f"{where}: {given.get('name', given)}: has no {key}")
    words: dict[str, type[StrEnum]] = {
        "verdict": Decision, "status": Status, "severity": Severity
    }  # fmt: skip
    cells = {key: str(value) for key, value in given.items()}
    for key, kind in words.items():
        if key in cells and cells[key] not in {str(word) for word in kind}:
            hint = nearest(cells[key], [str(word) for word in kind])
            raise UserError(f"{where}: {cells['name']}: unknown {key} {cells[key]!r}{hint}")
    return Rule(
        name=cells["name"],
        verdict=Decision(cells["verdict"]),
        source=cells["source"],
        check=cells.get("check", "*"),
        part=cells.get("part", "*"),
        actual=cells.get("actual", "*"),
        status=Status(cells["status"]) if "status" in cells else None,
        severity=Severity(cells["severity"]) if "severity" in cells else None,
    )

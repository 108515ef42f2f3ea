"""A node is accepted only where everything planned was seen and nothing speaks against it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from scripted import NOON

from clusterctl.acceptance import Decision, decide, load, shipped_rules
from clusterctl.model import (
    Burn,
    Finding,
    Node,
    Observation,
    Playbook,
    Run,
    Severity,
    Stage,
    Status,
    Trial,
    UserError,
    Verdict,
)

RULES = shipped_rules()
PAIRS = Trial("pairs", "", lambda _n, _r: (), lambda *_: None, lambda _t: (), (Burn,))


def one(check: str, status: Status, severity: Severity = Severity.NONE) -> Finding:
    return Finding(check, Verdict("n1", "gpu3", status, severity=severity))


def seen(check: str, actual: str) -> Finding:
    found = one(check, Status.FAIL)
    return replace(found, verdict=replace(found.verdict, actual=actual))


def burnt(*findings: Finding, seen: tuple[Observation, ...] = ()) -> Run:
    book = Playbook("p", stages=(Stage(PAIRS),))
    return Run("r", book, (Node("n1"),), 1, NOON, NOON, seen, findings, verb="burnin")


GOOD = one("ecc", Status.PASS)


@pytest.mark.parametrize(
    ("finding", "decision", "rule"),
    [
        (one("ecc", Status.PASS), Decision.ACCEPT, "accepted"),
        (one("clock_offset", Status.WARN), Decision.ACCEPT, "accepted"),
        (one("row_remap", Status.FAIL, Severity.RETURN), Decision.RETURN, "remap-failed"),
        (one("disk_health", Status.FAIL, Severity.RETURN), Decision.RETURN, "part-at-its-end"),
        (one("throttle", Status.FAIL), Decision.QUARANTINE, "held-back-by-heat"),
        (one("throttle", Status.WARN), Decision.QUARANTINE, "held-back-by-heat"),
        (one("throttle", Status.UNKNOWN), Decision.INCOMPLETE, "not-seen"),
        (one("burn_errors", Status.FAIL), Decision.QUARANTINE, "wrong-results"),
        (one("burn_rate", Status.FAIL), Decision.QUARANTINE, "slower-than-peers"),
        (one("ecc", Status.FAIL), Decision.QUARANTINE, "lost-data"),
        (one("silent_corruption", Status.FAIL), Decision.QUARANTINE, "other-bits"),
        (one("accelerator_lost", Status.FAIL), Decision.QUARANTINE, "fell-off-the-bus"),
        (seen("xid", "XID 79, 2 times"), Decision.QUARANTINE, "fell-off-the-bus"),
        (seen("xid", "XID 790"), Decision.QUARANTINE, "any-failure"),
        (seen("xid", "XID 94"), Decision.QUARANTINE, "any-failure"),
        (one("unexpected_reboot", Status.FAIL), Decision.QUARANTINE, "rebooted-under-load"),
        (one("samples", Status.UNKNOWN), Decision.INCOMPLETE, "too-few-samples"),
        (one("whatever", Status.FAIL), Decision.QUARANTINE, "any-failure"),
        (one("whatever", Status.UNKNOWN), Decision.INCOMPLETE, "not-seen"),
    ],
)
def test_each_rule_decides_its_case_and_names_its_source(finding, decision, rule):
    (found,) = decide(burnt(GOOD, finding), RULES)

    assert (found.decision, found.rule) == (decision, rule)
    assert found.source
    assert found.evidence == (() if decision is Decision.ACCEPT else (finding,))


def test_the_gravest_finding_decides_in_whatever_order_they_come():
    bad = (
        one("x", Status.UNKNOWN),
        one("x", Status.FAIL),
        one("row_remap", Status.FAIL, Severity.RETURN),
        GOOD,
    )
    for order in itertools.permutations(bad):
        assert decide(burnt(*order), RULES)[0].decision is Decision.RETURN


@pytest.mark.parametrize("findings", [(), (one("x", Status.SKIP),)])
def test_a_node_of_which_nothing_was_judged_is_incomplete(findings):
    assert decide(burnt(*findings), RULES)[0].decision is Decision.INCOMPLETE


def test_a_stage_that_found_no_partner_leaves_the_node_incomplete():
    lonely = Observation("n1", "pairs", NOON, skip="pairs needs 2 nodes and found no partner")

    (found,) = decide(burnt(GOOD, seen=(lonely,)), RULES)

    assert found.decision is Decision.INCOMPLETE
    assert "no partner" in found.source


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rules: {}", "expected a list"),
        ("rules: [3]", "expected keys and values"),
        ("rules: [{name: a, verdict: ACCEPTED, source: b}]", "did you mean 'ACCEPT'?"),
        ("rules: [{name: a, verdict: RETURN}]", "has no source"),
        ("rules: [{name: a, verdict: RETURN, source: b, chek: x}]", "did you mean 'check'?"),
        ("rules: [{name: a, verdict: RETURN, source: b, status: failed}]", "did you mean 'fail'?"),
    ],
)
def test_a_mistake_in_the_rules_is_one_line(tmp_path: Path, text: str, says: str):
    path = tmp_path / "verdict.yml"
    path.write_text(text)

    with pytest.raises(UserError) as caught:
        load(path)

    assert says in str(caught.value)
    assert str(path) in str(caught.value)

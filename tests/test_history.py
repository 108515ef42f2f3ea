"""What earlier burns demand of a node that comes back from repair."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from scripted import NOON

from clusterctl import store
from clusterctl.campaign.decisions import Case, apply, decide, wanted_s
from clusterctl.campaign.folder import keep_decision, prepare
from clusterctl.campaign.verdict import own_findings, stricter
from clusterctl.history import history, marks_of
from clusterctl.model import (
    Accelerator,
    Drive,
    Finding,
    Node,
    Observation,
    Playbook,
    Run,
    Severity,
    Status,
    Verdict,
)
from clusterctl.playbook import build

BOOK = build(
    "t",
    {"name": "t", "stages": ["disk_burn"], "soak": {"hours": 10, "load": ["cpu_burn"]}},
)
CARD = Accelerator("gpu3", uuid="GPU-aaaa", serial="1652")
SLOW = Finding(
    "burn_rate", Verdict("n7", "gpu3", Status.FAIL, "≥ 600", "410", severity=Severity.ISOLATE)
)


def burnt(
    runs: Path, run_id: str, *, book: Playbook = BOOK, node: str = "n7", card: Accelerator = CARD
) -> Run:
    """A burn on disk that did not accept the node, and accepted n8."""
    bad = replace(SLOW, verdict=replace(SLOW.verdict, node=node))
    good = Finding("ecc", Verdict("n8", "gpu0", Status.PASS))
    run = Run(
        run_id, book, (Node(node), Node("n8")), 1, NOON, NOON + timedelta(hours=72),
        (Observation(node, "nvml", NOON, (card,)), Observation("n8", "nvml", NOON)), (bad, good),
        verb="burnin",
    )  # fmt: skip
    recorder = store.Recorder(runs, run_id)
    recorder.begin(store.describe(run))
    recorder.finish(run)
    return run


def repaired(runs: Path, node: str, *facts: Accelerator | Drive) -> Case:
    case = Case(Node(node))
    bar = history(runs).demands(BOOK, node, marks_of(facts))
    for decision in ({"do": "bar", **bar}, {"do": "gate"}, {"do": "start", "base": 0}):
        apply(case, {"at": NOON.isoformat(), "node": node, **decision})
    case.words = {"alive": True}
    return case


def again(case: Case) -> Verdict:
    (found,) = [one.verdict for one in own_findings(case, BOOK) if one.check == "again"]
    return found


def test_a_node_that_was_not_accepted_burns_longer_and_the_report_says_which_run(tmp_path):
    burnt(tmp_path, "r1")
    case = repaired(tmp_path, "n7")
    assert wanted_s(case, BOOK) == 15 * 3600
    told = again(case)
    assert told.status is Status.WARN
    assert told.expected == "15 h burnt"
    assert told.actual == "QUARANTINE in r1 (slower-than-peers), by name"
    assert "NVSentinel 695" in told.source


def test_its_soak_ends_only_when_that_much_is_burnt(tmp_path):
    burnt(tmp_path, "r1")
    case = repaired(tmp_path, "n7")
    apply(case, {"do": "lonely", "at": "", "stage": 0, "why": "not asked here"})
    case.course.burning.total["cpu_burn"] = 11 * 3600.0
    assert [one["do"] for one in decide(case, BOOK)] == ["soak"]
    case.course.burning.total["cpu_burn"] = 15 * 3600.0
    assert [one["do"] for one in decide(case, BOOK)] == ["end"]


def test_who_comes_back_twice_is_failed_by_a_warning(tmp_path):
    for run in ("r1", "r2"):
        burnt(tmp_path, run)
    case = repaired(tmp_path, "n7")
    assert again(case).expected == "20 h burnt, without a warning"
    warm = Finding("temperature", Verdict("n7", "gpu0", Status.WARN, why="warm"))
    assert stricter(warm).verdict.status is Status.FAIL
    good = replace(warm, verdict=replace(warm.verdict, status=Status.PASS))
    assert stricter(good) == good


@pytest.mark.parametrize(
    ("fact", "mark"), [(CARD, "1652"), (Accelerator("gpu0", uuid="GPU-aaaa"), "GPU-aaaa")]
)
def test_a_part_carries_its_history_to_another_node(tmp_path, fact, mark):
    burnt(tmp_path, "r1")
    assert again(repaired(tmp_path, "n9", fact)).actual.endswith(f", by part {mark} of n7")
    assert "no QUARANTINE" in again(repaired(tmp_path, "n9", Drive("nvme0", serial="S1"))).actual


def test_that_no_history_was_found_is_said(tmp_path):
    burnt(tmp_path, "r1")
    case = repaired(tmp_path, "n8")
    told = again(case)
    assert told.status is Status.WARN
    assert told.actual == f"no QUARANTINE or RETURN of it in 1 earlier burns in {tmp_path}"
    assert "--runs-dir" in told.remedy
    assert history(tmp_path, but="r1").looked == 0
    assert wanted_s(case, BOOK) == 36000


def test_quiet_health_is_not_enough_what_it_failed_under_is_loaded_again(tmp_path):
    heavy = {"name": "h", "stages": ["gpu_burn"], "soak": {"hours": 72, "load": ["mix"]}}
    burnt(tmp_path, "r1", book=build("h", heavy))
    told = again(repaired(tmp_path, "n7"))
    assert told.status is Status.UNKNOWN  # so it stays INCOMPLETE
    assert told.expected == "108 h burnt"
    assert told.why == "this campaign does not load what that one did: gpu_burn, mix"


def test_a_campaign_that_goes_on_tells_of_the_nodes_that_left_it(tmp_path):
    run = burnt(tmp_path, "r1", node="n1")
    recorder = store.Recorder(tmp_path, "rolling")
    recorder.begin(store.describe(replace(run, id="rolling")))
    prepare(recorder.path)
    left = {"do": "verdict", "at": NOON.isoformat(), "rule": "any-failure"}
    for node, decision in (("n7", "RETURN"), ("n8", "ACCEPT")):
        assert keep_decision(recorder.path, {**left, "node": node, "decision": decision})
    assert again(repaired(tmp_path, "n7")).actual == "RETURN in rolling (any-failure), by name"
    assert "no QUARANTINE" in again(repaired(tmp_path, "n8")).actual

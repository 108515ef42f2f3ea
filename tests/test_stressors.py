"""A load that crashes, hangs or computes nothing ends its node's campaign early; others burn on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted import NOON, Scripted
from test_campaign import line

from clusterctl.acceptance import Outcome, decide, shipped_rules
from clusterctl.campaign.decisions import Case
from clusterctl.campaign.folder import prepare
from clusterctl.campaign.lead import Leader, Said
from clusterctl.campaign.stressors import STRESSOR
from clusterctl.campaign.told import every_node
from clusterctl.campaign.verdict import verdict
from clusterctl.model import Answer, Node, Run
from clusterctl.playbook import build

BOOK = build(
    "test",
    {
        "name": "test",
        "probes": ["cpu"],
        "checks": ["burn_errors", "burn_rate"],
        "stages": [{"cpu_burn": {"seconds": 1}}],
        "soak": {"hours": 1, "load": ["cpu_burn"], "sample_s": 10},
    },
)
NODES = (Node("n1"), Node("n2"))
ROW = (
    "burn\tpart=cpu\tengine=built-in\tseconds=5\tamount=%d\tunit=operations\trate=%d\t"
    "rate_unit=op_s\terrors=0\tcovered=1\tasked=1\tdetail=\nend\t1\n"
)
WELL = {"code": 0, "why": "exit", "out": ROW % (100, 20)}
CRASH = {"code": -11, "why": "exit", "out": ""}
HANG = {"code": None, "why": "timeout", "out": ""}
NOTHING = {"code": 0, "why": "exit", "out": ROW % (0, 0)}
BLANK = {
    "code": 0, "why": "exit",
    "out": "trouble\texit\tstress-ng ended with -11\n" + (ROW % (1, 1)).replace(
        "amount=1", "amount=n/a").replace("rate=1", "rate=n/a").replace(
        "errors=0", "errors=n/a").replace("end\t1", "end\t2"),
}  # fmt: skip
NO_ENGINE = {"code": 0, "why": "exit", "out": "trouble\tmissing\tno engine\nend\t1\n"}


def without(*parts: str) -> dict[str, object]:
    """It did its work, but for these."""
    lost = "".join(f"trouble\texit\tno result in time\t{part}\n" for part in parts)
    out = (ROW % (100, 20)).replace("end\t1", f"{lost}end\t{1 + len(parts)}")
    return {"code": 0, "why": "exit", "out": out}


ONE_PART = without("cpu7")


class Nodes:
    """What two nodes have journalled, and the leader that fetches it."""

    def __init__(self, path: Path) -> None:
        prepare(path)
        self.path = path
        opening = Run("r", BOOK, NODES, 1, NOON, NOON, (), (), verb="burnin")
        off = Scripted({})
        self.leader = Leader(path, opening, reach=lambda _s: off, clock=lambda: NOON, skus=())
        self.at_s: dict[str, float] = {}
        self.written: dict[str, int] = {}
        for case in self.leader.cases.values():
            self.leader.note(case, {"do": "gate", "forced": ""})
            self.leader.advance(case)
            self.write(case, [("start", {"boot": "b", "every_s": 10}),
                              ("full", {"groups": [["", ["nvml"], ["ok"]]]})])  # fmt: skip

    def case(self, node: str) -> Case:
        return self.leader.cases[node]

    def write(self, case: Case, told: list[tuple[str, dict[str, object]]]) -> None:
        name = case.node.name
        journal = b""
        for kind, cells in told:
            self.at_s[name] = self.at_s.get(name, 0.0) + 10.0
            number = self.written.get(name, 0)
            self.written[name] = number + 1
            journal += line(number, kind, self.at_s[name], **cells)
        size = case.course.size + len(journal)
        head = json.dumps({"ok": True, "alive": True, "size": size, "next": size})
        text = f"{head}\n{journal.decode()}end\t{len(journal)}\n"
        self.leader.absorb(Said(name, {"fetch": Answer("fetch", 0, text, "", 0.1)}))

    def steps(self, node: str, *ends: dict[str, object]) -> None:
        """Whatever it is told to do next ends so: an order of a stage, or a step of the soak."""
        for end in ends:
            case = self.case(node)
            if case.phase != "burn":
                return
            soaks = bool(case.soaks)
            step = f"soak1/{self.written[node]}" if soaks else case.orders[-1].identity
            do = {"do": "soak", "id": "soak1", "on": True} if soaks else {"do": "run", "id": step}
            about = {"step": step, "name": "cpu_burn", "load": True, "soak": soaks}
            self.write(case, [("command", do), ("begin", about), ("sample", {"d": []}),
                              ("end", {**about, "s": 10.0, "err": "", **end})])  # fmt: skip

    def outcomes(self) -> dict[str, Outcome]:
        run = verdict(self.leader.opening, every_node(self.path, BOOK, NODES, NOON), (), NOON)
        return {one.node: one for one in decide(run, shipped_rules())}


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    return Nodes(tmp_path)


@pytest.mark.parametrize(
    ("end", "decision", "rule", "says"),
    [
        (CRASH, "QUARANTINE", "cannot-hold-its-load", "ended by signal 11"),
        (HANG, "QUARANTINE", "cannot-hold-its-load", "it hung: no end in 10 s"),
        (NO_ENGINE, "INCOMPLETE", "nothing-to-burn-with", "no engine"),
        (BLANK, "QUARANTINE", "cannot-hold-its-load", "stress-ng ended with -11"),
        (ONE_PART, "QUARANTINE", "cannot-hold-its-load", "no result in time"),
    ],
)
def test_a_soak_in_vain_ends_at_the_third_step_and_says_why(nodes, end, decision, rule, says):
    for node in ("n1", "n2"):
        nodes.steps(node, WELL, WELL)
    nodes.steps("n1", end, end)
    assert nodes.case("n1").phase == "burn"
    nodes.steps("n1", end)
    nodes.steps("n2", WELL)
    bad, well = nodes.case("n1"), nodes.case("n2")
    assert bad.phase == "ending"
    assert bad.why.startswith(f"{STRESSOR}: cpu_burn")
    assert f"3 steps in a row in vain: {says}" in bad.why
    assert bad.failed is (decision == "QUARANTINE")
    assert (well.phase, well.why) == ("burn", "")
    found = nodes.outcomes()["n1"]
    assert (str(found.decision), found.rule) == (decision, rule)
    assert [one for one in found.evidence if one.check == STRESSOR]
    assert STRESSOR not in {one.check for one in nodes.outcomes()["n2"].evidence}


def test_zero_gflop_s_ends_it_at_once(nodes):
    nodes.steps("n1", WELL, NOTHING)
    assert nodes.case("n1").phase == "ending"
    assert "burn_errors: cpu: 0 op_s" in nodes.case("n1").why
    assert str(nodes.outcomes()["n1"].decision) == "QUARANTINE"


def test_a_step_that_works_in_between_begins_the_count_anew(nodes):
    nodes.steps("n1", WELL, CRASH, CRASH, WELL, CRASH, CRASH, WELL)
    assert nodes.case("n1").phase == "burn"


def test_a_part_that_never_works_is_found_beside_one_that_fails_now_and_then(nodes):
    nodes.steps("n1", WELL, ONE_PART, without("cpu3", "cpu7"))
    nodes.steps("n2", WELL, ONE_PART, without("cpu3"), CRASH, ONE_PART, WELL, ONE_PART)
    assert nodes.case("n1").phase == "burn"
    nodes.steps("n1", ONE_PART)
    assert nodes.case("n1").why.startswith(f"{STRESSOR}: cpu_burn:cpu7: 3 steps in a row")
    assert (nodes.case("n2").phase, nodes.case("n2").why) == ("burn", "")


def test_a_crash_of_the_whole_step_clears_no_part(nodes):
    nodes.steps("n1", WELL, ONE_PART, ONE_PART, CRASH, ONE_PART)
    assert nodes.case("n1").why.startswith(f"{STRESSOR}: cpu_burn:cpu7: 3 steps in a row")


def test_a_stage_that_crashes_is_tried_again_and_then_left(nodes):
    nodes.steps("n1", CRASH)
    assert [one.identity for one in nodes.case("n1").orders] == ["s0.1", "s0.2"]
    nodes.steps("n1", HANG, CRASH)
    assert nodes.case("n1").why.startswith(f"{STRESSOR}: cpu_burn: 3 steps in a row")
    assert nodes.outcomes()["n1"].rule == "cannot-hold-its-load"
    nodes.steps("n2", CRASH, WELL, WELL)
    assert [one.identity for one in nodes.case("n2").orders] == ["s0.1", "s0.2"]
    assert nodes.case("n2").soaks == ["soak1"]


def test_a_stage_without_an_engine_is_not_tried_again(nodes):
    nodes.steps("n1", NO_ENGINE)
    assert len(nodes.case("n1").orders) == 1
    assert nodes.case("n1").soaks == ["soak1"]


def test_whoever_takes_over_later_ends_it_too(nodes):
    """Three steps in vain that nobody led, and good ones after them."""
    nodes.steps("n1", WELL)
    nodes.leader.book = build("test", {"name": "test", "soak": {"hours": 1, "load": ["cpu_burn"]},
                                       "keep_going": True})  # fmt: skip
    nodes.steps("n1", WELL, CRASH, CRASH, CRASH, WELL)
    assert nodes.case("n1").phase == "burn"
    assert nodes.outcomes()["n1"].rule == "cannot-hold-its-load"
    again = Leader(nodes.path, nodes.leader.opening, reach=lambda _s: Scripted({}),
                   clock=lambda: NOON, skus=())  # fmt: skip
    assert again.cases["n1"].why.startswith(STRESSOR)

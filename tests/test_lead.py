"""What a leader makes of nodes that say no, say nonsense, or end before their time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from scripted import NOON, Scripted
from test_campaign import line
from test_stressors import BOOK, NODES, WELL, Nodes

from clusterctl.campaign.asks import questions
from clusterctl.campaign.course import learn
from clusterctl.campaign.decisions import Case, apply
from clusterctl.campaign.early import end_of, judge_empty
from clusterctl.campaign.folder import STOP, cases, prepare
from clusterctl.campaign.lead import Leader, Said
from clusterctl.campaign.sampled import Known
from clusterctl.campaign.supervision import Reply, fetch, reply
from clusterctl.campaign.verdict import Told, results, sampled_enough, verdict
from clusterctl.model import Answer, Run, Status, Trouble
from clusterctl.report.campaign_lines import lines
from clusterctl.transport.wire import NEEDS_PYTHON

FULL_DISK = "the journal cannot be written: ENOSPC"


@pytest.fixture
def nodes(tmp_path):
    return Nodes(tmp_path)


def say(nodes: Nodes, verb: str, *, ok: bool = True, node: str = "n1", **words: object) -> Case:
    text = json.dumps({"ok": ok, **words}) + "\n"
    if verb == "fetch":
        text += "end\t0\n"
    nodes.leader.absorb_safely(Said(node, {verb: Answer(verb, 0, text, "", 0.1)}))
    return nodes.case(node)


def here(nodes: Nodes, **words: object) -> dict[str, object]:
    size = nodes.case("n1").course.size
    return {"size": size, "next": size, **words}


def ending(nodes: Nodes) -> None:
    nodes.leader.note(nodes.case("n1"), {"do": "end", "why": "burnt"})


def test_a_node_that_says_no_again_and_again_has_been_in_trouble_since_the_first_time(nodes):
    says_no = {"ok": False, "why": "no place for its state: Read-only file system"}
    since = {say(nodes, "start", **says_no).silent_s for _ in range(3)}
    assert len(since) == 1
    assert None not in since
    assert nodes.case("n1").trouble == says_no["why"]
    assert say(nodes, "fetch", **here(nodes, alive=True)).silent_s is None


def test_a_node_that_only_says_no_is_ended_and_cleared_and_left_where_that_fails_too(nodes):
    say(nodes, "start", ok=False, why="no place for its state")
    nodes.leader.give_up(0.0, only_stopped=False)
    case = nodes.case("n1")
    assert (case.phase, case.why) == ("ending", "given up: no place for its state")
    nodes.leader.give_up(10.0, only_stopped=False)
    assert case.phase == "ending"  # it has as long for its end
    say(nodes, "stop", ok=False, survivors=[7, 9], why="killed")
    nodes.leader.give_up(0.0, only_stopped=False)
    assert (case.phase, case.left, case.base) == ("done", True, 0)
    assert "left: [7, 9]" in case.trouble


def test_a_supervisor_that_hangs_and_a_disk_that_is_full_are_shown_and_not_asked_at_once(nodes):
    hung = say(nodes, "fetch", **here(nodes, alive=None, why="it does not answer: timed out"))
    assert hung.trouble == "it does not answer: timed out"
    full = say(nodes, "fetch", **here(nodes, alive=True, disk="ENOSPC"))
    assert full.trouble == "its disk takes nothing: ENOSPC"
    assert say(nodes, "fetch", **here(nodes, alive=True, disk="")).trouble == ""
    assert say(nodes, "tell", ok=False, why=FULL_DISK).trouble == FULL_DISK


def test_a_deadline_that_passes_before_our_eyes_ends_the_node_and_one_of_before_does_not(nodes):
    over = {"alive": False, "why": "ended: deadline"}
    nodes.case("n1").words = {}
    assert say(nodes, "fetch", **here(nodes, **over)).phase == "burn"  # nobody led it until now
    say(nodes, "fetch", **here(nodes, alive=True))
    case = say(nodes, "fetch", **here(nodes, **over))
    assert (case.phase, case.why) == ("ending", "its deadline passed")


def test_a_node_without_python_is_refused_at_once(nodes):
    case = Case(NODES[0])
    nodes.leader.cases["n1"] = case
    nodes.leader.note(case, {"do": "gate"})
    nodes.leader.advance(case)
    nodes.leader.absorb(Said("n1", {"start": Answer("start", 127, "", NEEDS_PYTHON, 0.0)}))
    assert (case.phase, case.refused, case.left) == ("done", "needs Python 3.6 on the node", False)


def test_a_node_that_another_campaign_took_is_left_where_it_was_burnt_already(nodes):
    nodes.steps("n1", WELL)
    case = say(nodes, "start", ok=False, why="another campaign has this node", holder="other")
    assert (case.phase, case.left, case.refused) == ("done", True, "")
    assert case.why == "campaign other has this node"


def test_in_a_hurry_can_be_said_later(nodes):
    for by_hand, words, hurry in ((False, "\n", False), (False, "now\n", True)):
        nodes.leader.by_hand = by_hand
        (nodes.path / STOP).write_text(words)
        nodes.leader.think()
        assert nodes.leader.hurry is hurry
    assert nodes.leader.ending == "stopped by the operator"
    nodes.leader.ending, nodes.leader.hurry = "stopped by Ctrl-C", False
    nodes.leader.think()
    assert (nodes.leader.ending, nodes.leader.hurry) == ("stopped by Ctrl-C", True)


def test_a_stop_gives_up_whoever_is_silent_and_ctrl_c_only_whom_it_may_take_back(nodes):
    ending(nodes)
    say(nodes, "stop", ok=False, survivors=[7])
    nodes.leader.give_up(0.0, only_stopped=True)
    assert nodes.case("n1").phase == "ending"
    nodes.leader.give_up(0.0, only_stopped=False)
    assert nodes.case("n1").phase == "done"


def test_what_was_left_on_a_node_is_gone_on_with_and_not_learned_twice(nodes):
    nodes.steps("n1", WELL)
    case = nodes.case("n1")
    for do in ({"do": "end", "why": "stopped", "stopped": True},
               {"do": "done", "why": "given up", "left": True}, {"do": "reopen"}):  # fmt: skip
        nodes.leader.note(case, do)
    assert (case.phase, case.base) == ("burn", 0)
    (asked,) = questions(case, nodes.leader.asking(case))
    assert asked.name == "fetch"
    assert str(case.course.size) in asked.command


def test_our_bug_over_one_node_is_its_trouble_and_the_others_burn_on(nodes):
    del nodes.leader.book
    case = nodes.case("n1")
    nodes.leader.absorb_safely(Said("n1", {"fetch": Answer("fetch", 0, "", "", 0.1)}))
    assert case.trouble.startswith("bug: ")
    assert case.silent_s is not None
    case = Case(NODES[1])
    nodes.leader.cases["n2"] = case
    nodes.leader.absorb_safely(nodes.leader.attend("n2"))
    assert (case.phase, case.refused[:5]) == ("done", "bug: ")


def test_who_left_without_a_line_for_it_leaves_when_there_is_room(tmp_path):
    prepare(tmp_path)
    opening = Run("r", BOOK, NODES, 1, NOON, NOON, (), (), verb="burnin")
    leader = Leader(tmp_path, opening, reach=lambda _s: Scripted({}), clock=lambda: NOON, skus=(),
                    lists=iter([None] * 9))  # fmt: skip
    case = leader.cases["n1"]
    leader.note(case, {"do": "refuse", "why": "its accelerators are in use by pid 7"})
    assert case.phase == "done"
    leader.think()
    assert cases(tmp_path, NODES)["n1"].verdict.startswith("INCOMPLETE")


# --------------------------------------------------------------------------- nonsense

ODD = [None, "x", "", [], ["x"], {}, True, 0, -1, 1.5, 10**400, float("nan"), float("inf")]
NODE_LIFE = [
    ("start", {"boot": "b", "every_s": 10}),
    ("clock", {"jump_s": 3.5}),
    ("kernel", {"lines": [[1.0, "Xid"]], "more": 0}),
    ("full", {"groups": [["gpu0", ["uuid", "power_w", "temp_c"], ["u", 300, 60]]], "left_out": 0}),
    ("command", {"do": "run", "id": "s0.1"}),
    ("begin", {"step": "s0.1", "name": "cpu_burn", "load": True, "soak": False}),
    ("sample", {"d": [1, 310], "news": 1}),
    ("end", {"step": "s0.1", "name": "cpu_burn", "why": "exit", "code": 0, "s": 9.5, "out": "",
             "err": "", "out_bytes": 1, "survivors": 0}),
    ("lease", {"held": False, "after_s": 9, "policy": "run_on"}),
    ("disk", {"error": "", "lost_samples": 3}),
    ("orphaned", {"why": "killed", "survivors": 0}),
]  # fmt: skip
CELLS = [(at, name) for at, (_, cells) in enumerate(NODE_LIFE) for name in cells]


def odd_lives(at: int, name: str) -> list[list[tuple[str, dict[str, object]]]]:
    """With something else in that cell, or deep within it."""
    kind, cells = NODE_LIFE[at]
    deep = {"groups": lambda odd: [["gpu0", ["uuid", "power_w", "temp_c"], [odd, odd, odd]]],
            "d": lambda odd: [0, odd, 1, odd], "lines": lambda odd: [[odd, odd]]}  # fmt: skip
    given = [*ODD, *(deep[name](odd) for odd in ODD if name in deep)]
    return [[*NODE_LIFE[:at], (kind, {**cells, name: odd}), *NODE_LIFE[at + 1 :]] for odd in given]


@pytest.fixture(scope="module")
def bed(tmp_path_factory):
    return Nodes(tmp_path_factory.mktemp("odd"))


@pytest.mark.parametrize(("at", "name"), CELLS)
def test_whatever_stands_in_a_journal_its_node_is_led_shown_and_judged(bed, at, name):
    for life in odd_lives(at, name):
        case = bed.leader.cases["n1"] = Case(NODES[0])
        order = {"do": "order", "id": "s0.1", "stage": 0, "group": ["n1"], "index": 0}
        for do in ({"do": "gate"}, {"do": "start", "base": 0}, order):
            apply(case, {"at": str(NOON), "node": "n1", **do})
        for number, (kind, cells) in enumerate(life):
            learn(case.course, line(number, kind, 9.0 + number, **cells))
        judge_empty(case, BOOK, NOON)
        assert "bug" not in str(end_of(case, bed.leader.bench))
        assert len(lines([case], BOOK, 9)) == 3
        told = [Told(case, (), tuple(results(case, BOOK, NOON)))]
        run = verdict(replace(bed.leader.opening, nodes=NODES[:1]), told, (), NOON)
        assert not [one for one in run.findings if one.verdict.actual == "bug"]


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        ("start", {"every_s": 0}),
        ("end", {"s": None}),
        ("end", {"code": "x"}),
        ("end", {"survivors": "x"}),
        ("clock", {"jump_s": float("nan")}),
        ("full", {"groups": [["", ["gpu0.power_w"], [10**400]]]}),
        ("full", {"groups": [["", ["gpu0.uuid"], [["u"]]]]}),
        ("full", {"left_out": "x"}),
    ],
)
def test_a_record_that_nobody_can_count_with_is_damaged_and_that_is_said(nodes, kind, cells):
    case = nodes.case("n1")
    nodes.write(case, [(kind, cells)])
    assert case.course.corrupt == 1


def test_files_that_nobody_sampled_are_said(nodes):
    case = nodes.case("n1")
    nodes.write(case, [("full", {"groups": [], "left_out": 3})])
    told = [one.verdict for one in sampled_enough(case, Known(NODES[0], (), case.course.watched))]
    assert (Status.UNKNOWN, "3 files were not sampled") in [(one.status, one.why) for one in told]


def test_a_step_that_nobody_asked_for_is_no_result_of_what_was(nodes):
    case = nodes.case("n1")
    step = {"step": case.orders[-1].identity, "name": "nope"}
    nodes.write(case, [("begin", step), ("end", {**step, **WELL, "s": 9.0})])
    assert step["step"] in case.empty
    assert case.phase == "burn"
    assert str(nodes.outcomes()["n1"].decision) == "INCOMPLETE"


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, "7", "[]", '{"ok": true}', '{"ok": true, "size": "x", "next": 1}',
     '{"ok": false, "leader": 7}', '{"ok": true, "size": 1, "next": 1, "leader": []}'],
)  # fmt: skip
def test_an_answer_that_is_none_is_trouble(text):
    asked = fetch("c", 0)
    assert isinstance(reply(Answer(asked.name, 0, text + "\nend\t0\n", "", 0.1)), Trouble)


def test_a_damaged_byte_of_a_journal_moves_no_other():
    journal = b"one\n\xc3two\nthree\n"
    head = json.dumps({"ok": True, "size": len(journal), "next": len(journal)})
    text = f"{head}\n{journal.decode(errors='replace')}end\t{len(journal)}\n"
    told = reply(Answer("fetch", 0, text, "", 0.1))
    assert isinstance(told, Reply)
    assert len(told.journal) == len(journal)

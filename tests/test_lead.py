"""What a leader makes of nodes that say no, say nonsense, or end before their time."""

from __future__ import annotations

import json

import pytest
from scripted import NOON, Scripted
from test_stressors import BOOK, NODES, WELL, Nodes

from clusterctl.campaign import Case
from clusterctl.campaign_folder import STOP, cases, prepare
from clusterctl.lead import Leader, Said
from clusterctl.model import Answer, Run
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
    (asked,) = nodes.leader.questions(case)
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

"""Whatever was found, a cluster is not emptied; what was done is kept, and can be taken back."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from acting import Toy, actor, drained, fault, fleet, swept
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import NOON, nodes

from clusterctl.act import journal
from clusterctl.act.agenda import carry_out, drains, looked_again, settle
from clusterctl.act.breaker import Do, Step, gauge, plan
from clusterctl.act.deed import (
    BY_HAND,
    Action,
    Blind,
    Outcome,
    Picture,
    State,
    Told,
    Wanted,
    reason,
)
from clusterctl.act.journal import Journal
from clusterctl.act.release import release, undoing
from clusterctl.act.slurm import Slurm
from clusterctl.act.slurm import read as read_nodes
from clusterctl.act.whom import by_hand, whom
from clusterctl.cli.undrain import same_place
from clusterctl.lock import Holder
from clusterctl.model import Act, Answer, Finding, Severity, Status, Trouble, UserError
from clusterctl.playbook import build, spell

LOOSE = Act(most_nodes=1000, most_percent=100, least_left_percent=0, same_fault=1000)
ME = Holder(1, "here", "now", "drain")


def quiet(_finding: Finding) -> str:
    return ""


def wanted_of(findings: list[Finding], act: Act = LOOSE) -> list[Wanted]:
    run = swept(sorted({one.verdict.node for one in findings}), *findings)
    return whom(run, act, label="slurm_node", silenced=quiet, now=NOON)[0]


def steps_of(
    findings: list[Finding],
    states: dict[str, State],
    act: Act = LOOSE,
    actions: tuple[Action, ...] = (),
) -> list[Step]:
    picture = Picture(states)
    return plan(wanted_of(findings, act), picture, act, gauge(picture, act, actions, NOON))


def going(steps: list[Step]) -> list[str]:
    return [one.wanted.node for one in steps if one.do is Do.DRAIN]


def why(steps: list[Step]) -> str:
    (step,) = steps
    return f"{step.do}: {step.why}"


# --------------------------------------------------------------------------- the playbook


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"most_node": 3}, "unknown key 'most_node'; did you mean 'most_nodes'?"),
        ({"drain_on": ["isolated"]}, "drain_on: unknown 'isolated'; did you mean 'isolate'?"),
        ({"never": ["ecx"]}, "never: unknown 'ecx'; did you mean 'ecc'?"),
        ({"least_left": 0}, "least_left: expected 1 or more, found 0"),
        ({"most_percent": 200}, "most_percent: expected from 0 to 100, found 200"),
        ({"most_nodes": 2.5}, "most_nodes: expected a whole number, found 2.5"),
        ({"peers_alone": 1}, "peers_alone: expected true or false, found 1"),
        ({"drain_on": ["none"]}, "drain_on: unknown 'none'"),
        ([], "expected keys and values"),
    ],
)
def test_a_wrong_act_section_is_refused_with_file_key_and_remedy(given, said):
    with pytest.raises(UserError, match=r"b\.yml: act: ") as error:
        build("b.yml", {"name": "b", "act": given})
    assert said in str(error.value)


def test_what_a_playbook_says_of_acting_is_kept_with_its_runs():
    book = build("b", {"name": "b", "act": {"most_nodes": 7, "never": ["ecc"], "drain_on": []}})
    assert book.act == replace(Act(), most_nodes=7, never=("ecc",), drain_on=())
    assert build("b", spell(book)).act == book.act
    assert "act" not in spell(build("b", {"name": "b"}))


# --------------------------------------------------------------------------- who should go

OLD = timedelta(hours=25)


@pytest.mark.parametrize(
    ("finding", "act", "later", "said"),
    [
        (fault("n1", status=Status.UNKNOWN), Act(), OLD * 0, "unknown: what was not seen"),
        (fault("n1", severity=Severity.OBSERVE), Act(), OLD * 0, "severity observe: drains on"),
        (fault("n1", severity=Severity.RESET_DEVICE), Act(), OLD * 0, "severity reset-device"),
        (fault("n1", shared="rack=r7"), Act(), OLD * 0, "explained by rack=r7"),
        (fault("n1", yardstick="peers"), Act(), OLD * 0, "only its peers"),
        (fault("n1", check="ecc"), Act(never=("ecc",)), OLD * 0, "never names this check"),
        (fault("n1"), Act(), OLD, "over 24 h ago: sweep again"),
        (fault("n1,n2"), Act(), OLD * 0, "one finding about several nodes"),
        (fault("leaf-3"), Act(), OLD * 0, "one finding about several nodes"),
    ],
)
def test_a_finding_that_is_no_sure_fault_of_one_node_drains_none(finding, act, later, said):
    run = swept(["n1", "n2"], finding)
    wanted, spared = whom(run, act, label="x", silenced=quiet, now=NOON + later)
    assert wanted == []
    assert said in spared[0].why


def test_the_gravest_fault_takes_its_node_out_and_says_what_it_is():
    found = [fault("n1"), fault("n1", "row_remap", severity=Severity.RETURN, actual="failed")]
    (one,) = wanted_of([*found, fault("n1", "ecc", severity=Severity.OBSERVE)])
    assert one.reason == "clusterctl r1 row_remap: gpu3 failed"
    wanted, _ = whom(swept(["n1"], fault("n1", yardstick="peers")), Act(peers_alone=True),
                     label="x", silenced=quiet, now=NOON)  # fmt: skip
    assert [one.check for one in wanted] == ["xid"]


def test_what_is_acknowledged_drains_nothing():
    wanted, spared = whom(swept(["n1"], fault("n1")), Act(), label="x",
                          silenced=lambda _: "RMA 4711", now=NOON)  # fmt: skip
    assert (wanted, spared[0].why) == ([], "acknowledged: RMA 4711")


def test_a_reason_holds_nothing_that_a_tool_would_take_apart():
    made = reason(
        "r1", "xid", 'gpu3 [x]\nState=IDLE "quoted" `id` $(id) \x1b[31m≥ 8 风扇' + "x" * 300
    )
    assert made.startswith(
        "clusterctl r1 xid: gpu3 ?x??x0aState:IDLE 'quoted' ?id? ?(id) ?x1b?31m≥ 8 风扇".replace(
            "'", "?"
        )
    )
    assert len(made) == 160


# --------------------------------------------------------------------------- the breaker


def test_one_bad_node_goes():
    assert going(steps_of([fault("n003")], fleet(20), Act())) == ["n003"]


def test_when_every_node_fails_none_goes():
    every = [
        fault(name, check)
        for name, check in zip(fleet(60), ["xid", "ecc", "fan"] * 20, strict=True)
    ]
    for act in (Act(), Act(same_fault=99), replace(LOOSE, most_nodes=59)):
        assert going(steps_of(every, fleet(60), act)) == []
    left = going(steps_of(every, fleet(60), replace(LOOSE, most_nodes=60)))
    assert len(left) == 59  # told to allow everything, it keeps the last of the partition


def test_when_nothing_is_known_none_goes():
    unknown = [fault(name, status=Status.UNKNOWN) for name in fleet(60)]
    assert going(steps_of(unknown, fleet(60))) == []
    assert why(steps_of([fault("n1")], {})) == "left: the scheduler shows no node 'n1'"


def test_a_node_of_no_partition_stays():
    states = {name: replace(state, pools=()) for name, state in fleet(9).items()}
    assert why(steps_of([fault("n001")], states)).startswith("held: the scheduler names no part")


def test_the_same_fault_on_many_drains_none_and_says_why():
    found = [fault(f"n00{place}", actual=f"XID 79 at {place}") for place in range(3)]
    steps = steps_of([*found, fault("n009", "ecc")], fleet(100), Act())
    assert going(steps) == ["n009"]
    assert "3 nodes have the same fault (xid) in 24 h" in steps[0].why
    assert going(steps_of(found[:2], fleet(100), Act())) == ["n000", "n001"]


def test_what_is_graver_on_one_of_them_does_not_hide_the_same_fault_on_many():
    found = [fault(f"n00{place}") for place in range(3)]
    graver = fault("n002", "disk_health", severity=Severity.RETURN)
    steps = steps_of([*found, graver], fleet(100), Act())
    assert going(steps) == ["n002"]
    assert [one.wanted.check for one in steps if one.do is Do.DRAIN] == ["disk_health"]
    held = [one for one in steps if one.do is Do.HELD]
    assert [one.wanted.node for one in held] == ["n000", "n001"]
    assert "3 nodes have the same fault (xid) in 24 h" in held[0].why


def test_an_undo_that_was_refused_is_none():
    undo = drained("n001", id="u1", verb="undrain", undoes="a-n001", outcome=Outcome.REFUSED)
    steps = steps_of([fault("n001")], fleet(20), Act(), (undo,))
    assert going(steps) == ["n001"]


def test_the_same_fault_one_after_the_other_is_the_same_fault():
    first = {"fault": wanted_of([fault("n009")])[0].fault}
    done = tuple(drained(f"n00{place}", evidence=first) for place in range(2))
    steps = steps_of([fault("n007")], fleet(100), Act(), done)
    assert "3 nodes have the same fault" in why(steps)


def test_a_flood_drains_none_where_a_few_would_go():
    checks = ["xid", "ecc", "fan", "psu", "row_remap"]
    found = [fault(f"n00{place}", check) for place, check in enumerate(checks)]
    steps = steps_of(found, fleet(100), Act(most_nodes=4))
    assert going(steps) == []
    assert "5 nodes at once, and at most 4 of 100 nodes go in 24 h" in steps[0].why
    assert len(going(steps_of(found[:4], fleet(100), Act(most_nodes=4)))) == 4


def test_a_window_holds_the_rest_gravest_first():
    found = [fault("n001"), fault("n002", "ecc", severity=Severity.RETURN)]
    done = (drained("n050"), drained("n051", check="ecc"), drained("n052", hours_ago=25))
    steps = steps_of(found, fleet(100), Act(most_nodes=3), done)
    assert going(steps) == ["n002"]
    assert "3 went already" in steps[1].why


def test_a_lost_journal_does_not_open_the_breaker():
    states = fleet(100)
    for place in range(4):
        name = f"n05{place}"
        told = replace(states[name], held=("DRAIN",), reason="clusterctl r0 xid: x", usable=False)
        states[name] = replace(told, since=None if place else NOON)
    assert "4 went already" in why(steps_of([fault("n001")], states, Act()))


def test_damaged_lines_of_the_journal_count_as_nodes():
    picture = Picture(fleet(100))
    found = gauge(picture, Act(), (), NOON, damaged=[None, NOON, NOON, NOON])
    old = gauge(picture, Act(), (), NOON, damaged=[NOON - timedelta(days=2)] * 4)
    assert old.left == 4  # what stands before them was written longer ago than the window
    assert found.left == 0
    assert going(plan(wanted_of([fault("n001")]), picture, Act(), found)) == []


def test_half_of_a_partition_stays_and_so_does_its_last_node():
    states = fleet(4, "gpu") | {"x": State("x", "idle", pools=("small",))}
    checks = ["xid", "ecc", "fan", "psu"]
    found = [fault(f"n00{place}", check) for place, check in enumerate(checks)]
    steps = steps_of(found, states, replace(LOOSE, least_left_percent=50))
    assert going(steps) == ["n000", "n001"]
    assert "gpu would have 1 usable of 4 nodes; 2 must stay" in steps[2].why
    assert "small would have 0 usable of 1" in why(steps_of([fault("x")], states))


def test_nodes_that_do_not_answer_are_no_reserve():
    states = fleet(4)
    for name in ("n001", "n002", "n003"):
        states[name] = replace(states[name], usable=False)
    assert "gpu would have 0 usable" in why(steps_of([fault("n000")], states))
    assert "gpu would have 0 usable" in why(steps_of([fault("n001")], states))


HUMAN = State("n000", "IDLE+DRAIN", ("DRAIN",), "fan noise", "alice", NOON, ("gpu",), usable=False)


@pytest.mark.parametrize(
    ("state", "actions", "said"),
    [
        (HUMAN, (), "left: DRAIN already by alice since 2026-01-01 12:00: fan noise"),
        (replace(HUMAN, held=("DOWN",), reason=""), (), "left: DOWN already by alice"),
        (replace(HUMAN, held=(), usable=True), (), "left: it is in service with a reason of alice"),
        (
            replace(HUMAN, reason="clusterctl r0 xid: gpu3 XID 79"),
            (drained("n000"),),
            "already: DRAIN",
        ),
        (replace(HUMAN, reason="clusterctl r0 xid: other"), (drained("n000"),), "left: DRAIN"),
        (fleet(1)["n000"], (drained("n000"),), "left: it is in service again after a-n000"),
        (
            fleet(1)["n000"],
            (drained("n000"), drained("n000", id="u", verb="undrain", undoes="a-n000")),
            "left: root@c undid a-n000: ack the finding",
        ),
        (replace(fleet(1)["n000"], spare=True), (), "left: no job runs there"),
    ],
)
def test_what_somebody_else_holds_is_left_with_a_line(state, actions, said):
    states = fleet(9) | {"n000": state}
    assert why(steps_of([fault("n000")], states, actions=actions)).startswith(said)


def test_a_day_later_a_node_that_was_taken_back_may_go_again():
    undone = drained("n000", hours_ago=25, id="u", verb="undrain", undoes="a-n000")
    for before in ((drained("n000", hours_ago=25),), (drained("n000", hours_ago=26), undone)):
        assert going(steps_of([fault("n000")], fleet(9), Act(), before)) == ["n000"]


def test_two_names_of_one_node_are_one_node():
    both = [*by_hand(nodes(1, slurm_node="s1"), "slurm_node", "bob", "x")] * 2
    picture = Picture({"s1": State("s1", "idle", pools=("p",)), **fleet(3, "p")})
    steps = plan(both, picture, LOOSE, gauge(picture, LOOSE, (), NOON))
    assert [one.do for one in steps] == [Do.LEFT, Do.DRAIN]


states_of = st.builds(
    State,
    called=st.just(""),
    words=st.just("?"),
    held=st.sampled_from([(), (), ("DRAIN",), ("DOWN",)]),
    reason=st.sampled_from(["", "", "clusterctl r0 xid: a", "mine"]),
    since=st.sampled_from([None, NOON, NOON - timedelta(days=9), NOON + timedelta(days=9)]),
    pools=st.sampled_from([(), ("a",), ("b",), ("a", "b")]),
    usable=st.booleans(),
    spare=st.booleans(),
)
acts = st.builds(
    Act,
    most_nodes=st.integers(0, 30),
    most_percent=st.floats(0, 100),
    least_left=st.integers(1, 4),
    least_left_percent=st.floats(0, 100),
    same_fault=st.integers(2, 9),
)


@settings(max_examples=80, deadline=None)
@given(
    states=st.lists(states_of, min_size=1, max_size=25),
    checks=st.lists(st.sampled_from(["xid", "ecc", "fan", "psu", "oom"]), max_size=30),
    act=acts,
    gone=st.lists(st.integers(0, 24), max_size=6),
)
def test_no_cluster_no_findings_and_no_journal_make_it_take_too_much(states, checks, act, gone):
    named = {
        f"n{place:03}": replace(state, called=f"n{place:03}") for place, state in enumerate(states)
    }
    actions = tuple(drained(f"n{place:03}") for place in gone)
    found = [fault(f"n{place:03}", check) for place, check in enumerate(checks)]
    steps = steps_of(found, named, act, actions)
    out = going(steps)
    known = gauge(Picture(named), act, actions, NOON)
    assert len(steps) == len(found)
    assert not out or len(known.used | set(out)) <= max(known.allowed, len(known.used))
    assert all(not named[name].held and named[name].pools for name in out)
    for name, pool in known.pools.items():
        taken = sum(name in named[one].pools for one in out)
        assert not taken or pool.usable - taken >= max(1, pool.least)


# --------------------------------------------------------------------------- the journal


def test_what_is_written_is_read_again(tmp_path):
    toy = Toy(fleet(9))
    with journal.writing(tmp_path, ME) as writer:
        (done,) = carry_out(drains(steps_of([fault("n001")], toy.states)), toy, writer, actor())
        writer.trip(NOON, "root", ["n002"], ["too many"])
    log = journal.read(tmp_path / journal.NAME)
    (kept,) = log.of("toy")
    assert (kept.outcome, kept.reason) == (Outcome.DONE, "clusterctl r1 xid: gpu3 XID 79")
    assert kept.evidence["actual"] == "XID 79"
    assert (kept.before["words"], kept.after["words"]) == ("idle", "drained")
    assert done.action == replace(kept, outcome=Outcome.BEGUN, after={}, ended=None)
    assert [one["nodes"] for one in log.tripped] == [["n002"]]
    lines = (tmp_path / journal.NAME).read_text().splitlines()
    assert json.loads(lines[0])["undo"] == f"clusterctl undrain --undo {kept.id} --yes"


def test_every_cut_of_a_journal_is_read_and_a_torn_end_was_never_begun(tmp_path):
    toy = Toy(fleet(9))
    path = tmp_path / journal.NAME
    with journal.writing(tmp_path, ME) as writer:
        list(carry_out(drains(steps_of([fault("n001")], toy.states)), toy, writer, actor()))
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in {*range(0, len(whole), 13), first - 1, first, len(whole) - 1}:
        path.write_bytes(whole[:end])
        log = journal.read(path)
        assert len(log.actions) == (end >= first)
        assert log.torn == (end not in {0, first})
    with journal.writing(tmp_path, ME) as writer:
        writer.trip(NOON, "root", [], [])
    assert journal.read(path).damaged == {}


@pytest.mark.parametrize(
    "line", [b"{}", b"[]", b"null", b"\xff\xfe", b'{"do": "end", "action": "?"}', b'{"do": "x"}']
)
def test_a_damaged_line_costs_itself_and_is_counted(tmp_path, line):
    path = tmp_path / journal.NAME
    path.write_bytes(line + b"\n")
    with journal.writing(tmp_path, ME) as writer:
        writer.begin(drained("n1"))
    log = journal.read(path)
    assert (log.damaged, list(log.actions)) == ({1: drained("n1").at}, ["a-n1"])


def test_two_at_once_are_told_who_acts(tmp_path):
    with (
        journal.writing(tmp_path, ME),
        pytest.raises(UserError, match="process 1 on here since now"),
        journal.writing(tmp_path, ME),
    ):
        pass


def test_what_cannot_be_written_down_is_not_done():
    toy = Toy(fleet(9))
    found = [fault("n001"), fault("n002", "ecc")]
    done = list(
        carry_out(drains(steps_of(found, toy.states)), toy, Journal(Path("/dev/full")), actor())
    )
    assert toy.said == []
    assert [one.told.outcome for one in done] == [Outcome.REFUSED] * 2
    assert "No space left" in done[1].told.detail


# --------------------------------------------------------------------------- doing it


def test_a_scheduler_that_falls_silent_leaves_the_rest_and_the_same_again_goes_on(tmp_path):
    toy = Toy(fleet(20), dies_after=1)
    found = [fault("n001"), fault("n002", "ecc"), fault("n003", "fan")]
    with journal.writing(tmp_path, ME) as writer:
        done = list(carry_out(drains(steps_of(found, toy.states)), toy, writer, actor()))
        assert [one.told.outcome for one in done] == [
            Outcome.DONE,
            Outcome.UNKNOWN,
            Outcome.REFUSED,
        ]
        assert "not tried" in done[2].told.detail
        toy.dies_after = 99
        log = journal.read(writer.path)
        assert settle(log, toy, toy.look(), writer, NOON) == []  # it may be done yet
        (line,) = settle(log, toy, toy.look(), writer, NOON + timedelta(hours=1))
        assert "the node is not as it wanted" in line
        steps = steps_of(found, toy.states, actions=tuple(log.of("toy")))
        assert [one.do for one in steps] == [Do.ALREADY, Do.DRAIN, Do.DRAIN]
        list(carry_out(drains(steps), toy, writer, actor()))
    assert toy.said == ["drain n001", "drain n002", "drain n003"]


@dataclass
class Busy(Toy):
    """While we drain one node, somebody else drains others."""

    others: tuple[str, ...] = ()

    def change(self, verb: str, state: State, action: Action) -> Told:
        for name in self.others:
            self.states[name] = replace(
                self.states[name], held=("DRAIN",), usable=False, reason="fan", by="bob"
            )
        return super().change(verb, state, action)


@pytest.mark.parametrize("others", [(), ("n003", "n004", "n005")])
def test_a_partition_that_others_empty_while_we_act_keeps_its_rest(tmp_path, others):
    act = replace(LOOSE, least_left_percent=50)
    toy = Busy(fleet(6), others=others)
    found = [fault("n000"), fault("n001", "ecc")]
    deeds = drains(steps_of(found, dict(toy.states), act))
    with journal.writing(tmp_path, ME) as writer:
        ended = list(carry_out(deeds, toy, writer, actor(), looked_again(toy, act)))
    assert [bool(one.action) for one in ended] == [True, not others]
    usable = sum(state.usable for state in toy.states.values())
    assert usable == (2 if others else 4)
    if others:
        assert "meanwhile: gpu would have 1 usable of 6 nodes; 3 must stay" in ended[1].told.detail


def test_an_end_that_nobody_heard_is_told_by_how_the_node_stands(tmp_path):
    toy = Toy(fleet(9))
    with journal.writing(tmp_path, ME) as writer:
        begun = drained("n001", outcome=Outcome.BEGUN)
        writer.begin(begun)
        toy.change("drain", toy.states["n001"], begun)  # and then we were killed
        deaf = replace(toy, sees=False)  # one that knows no more than our journal
        assert settle(journal.read(writer.path), deaf, toy.look(), writer, NOON) == []
        settle(journal.read(writer.path), toy, toy.look(), writer, NOON)
    assert journal.read(tmp_path / journal.NAME).actions["a-n001"].outcome is Outcome.DONE


# --------------------------------------------------------------------------- back into service


def released(state: State, *actions: Action, proof: tuple[str, str] = ("", "no burn")) -> str:
    (one,) = release([("n000", "n000")], Picture({"n000": state}), actions, lambda *_: proof)
    return one.why if one.deed is None else f"{one.deed.verb}: {one.why}"


OURS = replace(HUMAN, reason="clusterctl r0 xid: gpu3 XID 79")


def test_only_what_we_drained_goes_back_and_only_when_it_is_proven():
    assert released(HUMAN, drained("n000")).endswith("fan noise; not by us, so not for us")
    assert "not in this journal" in released(OURS)
    assert "not in this journal" in released(OURS, drained("n000", reason="clusterctl other"))
    assert released(fleet(1)["n000"], drained("n000")) == "it is in service"
    assert released(OURS, drained("n000")).startswith("drained for xid (r0), and no burn")
    assert released(OURS, drained("n000"), proof=("b1", "ok")) == "undrain: ok"
    assert released(OURS, drained("n000", run=BY_HAND)).startswith(
        "undrain: xid drained it by hand"
    )
    assert released(OURS, drained("n000"), drained("n000", id="u", verb="undrain")).startswith(
        "DRAIN"
    )


def test_an_action_is_undone_only_where_nobody_touched_the_node_since():
    made = drained("n000", after={"held": ["DRAIN"], "words": "IDLE+DRAIN"})
    free = gauge(Picture(fleet(9)), LOOSE, (), NOON)
    undo = partial(undoing, made, found=free)
    deed = undo(OURS, [made]).deed
    assert deed is not None
    assert (deed.verb, deed.undoes) == ("undrain", "a-n000")
    assert "what others did is not undone" in undo(HUMAN, [made]).why
    assert "what others did is not undone" in undo(fleet(1)["n000"], [made]).why
    assert "then it was" in undo(replace(OURS, held=("DOWN", "DRAIN")), [made]).why
    assert "undone already" in undo(OURS, [made, drained("n000", id="u", undoes="a-n000")]).why
    for outcome in (Outcome.REFUSED, Outcome.CHANGED):
        assert "nothing to undo" in undoing(replace(made, outcome=outcome), OURS, [], free).why


def test_an_undrain_that_is_undone_drains_again_with_the_old_reason(tmp_path):
    toy = Toy(fleet(2))
    made = drained("n000", verb="undrain", after={"held": []})
    free = gauge(Picture(fleet(9)), LOOSE, (), NOON)
    deed = undoing(made, toy.states["n000"], [made], free).deed
    assert deed is not None
    (one,) = carry_out([deed], toy, Journal(tmp_path / "j"), actor())
    assert one.told == Told(Outcome.DONE, "", toy.states["n000"])
    assert toy.states["n000"].reason == made.reason
    assert "what others did" in undoing(drained("n000", verb="undrain"), HUMAN, [], free).why


def test_undoing_an_undrain_asks_the_breaker_too():
    made = drained("n000", verb="undrain", after={"held": []})
    last = gauge(Picture(fleet(1)), LOOSE, (), NOON)
    release = undoing(made, fleet(1)["n000"], [made], last)
    assert release.deed is None
    assert "gpu would have 0 usable of 1" in release.why


def test_only_act_changes_the_world():
    """A word that changes a scheduler stands where the breaker and the journal are."""
    words = ("change_slurm", "patch_node", "transport.script", "State=DRAIN", "UNDRAIN")
    house = Path(journal.__file__).parent.parent
    may = {"remote/change_slurm.py"}
    for path in sorted(house.rglob("*.py")):
        where = path.relative_to(house).as_posix()
        if not where.startswith("act/") and where not in may:
            found = [word for word in words if word in path.read_text(encoding="utf-8")]
            assert not found, f"{where}: {found}"


def test_what_scontrol_says_in_several_lines_is_told_in_one():
    said = "scontrol: error: resolve_ctls\nscontrol: fatal: Could not\n  establish a source\n"
    slurm = Slurm(lambda asked: Answer(asked.name, 1, "", said, 0.1), "here")
    with pytest.raises(Blind, match=r"fatal: Could not establish a source$"):
        slurm.look()


def test_a_list_that_could_not_be_read_whole_is_said(tmp_path):
    line = (
        "NodeName=n1 State=IDLE Partitions=gpu,all BootTime=x Reason=a b [bob@2026-01-01T12:00:00]"
    )
    seen = read_nodes(
        f"{line}\n{line.replace('n1', 'n2')}\njunk\n{line.replace('n1', 'n2')}\n{line[:30]}"
    )
    assert list(seen.states) == ["n1"]
    assert len(seen.troubles) == 3
    assert all(isinstance(one, Trouble) for one in seen.troubles)
    assert seen.states["n1"].reason == "a b"
    for cut in range(len(line)):
        for text in (line[:cut], line[cut:], line[:cut] + "\x00\xff" + line[cut:]):
            states = read_nodes(text + "\n").states.values()
            assert all(one.called in {"n1", "n"} or "n1" in one.called for one in states)


@pytest.mark.parametrize(
    ("words", "usable"),
    [
        ("IDLE+MAINTENANCE+RESERVED", False),
        ("MIXED+MAINT", False),
        ("IDLE+RESERVED", True),
    ],
)
def test_a_node_in_a_maintenance_reservation_is_held_by_whoever_made_it(words, usable):
    (state,) = read_nodes(f"NodeName=n1 State={words} Partitions=gpu\n").states.values()
    assert (state.usable, bool(state.held)) == (usable, not usable)


def test_an_action_is_undone_in_the_cluster_where_it_was_done():
    made = drained("n000", by="kubernetes", where="https://prod:6443")
    same_place(made, Toy({}, by="kubernetes", where="https://prod:6443"))
    with pytest.raises(UserError, match="done in https://prod:6443, this is https://test:6443"):
        same_place(made, Toy({}, by="kubernetes", where="https://test:6443"))


LISTED = "".join(
    f"NodeName=n{place:03} State=IDLE Partitions=gpu,all Reason=\n" for place in range(12)
).replace(" Reason=\n", "\n")


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(
        st.tuples(st.integers(0, len(LISTED)), st.integers(0, 60), st.text(max_size=8)), max_size=6
    )
)
def test_a_garbled_list_of_nodes_takes_out_no_more_than_a_whole_one(cuts):
    text = LISTED
    for at, gone, junk in cuts:
        text = text[:at] + junk + text[at + gone :]
    picture = read_nodes(text)
    checks = ["xid", "ecc", "fan", "psu", "oom", "sel"] * 2
    wanted = wanted_of([fault(f"n{place:03}", one) for place, one in enumerate(checks)], Act())
    for few in (wanted, wanted[:1]):
        act = Act(same_fault=9)
        out = going(plan(few, picture, act, gauge(picture, act, (), NOON)))
        assert len(out) <= 1
        assert all(picture.states[name].pools for name in out)

"""Paths between nodes: what is asked of whom, what comes of it, what is kept and printed."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from clusterctl import catalog
from clusterctl.bandwidth import findings as says
from clusterctl.bandwidth import folder
from clusterctl.bandwidth import paths as bandwidth
from clusterctl.bandwidth.paths import Row
from clusterctl.bandwidth.rails import Rails, rails_of
from clusterctl.cli import app
from clusterctl.cli.rounds_begun import chosen, planned
from clusterctl.cli.rounds_judged import judged_by
from clusterctl.localise import schedule
from clusterctl.localise.columns import FAILED, MISSING, OK, UNKNOWN, Topology
from clusterctl.localise.located import Inconclusive, Located, Population, Rival, Suspect
from clusterctl.localise.located import Test as Quoted
from clusterctl.localise.muddle import crosses
from clusterctl.localise.suspects import locate
from clusterctl.model import (
    WHOLE_NODE,
    Bandwidth,
    Kind,
    Node,
    Observation,
    Pace,
    Run,
    Stage,
    Status,
    Trouble,
    UserError,
)
from clusterctl.report import heatmap, paths
from clusterctl.report.paths_page import page

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def node(number: int, **labels: str) -> Node:
    given = {
        "leaf": str(number // 2),
        "rail_addresses": f"10.0.0.{number} 10.0.1.{number}",
        "via0_addresses": f"10.1.0.{number} 10.1.1.{number}",
        "via1_addresses": f"10.2.0.{number} 10.2.1.{number}",
    }
    return Node(f"n{number}", labels={**given, **labels}, origin="fleet.yml:1")


FOUR = [node(number) for number in range(4)]


# ----------------------------------------------------------------------------- rails


def test_leaves_rails_and_spines_come_from_labels():
    rails = rails_of(FOUR)

    assert rails.topology.leaf.tolist() == [[0, 0], [0, 0], [1, 1], [1, 1]]
    assert rails.topology.uplinks == 2
    assert rails.address(3, 1, 0) == "10.1.1.3"
    assert rails.address(3, 1, UNKNOWN) == "10.0.1.3"


def test_leaves_may_differ_by_rail_and_have_names():
    rails = rails_of([node(0, leaves="su1-a su2-a"), node(1, leaves="su1-a su2-b")])

    assert rails.topology.leaf.tolist() == [[0, 1], [0, 2]]
    assert "2 is su2-b" in rails.topology.origin


def test_without_leaves_only_ends_can_be_told_apart_and_that_is_said():
    rails = rails_of([Node("a", "10.0.0.1"), Node("b", "10.0.0.2")])

    assert (rails.topology.leaf == UNKNOWN).all()
    assert not rails.pinned
    assert rails.address(1, 0, UNKNOWN) == "10.0.0.2"
    assert "switches and uplinks cannot" in paths.fabric(rails.topology)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"rail_addresses": "10.0.0.3"}, "n3: rail_addresses: names 1 rails"),
        ({"leaves": "1 2 3"}, "n3: leaves: expected 2"),
        ({"via1_addresses": "10.2.0.3"}, "n3: via1_addresses: expected 2"),
    ],
)
def test_labels_that_disagree_are_the_operators_mistake(labels, words):
    with pytest.raises(UserError, match=words):
        rails_of([*FOUR[:3], node(3, **labels)])


def test_a_file_says_who_hangs_where_of_the_nodes_selected():
    described = Topology(
        ("n9", "n1", "n0"), np.array([[7, 7], [1, 1], [4, 4]], np.int32), 2, "t.yml"
    )

    assert rails_of(FOUR[:2], described).topology.leaf.tolist() == [[4, 4], [1, 1]]
    with pytest.raises(UserError, match=r"t.yml: nodes: n2 is selected"):
        rails_of(FOUR, described)


# ----------------------------------------------------------------------------- a round

TRIAL = catalog.all_trials()["pair_bandwidth"]
STAGE = Stage(TRIAL, dict(TRIAL.params))
THERE, BACK = Row(2, 0, 2, 1, 0), Row(2, 2, 0, 1, 1)


def test_each_way_of_a_pair_takes_the_spine_that_the_plan_says():
    caller, listener = (
        bandwidth.ask(THERE, BACK, rails_of(FOUR), STAGE, 7, listener=listener)
        for listener in (False, True)
    )

    assert caller.name == listener.name == "n0/1>n2/1"
    assert "10.1.1.2" in caller.command  # data to n2 by spine 0
    assert "10.2.1.0" in caller.command  # data back to n0 by spine 1
    assert "10.1.1.2" in listener.command


def test_pairs_are_there_and_back_on_one_rail_and_what_is_left_goes_one_way():
    other_rail = Row(2, 2, 0, 0)

    assert list(bandwidth.paired([THERE, other_rail, BACK])) == [(THERE, BACK), (other_rail, None)]


def seen(name: str, *found: Bandwidth | Trouble) -> Observation:
    return Observation(
        name,
        "n0/1>n2/1",
        NOW,
        tuple(one for one in found if isinstance(one, Bandwidth)),
        tuple(one for one in found if isinstance(one, Trouble)),
    )


def outcomes(*observations: Observation) -> list[Row]:
    return bandwidth.outcomes([(THERE, BACK)], rails_of(FOUR), observations)


def test_each_direction_gets_the_rate_that_carries_its_name():
    forth, back = outcomes(
        seen("n0", Bandwidth("n2/1>n0/1", "x", 3.0)),
        seen("n2", Bandwidth("n0/1>n2/1", "x", 5.0, samples_gbit_s=(4.0, 6.0))),
    )

    assert (forth.gbit_s, back.gbit_s) == (5.0, 3.0)
    assert forth.samples_gbit_s == (4.0, 6.0)
    assert forth.status == back.status == OK


def test_a_rate_of_another_path_is_nobodys():
    rows = outcomes(seen("n0", Bandwidth("n2/0>n0/0", "x", 3.0)), seen("n2"))

    assert [row.status for row in rows] == [FAILED, FAILED]
    assert rows[0].why == "neither end told a rate"


def test_what_a_node_tells_of_a_path_that_it_was_not_asked_for_is_nobodys():
    other = replace(seen("n3", Bandwidth("n0/1>n2/1", "evil", 9e9)), probe="n3/1>n1/1")
    rows = outcomes(seen("n0"), seen("n2", Bandwidth("n0/1>n2/1", "x", 5.0)), other)

    assert [row.gbit_s for row in rows] == [5.0, None]


def test_a_rate_that_no_link_has_is_a_failure_and_no_rate():
    rows = outcomes(seen("n2", Bandwidth("n0/1>n2/1", "x", 1e300)), seen("n0"))

    assert [row.status for row in rows] == [FAILED, FAILED]
    assert (rows[0].gbit_s, rows[0].why) == (
        None,
        "1e+300 Gbit/s is not a rate; expected 0 to 1e+06",
    )


def test_a_run_that_failed_beside_others_is_told_beside_their_rate():
    part = "n0/1>n2/1"
    rows = outcomes(
        seen("n2", Bandwidth("n2/1>n0/1", "x", 3.0)),
        seen("n0", Bandwidth(part, "x", 5.0), Trouble(Kind.EXIT, "exit 1", part)),
    )

    assert [(row.status, row.gbit_s) for row in rows] == [(OK, 5.0), (OK, 3.0)]
    assert [row.why for row in rows] == ["n0: exit: exit 1", ""]
    told = printed(answer(Located(measured=2), rows), 200)
    assert "1 test ok: n0: exit: exit 1" in told


def test_a_path_that_gave_nothing_has_failed_with_its_reason():
    trouble = Trouble(Kind.EXIT, "1 of 1 streams broke off")
    rows = outcomes(seen("n0", Bandwidth("n2/1>n0/1", "x", 3.0)), seen("n2", trouble))

    assert [row.status for row in rows] == [FAILED, OK]
    assert rows[0].why == "n2: exit: 1 of 1 streams broke off"


def test_a_path_whose_end_did_not_answer_was_not_tried():
    gone = Trouble(Kind.UNREACHABLE, "no route", WHOLE_NODE)
    partner = Trouble(Kind.EXIT, "cannot reach the partner")
    rows = outcomes(seen("n0", partner), seen("n2", gone))

    assert [row.status for row in rows] == [MISSING, MISSING]
    assert rows[0].why == "n2: unreachable: no route"


def test_who_is_busy_is_not_loaded_and_neither_is_the_partner_of_that_path():
    able, idle = bandwidth.without([THERE, Row(2, 1, 3, 0)], {2: "n2: in use by python"})

    assert [row.src for row in able] == [1]
    assert [(row.status, row.why) for row in idle] == [(MISSING, "n2: in use by python")]


def test_chosen_paths_have_a_round_each():
    rows = chosen("n0>n2/1@1, n3>n1", rails_of(FOUR))

    assert rows == [Row(0, 0, 2, 1, 1), Row(1, 3, 1, 0, UNKNOWN)]


def unlabelled(uplinks: int) -> Rails:
    """A file says how many spines there are, and no label how to take one."""
    bare = tuple(Node(f"n{at}") for at in range(4))
    return rails_of(bare, replace(rails_of(FOUR).topology, leaf=LEAF, uplinks=uplinks))


LEAF = np.array([[0], [0], [1], [1]], np.int32)


@pytest.mark.parametrize(("uplinks", "known"), [(0, False), (1, True), (2, False)])
def test_a_spine_that_cannot_be_chosen_is_not_said_to_have_been_taken(uplinks, known):
    rails = unlabelled(uplinks)
    rows = planned(folder.Settings(), rails, 7)

    assert any(rails.topology.leaf[row.src] != rails.topology.leaf[row.dst] for row in rows)
    assert any(row.via != UNKNOWN for row in rows) == known
    assert any(row.via != UNKNOWN for row in planned(folder.Settings(), rails_of(FOUR), 7))
    if not known:
        with pytest.raises(UserError, match="the fabric chooses the spine; leave out @0"):
            chosen("n0>n2/0@0", rails)


@pytest.mark.parametrize(
    "word",
    ["n0", "n0>n9", "n0>n2/2", "n0>n2/0@2", "n0>n2/x", "n1>n1", f"n0>n2/{'9' * 5000}"],
)
def test_a_path_that_is_not_there_is_the_operators_mistake(word):
    with pytest.raises(UserError, match="--only"):
        chosen(word, rails_of(FOUR))


@pytest.mark.parametrize(
    ("only", "doubts"), [("n0>n2/1", []), ("", ["rail 0", "nic-rx:n0/1", "nic-tx:n2/1"])]
)
def test_ports_that_chosen_paths_leave_out_are_no_doubt_and_those_of_a_plan_are(only, doubts):
    rails = rails_of([FOUR[0], FOUR[2]])
    rows = [Row(0, 0, 1, 1, UNKNOWN, OK, 8.0)]
    found = judged_by(rails.topology, rows, folder.Settings(only=only, floor_gbit_s=8.0), [])

    assert [one.component for one in found.inconclusive] == doubts


def test_a_path_that_is_compared_with_nothing_is_not_fine():
    rails = rails_of([FOUR[0], FOUR[2]])
    rows = [Row(0, 0, 1, 1, UNKNOWN, OK, 8.0)]
    found = judged_by(rails.topology, rows, folder.Settings(only="n0>n2/1"), [])

    assert [one.component for one in found.inconclusive] == ["*"]


# ----------------------------------------------------------------------------- what it says

SUSPECT = Suspect(
    "nic-tx:n0/1",
    0.48,
    0.46,
    0.5,
    0.99997,
    (Rival("host:n0", 0.002),),
    (Quoted(2, "n0", "n2", 1, 0, 0.48),),
    (Quoted(1, "n0", "n2", 0, None, 1.0),),
    4,
    3,
    "check transmit optics",
)
DONE = [
    Row(0, 0, 1, 1, UNKNOWN, OK, 4.0, "built-in TCP", (3.9, 4.1), 7),
    Row(0, 1, 0, 1, UNKNOWN, OK, 8.0, "built-in TCP"),
    Row(1, 0, 2, 1, 0, OK, 4.1, "built-in TCP"),
    Row(1, 2, 0, 1, 1, FAILED, why="n2: exit: <b>broke</b>, \x1b[31m off\n"),
]


def answer(located: Located, rows: list[Row] = DONE, nodes: list[Node] = FOUR) -> paths.Answer:
    topology = rails_of(nodes).topology
    book = bandwidth.playbook(Pace(), {})
    found = says.findings(located, rows, topology)
    run = Run("r1", book, tuple(nodes), 7, NOW, NOW, (), tuple(found), verb="bandwidth")
    return paths.Answer(run, located, rows, topology)


def printed(one: paths.Answer, width: int) -> str:
    text = io.StringIO()
    Console(file=text, width=width).print(paths.summary(one, width))
    return text.getvalue()


def test_a_suspect_fails_its_node_and_a_node_that_no_path_reached_is_unknown():
    found = {one.verdict.node: one.verdict for one in answer(Located((SUSPECT,))).run.findings}

    assert found["n0"].status is Status.FAIL
    assert found["n0"].actual == "48% (46% to 50%)"
    assert found["n1"].status is Status.PASS
    assert found["n3"].status is Status.UNKNOWN
    assert "no partner" in found["n3"].why


def test_a_node_that_falls_over_on_the_way_is_not_cleared_by_what_it_gave_before():
    gone = "n1: unreachable: connection reset"
    rows = [Row(0, 0, 1, 0, UNKNOWN, OK, 8.0), Row(0, 1, 0, 0, UNKNOWN, OK, 8.0)]
    rows += [Row(1, 0, 1, 0, why=gone), Row(1, 1, 0, 0, why=f"n0: timeout: 9 s; {gone}")]
    of_partner = answer(Located(measured=2, missing=2), rows[:3], FOUR[:2])
    of_both = answer(Located(measured=2, missing=2), rows, FOUR[:2])

    assert says.gave_out(rows[:3], NAMES) == {1}
    assert says.gave_out(rows, NAMES) == {0, 1}
    assert of_partner.exit_code == 4
    assert {one.verdict.node: one.verdict.status for one in of_partner.run.findings} == {
        "n0": Status.PASS,
        "n1": Status.UNKNOWN,
    }
    assert [(one.verdict.actual, one.verdict.why) for one in of_both.run.findings] == [
        ("1 of 4 did not run", f"n0: timeout: 9 s; {gone}"),
        ("2 of 4 did not run", gone),
    ]


@pytest.mark.parametrize(
    ("located", "code"),
    [
        (Located((SUSPECT,)), 1),
        (Located((Suspect("spine:1", 0.5, 0.4, 0.6, 0.99),)), 1),
        (Located((), (), (Population("rail 0", 3.9, 8.0, "all slow"),), measured=3), 1),
        (Located((), (Inconclusive("leaf:1/0", "too little"),), measured=3), 4),
    ],
    ids=["a NIC", "a spine, no node's", "all slow", "unclear"],
)
def test_the_exit_code_says_whether_anything_is_wrong(located, code):
    assert answer(located, DONE[:3], FOUR[:3]).exit_code == code


def test_a_cluster_whose_paths_are_alike_passes():
    rows = [Row(0, 0, 1, 0, UNKNOWN, OK, 8.0), Row(0, 1, 0, 0, UNKNOWN, OK, 8.0)]

    assert answer(Located(measured=2), rows, FOUR[:2]).exit_code == 0


def crowd(count: int, slow: int, via: int = UNKNOWN) -> list[Row]:
    rates = [5.0] * slow + [10.0] * (count - slow)
    return [Row(at, 0, 2, 0, via, OK, rate) for at, rate in enumerate(rates)]


@pytest.mark.parametrize(("slow", "code"), [(0, 0), (10, 0), (11, 4), (40, 4)])
def test_many_slow_tests_that_no_part_explains_clear_nobody(slow, code):
    one = answer(Located(measured=100), crowd(100, slow), [FOUR[0], FOUR[1], FOUR[2]])
    reached = [found for found in one.run.findings if found.verdict.node != "n1"]
    one = replace(one, run=replace(one.run, findings=tuple(reached), nodes=(FOUR[0], FOUR[2])))

    assert one.exit_code == code
    assert printed(one, 160).startswith("UNKNOWN: ") == (code == 4)


def test_slow_tests_across_a_suspect_are_explained():
    found = Located((Suspect("spine:1", 0.5, 0.4, 0.6, 0.99),), measured=100)

    assert not list(says.muddled(found, crowd(100, 40, via=1), rails_of(FOUR).topology))
    assert list(says.muddled(found, crowd(100, 40, via=0), rails_of(FOUR).topology))


@pytest.mark.parametrize(
    ("component", "crossed"),
    [
        *(("host:n0", True), ("host:n2", True), ("host:n1", False)),
        *(("nic-tx:n0/1", True), ("nic-tx:n0/0", False), ("nic-tx:n2/1", False)),
        *(("nic-rx:n2/1", True), ("leaf:0/1", True), ("leaf:1/1", True), ("leaf:0/0", False)),
        *(("uplink:0/1>0", True), ("uplink:1/1>0", False), ("uplink:0/1>1", False)),
        *(("downlink:0>1/1", True), ("downlink:0>0/1", False), ("downlink:1>1/1", False)),
        *(("spine:0", True), ("spine:1", False), ("uplinks:0/1", True), ("downlinks:1/1", True)),
        *(("uplinks:1/1", False), ("*", False)),
    ],
)
def test_what_a_test_crosses(component, crossed):
    rows = bandwidth.measured([THERE, Row(0, 0, 1, 0)])

    assert crosses(component, rails_of(FOUR).topology, rows)[0] == crossed


@pytest.mark.parametrize("width", [80, 160])
def test_a_screen_says_what_is_slow_why_and_how_to_see_it_again(width):
    text = printed(answer(Located((SUSPECT,), measured=3)), width)
    words = " ".join(text.split())

    assert words.startswith("SLOW: n0 rail 1 sends at 48% of the healthy rate (nic-tx:n0/1, ")
    assert 'clusterctl bandwidth -i fleet.yml --only "n0>n2/1@0 n0>n2/0"' in words
    assert "1 test failed: n2: exit: <b>broke</b>" in words
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= width


def test_the_page_is_well_formed_and_shows_nothing_raw():
    text = page(answer(Located((SUSPECT,), measured=3)))
    root = ET.fromstring(text.removeprefix("<!DOCTYPE html>"))  # noqa: S314 - ours

    assert "<b>broke" not in text
    assert len([one for one in root.iter() if one.tag.endswith("svg")]) == 2


@pytest.mark.parametrize(
    ("component", "words"),
    [
        ("host:n0", "n0 carries, on all rails together,"),
        ("nic-rx:n0/3", "n0 rail 3 receives"),
        ("uplink:2/3>5", "the uplink of leaf 2, rail 3, to spine 5 carries"),
        ("downlink:5>2/3", "the downlink of spine 5 to leaf 2, rail 3, carries"),
        ("spine:5", "spine 5 carries"),
        ("*", "* carries"),
    ],
)
def test_a_component_is_said_in_words(component, words):
    assert paths.in_words(component) == words


def test_json_and_csv_hold_what_the_screen_shows():
    one = answer(Located((SUSPECT,), measured=3))
    told = json.loads(paths.as_json(one))
    lines = list(csv.DictReader(io.StringIO(paths.as_csv(one))))

    assert told["suspects"][0]["component"] == "nic-tx:n0/1"
    assert told["suspects"][0]["for"][0]["rate"] == 0.48
    assert told["exit_code"] == 1
    assert [line["status"] for line in lines] == ["ok", "ok", "ok", "failed"]
    assert lines[2]["via"] == "0"


# ----------------------------------------------------------------------------- maps


def many(count: int, leaf_size: int) -> tuple[list[Row], Topology]:
    """Each node to the next, and back; node 5 sends at half."""
    topology = Topology(
        tuple(f"n{at:04d}" for at in range(count)),
        np.repeat(np.arange(count, dtype=np.int32)[:, None] // leaf_size, 2, axis=1),
        4,
    )
    rows = [
        Row(0, at, (at + 1) % count, rail, UNKNOWN, OK, 5.0 if at == 5 and rail else 10.0)
        for at in range(count)
        for rail in range(2)
    ]
    return rows, topology


def on_screen(heat: heatmap.Heat) -> str:
    text = io.StringIO()
    Console(file=text, width=200).print(heatmap.drawn(heat, 80))
    return text.getvalue()


@pytest.mark.parametrize(("count", "leaf_size"), [(8, 4), (64, 32), (1000, 32), (1280, 1)])
@pytest.mark.parametrize("made", [heatmap.pairs, heatmap.ports])
def test_a_map_fits_the_screen_and_what_is_folded_is_not_hidden(count, leaf_size, made):
    rows, topology = many(count, leaf_size)

    heat = made(rows, topology, 60)
    text = on_screen(heat)

    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) < 70
    assert np.nanmin(heat.share) == pytest.approx(0.5)
    assert {round(one, 6) for row in heat.share.tolist() for one in row if one < 0.9} == {0.5}
    assert bool(heat.note) == (count > 60)


def test_a_failed_test_shows_whatever_its_neighbours_gave():
    rows, topology = many(1000, 32)
    rows.append(Row(1, 900, 901, 0, UNKNOWN, FAILED))

    assert "x" in on_screen(heatmap.pairs(rows, topology, 60))


# ----------------------------------------------------------------------------- who it is


def test_a_nic_bad_both_ways_is_two_ports_and_not_its_host_now_and_then():
    leaf = np.repeat(np.arange(16, dtype=np.int32)[:, None] // 4, 2, axis=1)
    topology = Topology(tuple(f"n{at}" for at in range(16)), leaf, 2)
    planned = schedule.plan(topology, rng=np.random.default_rng(3))
    noise = np.random.default_rng(4).normal(1, 0.002, len(planned.src))
    slow = (planned.rail == 1) & ((planned.src == 10) | (planned.dst == 10))
    status = np.full(len(planned.src), OK, dtype=np.int8)
    rates = replace(planned, gbit_s=np.where(slow, 5.0, 10.0) * noise, status=status)

    found = [one.component for one in locate(topology, rates).suspects]

    assert sorted(found) == ["nic-rx:n10/1", "nic-tx:n10/1"]


# ----------------------------------------------------------------------------- the folder

NAMES = [one.name for one in FOUR]


def test_rows_come_back_as_they_were_kept(tmp_path):
    folder.write_plan(tmp_path, DONE, NAMES)
    folder.append(tmp_path, DONE[:2], NAMES)
    folder.append(tmp_path, DONE[2:3], NAMES)

    assert folder.read_rows(tmp_path / "measured.csv", NAMES) == DONE[:3]
    planned = folder.read_rows(tmp_path / "plan.csv", NAMES)
    assert [(row.round, row.via, row.gbit_s) for row in planned][2] == (1, 0, None)


@pytest.mark.parametrize("lost", [1, 20, 60, 200])
def test_a_round_that_was_cut_short_is_measured_again(tmp_path, lost):
    folder.append(tmp_path, DONE[:2], NAMES)
    whole = (tmp_path / "measured.csv").read_bytes()
    folder.append(tmp_path, DONE[2:], NAMES)
    path = tmp_path / "measured.csv"
    path.write_bytes(path.read_bytes()[:-lost])

    kept = folder.whole_rounds(tmp_path, DONE, NAMES)

    assert kept == (DONE[:2] if lost < 200 else kept)
    assert {row.round for row in kept} <= {0}
    assert path.exists() == bool(kept)
    assert not kept or path.read_bytes() == whole


def test_a_full_disk_loses_nothing_that_was_measured(tmp_path):
    folder.append(tmp_path, DONE[:2], NAMES)
    folder.append(tmp_path, DONE[2:3], NAMES)
    path = tmp_path / "measured.csv"
    before = path.read_bytes()
    (tmp_path / "measured.csv.new").mkdir()  # nothing can be written beside it

    with pytest.raises(UserError, match=r"measured\.csv: Is a directory"):
        folder.whole_rounds(tmp_path, DONE, NAMES)
    assert path.read_bytes() == before
    assert folder.whole_rounds(tmp_path, DONE[:3], NAMES) == DONE[:3]  # all whole: none written
    assert path.read_bytes() == before


def test_the_answer_comes_back_as_it_was_kept(tmp_path):
    located = Located(
        (SUSPECT,),
        (Inconclusive("leaf:1/0", "too little", 0.3),),
        (Population("rail 0", 3.9, None, "all slow"),),
        (Quoted(4, "n0", "n1", 0),),
        3,
        1,
        0,
    )
    folder.write_located(tmp_path, located)

    assert folder.located(tmp_path) == located


# ----------------------------------------------------------------------------- the verb


def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clusterctl", "bandwidth", *words],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-i", "inventories/local.yml"], "is one machine: there are no paths between nodes"),
        (["--nodes", "a,b", "--budget", "soon"], "--budget soon: expected a time such as 90s"),
        (["--nodes", "a,b", "--budget", "2s"], "holds no round of"),
        (["--nodes", "a,b", "--only", "a>c"], "--only a>c"),
        (["--resume", "nothing"], "nothing: no such run"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_runs(tmp_path, words, said):
    done = run(*words, "--runs-dir", str(tmp_path))

    assert done.returncode == 2
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--budget", f"{'9' * 310}s"], "expected a time such as 90s"),
        (["--budget", "60s", "--mode", "exhaustive"], "each say how many rounds; give one"),
        (["--budget", "60s", "--rounds", "2"], "each say how many rounds; give one"),
        (["--rounds", "5", "--mode", "quick"], "each say how many rounds; give one"),
        *((["--floor", number], "--floor") for number in ("nan", "inf", "-5", "1e7")),
        *((["--seconds", number], "--seconds") for number in ("nan", "inf", "0")),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_a_number_that_says_nothing_is_refused(tmp_path, words, said):
    given = ["bandwidth", "--nodes", "a,b", "--runs-dir", str(tmp_path), *words]
    done = CliRunner(env={"COLUMNS": "250"}).invoke(app, given)

    assert done.exit_code == 2 or isinstance(done.exception, UserError)
    assert said in done.output + str(done.exception)
    assert not list(tmp_path.iterdir())

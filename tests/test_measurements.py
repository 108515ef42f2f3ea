"""Anyone's CSV is judged or refused in one line; never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from fabric_sim import EASY, Fabric
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterctl.bandwidth import measurements
from clusterctl.localise import schedule, topology
from clusterctl.localise.columns import FAILED, MISSING, OK, STATUSES, UNKNOWN
from clusterctl.model import UserError

HEAD = "round,src,dst,rail,gbit_s,via,status\n"
ON = topology.parse({"nodes": "n[0-3]", "leaf_size": 2, "uplinks": 2, "rails": 2}, "t.yml")


@pytest.mark.parametrize(
    ("row", "rate", "status"),
    [
        ("0,n0,n1,0,390.5,,ok", 390.5, OK),
        ("0,n0,n1,0,390.5,,", 390.5, OK),
        ("0,n0,n1,0,390.5", 390.5, OK),
        ("0,n0,n1,0,0,,", None, FAILED),
        ("0,n0,n1,0,,,failed", None, FAILED),
        ("0,n0,n1,0,,,", None, MISSING),
        ("0,n0,n1,0,nan,,missing", None, MISSING),
    ],
)
def test_a_row_is_read_with_its_status(row, rate, status):
    _, rows = measurements.read(HEAD + row, "m.csv", ON)
    assert rows.status.tolist() == [status]
    assert np.isnan(rows.gbit_s[0]) if rate is None else rows.gbit_s[0] == rate
    assert rows.via.tolist() == [UNKNOWN]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("x,n0,n1,0,1,,", "2: round: expected a whole number"),
        ("0,n9,n1,0,1,,", "2: src: 'n9' is not in the topology"),
        ("0,n0,n0,0,1,,", "2: dst: is the same node"),
        ("0,n0,n1,2,1,,", "2: rail: 2 is above 1"),
        ("0,n0,n1,0,fast,,", "2: gbit_s: expected a number"),
        ("0,n0,n1,0,nan,,", "2: gbit_s: expected a number"),
        ("0,n0,n1,0,-3,,", "2: gbit_s: -3 Gbit/s is not a rate"),
        ("0,n0,n1,0,,,ok", "2: gbit_s: is empty"),
        ("0,n0,n1,0,1,2,", "2: via: 2 is above 1"),
        ("0,n0,n1,0,1,,good", "2: status: 'good'"),
        ("0,n0", "2: dst: expected a node's name"),
        ('0,"n0', "not CSV"),
    ],
)
def test_a_bad_cell_is_one_line_with_line_and_column(row, says):
    with pytest.raises(UserError, match=r"m\.csv:") as caught:
        measurements.read(HEAD + row, "m.csv", ON)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("", "no column 'round'"),
        ("round,src,dst,rail,gbits", "no column 'gbit_s', found 'gbits'"),
        ("round,src,src,dst,rail,gbit_s", "'src' stands twice"),
        ("round,src,dst,rail,gbit_s,statuss", "did you mean 'status'?"),
        ("round,src,dst,rail,gbit_s,vai", "did you mean 'via'?"),
    ],
)
def test_a_bad_heading_names_the_column(head, says):
    with pytest.raises(UserError, match=r"m\.csv:1: ") as caught:
        measurements.read(head, "m.csv", ON)
    assert says in str(caught.value)


def test_columns_of_others_and_their_order_do_not_matter():
    text = "\ufeffrail,gbit_s,engine,src,dst,round\r\n1,5,iperf3,n0,n1,3\r\n\r\n"
    on, rows = measurements.read(text, "m.csv", None)
    assert on.nodes == ("n0", "n1")
    assert (rows.rail[0], rows.round[0], rows.gbit_s[0]) == (1, 3, 5)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from('0123456789n,.-"\n\r\x00ok '), max_size=80))
def test_garbage_is_refused_and_never_raises_otherwise(text):
    for whole in (text, HEAD + text, HEAD + "0,n0,n1,0,5,,ok\n" + text):
        try:
            measurements.read(whole, "m.csv", ON)
        except UserError as error:
            assert str(error).startswith("m.csv")  # noqa: PT017


def test_a_plan_is_the_csv_that_is_read():
    made = schedule.plan(ON, rng=np.random.default_rng(1))
    odd = replace(ON, nodes=('n"0"', "n,1", '"n2', "n3"))  # names that a file may give nodes
    _, rows = measurements.read(HEAD + measurements.lines(odd, made), "plan.csv", odd)
    for name in ("round", "src", "dst", "rail", "via", "status"):
        assert getattr(rows, name).tolist() == getattr(made, name).tolist()


# --------------------------------------------------------------------------- the verbs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("localise")
    (made / "t.yml").write_text("nodes: n[00-31]\nleaf_size: 8\nuplinks: 8\nrails: 4\n")
    return made


def clusterctl(folder, *words, text=None):
    return subprocess.run(
        [sys.executable, "-m", "clusterctl", *words],
        cwd=folder,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def rates(folder, faults):
    plan = clusterctl(folder, "plan-rounds", "--topology", "t.yml", "--seed", "4").stdout
    on = topology.parse({"nodes": "n[00-31]", "leaf_size": 8, "uplinks": 8, "rails": 4}, "topology")
    _, planned = measurements.read(plan, "plan", on)
    rows = Fabric(on, faults, EASY, 4).measure(planned)
    lines = [plan.splitlines()[0]]
    for at in range(len(rows.src)):
        via = "" if rows.via[at] < 0 else rows.via[at]
        lines.append(
            f"{rows.round[at]},{on.nodes[rows.src[at]]},{on.nodes[rows.dst[at]]},"
            f"{rows.rail[at]},{rows.gbit_s[at]:.3f},{via},{STATUSES[rows.status[at]]}"
        )
    return "\n".join(lines) + "\n"


def test_a_plan_measured_and_judged_names_the_part(folder):
    (folder / "m.csv").write_text(rates(folder, {"nic-tx:n17/3": 0.48}))
    done = clusterctl(folder, "localise", "m.csv", "--topology", "t.yml", "--format", "json")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["schema"] == 1
    (one,) = told["suspects"]
    assert one["component"] == "nic-tx:n17/3"
    assert one["low"] <= 0.48 <= one["high"]
    assert {"rivals", "for", "against", "advice", "posterior"} <= set(one)
    table = clusterctl(folder, "localise", "m.csv", "--topology", "t.yml")
    assert "nic-tx:n17/3" in table.stdout
    assert "48%" in table.stdout


def test_a_healthy_fabric_exits_0_and_standard_input_is_read(folder):
    done = clusterctl(
        folder, "localise", "-", "--topology", "t.yml", "--format", "csv", text=rates(folder, {})
    )
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stdout + done.stderr


def test_nothing_measured_is_unknown_and_exits_4(folder):
    done = clusterctl(folder, "localise", "-", text=HEAD)
    assert done.returncode == 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("localise", "none.csv"), "none.csv"),
        (("localise", "t.yml"), "t.yml:1: no column"),
        (("plan-rounds", "--topology", "t.yml", "--budget", "3x"), "--budget 3x"),
        (("plan-rounds", "--topology", "t.yml", "--budget", "3s"), "holds no round"),
        (("plan-rounds", "--topology", "t.yml", "--rounds", "2", "--mode", "quick"), "give one"),
        (("plan-rounds",), "nodes"),
    ],
)
def test_a_mistake_is_one_line_and_exits_2(folder, words, says):
    done = clusterctl(folder, *words)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plan_that_leaves_a_node_out_says_so(folder):
    (folder / "odd.yml").write_text("nodes: n[1-5]\nleaf_size: 4\n")
    one, two = (
        clusterctl(folder, "plan-rounds", "--topology", "odd.yml", "--rounds", rounds)
        for rounds in ("1", "2")
    )
    assert "1 of 5 nodes are in no round: n5; give more rounds" in one.stderr
    assert (one.returncode, two.returncode, two.stderr) == (0, 0, "")


def test_a_seed_makes_the_same_plan_and_a_budget_its_rounds(folder):
    words = ("plan-rounds", "--topology", "t.yml", "--seed", "7", "--budget", "1m")
    first, again = (clusterctl(folder, *words).stdout for _ in range(2))
    assert first == again
    assert {line.split(",")[0] for line in first.splitlines()[1:]} == set("012345")

"""Six nights of four nodes: what triage recalls of its suspects, and what that may not do."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from acting import drained
from scripted import NOON
from typer.testing import CliRunner

from clusterctl import store
from clusterctl.act import journal
from clusterctl.act.deed import Outcome, Told
from clusterctl.cli import app
from clusterctl.cli.triage_past import Around, looked_back
from clusterctl.memory import acks, cache, nights
from clusterctl.memory.folder import open_folder
from clusterctl.memory.life import Life
from clusterctl.memory.story import Trace
from clusterctl.model import (
    Accelerator,
    Finding,
    Node,
    Observation,
    Playbook,
    Run,
    Status,
    Verdict,
    Version,
)
from clusterctl.report.past import as_data, as_text
from clusterctl.triage.past.excuses import Pages, excused, memories
from clusterctl.triage.past.known import Lemon, NodePast, Past
from clusterctl.triage.past.neighbours import leaves_of, shared
from clusterctl.triage.past.prior import NEAR, ordered
from clusterctl.triage.past.recall import MOST_NODES, Asked, recall
from clusterctl.triage.verdict import Cause, Suspect, Triage

sys.path.insert(0, str(Path(__file__).parent / "bench/triage"))
from jobs import Plan, made

NIGHTS, HEALTHY = 6, 2  # n1 fails from the night after this one
NODES = tuple(Node(f"n{n}", labels={"leaf": str(n // 2), "rack": "r1"}) for n in range(4))
AT = NOON + timedelta(days=NIGHTS)
BARE: dict[str, dict[str, str]] = {node.name: {} for node in NODES}  # an inventory without labels


def seen(night: int) -> list[Observation]:
    made = []
    for number, node in enumerate(NODES):
        new = number == 1 and night > HEALTHY
        who = "new" if new else f"{number}old"
        facts = (
            Accelerator(
                "gpu0", "nvidia", 0, f"GPU-{who}", f"S{who}", "H100", "0000:1b:00.0", temp_c=40.0
            ),
            Version("driver/nvidia", "560.28" if new else "550.54"),
            Version("kernel", "5.15.0"),
        )
        made.append(Observation(node.name, "nvml", NOON + timedelta(days=night), facts))
    return made


def findings(night: int) -> list[Finding]:
    made = []
    for node in NODES:
        bad = (node.name == "n1" and night > HEALTHY) or (node.name == "n0" and night == 5)
        status, said = (Status.FAIL, "200 Gbit/s") if bad else (Status.PASS, "400 Gbit/s")
        made.append(
            Finding("port_rate", Verdict(node.name, "mlx5_3/1", status, "≥ 400 Gbit/s", said))
        )
        # nobody could ever see this on n3, which says nothing about its health
        blind = Status.UNKNOWN if node.name == "n3" else Status.PASS
        made.append(Finding("xid", Verdict(node.name, "log", blind)))
    return made


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    for night in range(NIGHTS):
        at = NOON + timedelta(days=night)
        name = f"{at:%Y%m%dT%H%M%S}-nightly-{night:04x}"
        run = Run(
            name, Playbook("nightly"), NODES, 1, at, at, tuple(seen(night)), tuple(findings(night))
        )
        recorder = store.Recorder(runs, name)
        recorder.begin(store.describe(run))
        nights.remember(run, recorder.finish(run), runs)
    cache.memory(open_folder(runs))
    return runs


def asked(*nodes: str, left_s: Callable[[], float] = lambda: 1.0) -> Asked:
    return Asked(nodes, AT, left_s)


def past_of(runs: Path, node: str) -> NodePast:
    (one,) = recall(runs, asked(node)).nodes
    return one


def triage(*sure: tuple[str, float], cause: Cause = Cause.NETWORK) -> Triage:
    suspects = tuple(Suspect(f"{node} sends", (), node, 2.0, one) for node, one in sure)
    return Triage(cause, 2.0, suspects=suspects, confidence=max(one for _, one in sure))


# --------------------------------------------------------------------------- what is recalled


def test_what_changed_since_a_node_was_healthy_is_told_and_what_is_open(told: Path) -> None:
    one = past_of(told, "n1")
    assert one.healthy == NOON + timedelta(days=HEALTHY)
    assert one.since == NIGHTS - 1 - HEALTHY
    assert one.changed is not None
    assert set(one.changed) == {
        "driver/nvidia: 560.28 instead of 550.54",
        (
            "gpu0: Snew (GPU-new) instead of S1old (GPU-1old); "
            "since 2026-01-04 another accelerator sits here"
        ),
    }
    (open_one,) = one.open
    assert (open_one.check, open_one.part, open_one.bad) == ("port_rate", "mlx5_3/1", 3)
    text = " ".join(as_text(recall(told, asked("n1"))))
    assert "n1: last healthy on 2026-01-03, 3 nights ago; since then" in text
    assert "FAIL port_rate mlx5_3/1 since 2026-01-04 (3 of 6 nights, last 2026-01-06)" in text


def test_what_nobody_could_see_is_no_fault_of_a_node(told: Path) -> None:
    one = past_of(told, "n3")
    assert one.healthy == NOON + timedelta(days=NIGHTS - 1)
    assert one.since == 0
    assert [trace.now for trace in one.findings] == ["unknown"]


def test_who_shares_a_leaf_is_told_with_what_fails_there(told: Path) -> None:
    leaf, rack = recall(told, asked("n1", "n3")).nodes[0].shares
    assert (leaf.what, leaf.others, leaf.suspects) == ("leaf=0", ("n0",), ())
    assert leaf.ill == (("n0", "port_rate"),)
    assert (rack.what, rack.others, rack.suspects) == ("rack=r1", ("n0", "n2", "n3"), ("n3",))


def test_the_inventory_of_today_says_who_shares_a_leaf(told: Path) -> None:
    moved = {"n1": {"leaf": "7"}, "n9": {"leaf": "7"}, "n0": {"leaf": "0"}}
    (one,) = recall(told, Asked(["n1"], AT, lambda: 1.0, moved)).nodes
    assert [(group.what, group.others) for group in one.shares] == [("leaf=7", ("n9",))]


def test_a_run_of_bandwidth_says_it_where_no_label_does(told: Path, tmp_path: Path) -> None:
    runs = Path(shutil.copytree(told, tmp_path / "runs"))
    (runs / "20260105T000000-bandwidth-aa").mkdir()
    told_by = {"nodes": ["n1", "n2", "n9"], "leaf": [[3, 5], [3, 6], [4, 5]], "uplinks": 0}
    where = runs / "20260105T000000-bandwidth-aa/topology.json"
    where.write_text(json.dumps({**told_by, "origin": "guessed", "pinned": False}))
    (runs / "20260106T000000-bandwidth-bb").mkdir()
    (runs / "20260106T000000-bandwidth-bb/topology.json").write_text("{")
    (one,) = recall(runs, Asked(["n1"], AT, lambda: 1.0, BARE)).nodes
    assert [(group.what, group.others) for group in one.shares] == [
        ("leaf 3 (rail 0)", ("n2",)),
        ("leaf 5 (rail 1)", ("n9",)),
    ]


def test_the_same_number_of_two_runs_of_bandwidth_is_not_the_same_leaf(tmp_path: Path) -> None:
    """Leaves without numbers are counted anew by each run."""
    for run, nodes in (("a", ["n1", "n2", "n3"]), ("b", ["n5", "n6", "n1"])):
        (tmp_path / run).mkdir()
        leaf = [[0], [0], [1]] if run == "a" else [[0], [0], [-1]]
        told_by = {"nodes": nodes, "leaf": leaf, "uplinks": 0, "origin": "labels"}
        (tmp_path / run / "topology.json").write_text(json.dumps(told_by))
    found = leaves_of(tmp_path, ["n1", "n5", "n9"])
    assert set(found) == {"n1", "n5"}
    (one,) = shared("n1", BARE, found["n1"])
    assert one.others == ("n2",)


def test_what_is_shared_with_the_same_nodes_is_told_once(told: Path) -> None:
    alike = {name: {"leaves": "3 7", "rack": "r1"} for name in ("n1", "n2")}
    groups = recall(told, Asked(["n1"], AT, lambda: 1.0, {**BARE, **alike})).nodes[0].shares
    assert [(group.what, group.others) for group in groups] == [
        ("leaf 3 (rail 0) and leaf 7 (rail 1) and rack=r1", ("n2",))
    ]


UNTIL = AT + timedelta(days=3)


def test_who_acked_a_finding_is_told_beside_it(told: Path, tmp_path: Path) -> None:
    runs = Path(shutil.copytree(told, tmp_path / "runs"))
    acks.give(runs, acks.Ack("a1", frozenset({"n1"}), "port_rate", UNTIL, "li", "RMA", NOON))
    past = recall(runs, asked("n1"))
    assert [trace.check for trace, _ in past.nodes[0].acked] == ["port_rate"]
    assert "(acked: a1 by li until 2026-01-10: RMA)" in " ".join(as_text(past))
    (of_it,) = [one for one in as_data(past)["nodes"][0]["findings"] if one["acked"]]
    assert of_it["check"] == "port_rate"


def trace(node: str, part: str) -> Trace:
    worst, now = "fail", "fail"
    return Trace(node, "xid", part, worst, now, NOON, AT, 1, 1, 1, "none", "XID 79")


def life(node: str, part: str, since: datetime = NOON) -> Life:
    bad = Verdict(node, part, Status.FAIL, "none", "XID 79")
    return Life("xid", bad, "", (), None, since, AT, AT, "C")


def acked(*lives: Life, of: Trace) -> list[str]:
    """By an ack of n1's xid, given after NOON."""
    given = [acks.Ack("a1", frozenset({"n1"}), "xid", UNTIL, "li", "RMA", NOON + timedelta(days=1))]
    return [words for _, words in excused([of], [{one.key: one for one in lives}], given)]


def test_an_ack_excuses_what_the_sweep_takes_it_to_excuse() -> None:
    first, later = life("n1", "gpu3"), life("n1", "gpu5", AT)
    assert acked(first, of=trace("n1", "gpu3"))
    assert not acked(first, later, of=trace("n1", "gpu5"))  # began after it, beside another
    assert not acked(replace(first, outgrown=("a1",)), of=trace("n1", "gpu3"))
    both = life("n1,n2", "gpu3")
    assert not acked(both, of=trace("n1,n2", "gpu3"))  # of n2 nobody said anything
    assert not acked(of=trace("n1", "gpu3"))  # which no sweep remembers


def test_each_playbook_remembers_its_own_and_of_it_the_newest_counts(told: Path) -> None:
    names = [f"20260106T120000-nightly-{NIGHTS - 1:04x}", "20260105T120000-nightly-0004"]
    pages: Pages = {}
    assert len(list(memories(told, names, pages))) == 1
    assert list(pages) == names[:1]


def test_what_one_file_cannot_tell_costs_the_rest_nothing(told: Path, tmp_path: Path) -> None:
    runs = Path(shutil.copytree(told, tmp_path / "runs"))
    (runs / journal.NAME).mkdir()
    (runs / acks.FILE).write_text("{}\n")
    past = recall(runs, asked("n1"))
    assert past.nodes[0].lemon is not None
    first, second = past.notes
    assert first.startswith("who acked what is not known: ")
    assert second.startswith("what was done to them is not known: ")


def test_what_was_done_to_a_node_is_told_and_what_was_refused_is_not(
    told: Path, tmp_path: Path
) -> None:
    runs = Path(shutil.copytree(told, tmp_path / "runs"))
    kept = journal.Journal(runs / journal.NAME)
    for name, outcome in (("a", Outcome.REFUSED), ("b", Outcome.DONE)):
        action = drained("n1", id=name, at=AT - timedelta(hours=1), who=f"{outcome}@c")
        kept.begin(action)
        kept.end(action, Told(outcome), AT)
    assert [one.split(": ")[:2] for one in past_of(runs, "n1").done] == [
        ["on 2026-01-07", "drain by done@c"]
    ]
    files = fsspec.filesystem("memory")
    for path in filter(Path.is_file, runs.rglob("*")):
        files.pipe(f"/past/{path.relative_to(runs)}", path.read_bytes())
    past = recall("memory://past", asked("n1"))
    assert past.nodes[0].done == past_of(runs, "n1").done
    assert "memory://past: acks are read from a disk only" in past.notes[0]


# --------------------------------------------------------------------------- never silent


def test_where_there_is_no_history_one_line_says_so(told: Path, tmp_path: Path) -> None:
    for where in (tmp_path, tmp_path / "nowhere"):
        past = recall(where, asked("n1", "n2"))
        assert past.notes == (f"no earlier run of n[1-2] under {where}",)
    assert recall(told, asked("n1", "n7")).notes == (f"no earlier run of n7 under {told}",)
    assert recall(told, asked()).notes == ("no suspect has a node with a name: nothing to look up",)


def test_where_nobody_is_suspected_what_failed_of_the_job_s_nodes_is_told(
    told: Path, tmp_path: Path
) -> None:
    def notes(runs: Path, *nodes: str) -> tuple[str, ...]:
        return recall(runs, Asked([], AT, lambda: 1.0, company=nodes)).notes

    first = "nobody is suspected; of n[0-2], when last looked at: "
    assert notes(told, "n0", "n1", "n2") == (f"{first}n0 failed port_rate; n1 failed port_rate",)
    assert notes(told, "n2", "n3")[0].endswith("when last looked at: none failed anything")
    assert notes(tmp_path, "n2") == (f"no earlier run of n2 under {tmp_path}",)
    assert not recall(told, Asked([], AT, lambda: 1.0, company=["n1"])).nodes


def test_what_there_was_no_time_for_is_said_and_the_rest_stands(told: Path, tmp_path: Path) -> None:
    past = recall(told, asked("n1", left_s=lambda: 0.0))
    (one,) = past.nodes
    assert one.healthy is not None
    assert one.changed is None
    assert one.lemon is None
    (note,) = past.notes
    assert note.startswith("no time was left for who acked what, what was done to them, what")
    assert "changed since" not in " ".join(as_text(past)[:1])
    unread = Path(shutil.copytree(told, tmp_path / "runs", ignore=lambda *_: [".memory"]))
    late = recall(unread, asked("n1", left_s=lambda: 0.0))
    assert not late.nodes
    assert "6 runs, the newest 20260106T120000-nightly-0005, were never read" in late.notes[1]
    assert not (unread / ".memory").exists()


def test_a_folder_that_hangs_holds_nobody_up(told: Path, tmp_path: Path) -> None:
    runs = Path(shutil.copytree(told, tmp_path / "runs"))
    os.mkfifo(runs / acks.FILE)  # as a file on a server that is gone: open() does not return
    before = triage(("n1", 0.5), ("n2", 0.5))
    found, past = looked_back(before, Around(), str(runs), end_s=3.0)
    assert found == before
    assert past.notes == (f"{runs}: no answer within 3 s, so nobody looked back",)


@pytest.mark.parametrize(
    "words",
    [
        ["triage", "--flight", "nosuch"],
        ["triage", "--trace", "nosuch.parquet"],
        ["triage", "--pids", "no colon"],
        ["watch-job", "--pids", "no colon"],
    ],
)
def test_a_selection_that_cannot_be_is_refused_before_anything_is_asked(words: list[str]) -> None:
    """What is wrong with each of these would be told first where they were looked at first."""
    done = CliRunner().invoke(app, [*words, "--select", "gpu=h100"])
    assert "no nodes: name an inventory" in str(done.exception)


def test_what_cannot_be_read_costs_the_triage_nothing_else(tmp_path: Path) -> None:
    found, past = looked_back(triage(("n1", 0.5)), Around(), f"nosuch://{tmp_path}")
    assert found == triage(("n1", 0.5))
    assert past.notes[0].startswith("earlier runs cannot be read: nosuch://")


def test_the_newest_run_is_read_first_where_time_is_short(told: Path, tmp_path: Path) -> None:
    runs = Path(shutil.copytree(told, tmp_path / "runs", ignore=lambda *_: [".memory"]))
    left = iter([1.0, 1.0])
    past = recall(runs, asked("n1", left_s=lambda: next(left, 0.0)))
    assert past.nights == 2
    assert past.nodes[0].newest == NOON + timedelta(days=NIGHTS - 1)


def test_a_hundred_suspects_cost_no_more_than_a_few(told: Path) -> None:
    past = recall(told, asked(*(f"n{n}" for n in range(100))))
    assert len(past.nodes) <= MOST_NODES
    assert f"of 100 suspects' nodes the past of the first {MOST_NODES} is shown" in past.notes


# --------------------------------------------------------------------------- the prior


def test_the_past_decides_who_stands_first_only_among_equals(told: Path) -> None:
    past = recall(told, asked("n2", "n1"))
    found, said = ordered(triage(("n2", 0.6), ("n1", 0.6)), past)
    assert [one.node for one in found.suspects] == ["n1", "n2"]
    assert said.prior.startswith("n1 sends stands before n2 sends, which is as sure (60%): ")
    assert "port_rate fails there since 2026-01-04" in said.prior
    surer = triage(("n2", 0.6 + NEAR), ("n1", 0.6))
    assert ordered(surer, past) == (surer, past)


def test_the_past_alone_convicts_nobody_frees_nobody_and_makes_nobody_surer(told: Path) -> None:
    past = recall(told, asked("n0", "n1", "n2", "n3"))
    for order in permutations([("n0", 0.5), ("n1", 0.5), ("n2", 0.48)]):
        before = triage(*order)
        after, _ = ordered(before, past)
        assert set(after.suspects) == set(before.suspects)
        assert (after.cause, after.confidence) == (before.cause, before.confidence)
    for cause in (Cause.HEALTHY, Cause.UNKNOWN, Cause.CONGESTION):
        nobody = Triage(cause, 1.0, confidence=0.9)
        assert ordered(nobody, past) == (nobody, past)


def test_an_ill_node_without_evidence_of_today_stays_behind_a_well_one_with_it() -> None:
    lemon = NodePast("n1", 9, NOON, "r", lemon=Lemon(1, 9, None), changed=("driver",))
    before = triage(("n2", 0.9), ("n1", 0.5))
    assert ordered(before, Past("runs", 9, NOON, (lemon,)))[0] == before


# --------------------------------------------------------------------------- the verb


def test_triage_of_files_tells_then_and_now_of_the_node_that_they_name(
    told: Path, tmp_path: Path
) -> None:
    job = made(Plan(11, "worker", dp=4, pp=1, microbatches=4, steps=6))
    pq.write_table(pa.table(dict(job.columns)), tmp_path / "job.parquet")
    slow = int(job.truth["dp"])
    names = ["n2", "n3", "n0"]
    names.insert(slow, "n1")
    (tmp_path / "meta.yml").write_text(f"nodes: [{', '.join(names)}]\nranks_per_node: 1\n")
    words = ["triage", "--trace", str(tmp_path / "job.parquet"), "--runs-dir", str(told)]
    known = [*words, "--meta", str(tmp_path / "meta.yml")]
    # The clock says a later year than the nights: all of them are there.
    done = CliRunner().invoke(app, [*known, "--format", "json"], catch_exceptions=False)
    answer = json.loads(done.stdout)
    assert answer["suspects"][0]["node"] == "n1"
    (one,) = answer["past"]["nodes"]
    assert one["changed"]
    assert one["findings"][0]["check"] == "port_rate"
    screen = CliRunner().invoke(app, words, catch_exceptions=False).stdout
    assert "then and now: no suspect has a node with a name" in screen


def test_json_says_all_that_the_table_says(told: Path) -> None:
    (one,) = json.loads(json.dumps(as_data(recall(told, asked("n1")))))["nodes"]
    assert one["healthy_run"] == "20260103T120000-nightly-0002"
    assert one["findings"][0]["check"] == "port_rate"
    assert one["shares"][0]["failing"] == {"n0": "port_rate"}
    assert one["lemon"]["lemon"] is False

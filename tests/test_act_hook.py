"""A user's script in place of a scheduler: what it is told, what its end means, what it prints."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from acting import drained, fault, swept
from kin import ended
from typer.testing import CliRunner

from clusterctl import store
from clusterctl.act.deed import Outcome
from clusterctl.act.hook import Hook
from clusterctl.act.journal import NAME, read
from clusterctl.cli import app
from clusterctl.memory import acks, nights
from clusterctl.memory.acks import Ack
from clusterctl.model import Node

NODES = tuple(Node(f"n{place}", labels={"group": "gpu"}) for place in range(4))


def hook(folder: Path, text: str, timeout_s: float = 20.0) -> Hook:
    path = folder / "hook.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return Hook(path, timeout_s, NODES, ())


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(0, Outcome.DONE), (3, Outcome.CHANGED), (4, Outcome.REFUSED), (1, Outcome.UNKNOWN),
     (127, Outcome.UNKNOWN)],
)  # fmt: skip
def test_its_exit_code_says_what_it_did(tmp_path, code, outcome):
    made = hook(tmp_path, f"cat >{tmp_path}/told; echo $1 seen; exit {code}")
    told = made.change("drain", made.look().states["n1"], drained("n1"))
    assert (told.outcome, told.detail) == (outcome, f"exit {code}: drain seen")
    heard = json.loads((tmp_path / "told").read_text())
    assert (heard["verb"], heard["called"], heard["reason"]) == (
        "drain", "n1", "clusterctl r0 xid: gpu3 XID 79"
    )  # fmt: skip


def test_its_output_is_shown_and_never_obeyed(tmp_path):
    made = hook(tmp_path, r"printf '\033[2J[red]\000 %s\n' x; head -c 9000000 /dev/zero")
    told = made.change("drain", made.look().states["n1"], drained("n1"))
    assert told.outcome is Outcome.DONE
    assert told.detail.startswith(r"exit 0: \x1b[2J[red]\x00 x")
    assert len(told.detail) < 300


def test_one_that_hangs_is_killed_with_all_its_children_and_is_unknown(tmp_path):
    made = hook(tmp_path, f"sleep 300 & echo $! >{tmp_path}/pid; wait", timeout_s=1.0)
    told = made.change("drain", made.look().states["n1"], drained("n1"))
    assert (told.outcome, "no end in 1 s" in told.detail) == (Outcome.UNKNOWN, True)
    assert ended([int((tmp_path / "pid").read_text())], 10)


@pytest.mark.parametrize(
    ("outcome", "held"),
    [(Outcome.DONE, ("drained",)), (Outcome.UNKNOWN, ()), (Outcome.BEGUN, ())],
)
def test_only_a_drain_that_the_script_confirmed_needs_no_other(tmp_path, outcome, held):
    made = replace(hook(tmp_path, ""), actions=(drained("n1", by="hook", outcome=outcome),))
    assert made.look().states["n1"].held == held


def test_one_that_leaves_something_behind_is_not_waited_for(tmp_path):
    made = hook(tmp_path, f"sleep 300 & echo $! >{tmp_path}/pid; exit 0", timeout_s=60.0)
    told = made.change("drain", made.look().states["n1"], drained("n1"))
    assert told.outcome is Outcome.DONE
    assert ended([int((tmp_path / "pid").read_text())], 10)


def test_one_that_cannot_be_started_changes_nothing(tmp_path):
    made = hook(tmp_path, "")
    made.path.write_text("no interpreter")
    told = made.change("drain", made.look().states["n1"], drained("n1"))
    assert (told.outcome, told.silent) == (Outcome.REFUSED, True)


def test_by_the_command_line_it_is_called_once_a_node_and_the_breaker_counts_its_groups(tmp_path):
    made = hook(tmp_path, f"cat >>{tmp_path}/told")
    book = tmp_path / "b.yml"
    book.write_text("name: b\nact: {most_nodes: 9, most_percent: 100}\n")
    hosts = "".join(f"  n{place}: {{}}\n" for place in range(4))
    inventory = tmp_path / "i.yml"
    inventory.write_text(f"nodes:\n{hosts}")
    words = ["drain", "n[0-2]", "--why", "fan", "--hook", str(made.path), "-p", str(book)]
    words += ["-i", str(inventory), "--runs-dir", str(tmp_path)]
    runner = CliRunner(env={"COLUMNS": "250"})
    assert "hook.sh drain <<<" in runner.invoke(app, words).output
    assert not (tmp_path / "told").exists()
    done = runner.invoke(app, [*words, "--yes"])
    assert (done.exit_code, "all nodes would have 1 usable of 4" in done.output) == (1, True)
    assert [json.loads(line)["node"] for line in (tmp_path / "told").read_text().splitlines()] == [
        "n0", "n1"
    ]  # fmt: skip
    again = runner.invoke(app, [*words, "--yes"])
    assert again.output.count("already drained") == 1
    (first, _) = read(tmp_path / NAME).actions.values()
    undo = ["undrain", "--undo", first.id, "--yes", "--runs-dir", str(tmp_path)]
    assert runner.invoke(app, undo).exit_code == 0
    assert json.loads((tmp_path / "told").read_text().splitlines()[-1])["verb"] == "undrain"

    *_, back = read(tmp_path / NAME).actions.values()
    undo = ["undrain", "--undo", back.id, "--yes", "--runs-dir", str(tmp_path), "-p", str(book)]
    blind = runner.invoke(app, undo)
    assert (blind.exit_code, "give -i INVENTORY" in str(blind.exception)) == (1, True)
    assert runner.invoke(app, [*undo, "-i", str(inventory)]).exit_code == 0
    drained = json.loads((tmp_path / "told").read_text().splitlines()[-1])
    assert (drained["verb"], drained["node"]) == ("drain", "n0")
    look = ["status", "--hook", str(made.path), "--runs-dir", str(tmp_path)]
    assert "give -i INVENTORY" in runner.invoke(app, look).output


def test_what_is_acked_stays_though_the_run_knew_no_ack(tmp_path):
    now = datetime.now(UTC)
    run = replace(swept(["n1", "n2"], fault("n1"), fault("n2", "ecc")), started=now, finished=now)
    recorder = store.Recorder(tmp_path, run.id)
    recorder.begin(store.describe(run))
    recorder.finish(run)
    made = hook(tmp_path, "exit 0")
    words = ["drain", "--run", "r1", "--hook", str(made.path), "--runs-dir", str(tmp_path)]
    acks.give(
        tmp_path,
        Ack("a1", frozenset({"n1"}), "xid", now + timedelta(days=9), "bob", "RMA 4711", now),
    )
    shown = CliRunner(env={"COLUMNS": "250"}).invoke(app, words).output
    assert "acknowledged: a1 by bob" in shown
    assert "hook.sh drain <<<" in shown
    (tmp_path / "acks.jsonl").write_text("{}\n")
    broken = CliRunner().invoke(app, [*words, "--yes"])
    assert "not an ack" in str(broken.exception)  # what may be silenced is not drained
    assert not (tmp_path / NAME).exists()


def test_what_somebody_acks_while_the_sweep_runs_is_not_drained_at_its_end(tmp_path):
    began = datetime.now(UTC) - timedelta(minutes=20)
    run = swept(["n1", "n2"], fault("n1"), fault("n2", "ecc"), verb="sweep")
    run = replace(run, started=began, finished=began + timedelta(minutes=19))
    recorder = store.Recorder(tmp_path, run.id)
    recorder.begin(store.describe(run))
    nights.remember(run, recorder.path, tmp_path)
    recorder.finish(run)
    given = began + timedelta(minutes=9)
    end = given + timedelta(days=9)
    acks.give(tmp_path, Ack("a1", frozenset({"n1"}), "xid", end, "bob", "RMA 4711", given))
    words = ["drain", "--run", "r1", "--hook", str(hook(tmp_path, "exit 0").path)]
    runner = CliRunner(env={"COLUMNS": "250"})
    done = runner.invoke(app, [*words, "--runs-dir", str(tmp_path), "--yes"])
    assert "acknowledged: a1 by bob" in done.output
    assert [one.node for one in read(tmp_path / NAME).actions.values()] == ["n2"]


def test_a_sweep_says_who_would_go_and_with_yes_takes_them_out(tmp_path):
    made = hook(tmp_path, f"cat >>{tmp_path}/told")
    (tmp_path / "b.yml").write_text(
        "name: b\nprobes: [memory]\nchecks: [memory_size]\n"
        "expect: {memory_size: {total_bytes: 9000000000000000}}\n"
        "act: {most_nodes: 9, most_percent: 100}\n"
    )
    here = "{transport: local}"
    (tmp_path / "i.yml").write_text(f"nodes:\n  a: {here}\n  b: {here}\n")
    words = ["sweep", "-i", str(tmp_path / "i.yml"), "-p", str(tmp_path / "b.yml"), "--drain"]
    words += ["--hook", str(made.path), "--runs-dir", str(tmp_path / "runs")]
    runner = CliRunner(env={"COLUMNS": "250"})
    dry = runner.invoke(app, words)
    assert (dry.exit_code, dry.output.count("dry run: nothing was changed")) == (1, 1)
    assert not (tmp_path / "told").exists()
    plain = runner.invoke(app, [*words, "--yes", "--format", "json"])
    assert json.loads(plain.stdout)["exit_code"] == 1  # what is done stands on stderr
    (told,) = map(json.loads, (tmp_path / "told").read_text().splitlines())
    assert (told["node"], told["check"], told["evidence"]["yardstick"]) == (
        "a",
        "memory_size",
        "floor",
    )
    assert "held in service" in plain.stderr

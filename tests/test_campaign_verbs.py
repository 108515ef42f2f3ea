"""The hands on a campaign: Ctrl-C once and twice, `watch` and `stop`, where no node is needed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from scripted import NOON, Scripted

from clusterctl import store
from clusterctl.acceptance import decide, shipped_rules
from clusterctl.campaign.folder import STOP, leading
from clusterctl.campaign.lead import Leader
from clusterctl.cli import LastWords
from clusterctl.cli.burnin import burnin
from clusterctl.cli.campaigns import begin, detach, find, graceful, opened, outled
from clusterctl.cli.options import Format
from clusterctl.cli.watch import outcome, stop
from clusterctl.cli.world import Flags
from clusterctl.model import UserError
from clusterctl.playbook import load

BOOK = """
name: t
pace: {connect_s: 1, auth_s: 1, node_s: 5}
probes: [cpu]
checks: [burn_errors]
soak: {hours: 1, load: [cpu_burn], run_on: %s}
lease_s: 77
"""


def campaign(folder: Path, *, run_on: str = "false", why: str = "") -> Path:
    """One that has begun and that nobody leads; its two nodes are nowhere."""
    (folder / "book.yml").write_text(BOOK % run_on)
    (folder / "nodes.yml").write_text("nodes:\n  n[01-02]: {address: 127.0.0.9}\n")
    flags = Flags((folder / "nodes.yml",), "", "", None, accept_new=False, runs_dir=folder / "runs")
    return begin(load(str(folder / "book.yml")), flags, why)


def verb(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "clusterctl", *words, "--runs-dir", str(folder / "runs")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("run_on", "says"),
    [("false", "stop by themselves in 77 s"), ("true", "burn on to their deadline")],
)
def test_ctrl_c_once_stops_and_twice_leaves_at_once(tmp_path, capsys, run_on, says):
    found = find(None, str(campaign(tmp_path, run_on=run_on)))
    leader = Leader(
        found.path, opened(found), reach=lambda _s: Scripted({}), clock=lambda: NOON, skus=()
    )
    before = signal.getsignal(signal.SIGINT)
    with graceful(leader, found):
        signal.raise_signal(signal.SIGINT)
        assert (leader.ending, leader.by_hand) == ("stopped by Ctrl-C", True)
        assert "once more leaves at once" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        told = capsys.readouterr().err
        assert says in told
        assert f"clusterctl stop {found.path}" in told
    assert signal.getsignal(signal.SIGINT) is before


def test_watch_says_how_far_it_is_and_that_nobody_leads_it(tmp_path):
    path = campaign(tmp_path)
    out, err = verb(tmp_path, "watch", str(path), "--once").communicate(timeout=60)
    rows = [line.split()[:2] for line in out.splitlines()[1:3]]
    assert rows == [["n01", "gate"], ["n02", "gate"]], out + err
    assert f"nobody leads it: `clusterctl burnin --resume {path}`" in out


def test_stop_ends_what_nobody_leads_and_judges_it(tmp_path):
    path = campaign(tmp_path)
    process = verb(tmp_path, "stop", str(path))
    out, err = process.communicate(timeout=120)
    assert process.returncode == 4, err
    assert "INCOMPLETE: n[01-02]" in out
    final = store.stored(path.with_suffix(""))
    assert outcome(final.path) == 4
    outcomes = decide(store.load(final), shipped_rules())
    assert [str(one.decision) for one in outcomes] == ["INCOMPLETE", "INCOMPLETE"]
    out, _ = verb(tmp_path, "watch", final.id, "--once").communicate(timeout=60)
    assert "nobody leads it" not in out


def test_stop_asks_whoever_leads_it_and_waits(tmp_path):
    path = campaign(tmp_path)
    with leading(path):
        process = verb(tmp_path, "stop", str(path), "--now")
        for _ in range(600):
            if (path / STOP).exists():
                break
            time.sleep(0.05)
        assert (path / STOP).read_text() == "now\n"
        assert process.poll() is None
    out, err = process.communicate(timeout=120)
    assert "its controller stops it" in err
    assert "its controller is gone, so it is stopped from here" in err
    assert process.returncode == 4, "nobody finished it, so it is stopped and judged here"
    assert "INCOMPLETE: n[01-02]" in out


def test_stop_of_what_is_over_writes_nothing(tmp_path):
    path = campaign(tmp_path)
    final = path.rename(path.with_suffix(""))
    with pytest.raises(UserError, match="is over; `clusterctl show"):
        stop(str(final))
    assert not (final / STOP).exists()


def test_a_folder_that_takes_no_wish_is_one_line(tmp_path):
    path = campaign(tmp_path)
    (path / STOP).mkdir()
    with pytest.raises(UserError, match=f"{path}: Is a directory"):
        stop(str(path))


def test_detach_starts_nothing_that_would_end_at_once_and_drops_no_word(tmp_path):
    path = campaign(tmp_path)
    flags = Flags(None, "", "", None, accept_new=False)
    with leading(path), pytest.raises(UserError, match="another clusterctl leads this campaign"):
        detach(find(None, str(path)), flags, ())
    final = path.rename(path.with_suffix(""))
    with pytest.raises(UserError, match="is over"):
        detach(find(None, str(final)), flags, ())
    assert not (final / "controller.log").exists()
    for words in ({"output": tmp_path / "o"}, {"html": tmp_path / "h"}, {"form": Format.JSON}):
        with pytest.raises(UserError, match="--detach: say -o"):
            burnin(playbook=str(tmp_path / "book.yml"), detach=True, **words)


def test_what_a_node_says_of_its_leader_cannot_write_on_the_terminal(tmp_path, capsys):
    rival = {"host": "\x1b[2J" * 99, "pid": "\x1b]0;x\x07", "since": [], "lapses_s": {}}
    assert outled(tmp_path, "n1", rival).isprintable()
    with pytest.raises(SystemExit), LastWords():
        raise UserError("n1: \x1b[2J")
    assert capsys.readouterr().err == "clusterctl: n1: \\x1b[2J\n"


def test_why_it_was_forced_is_kept_with_the_run(tmp_path):
    assert opened(find(None, str(campaign(tmp_path, why="moved")))).why == "moved"

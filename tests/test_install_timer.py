"""The nightly timer: shown before it is written, and never over somebody else's file."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clusterctl.cli.install_timer import refuse_foreign, verify, words, write
from clusterctl.model import UserError
from clusterctl.report.timer_units import OURS, Plan, clock, cron_line, service, timer

INVENTORY = "nodes: {n1: {}}\n"
COMMAND = ("/opt/my tools/clusterctl", "sweep", "-i", "/etc/100%/in$v.yml", "--quiet")
PLAN = Plan(COMMAND, "2:05", 1200, 300, (Path("/var/lib/runs"), Path("/var/lib/a b")))
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="not installed: systemd-analyze"
)


def line_of(text: str, key: str) -> str:
    (found,) = (line for line in text.splitlines() if line.startswith(f"{key}="))
    return found.partition("=")[2]


def test_a_service_keeps_every_word_of_its_command():
    said = line_of(service(PLAN, user=False), "ExecStart")
    plain = said.replace("%%", "%").replace("$$", "$")
    assert shlex.split(plain) == list(COMMAND)
    assert said.count("%%") == said.count("$$") == 1


def test_a_service_may_write_where_runs_go_and_nowhere_else():
    text = service(PLAN, user=False)
    assert line_of(text, "ProtectSystem") == "strict"
    assert line_of(text, "ReadWritePaths") == '/var/lib/runs "/var/lib/a b"'
    assert line_of(text, "IOSchedulingClass") == "idle"
    assert line_of(text, "TimeoutStartSec") == "1500"
    assert line_of(text, "SuccessExitStatus") == "1 4"


def test_a_sweep_of_this_very_machine_keeps_sight_of_its_devices():
    assert "PrivateDevices" in service(PLAN, user=False)
    here = Plan(COMMAND, "2:05", 1200, 300, (Path("/r"),), here=True)
    assert "PrivateDevices" not in service(here, user=False)
    assert "ProtectKernelLogs" not in service(here, user=False)


def test_a_timer_spreads_and_makes_up_for_a_night_that_was_missed():
    text = timer(PLAN)
    assert line_of(text, "OnCalendar") == "*-*-* 02:05:00"
    assert line_of(text, "RandomizedDelaySec") == "300"
    assert line_of(text, "Persistent") == "yes"


def test_a_crontab_line_is_one_line_and_cron_s_own_marks_are_escaped():
    line = cron_line(PLAN, user="root", jitter="5m")
    assert line.startswith("5 2 * * * root '/opt/my tools/clusterctl' sweep -i ")
    assert r"100\%" in line
    assert line.endswith("--quiet --jitter 5m")


@pytest.mark.parametrize("text", ["", "24:00", "2", "02:60", "2:5", "02:00:00", "*:00", "2:00\n"])
def test_what_is_no_time_of_day_is_refused(text):
    with pytest.raises(UserError, match="--at"):
        clock(text)


def test_a_word_with_a_line_break_makes_no_unit():
    broken = Plan(("/bin/x", "a\nExecStart=/bin/rm"), "2:00", 60, 0, (Path("/r"),))
    for write_it in (lambda: service(broken, user=False), lambda: cron_line(broken)):
        with pytest.raises(UserError, match="line break"):
            write_it()


@needs_systemd
@pytest.mark.parametrize("user", [False, True])
@pytest.mark.parametrize("here", [False, True])
def test_systemd_takes_the_units(user, here):
    plan = Plan(("/bin/true", "a b", "100%"), "02:00", 1200, 300, (Path("/var/lib"),), here=here)
    verify({Path("s.service"): service(plan, user=user), Path("s.timer"): timer(plan)})


@needs_systemd
def test_what_systemd_does_not_take_is_said():
    plan = Plan(("/no/such/clusterctl",), "02:00", 1200, 300, (Path("/var/lib"),))
    with pytest.raises(UserError, match="no/such/clusterctl"):
        verify({Path("s.service"): service(plan, user=False)})


def test_what_somebody_else_wrote_stays(tmp_path):
    path = tmp_path / "x.service"
    path.write_text("[Service]\n")
    with pytest.raises(UserError, match="somebody else wrote this"):
        refuse_foreign({path: OURS})
    path.write_text(f"{OURS}\n[Service]\n")
    refuse_foreign({path: OURS})
    write({path: f"{OURS}\nnew\n"}, tmp_path / "runs")
    assert path.read_text() == f"{OURS}\nnew\n"


def test_paths_in_a_unit_are_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yml").write_text("")
    given = {"-i": [Path("a.yml"), Path("/b.yml")], "-p": "mine.yml", "--notify": None, "-x": ""}
    assert words(given) == ["-i", f"{tmp_path}/a.yml", "-i", "/b.yml", "-p", f"{tmp_path}/mine.yml"]
    assert words({"-p": "nightly"}) == ["-p", "nightly"]


def test_it_is_shown_first_and_written_with_yes(tmp_path):
    (tmp_path / "in.yml").write_text(INVENTORY)

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "clusterctl", "install-timer", "-i", "in.yml", "--user", *more],
            cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": ""},
        )  # fmt: skip

    folder = tmp_path / ".config/systemd/user"
    shown = run()
    assert shown.returncode == 0, shown.stderr
    assert f"--- {folder}/clusterctl-sweep.timer" in shown.stdout
    assert f"-i {tmp_path}/in.yml" in shown.stdout
    assert "nothing was written" in shown.stderr
    assert not folder.exists()
    written = run("--yes")
    assert written.returncode == 0, written.stderr
    assert "enable --now clusterctl-sweep.timer" in written.stderr
    assert sorted(one.name for one in folder.iterdir()) == [
        "clusterctl-sweep.service", "clusterctl-sweep.timer",
    ]  # fmt: skip
    mine = run("--crontab")
    assert mine.stdout.startswith("0 2 * * * ")
    assert "crontab -e" in mine.stderr

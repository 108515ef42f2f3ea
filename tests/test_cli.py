"""The program itself, as an operator or a script starts it: words in, answer and exit code out."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from kin import alive, ended, generation, gone, wait_for

from clusterctl.catalog import all_checks, all_probes, all_trials, named_probes
from clusterctl.playbook import shipped

ROOT = Path(__file__).parent.parent
LOCAL = ROOT / "inventories/local.yml"
BESIDE = Path(sys.executable).parent / "clusterctl"
PROGRAM = [str(BESIDE)] if BESIDE.exists() else [sys.executable, "-m", "clusterctl"]
QUICK = "probes: [cpu, memory]\nchecks: [cpu_count, memory_size]\n"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A place where runs, known hosts and all else go; the working directory too."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CLUSTERCTL_RUNS_DIR", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick.yml").write_text(QUICK)
    (tmp_path / "three.yml").write_text(
        "nodes:\n  n[1-3]: {address: 127.0.0.1, transport: local, rack: r1}\n"
    )
    return tmp_path


@pytest.fixture
def ctl(home) -> Run:
    """Runs it; whatever it was asked, it shows no traceback and does not blame itself."""

    def run(*words: object, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*PROGRAM, *map(str, words)],
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
            env=os.environ | env,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in out + err
        assert done.returncode != 70
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return run


def runs(home: Path) -> list[Path]:
    return sorted((home / ".local/state/clusterctl/runs").glob("*"))


# ----------------------------------------------------------------------------- exit codes


def test_all_pass_is_0(ctl):
    done = ctl("sweep", "-i", LOCAL, "-p", "quick.yml")
    assert done.returncode == 0, done.stdout
    assert re.search(r"1 pass of 1 node", done.stdout.splitlines()[-1])


def test_something_fails_is_1_and_the_table_says_what(ctl, home):
    (home / "quick.yml").write_text(QUICK + "expect: {cpu_count: {threads: 100000}}\n")
    done = ctl("sweep", "-i", LOCAL, "-p", "quick.yml")
    assert done.returncode == 1
    assert "cpu_count" in done.stdout
    assert "100000" in done.stdout


def test_a_node_that_is_off_is_4(ctl, home):
    with socket.socket() as closed:  # bound and not listening: nobody else gets it meanwhile
        closed.bind(("127.0.0.1", 0))
        (home / "off.yml").write_text(
            f"nodes: {{off: {{address: 127.0.0.1, port: {closed.getsockname()[1]}}}}}\n"
        )
        done = ctl("sweep", "-i", LOCAL, "-i", "off.yml", "-p", "quick.yml")
    assert done.returncode == 4
    assert "1 pass · 1 unknown of 2 nodes" in done.stdout.splitlines()[-1]
    told = json.loads(ctl("show", "last", "--format", "json").stdout)
    (why,) = {one["why"] for one in told["findings"] if one["check"] == "reachable"} - {""}
    assert "refuses" in why


@pytest.mark.parametrize("verb", ["sweep", "burnin"])
def test_no_node_selected_is_3_and_nothing_is_run(verb, ctl, home):
    done = ctl(verb, "-i", "three.yml", "-s", "rack=r9", "-p", "quick.yml")
    assert (done.returncode, done.stdout) == (3, "")
    assert len(done.stderr.splitlines()) == 1
    assert not runs(home)


MISTAKES = {
    "verb": (["frobnicate"], "frobnicate"),
    "option": (["sweep", "--bogus"], "--bogus"),
    "value": (["sweep", "--at-once", "many"], "--at-once"),
    "format": (["sweep", "--format", "xml"], "xml"),
    "no inventory": (["sweep"], "-i INVENTORY"),
    "inventory that is not there": (["sweep", "-i", "none.yml"], "none.yml"),
    "inventory of rubbish": (["sweep", "-i", "rubbish.yml"], "rubbish.yml"),
    "inventory that is a picture": (["nodes", "-i", "picture.png"], "picture.png"),
    "key in an inventory": (["sweep", "-i", "typo.yml"], "address"),
    "node": (["sweep", "-i", "three.yml", "--nodes", "n7"], "n7"),
    "selection": (["sweep", "-i", "three.yml", "-s", "rack = = r1"], "--select"),
    "playbook": (["sweep", "-i", LOCAL, "-p", "nightli"], "did you mean 'nightly'"),
    "playbook that loads": (["sweep", "-i", LOCAL, "-p", "burnin-quick"], "use burnin"),
    "playbook that loads, every night": (
        ["install-timer", "-i", LOCAL, "-p", "burnin-quick"],
        "use burnin",
    ),
    "a configuration of ssh": (["sweep", "-i", LOCAL, "-F", "no/such"], "'no/such' does not exist"),
    "key in a playbook": (["sweep", "-i", LOCAL, "-p", "typo.yml"], "typo.yml"),
    "trial": (["burnin", "-i", LOCAL, "-p", "trial.yml"], "did you mean 'cpu_burn'"),
    "partners": (["burnin", "-i", "three.yml", "--at-once", "1"], "pair_bandwidth needs 2"),
    "probe": (["read", "nvmll"], "did you mean 'nvml'"),
    "file": (["read", "nvml", "none.txt"], "none.txt"),
    "what to list": (["list", "nonsense"], "nonsense"),
    "a slip of what to list": (
        ["list", "chekcs"],
        "clusterctl: Invalid value for 'what': 'chekcs' is not one of 'probes', ",
    ),
    "what it was a slip of": (["list", "chekcs"], "'rules'; did you mean 'checks'? See"),
    "a language": (
        ["list", "checks", "--lang", "fr"],
        "Invalid value for '--lang': 'fr' is not one of 'en', 'zh'.",
    ),
    "rules in a form that they do not have": (["list", "rules", "--format", "json"], "YAML"),
    "a form of runs only": (
        ["list", "checks", "--format", "jsonl"],
        "'jsonl' is not one of 'table', 'json', 'csv'",
    ),
    "names in one line and in a form": (
        ["nodes", "-i", LOCAL, "--fold", "--format", "csv"],
        "--fold",
    ),
    "one file for two": (
        ["sweep", "-i", LOCAL, "-p", "quick.yml", "-o", "q", "--html", "./q"],
        "-o and --html are both q",
    ),
    "place for the page": (["sweep", "-i", LOCAL, "--html", "no/such/page"], "--html no/such/page"),
    "an archive that is there": (["bundle", "localhost", "-i", LOCAL, "-o", "q.yml"], "--force"),
    "run": (["show", "20200101"], "20200101"),
    "run to judge": (["judge", "last"], "last"),
    "run without its parts": (["judge", "half"], "lacks earlier_run"),
    "no room for a run": (
        ["sweep", "-i", LOCAL, "-p", "quick.yml", "--runs-dir", "/proc"],
        "--runs-dir",
    ),
    "a form that exec has not": (["exec", "-i", LOCAL, "--format", "csv", "--", "true"], "csv"),
    "place for the answer": (
        ["sweep", "-i", LOCAL, "-p", "quick.yml", "-o", "no/such/folder"],
        "no/such/folder",
    ),
    "place for the run": (
        ["sweep", "-i", LOCAL, "-p", "quick.yml", "--runs-dir", "/dev/null/x"],
        "--runs-dir",
    ),
}


@pytest.mark.parametrize(("words", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_2_and_one_line_that_says_what(words, said, ctl, home):
    (home / "q.yml").write_text("")
    (home / "rubbish.yml").write_text("nodes: [unclosed")
    (home / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe" * 50)
    (home / "typo.yml").write_text("nodes: {n1: {adress: 10.0.0.1}}\n")
    (home / "trial.yml").write_text("stages: [cpu_bern]\n")
    (home / "half").mkdir()
    (home / "half/run.json").write_text('{"schema": 1}')
    done = ctl(*words)
    assert (done.returncode, done.stdout) == (2, "")
    lines = [line for line in done.stderr.splitlines() if not line.startswith("run: ")]
    assert said in lines[-1]
    assert lines[-1].startswith("clusterctl: ")


def test_a_mistake_is_told_in_the_language_that_was_asked_for(ctl):
    done = ctl("bandwidth", "-i", LOCAL, "--lang", "zh")
    assert (done.returncode, "localhost 是单机" in done.stderr) == (2, True)


def test_no_words_show_the_verbs_and_are_2(ctl):
    done = ctl()
    assert done.returncode == 2
    for verb in ("sweep", "burnin", "show", "judge", "exec", "list", "read", "nodes"):
        assert verb in done.stdout
    assert ctl("--help").returncode == 0
    assert ctl("sweep", "--help").returncode == 0


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_reader_that_goes_away_is_no_failure(form, home):
    with subprocess.Popen(
        [*PROGRAM, "list", "checks", "--format", form],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as program:
        program.stdout.close()
        assert program.stderr.read() == b""
    assert program.returncode == 130


@pytest.mark.parametrize("unbuffered", ["", "1"])  # written at once, or at the end
def test_a_full_disk_under_stdout_is_one_line_and_no_bug(unbuffered, home):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, "nodes", "-i", "three.yml"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "clusterctl: No space left on device: what it printed or kept is not whole"
    )
    assert "Traceback" not in done.stderr


def test_it_says_its_version(ctl):
    from importlib.metadata import version

    done = ctl("--version")
    assert (done.returncode, done.stdout) == (0, f"clusterctl {version('clusterctl')}\n")


# ----------------------------------------------------------------------------- what it prints

FINDING = {
    "check", "node", "part", "status", "severity", "expected", "actual", "why", "remedy",
    "source", "yardstick", "shared",
}  # fmt: skip


def test_json_is_schema_1_and_accounts_for_every_node(ctl):
    done = ctl("sweep", "-i", "three.yml", "-p", "quick.yml", "--format", "json")
    told = json.loads(done.stdout)
    assert told["schema"] == 1
    assert told["playbook"] == "quick"
    assert told["exit_code"] == done.returncode == 0
    assert told["nodes"]["selected"] == told["nodes"]["answered"] == told["nodes"]["pass"] == 3
    assert told["statuses"] == {"n1": "pass", "n2": "pass", "n3": "pass"}
    assert told["parts"]["accelerators"].keys() == {"seen", "expected"}
    assert sum(told["counts"].values()) == len(told["findings"])
    assert {frozenset(finding) for finding in told["findings"]} == {frozenset(FINDING)}
    assert {finding["node"] for finding in told["findings"]} == {"n1", "n2", "n3"}
    asked_of = {(one["node"], one["check"]) for one in told["findings"]}
    for node in ("n1", "n2", "n3"):
        for check in ("reachable", "observed", "cpu_count", "memory_size"):
            assert (node, check) in asked_of


def test_every_form_tells_the_same_and_a_file_takes_it_all(ctl, home):
    first = json.loads(ctl("sweep", "-i", LOCAL, "-p", "quick.yml", "--format", "json").stdout)
    shown = ctl("show", "last", "--format", "json")
    assert json.loads(shown.stdout) == first
    judged = json.loads(ctl("judge", first["run"], "--format", "json").stdout)
    assert judged["findings"] == first["findings"]
    rows = list(csv.DictReader(io.StringIO(ctl("show", "last", "--format", "csv").stdout)))
    assert [row["check"] for row in rows] == [one["check"] for one in first["findings"]]
    assert set(rows[0]) == FINDING
    quiet = ctl("show", "last", "--format", "json", "-o", "answer.json")
    assert (quiet.stdout, quiet.returncode) == ("", 0)
    assert json.loads((home / "answer.json").read_text()) == first


def test_a_run_is_judged_again_with_other_limits_offline(ctl, home):
    assert ctl("sweep", "-i", LOCAL, "-p", "quick.yml").returncode == 0
    (home / "strict.yml").write_text(QUICK + "expect: {cpu_count: {threads: 100000}}\n")
    assert ctl("judge", "last", "-p", "strict.yml").returncode == 1
    assert ctl("show", "last").returncode == 0  # what was judged then stands


def test_who_came_and_went_was_in_the_run_whether_it_answered_or_not(ctl):
    for node in ("n1", "n2"):
        ctl("sweep", "-i", "three.yml", "--nodes", node, "-p", "quick.yml")
    told = json.loads(ctl("diff", "--format", "json").stdout)["changes"]
    came = [tuple(one.values()) for one in told if one["became"] in {"gone", "new"}]
    assert came == [
        ("gone", "n1", "node", "", "in the run", "not in the run"),
        ("new", "n2", "node", "", "not in the run", "in the run"),
    ]


def test_what_a_node_said_can_be_seen_word_for_word(ctl):
    ctl("sweep", "-i", LOCAL, "-p", "quick.yml")
    assert "MemTotal" in ctl("show", "last", "--raw", "localhost").stdout
    absent = ctl("show", "last", "--raw", "localhosd")
    assert absent.returncode == 2
    assert "did you mean 'localhost'" in absent.stderr


def test_what_never_burned_is_not_judged_as_a_burn(ctl):
    ctl("sweep", "-i", LOCAL, "-p", "quick.yml")
    done = ctl("judge", "last", "-p", "burnin-quick")
    assert done.returncode == 2
    assert "has stages" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_changes_no_verdict(closed, home):
    words = f"{' '.join(PROGRAM)} sweep -i {LOCAL} -p quick.yml --format json {closed}"
    done = subprocess.run(["sh", "-c", words], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    if ">&-" not in closed or closed == "2>&-":
        assert json.loads(done.stdout)["exit_code"] == 0


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("probes", {**all_probes(), **named_probes()}),
        ("checks", all_checks()),
        ("trials", all_trials()),
        ("playbooks", shipped()),
    ],
)
def test_the_list_is_whole_in_every_form(what, names, ctl):
    found = json.loads(ctl("list", what, "--format", "json").stdout)
    assert [row["name"] for row in found] == sorted(names, key=list(names).index)
    rows = list(csv.DictReader(io.StringIO(ctl("list", what, "--format", "csv").stdout)))
    assert [row["name"] for row in rows] == [row["name"] for row in found]
    table = ctl("list", what).stdout
    for name in names:
        assert name in table


# ----------------------------------------------------------------------------- read


def spelled(done: subprocess.CompletedProcess[str]) -> dict[str, list[dict[str, object]]]:
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert set(told) == {"facts", "troubles"}
    return told


@pytest.mark.parametrize("probe", ["nvml", "pci", "kernel_log", "mounts"])
def test_binary_rubbish_is_read_as_troubles(probe, ctl, home):
    (home / "rubbish").write_bytes(bytes(range(256)) * 64 + b"\xff\xfe\x00")
    told = spelled(ctl("read", probe, "rubbish"))
    assert told["facts"] == []
    assert told["troubles"]
    for trouble in told["troubles"]:
        assert {"kind", "detail"} <= set(trouble)


@pytest.mark.parametrize("way", [[], ["-"], ["empty"]])
def test_nothing_at_all_is_a_trouble(way, ctl, home):
    (home / "empty").write_bytes(b"")
    told = spelled(ctl("read", "pci", *way))
    assert told["facts"] == []
    assert told["troubles"]


def test_what_a_probe_sees_has_types(ctl):
    text = "/proc/meminfo\tMemTotal: 1024 kB\n/proc/meminfo\tMemAvailable: 512 kB\n"
    told = spelled(ctl("read", "memory", stdin=text.encode()))
    assert told["facts"][0] == told["facts"][0] | {"type": "Memory", "total_bytes": 1 << 20}


# ----------------------------------------------------------------------------- exec

NASTY = [
    "a b", "", "$(id)", "`id`", "$HOME", "q'u\"o\\te", "new\nline", "*", "; exit 7", "--nodes",
    "ünïcode", "!x", "#c", "~",
]  # fmt: skip


def test_arguments_reach_the_node_as_they_are(ctl):
    done = ctl("exec", "-i", LOCAL, "--format", "json", "--", "printf", "<%s>", *NASTY)
    assert done.returncode == 0
    (same,) = json.loads(done.stdout)
    assert same["stdout"] == "".join(f"<{word}>" for word in NASTY)


def test_one_word_is_a_shell_line(ctl):
    done = ctl("exec", "-i", LOCAL, "--", "echo $((6 * 7)) | tr 4 5")
    assert done.stdout.splitlines() == ["== localhost (1)", "52"]


def test_equal_outputs_are_folded(ctl):
    done = ctl("exec", "-i", "three.yml", "--", "echo", "same")
    assert done.stdout.splitlines() == ["== n[1-3] (3)", "same"]
    done = ctl(
        "exec", "-i", "three.yml", "--nodes", "n[1-2]", "--", "sh", "-c", "echo oh >&2; exit 3"
    )
    assert done.returncode == 1
    assert done.stdout.splitlines() == ["== n[1-2] (2) exit 3", "stderr: oh"]


def test_a_terminal_is_safe_from_what_a_node_prints(ctl):
    done = ctl("exec", "-i", LOCAL, "--", "printf", r"\033[2J[red]x[/dev/nvidia0]\000\007")
    assert done.stdout.splitlines()[1] == r"\x1b[2J[red]x[/dev/nvidia0]\x00\x07"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["no-such-program-here", "x"], 1, "not found"),
        (["sleep", "30"], 4, "stopped after"),
    ],
)
def test_a_command_that_fails_or_hangs_is_said(words, code, said, ctl):
    done = ctl("exec", "-i", LOCAL, "--timeout", "1", "--", *words)
    assert done.returncode == code
    assert said in done.stdout


# ----------------------------------------------------------------------------- burnin

TINY = """
name: tiny
probes: [cpu, memory]
checks: [burn_errors, pair_bandwidth]
stages:
  - cpu_burn: {seconds: 1, engine: built-in}
  - memory_burn: {seconds: 0.5, share: 0.005}
  - disk_burn: {seconds: 0.5, size_mib: 4, folder: FOLDER}
  - pair_bandwidth: {seconds: 0.5, streams: 2}
"""


def test_a_burn_of_two_nodes_names_every_part_and_is_judged_the_same_again(ctl, home):
    (home / "tiny.yml").write_text(TINY.replace("FOLDER", str(home)))
    done = ctl(
        "burnin", "-i", "three.yml", "--nodes", "n[1-2]", "-p", "tiny.yml", "--format", "json"
    )
    told = json.loads(done.stdout)
    assert done.returncode == told["exit_code"] == 0, told
    burned = {
        (one["node"], one["part"], one["status"])
        for one in told["findings"]
        if one["check"] == "burn_errors"
    }
    assert burned == {
        (node, part, "pass") for node in ("n1", "n2") for part in ("cpu", "memory", f"disk:{home}")
    }
    paths = {one["part"] for one in told["findings"] if one["check"] == "pair_bandwidth"}
    assert paths == {"n1>n2", "n2>n1"}
    again = json.loads(ctl("judge", "last", "--format", "json").stdout)
    assert again["findings"] == told["findings"]


LONG = "probes: [cpu]\nstages: [{cpu_burn: {seconds: 50, engine: built-in}}]\n"


@pytest.fixture
def family(monkeypatch) -> str:
    mark = uuid.uuid4().hex
    monkeypatch.setenv("FAMILY", mark)
    return mark


def interrupted(words: list[object], family: str, number: int) -> tuple[int, str, str]:
    program = subprocess.Popen(
        [*PROGRAM, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C must not reach the nodes by way of the terminal
    )
    assert wait_for(lambda: generation(family, 2 if "exec" in words else 3))
    before = alive(family)
    program.send_signal(number)
    out, err = program.communicate(timeout=20)
    assert ended(before, 5)
    assert gone(family, 1)
    return program.returncode, out, err


def test_ctrl_c_leaves_nothing_running_and_says_how_to_go_on(ctl, home, family):
    (home / "long.yml").write_text(LONG)
    code, out, err = interrupted(["burnin", "-i", LOCAL, "-p", "long.yml"], family, signal.SIGINT)
    assert (code, out) == (130, "")
    assert "Traceback" not in err
    advice = re.search(r"`clusterctl (judge \S+)`", err)
    assert advice
    (kept,) = runs(home)
    assert kept.name.endswith(".partial")
    done = ctl(*advice[1].split())
    assert done.returncode == 4
    assert "1 answers: missing: the run was stopped" in done.stdout


def test_ctrl_c_ends_a_command_on_the_nodes(home, family):
    code, out, err = interrupted(
        ["exec", "-i", "three.yml", "--", "sleep", "50"], family, signal.SIGINT
    )
    assert (code, out) == (130, "")
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_program_leaves_nothing_running(number, home, family):
    (home / "long.yml").write_text(LONG)
    code, _, err = interrupted(["burnin", "-i", LOCAL, "-p", "long.yml"], family, number)
    assert code == -number
    assert "Traceback" not in err

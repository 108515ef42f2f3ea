"""A sweep that nobody watches: its turn, its time, its silence, and what leaves the house."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path, PosixPath

import pytest
from kin import wait_for
from scripted import Scripted, answers, nodes, probe, said

from clusterctl.cli.cron import share_of_host, terms, unreached
from clusterctl.cli.outlets import last_success, opened
from clusterctl.cli.terms import Terms
from clusterctl.fanout import each
from clusterctl.lock import Holder, held, taken
from clusterctl.model import Kind, Playbook, Status, UserError
from clusterctl.report.jsonl import lines
from clusterctl.run import World, sweep
from clusterctl.spelling import Unreadable, seconds
from clusterctl.store import Recorder
from clusterctl.transport import TransportError
from clusterctl.transport.budget import Budgeted
from clusterctl.transport.replay import Heard

ROOT = Path(__file__).parent.parent
LOCAL = ROOT / "inventories/local.yml"
CLUSTERCTL = (sys.executable, "-m", "clusterctl")
NIGHT = datetime(2026, 11, 22, 2, tzinfo=UTC)
ME = Holder(4711, "head1", "2026-11-22 02:00:03 UTC", "clusterctl sweep -i lab.yml")


# --------------------------------------------------------------------------- one at a time


def test_a_second_one_is_told_who_holds_the_lock(tmp_path):
    path = tmp_path / "runs" / ".lock"
    with held(path, ME, "a sweep"), pytest.raises(UserError) as refused, held(path, ME, "a sweep"):
        pass
    assert str(refused.value) == (
        "a sweep is running already, by process 4711 on head1 since 2026-11-22 02:00:03 UTC "
        "(clusterctl sweep -i lab.yml); nothing was run"
    )


def test_a_lock_leaves_no_file_and_can_be_taken_again(tmp_path):
    path = tmp_path / ".lock"
    for _ in range(2):
        with held(path, ME, "a sweep"):
            assert path.exists()
        assert not path.exists()


class Vanishing(PosixPath):
    """The first look at it comes just after its holder has let go of it."""

    looks = 0

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        self.looks += 1
        if self.looks == 1 and self.name == "lock":  # and not its folder
            self.unlink()
        return super().stat(follow_symlinks=follow_symlinks)


def test_a_lock_that_its_holder_has_just_unlinked_is_none(tmp_path):
    path = Vanishing(tmp_path / "lock")
    handle = taken(path, "a sweep")
    try:
        assert path.looks == 2
        assert os.path.samestat(os.fstat(handle), (tmp_path / "lock").stat())
    finally:
        os.close(handle)


@pytest.mark.parametrize("left", [b"", b"{", b'{"pid": 1}', b"\xff\x00", b"[1]" * 3000])
def test_what_a_crash_left_keeps_nobody_out(tmp_path, left):
    path = tmp_path / ".lock"
    path.write_bytes(left)
    with held(path, ME, "a sweep"):
        assert json.loads(path.read_text())["pid"] == 4711


def test_a_holder_that_says_rubbish_is_still_a_holder(tmp_path):
    path = tmp_path / ".lock"
    with held(path, ME, "a sweep"):
        path.write_bytes(b"\x1b[2J")
        with pytest.raises(UserError, match="somebody who has just begun"), held(path, ME, "a"):
            pass


def test_the_holder_s_name_cannot_draw_on_the_terminal(tmp_path):
    path = tmp_path / ".lock"
    evil = Holder(1, "\x1b[2Jhost", "now", "rm\n-rf")
    with (
        held(path, evil, "a sweep"),
        pytest.raises(UserError, match=r"\\x1b") as refused,
        held(path, ME, "a sweep"),
    ):
        pass
    assert "\n" not in str(refused.value)


def test_where_there_is_no_room_for_a_lock_it_says_so():
    with pytest.raises(UserError, match="--runs-dir"), held(Path("/proc/x/.lock"), ME, "a sweep"):
        pass


# --------------------------------------------------------------------------- in its time


SPANS = {"90s": 90, "20m": 1200, "1.5h": 5400, "30d": 2592000, "2 w": 1209600}


@pytest.mark.parametrize(("text", "value"), SPANS.items())
def test_time_spans_are_read(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "20", "20 min", "-5m", "nan", "1e3s", "m", "٣m"])
def test_a_time_span_without_a_unit_is_refused(text):
    with pytest.raises(Unreadable, match="20m"):
        seconds(text)


def test_jitter_is_the_same_on_a_host_and_not_on_all():
    shares = {name: share_of_host(name) for name in ("head1", "head2", "head3")}
    assert shares == {name: share_of_host(name) for name in shares}
    assert len(set(shares.values())) == 3
    assert all(0 <= share < 1 for share in shares.values())


def test_results_end_with_the_time_whoever_is_still_out():
    free = threading.Event()

    def visit(name: str) -> str:
        if name == "slow":
            free.wait()
        return name

    left = iter([inf, inf, 0.0])
    heard = list(each(["a", "b", "slow"], visit, at_once=3, left_s=lambda: next(left)))
    free.set()
    assert sorted(heard) == ["a", "b"]


class Quick:
    """Answers at once; its nodes are asked while `left` says so."""

    def __init__(self, left: float) -> None:
        self.left = left
        self.asked: list[float] = []

    def connect(self, node_s: float) -> Scripted:
        self.asked.append(node_s)
        return Scripted({"n000": answers(said("a", "gpu0 41"))})


def swept(transport: object, count: int, **world: object):
    book = Playbook("p", probes=(probe("a"),))
    around = World(lambda _reading, _s: transport, lambda: NIGHT, 1, "r", **world)
    return sweep(book, nodes(count), around)


def of_status(run, status: Status) -> set[str]:
    found = [one.verdict for one in run.findings if one.check == "reachable"]
    return {verdict.node for verdict in found if verdict.status is status}


def test_who_was_not_asked_in_time_is_unknown_and_named():
    world = Quick(0.5)
    run = swept(Budgeted(world.connect(90), 90, world.connect, lambda: 0.5), 2)
    assert of_status(run, Status.UNKNOWN) == {"n000", "n001"}
    assert unreached(run) == ["n000", "n001"]
    assert {one.verdict.remedy for one in run.findings if one.check == "reachable"} == {
        "run it again: the run ended before this node was asked to the end"
    }


def test_a_node_that_nobody_waits_for_is_unknown():
    free = threading.Event()

    class Hangs:
        def knock(self, asked):
            return ((node, None) for node in asked)

        @contextmanager
        def open(self, _node):
            free.wait()
            raise TransportError(Kind.CUT, "too late for anybody to hear")
            yield

    run = swept(Hangs(), 2, left_s=lambda: 0.0)
    free.set()
    assert of_status(run, Status.UNKNOWN) == {"n000", "n001"}
    assert unreached(run) == ["n000", "n001"]


def test_what_a_node_says_after_the_end_is_not_in_the_recording(tmp_path):
    recorder = Recorder(tmp_path, "r")
    recorder.hear("now", Heard("n1", said("a", "in time")))
    recorder.close()
    recorder.hear("now", Heard("n2", said("a", "too late")))
    with gzip.open(recorder.path / "answers-now.jsonl.gz", "rt") as file:
        assert [json.loads(line)["node"] for line in file] == ["n1"]


def test_the_last_nodes_get_what_is_left_of_the_budget_and_no_blame():
    world = Quick(30)

    class Slow(Scripted):
        @contextmanager
        def open(self, _node):
            world.left = 0.0
            raise TransportError(Kind.TIMEOUT, "n000 has not finished within 30 s")
            yield

    def connect(node_s: float) -> Slow:
        world.asked.append(node_s)
        return Slow({})

    run = swept(Budgeted(Scripted({}), 90, connect, lambda: world.left), 1)
    assert world.asked == [30.0]
    assert unreached(run) == ["n000"]


@pytest.mark.parametrize("silent", ["the login", "the answer"])
def test_a_node_that_hangs_while_there_is_time_is_blamed_for_it(silent):
    class Silent:
        def ask(self, _questions):
            raise TransportError(Kind.TIMEOUT, "n000 accepts TCP and then says nothing for 5 s")
            yield

    class Hung(Scripted):
        @contextmanager
        def open(self, node):
            if silent == "the login":
                yield from Silent().ask(node)
            yield Silent()

    run = swept(Budgeted(Scripted({}), 90, Hung, lambda: 40.0), 1)
    assert unreached(run) == []
    (why,) = {one.verdict.why for one in run.findings if one.check == "reachable"}
    assert "n000 accepts TCP and then says nothing" in why


def test_a_node_that_is_slow_by_itself_is_blamed_for_it():
    class Slow(Scripted):
        @contextmanager
        def open(self, _node):
            raise TransportError(Kind.TIMEOUT, "n000 has not finished within 90 s")
            yield

    run = swept(Budgeted(Slow({}), 90, Slow, lambda: 91.0), 1)
    assert unreached(run) == []
    assert of_status(run, Status.UNKNOWN) == {"n000"}


def test_asking_leaves_time_for_judging_and_a_node_ends_before_the_asking():
    early = Terms(budget_s=1200, began=0.0)
    later = Terms(budget_s=1200, began=100.0)
    assert later.asking_s() - early.asking_s() == pytest.approx(100, abs=1)
    assert early.asking_s() - early.talking_s() == pytest.approx(2, abs=0.1)
    assert Terms().asking_s() == Terms().talking_s() == inf


# --------------------------------------------------------------------------- the program


@pytest.fixture
def ctl(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick.yml").write_text("probes: [cpu]\nchecks: [cpu_count]\n")

    def run(*words: object, **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*CLUSTERCTL, "sweep", "-i", str(LOCAL), "-p", "quick.yml", *map(str, words)],
            capture_output=True, text=True, check=False, env=os.environ | env, timeout=60,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def test_a_night_two_started_together_a_corrupt_run_and_silence(ctl, tmp_path):
    """One story: every sweep that is carried out costs more than a second."""
    runs = tmp_path / ".local/state/clusterctl/runs"
    words = [*CLUSTERCTL, "sweep", "-i", str(LOCAL), "-p", "quick.yml", "--quiet"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as first:
        wait_for(lambda: any(runs.glob(".sweep-*.lock")))
        os.kill(first.pid, signal.SIGSTOP)  # it stays where it is
        second = ctl()
        os.kill(first.pid, signal.SIGCONT)
        calm, _ = first.communicate(timeout=60)
    # One is carried out, and all is well, so it says nothing; the other says who is at it.
    assert (first.returncode, calm) == (0, b"")
    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr.startswith(
        f"clusterctl: a sweep of these nodes is running already, by process {first.pid} on "
    )
    assert second.stderr.count("\n") == 1
    (old,) = runs.glob("*/findings.parquet")
    old = old.parent
    assert not list(runs.glob(".sweep-*.lock"))

    # What the last night left is corrupt: that is said, costs nothing, and nothing is lost.
    (old / "observations.parquet").write_bytes(b"PAR1 torn")
    (old / "life.json.gz").write_bytes(b"\x1f\x8b torn")
    torn = runs / (old.name[:-1] + "x")
    torn.mkdir()
    (torn / "run.json").write_text('{"schema": 1')
    (tmp_path / "quick.yml").write_text(
        "probes: [cpu]\nchecks: [cpu_count]\nexpect: {cpu_count: {threads: 100000}}\n"
    )
    loud = ctl("--quiet")
    assert loud.returncode == 1
    assert "cpu_count" in loud.stdout
    assert str(old) in loud.stderr
    assert str(torn) in loud.stderr
    assert (old / "observations.parquet").read_bytes() == b"PAR1 torn"
    assert len(list(runs.glob("*/findings.parquet"))) == 2

    again = ctl("--quiet")  # somebody has read that yesterday
    assert (again.returncode, again.stdout) == (0, "")
    assert all(str(torn) in line or str(old) in line for line in again.stderr.splitlines())


def test_a_silent_night_that_had_no_time_to_look_is_not_exit_0(ctl, tmp_path):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        port = deaf.getsockname()[1]
        (tmp_path / "deaf.yml").write_text(f"nodes: {{deaf: {{address: 127.0.0.1, port: {port}}}}}")
        done = ctl("-i", tmp_path / "deaf.yml", "--quiet", "--budget", "2s")
    assert (done.returncode, done.stdout) == (4, "")
    assert "were not asked to the end" in done.stderr


def test_a_mistake_in_cron_s_flags_is_one_line_and_nothing_is_run(ctl, tmp_path):
    done = ctl("--budget", "soon")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("clusterctl: --budget: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / ".local").exists()


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"budget": "0.1s"}, "--budget"),
        ({"jitter": "5"}, "--jitter"),
    ],
)
def test_a_time_that_cannot_be_is_named_by_its_flag(flags, named):
    with pytest.raises(UserError, match=named):
        terms(**{"quiet": True, "budget": "", "jitter": "", **flags})


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"prometheus": "no/such/x.prom"}, "--prometheus no/such"),
        ({"prometheus": "x.txt"}, r"\*\.prom"),
        ({"dry_run": True}, "--notify FILE"),
        ({"notify": "none.yml"}, "none.yml"),
    ],
)
def test_a_place_that_cannot_be_written_or_read_is_named_before_anything_is_asked(
    tmp_path, monkeypatch, flags, named
):
    monkeypatch.chdir(tmp_path)
    given = {name: Path(one) if isinstance(one, str) else one for name, one in flags.items()}
    nothing = {"prometheus": None, "notify": None, "dry_run": False, "lang": None}
    with pytest.raises(UserError, match=named):
        opened(tmp_path, **{**nothing, **given})


def test_a_line_of_json_is_a_finding_and_whole_by_itself():
    labels = {"rack": "r7"}
    run = swept(Scripted({"n000": answers(said("a", "gpu0 41"))}), 2)
    run = replace(run, nodes=tuple(replace(node, labels=labels) for node in run.nodes))
    told = [json.loads(line) for line in lines(run)]
    assert len(told) == len(run.findings)
    assert {one["status"] for one in told} >= {"pass", "unknown"}
    assert [one["labels"] for one in told] == [labels] * len(told)
    assert {tuple(sorted(one)) for one in told} == {
        (
            "actual", "at", "check", "expected", "labels", "node", "part", "playbook", "remedy",
            "run", "schema", "severity", "shared", "source", "status", "why", "yardstick",
        )
    }  # fmt: skip


def test_a_disk_that_is_full_costs_the_tables_and_never_the_verdict_nor_an_old_run(ctl, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    runs, metrics = tmp_path / "runs", tmp_path / "m.prom"
    runs.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(runs)]
    subprocess.run(mount, check=True)
    try:
        words = ("--runs-dir", runs, "--prometheus", metrics)
        assert ctl(*words).returncode == 0
        (old,) = runs.glob("*-quick-*")
        before = {one.name: one.read_bytes() for one in old.iterdir()}
        success = last_success(metrics)
        room = os.statvfs(runs)
        (runs / "filler").write_bytes(b"x" * (room.f_bavail * room.f_frsize - 3 * 4096))
        done = ctl(*words, "--quiet")
        assert done.returncode == 0
        assert "No space left on device; what was heard is kept there" in done.stderr
        assert {one.name: one.read_bytes() for one in old.iterdir()} == before
        assert last_success(metrics) == success > 0
    finally:
        subprocess.run(["umount", str(runs)], check=True)

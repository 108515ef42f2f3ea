"""What watch-job hears, keeps and says: lines of nodes, the ring, who is silent, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes.util import find_library
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from nvml_nodes import COMPILER, build_library

from clusterctl import remote
from clusterctl.cli.options import Format
from clusterctl.cli.watch_job import watching
from clusterctl.cli.watch_job_told import Outlet
from clusterctl.cli.world import Flags
from clusterctl.model import Answer, Kind, Node, Question, Trouble, UserError
from clusterctl.report.accounts import EXIT_UNKNOWN
from clusterctl.report.watching import Covered, as_row, as_state, lines, sentence
from clusterctl.transport import TransportError
from clusterctl.transport.local import Local
from clusterctl.triage.past.known import Past
from clusterctl.triage.running.ask import Wanted
from clusterctl.triage.verdict import Cause, Triage
from clusterctl.triage.watching.asked import GPUS, JOB, Away, Line, follow, questions
from clusterctl.triage.watching.rhythm import MOST_LOOKS
from clusterctl.triage.watching.ring import Ring
from clusterctl.triage.watching.samples import Part, Ranks, read
from clusterctl.triage.watching.state import Event, What
from clusterctl.triage.watching.watched import GONE_S, SILENT_S, Job, Watched

sys.path.insert(0, str(Path(remote.__file__).parent))

import sample_job  # of remote/

sys.path.pop(0)

PYENV = Path.home() / ".pyenv" / "versions"
PYTHONS = [sys.executable, *map(str, sorted(PYENV.glob("3.6.*/bin/python3"))[:1])]
RANKS = '{"ranks":[[7,0,"j"]],"hidden":0,"channels":["cpu","sent"],"k":"job"}'
NOBODY = '{"ranks":[],"hidden":2,"channels":[],"k":"job"}'
PART = '{"n":1,"at":5.0,"dt":[1000,1100],"spent_s":0.1,"cpu":[5,0],"sent":[100,2000],"k":"part"}'

# ----------------------------------------------------------------------------- lines


def test_a_line_is_ranks_or_looks():
    assert read(RANKS) == Ranks(((7, 0, "j"),), 0, ("cpu", "sent"))
    assert read(PART) == Part(5.0, (0.1, 0.11), 0.1, {"cpu": (5, 0), "sent": (100, 2000)})


@pytest.mark.parametrize("line", [RANKS, PART])
def test_no_cut_and_no_flip_of_a_line_raises(line):
    for place in range(len(line)):
        assert isinstance(read(line[:place]), Trouble)
        read(line[:place] + "\x00" + line[place + 1 :])
        read(line[:place] + "9" + line[place + 1 :])


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "null",
        '{"k":"else"}',
        PART.replace("[5,0]", "[5]"),
        PART.replace("[5,0]", "[5,-1]"),
        PART.replace("[1000,1100]", "[1000,0]"),
        PART.replace("[1000,1100]", "[]"),
        PART.replace("5.0", "null"),
        PART.replace("[5,0]", '["x",0]'),
        PART.replace("[5,0]", "[1e999,0]"),
        RANKS.replace('[7,0,"j"]', "[7,0]"),
        "[" * 100_000,
    ],
)
def test_what_is_no_line_of_ours_is_a_trouble(line):
    assert isinstance(read(line), Trouble)


def test_a_job_s_name_cannot_forge_the_screen():
    (rank,) = read(RANKS.replace('"j"', '"\\u001b[2Jgone"')).ranks
    assert "\x1b" not in rank[2]


# ----------------------------------------------------------------------------- the ring


def kept(folder: Path) -> Iterator[tuple[float, str, str, str]]:
    """What a ring has, the oldest first; a line torn by a crash ends its file."""
    for path in sorted(folder.glob("ring-*.jsonl")):
        with path.open(encoding="utf-8") as file:
            for text in file:
                try:
                    at, node, question, line = json.loads(text)
                except ValueError:
                    break
                yield float(at), node, question, line


def test_the_ring_keeps_the_newest_and_nothing_of_that_is_lost(tmp_path):
    ring = Ring(tmp_path, 8_000)
    for number in range(1000):
        ring.keep(1000.0 + number, "n01", JOB, f"line {number}")
    ring.close()
    told = list(kept(tmp_path))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 8_000 + 100
    assert [line for *_, line in told] == [f"line {n}" for n in range(1000 - len(told), 1000)]
    assert len(told) > 100
    first, last = ring.covers
    assert (first.timestamp(), last.timestamp()) == (told[0][0], 1999.0)
    assert ring.size == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_a_line_that_a_crash_tore_ends_its_file_only(tmp_path):
    ring = Ring(tmp_path, 400)
    for number in range(20):
        ring.keep(number, "n01", JOB, f"line {number}")
    ring.close()
    torn = sorted(tmp_path.iterdir())[-2]
    torn.write_text(torn.read_text()[:-10])
    told = [line for *_, line in kept(tmp_path)]
    assert "line 19" in told
    assert len(told) == len(set(told))


def test_a_ring_that_cannot_be_written_counts_what_it_loses(tmp_path):
    ring = Ring(tmp_path / "not there", 1000)
    ring.keep(1.0, "n01", JOB, "x")
    ring.keep(2.0, "n01", JOB, "y")
    assert (ring.lost, ring.covers) == (2, None)


def test_a_disk_that_is_full_at_the_end_is_a_loss_and_no_crash(tmp_path):
    (tmp_path / "ring-000001.jsonl").symlink_to("/dev/full")
    ring = Ring(tmp_path, 1000)
    ring.keep(2.0, "n01", JOB, "x")
    ring.close()
    assert ring.lost
    assert ring.why == "No space left on device"


# ----------------------------------------------------------------------------- conversations


class Script:
    """A transport whose conversations are written down: answers, then how each ends."""

    def __init__(self, *talks: tuple[Sequence[Answer], TransportError | None]) -> None:
        self.talks = list(talks)

    @contextmanager
    def open(self, _node: Node) -> Iterator[Script]:
        yield self

    def ask(self, _questions: Sequence[Question]) -> Iterator[Answer]:
        said, error = self.talks.pop(0)
        yield from said
        if error:
            raise error


def part(text: str, name: str = JOB) -> Answer:
    return Answer(name, None, text, "", 0.0, more=True)


def test_lines_are_put_together_however_they_come():
    lost = TransportError(Kind.CUT, "the line broke")
    said = [part("one\ntw"), part("pow", GPUS), part("o\n"), part("er\n", GPUS), part("thr")]
    news = follow(Node("n01"), (), Script((said, lost)), lambda _s: None)
    assert [next(news) for _ in range(4)] == [
        Line("n01", JOB, "one"),
        Line("n01", JOB, "two"),
        Line("n01", GPUS, "power"),
        Away("n01", Trouble(Kind.CUT, "the line broke")),
    ]


def test_a_node_that_does_not_answer_is_asked_again_ever_more_rarely():
    lost = TransportError(Kind.UNREACHABLE, "no route")
    talks = [*(((), lost) for _ in range(5)), ((part("here\n"),), lost), ((), lost), ((), lost)]
    slept: list[float] = []
    news = follow(Node("n01"), (), Script(*talks), slept.append)
    told = [next(news) for _ in range(9)]
    assert slept == [5, 10, 20, 40, 60, 5, 10]
    assert told[5] == Line("n01", JOB, "here")


def test_a_sampler_that_ends_is_said_and_begun_again_and_no_gpus_are_no_trouble():
    ended = Answer(JOB, 1, "", "Traceback\nNameError: x\n", 1.0)
    absent = Answer(GPUS, 127, "", "libnvidia-ml.so.1: cannot open", 0.1)
    news = follow(Node("n01"), (), Script(((absent, ended), None), ((), None)), lambda _s: None)
    told = next(news)
    assert isinstance(told, Away)
    assert "NameError: x" in str(told.trouble)


# ----------------------------------------------------------------------------- nodes


def watched(*names: str) -> Job:
    return Job({name: Watched(name) for name in names})


def test_a_node_that_falls_silent_is_said_once_and_so_is_that_it_is_heard_again():
    job = watched("n01", "n02")
    for node in job.nodes:
        job.take_in(node, JOB, RANKS, 1.0)
    assert job.turned(2.0) == ([], [])
    job.take_in("n01", JOB, PART, SILENT_S)
    assert job.turned(2.0 + SILENT_S) == ([job.nodes["n02"]], [])
    assert job.turned(3.0 + SILENT_S) == ([], [])
    job.take_in("n02", JOB, PART, 4.0 + SILENT_S)
    assert job.turned(5.0 + SILENT_S) == ([], [job.nodes["n02"]])


def test_a_job_is_over_when_no_node_that_is_heard_has_a_rank_for_a_while():
    job = watched("n01", "n02", "dead")
    for node in ("n01", "n02"):
        job.take_in(node, JOB, RANKS, 0.0)
    job.take_in("n01", JOB, NOBODY, 100.0)
    job.take_in("n02", JOB, PART, 100.0)
    job.turned(100.0)
    assert job.over_since(100.0 + GONE_S) is None
    job.take_in("n02", JOB, NOBODY, 110.0)
    assert job.over_since(109.0 + GONE_S) is None
    assert job.over_since(110.0 + GONE_S) == 110.0
    job.take_in("n02", JOB, RANKS, 120.0)  # it begins anew
    assert job.over_since(150.0) is None


def test_silent_nodes_end_no_job():
    job = watched("n01")
    job.take_in("n01", JOB, RANKS, 0.0)
    job.turned(1000.0)
    assert job.over_since(1000.0) is None


def test_another_job_s_ranks_are_not_ours():
    job = Job({"n01": Watched("n01")}, name="mine")
    job.take_in("n01", JOB, RANKS, 0.0)
    assert job.nodes["n01"].ranks == ()
    assert job.over_since(GONE_S) == 0.0


def test_looks_after_a_gap_are_not_joined_to_those_before():
    job = watched("n01")
    job.take_in("n01", JOB, RANKS, 0.0)
    job.take_in("n01", JOB, PART, 1.0)
    job.take_in("n01", JOB, PART.replace("5.0", "5.21"), 2.0)
    assert job.nodes["n01"].reach_s() == pytest.approx(0.42)
    job.take_in("n01", JOB, PART.replace("5.0", "9.0"), 3.0)
    assert job.nodes["n01"].reach_s() == pytest.approx(0.21)


def test_a_node_that_says_too_much_fills_no_memory():
    job, begin = watched("n01"), 5.0
    for _ in range(8):
        row = {"k": "part", "at": begin, "dt": [1] * 10_000, "spent_s": 0, "cpu": [1] * 10_000}
        assert job.take_in("n01", JOB, json.dumps(row), 1.0) is None
        begin = job.nodes["n01"].last()
    assert len(job.nodes["n01"].channels["cpu"].times) < 3 * MOST_LOOKS


def test_what_a_sampler_took_that_was_begun_again_counts_on():
    job = watched("n01")
    for spent_s in ("0.1", "0.3", "0.2"):
        job.take_in("n01", JOB, PART.replace('"spent_s":0.1', f'"spent_s":{spent_s}'), 1.0)
    assert job.nodes["n01"].cost == pytest.approx((0.3 + 0.2) / (3 * 0.21))


# ----------------------------------------------------------------------------- the watch


class Watching:
    """What is told, written down; a triage takes `triage_s` by the clock."""

    def __init__(self, job: Job, clock: list[float], triage_s: float) -> None:
        self.job, self.clock, self.triage_s = job, clock, triage_s
        self.found, self.learnt = True, 0
        self.fallen: list[str] = []
        self.jobs: list[str] = []
        self.notices: list[str] = []

    def keep(self, line: Line, at: float) -> None:
        self.job.take_in(line.node, line.question, line.text, at)

    def turns(self, at: float) -> None:
        self.fallen += [one.name for one in self.job.turned(at)[0]]

    def happens(self, _event: Event) -> None:
        self.learnt += 1

    def triaged(self, _look: object) -> None:
        self.clock[0] += self.triage_s

    def ends(self, _at: float, _over: float | None) -> int:
        return 0

    def draw(self, _at: float) -> None:
        pass

    def notice(self, kind: object, sentence: str) -> None:
        self.notices.append(f"{kind}: {sentence}")

    def slowly(self, news: Sequence[Line]) -> Iterator[Line]:
        for one in news:
            yield one
            self.clock[0] += 1.0


def watch_of(monkeypatch, *events: Event | None, triage_s: float = 0.0) -> Watching:
    clock, job, left = [100.0], watched("n01", "n02", "n03"), list(events)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(Job, "tick", lambda _job, _at: left.pop(0) if left else None)
    job.began = clock[0]
    return Watching(job, clock, triage_s)


def test_nodes_that_nobody_listened_to_during_a_triage_are_not_called_silent(monkeypatch):
    slower = Event(What.SLOWER, 100.0, 0.5, 1.0, 90.0)
    told = watch_of(monkeypatch, None, None, slower, triage_s=10 * SILENT_S)
    news = [Line(node, JOB, RANKS) for node in told.job.nodes] * 2
    assert watching(told.slowly(news), told, told, None, lambda: None) == 0
    assert told.clock[0] > 100.0 + 10 * SILENT_S
    assert told.fallen == []


def test_a_job_that_begins_anew_by_another_name_is_watched_on(monkeypatch):
    renamed = Line("n01", JOB, RANKS.replace('"j"', '"anew"'))
    news = [*(Line(node, JOB, RANKS) for node in ("n01", "n02")), renamed, renamed]
    told = watch_of(monkeypatch, Event(What.LEARNT, 100.0, None, 0.5, 100.0))
    assert watching(told.slowly(news), told, told, None, lambda: None) == 0
    assert told.notices == ["jobs: several jobs run there, say --job: anew, j"]
    told = watch_of(monkeypatch)
    with pytest.raises(UserError, match="several jobs run there, say --job: anew, j"):
        watching(told.slowly(news), told, told, None, lambda: None)


def test_not_every_line_of_a_node_looks_at_all_nodes(monkeypatch):
    """Else the watch's work grows by the square of the nodes."""
    told = watch_of(monkeypatch)
    looked: list[float] = []
    monkeypatch.setattr(told, "turns", looked.append)
    watching(iter([Line("n01", JOB, PART)] * 50), told, told, None, lambda: None)
    assert looked == [100.0]


def outlet(tmp_path: Path, form: Format, job: Job) -> Outlet:
    flags = Flags(None, "", "", None, accept_new=False, runs_dir=tmp_path)
    return Outlet(job, flags, form, 1 << 20)


@pytest.mark.parametrize("form", [Format.JSON, Format.TABLE])
def test_what_happens_is_kept_and_the_state_of_every_minute_is_not(form, tmp_path, capsys):
    job = watched("n01")
    told = outlet(tmp_path, form, job)
    job.take_in("n01", JOB, RANKS, 0.0)
    for minute in range(1, 4):
        job.nodes["n01"].heard_at = 60.0 * minute
        told.turns(60.0 * minute)
    told.triaged(lambda: (Triage(Cause.HEALTHY, 1.0), Past("runs"), None))
    shown = capsys.readouterr().out.splitlines()
    if form is Format.JSON:
        events = [json.loads(line)["event"] for line in shown]
        assert events == ["state", "state", "state", "triage begins", "triage"]
    (events_file,) = tmp_path.glob("*/events.jsonl")
    assert [json.loads(line)["event"] for line in events_file.open()] == ["triage begins"]
    assert list(tmp_path.glob("*/triage-*.json"))


def test_a_job_of_another_name_is_told_with_those_that_run(tmp_path, capsys):
    """As long as a host's name may be: who copies it must find it."""
    name = "m" * 250 + ":29500"
    job = Job({"n01": Watched("n01")}, name="mine")
    job.take_in("n01", JOB, RANKS.replace('"j"', json.dumps(name)), 0.0)
    assert outlet(tmp_path, Format.TABLE, job).ends(70.0, 70.0) == EXIT_UNKNOWN
    assert f"--job mine: no such job there; there are {name};" in capsys.readouterr().out
    job.name = name
    job.take_in("n01", JOB, RANKS.replace('"j"', json.dumps(name)), 0.0)
    assert job.nodes["n01"].ranks == ((7, 0, name),)


# ----------------------------------------------------------------------------- the screen

NOTHING = Covered(None, 0, 0)


def test_nodes_are_folded_where_they_outnumber_the_lines_and_who_differs_stands_first():
    job = watched(*(f"n{number:03}" for number in range(1, 65)))
    for node in job.nodes:
        job.take_in(node, JOB, RANKS, 0.0)
    job.nodes["n007"].trouble = Trouble(Kind.CUT, "lost \x1b[2J")
    job.nodes["n007"].silent = True
    shown = lines(job, 10.0, NOTHING, room=10, width=100)
    assert len(shown) <= 10
    assert "silent" in shown[1]
    assert "n007" in shown[1]
    assert "n[001-006,008-064] (63)" in "\n".join(shown)
    assert "\x1b" not in "\n".join(shown)
    every = lines(job, 10.0, NOTHING, room=100, width=100)
    assert sum(line.startswith("n0") for line in every) == 64
    assert all(len(line) <= 100 for line in every)


def test_no_period_is_unknown_and_never_as_before():
    job = watched("n01")
    job.take_in("n01", JOB, RANKS, 0.0)
    said = "\n".join(lines(job, 1.0, NOTHING, room=20, width=200))
    assert "learning the step time" in said
    state = as_state(job, NOTHING)
    assert (state["mood"], state["step_s"]) == ("unseen", None)
    json.dumps(state)


def test_events_tell_what_was_and_what_is():
    slower = Event(What.SLOWER, 200.0, 0.5, 1.0, 140.0, 0.5)
    assert sentence(slower) == "steps take 1 s for 60 s, 500 ms before: 2.00 times as long"
    assert as_row(slower)["times"] == 2.0
    stalled = Event(What.STALLED, 200.0, 0.5, None, 80.0, 0.0)
    assert sentence(stalled) == (
        "no steps of 500 ms are seen any more for 2 min, and 0% of the work is done"
    )
    back = Event(What.BACK, 200.0, 0.5, 0.51, 200.0)
    assert sentence(back) == "steps are back at 510 ms"


def test_the_ring_says_what_it_covers():
    span = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    shown = lines(
        watched("n01"),
        1.0,
        Covered(span, 2_500_000, 3, "No space left on device"),
        room=20,
        width=200,
    )
    assert "2.5 MB" in shown[-1]
    assert "3 lines could not be written: No space left on device" in shown[-1]
    shown = lines(watched("n01"), 1.0, Covered(None, 0, 3, "Permission denied"), room=20, width=200)
    assert shown[-1] == "the ring is empty; 3 lines could not be written: Permission denied"


# ----------------------------------------------------------------------------- on a node

RANK = """
import time
while True:
    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        pass
    time.sleep(0.08)
"""


@pytest.fixture
def rank() -> Iterator[subprocess.Popen[bytes]]:
    environ = {**os.environ, "RANK": "3", "WORLD_SIZE": "4", "MASTER_ADDR": "watch-job-test"}
    with subprocess.Popen([sys.executable, "-c", RANK], env=environ) as process:
        yield process
        process.kill()


def sampled(python: str, pid: int) -> Iterator[Ranks | Part | Trouble]:
    (asked, _) = questions(Wanted(pids=(pid,)), "")
    order = {**json.loads(asked.command[0]), "say_every": 0.5, "share": 0.5}
    quick = Question(JOB, (json.dumps(order),), 60, "sample_job", asked.modules, lease_s=10.0)
    with Local(60, pythons=python).open(Node("here")) as shell:
        for answer in shell.ask([quick]):
            assert not answer.stderr, answer.stderr
            yield from map(read, answer.stdout.splitlines())


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).parts[-3])
def test_the_sampler_tells_who_runs_and_counts_on_between_its_lines(python, rank):
    rows = sampled(python, rank.pid)
    ranks = next(rows)
    assert isinstance(ranks, Ranks)
    assert ranks.ranks == ((rank.pid, 3, "watch-job-test:"),)
    assert "cpu" in ranks.channels
    one, two = (row for _, row in zip(range(2), rows, strict=False))
    assert isinstance(one, Part)
    assert isinstance(two, Part)
    assert two.begin == pytest.approx(one.begin + sum(one.steps), abs=2e-4)
    assert sum(two.added["cpu"]) > 0
    assert len(set(two.steps)) > 1  # at random moments
    rank.kill()
    assert next(row for row in rows if isinstance(row, Ranks)).ranks == ()  # though nobody waits


def test_looks_at_once_after_one_that_came_late_are_two(monkeypatch, capsys):
    """On a node that is busy with its job we are late now and then, and make up for it."""
    clock, naps = [0.0], count(1)

    def sleep(seconds: float) -> None:
        clock[0] += seconds + 2e-5 + (0.09 if next(naps) % 7 == 0 else 0.0)

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(sample_job, "alive", lambda _pid: True)
    asked = {"every": 0.1, "say_every": 5.0, "share": 1.0}
    sampler = sample_job.Sampler(asked)
    for _ in range(10):
        sampler.part()
    told = [read(line) for line in capsys.readouterr().out.splitlines()]
    assert all(isinstance(one, Part) for one in told), told
    assert sum(sum(one.steps) for one in told) == pytest.approx(clock[0], abs=0.01)


@pytest.mark.skipif(find_library("nvidia-ml") is not None, reason="there is an NVIDIA driver here")
def test_a_node_without_gpus_says_so():
    (_, asked) = questions(Wanted(), "")
    with Local(20).open(Node("here")) as shell:
        (answer,) = shell.ask([asked])
    assert answer.exit_code == 127


# ----------------------------------------------------------------------------- the verb

HERE = "nodes:\n  - name: here\n    transport: local\n"


def ctl(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "here.yml").write_text(HERE)
    command = [sys.executable, "-m", "clusterctl", "watch-job", "-i", str(tmp_path / "here.yml")]
    return subprocess.run(
        [*command, "--runs-dir", str(tmp_path / "runs"), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_job_that_is_not_known_well_enough_is_unknown(tmp_path, rank):
    done = ctl(
        tmp_path, "--pids", f"here:{rank.pid}", "--for", "8s", "--format", "json", "--no-stacks"
    )
    assert done.returncode == 4, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told[-1]["event"] == "ended"
    assert "unknown" in told[-1]["says"]
    (folder,) = (tmp_path / "runs").iterdir()
    assert {"watch.json", "ring-000001.jsonl"} <= {path.name for path in folder.iterdir()}
    rows = [read(line) for _, _, question, line in kept(folder) if question == JOB]
    assert isinstance(rows[0], Ranks)
    assert "the ring covers" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--format", "csv"), "'csv' is not one of 'table', 'json'"),
        (("--for", "10"), "--for: not a time span"),
        (("--pids", "here:1", "--slurm", "5"), "give one of --slurm, --kube and --pids"),
        (("--pids", "nonsense"), "expected NODE:PID"),
    ],
)
def test_a_mistake_is_told_before_anything_is_asked(tmp_path, words, said):
    done = ctl(tmp_path, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert not (tmp_path / "runs").exists()


# ----------------------------------------------------------------------------- GPUs


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).parts[-3])
def test_gpus_tell_what_they_draw_between_looks(python, tmp_path, monkeypatch):
    build_library(tmp_path)
    (tmp_path / "nvml.conf").write_text("count=2\n")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setenv("CLUSTERCTL_NVML_STATE", str(tmp_path / "nvml.conf"))
    (_, asked) = questions(Wanted(), "")
    quick = Question(GPUS, ("0.1", "0.4"), 60, asked.script, asked.modules, lease_s=10.0)
    with Local(60, pythons=python).open(Node("here")) as shell:
        first = next(iter(shell.ask([quick])))
    assert first.more, first
    told = read(first.stdout.splitlines()[0])
    assert isinstance(told, Part)
    joules = sum(told.added["power"]) / 1e3
    assert 1 < joules / sum(told.steps) < 5000
    assert told.use_percent is not None
    job = watched("n01")
    job.take_in("n01", GPUS, first.stdout.splitlines()[0], 1.0)
    assert set(job.nodes["n01"].channels) == {"power"}
    assert job.nodes["n01"].heard_at is None  # that it has GPUs is not that its job is heard

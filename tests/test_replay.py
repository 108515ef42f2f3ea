"""A run again without its nodes."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterctl import catalog, store
from clusterctl.acceptance import Decision, decide, shipped_rules
from clusterctl.model import (
    Answer,
    Check,
    Clock,
    Kind,
    Node,
    Playbook,
    Question,
    Run,
    Stage,
    Status,
    Trouble,
    Verdict,
)
from clusterctl.rejudge import STOPPED, again
from clusterctl.run import World, burnin
from clusterctl.transport import TransportError
from clusterctl.transport.replay import Heard, Recording, Replay, heard, line

N1, N2 = Node("n1"), Node("n2")
UPTIME = Answer("uptime", 0, "up 3 days\n", "", 0.1)
DF = Answer("df", 1, "", "no", 0.2, truncated=True)
GONE = Trouble(Kind.CUT, "connection lost")
OFF = Trouble(Kind.UNREACHABLE, "no route")


class Scripted:
    """A transport that follows a script: per node, one list of answers and troubles a visit."""

    def __init__(self, script, knocks=()):
        self.script = {node: list(visits) for node, visits in script.items()}
        self.knocks = dict(knocks)

    @contextmanager
    def open(self, node):
        visit = self.script[node.name].pop(0)
        if isinstance(visit, Trouble):
            raise TransportError(visit.kind, visit.detail)
        yield ScriptedShell(visit)

    def knock(self, nodes):
        for node in nodes:
            yield node, self.knocks.get(node.name)


class ScriptedShell:
    def __init__(self, steps):
        self.steps = steps

    def ask(self, _questions):
        for step in self.steps:
            if isinstance(step, Trouble):
                raise TransportError(step.kind, step.detail)
            yield step


def conversation(transport, node, *names):
    """What comes out, in order: answers, then the trouble that ended it, if one did."""
    out = []
    try:
        with transport.open(node) as shell:
            out.append("open")
            out.extend(shell.ask([Question(name) for name in names]))
    except TransportError as error:
        out.append(Trouble(error.kind, str(error)))
    return out


SCRIPT = {"n1": [[UPTIME, DF], [DF, GONE]], "n2": [OFF]}


def recorded(script, visits, knocks=()):
    said = []
    recording = Recording(Scripted(script, knocks), said.append)
    live = [conversation(recording, node, "uptime", "df") for node in visits]
    list(recording.knock([N1, N2]))
    return said, live


def test_a_replay_says_the_same_at_the_same_point():
    said, live = recorded(SCRIPT, [N1, N2, N1])
    replay = Replay(said)

    assert live == [["open", UPTIME, DF], [OFF], ["open", DF, GONE]]
    assert [conversation(replay, node, "uptime", "df") for node in (N1, N2, N1)] == live


def test_a_replay_from_lines_says_the_same():
    said, live = recorded(SCRIPT, [N1, N2, N1])
    replay = Replay(heard(line(one)) for one in said)

    assert [conversation(replay, node, "uptime", "df") for node in (N1, N2, N1)] == live


def test_only_what_is_asked_for_is_answered():
    replay = Replay([Heard("n1", UPTIME), Heard("n1", DF)])

    assert conversation(replay, N1, "df") == ["open", DF]


def test_a_question_never_heard_stays_unanswered():
    assert conversation(Replay([Heard("n1", DF)]), N1, "df", "nvml") == ["open", DF]


def test_trouble_midway_comes_though_the_answers_before_it_are_not_asked_for():
    replay = Replay([Heard("n1", DF), Heard("n1", trouble=GONE)])

    assert conversation(replay, N1, "uptime") == ["open", GONE]


def test_a_node_never_heard_is_not_in_the_recording():
    assert conversation(Replay([Heard("n1", DF)]), N2, "df") == [
        Trouble(Kind.MISSING, "not in the recording")
    ]


def test_a_node_visited_more_often_than_recorded_says_its_last_again():
    said, _ = recorded(SCRIPT, [N1, N1])
    replay = Replay(said)
    again = [conversation(replay, N1, "uptime", "df") for _ in range(3)]

    assert again == [["open", UPTIME, DF], ["open", DF, GONE], ["open", DF, GONE]]


def test_a_knock_that_failed_fails_again():
    said, _ = recorded(SCRIPT, [], {"n2": OFF})

    assert list(Replay(said).knock([N1, N2])) == [(N1, None), (N2, OFF)]
    assert conversation(Replay(said), N2, "df") == [OFF]


def test_a_recording_passes_on_the_end_of_its_block():
    ended = []

    class Closing(Scripted):
        @contextmanager
        def open(self, node):
            try:
                yield ScriptedShell([DF])
            finally:
                ended.append(node.name)

    with Recording(Closing({}), ended.append).open(N1) as shell:
        next(shell.ask([]))

    assert ended == [Heard("n1", DF), "n1"]


def test_visits_of_many_threads_are_told_apart():
    said = []
    nodes = [Node(f"n{number}") for number in range(20)]
    recording = Recording(Scripted({node.name: [[UPTIME], [DF]] for node in nodes}), said.append)

    def twice(node):
        conversation(recording, node, "df")
        conversation(recording, node, "df")

    threads = [threading.Thread(target=twice, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted((one.node, one.visit, one.answer.name) for one in said) == sorted(
        (node.name, visit, name) for node in nodes for visit, name in ((0, "uptime"), (1, "df"))
    )


texts = st.text(st.characters(), max_size=30)  # surrogates and control characters among them
answers = st.builds(
    Answer, texts, st.none() | st.integers(-64, 255), texts, texts, st.floats(0, 1e4), st.booleans()
)
troubles = st.builds(Trouble, st.sampled_from(Kind), texts, texts)


@given(
    st.builds(
        Heard,
        texts,
        st.none() | answers,
        st.none() | troubles,
        st.sampled_from(["knock", "open", "ask"]),
        st.integers(0, 9),
    )
)
def test_a_line_gives_back_what_it_was_made_of(one):
    assert heard(line(one)) == one
    assert "\n" not in line(one)
    assert line(one).isascii()


@pytest.mark.parametrize("text", ["\udcff\udc80", "\ud800", "\x00\x1b[31m\u2028\r\n", "é" * 3])
def test_text_of_any_kind_survives(text):
    one = Heard("n1", Answer("q", None, text, text, 0.0))

    assert heard(line(one)) == one


def test_what_was_heard_keeps_its_types():
    again = heard(line(Heard("n1", None, OFF, "knock")))

    assert isinstance(again.trouble.kind, Kind)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"node": 1', "null"])
def test_a_broken_line_is_an_error(text):
    with pytest.raises((ValueError, KeyError, TypeError)):
        heard(text)


WELL = Answer("clock", 0, "timex\t0\t8193\t0\t500\t500\nend\t1\n", "", 0.1)
CPUS = Answer("cpu", 0, "processors\t2\nend\t1\n", "", 0.1)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def stopped_burn(folder, **said):
    """The recording of a burn of three nodes that was interrupted, by reading."""
    trial = catalog.all_trials()["cpu_burn"]
    book = Playbook(
        "long",
        probes=tuple(catalog.all_probes()[name] for name in ("clock", "cpu")),
        stages=(Stage(trial, trial.params),),
        checks=(catalog.all_checks()["clock_offset"],),
    )
    fleet = tuple(Node(f"n{i}") for i in (1, 2, 3))
    recorder = store.Recorder(folder, "r")
    opening = Run("r", book, fleet, 1, NOON, NOON, (), (), verb="burnin")
    recorder.begin(store.describe(opening))
    for reading, lines in said.items():
        for one in lines:
            recorder.hear(reading, one)
    recorder.close()
    return again(store.find(folder, "r"), folder, None)


def test_a_burn_that_was_stopped_is_judged_by_what_was_heard_and_accepts_nobody(tmp_path):
    """n1 was not read again, n2 was, of n3 half of the first reading was heard."""
    run = stopped_burn(
        tmp_path,
        before=[Heard(node, one) for node in ("n1", "n2") for one in (WELL, CPUS)]
        + [Heard("n3", WELL)],
        after=[Heard("n2", WELL), Heard("n2", CPUS)],
    )

    said = {(one.check, one.verdict.node, one.verdict.part): one.verdict for one in run.findings}
    reached = {name: said["reachable", name, "node"] for name in ("n1", "n2", "n3")}
    assert {one.actual for one in reached.values()} == {"2 answers"}  # of three, with the load
    assert {one.why for one in reached.values()} == {f"missing: {STOPPED}"}
    assert said["clock_offset", "n1", "timex"].status is Status.PASS
    again_read = {node for check, node, part in said if (check, part) == ("observed", "after")}
    assert again_read == {"n1"}
    assert not run.complete
    assert {one.decision for one in decide(run, shipped_rules())} == {Decision.INCOMPLETE}


def test_no_counter_of_a_node_that_was_read_once_is_compared_with_itself():
    earlier = {}

    def judge(fleet):
        earlier.update({one.node.name: one.earlier for one in fleet})
        yield from (Verdict(one.node.name, "node", Status.PASS) for one in fleet)

    book = Playbook(
        "p",
        probes=(catalog.all_probes()["clock"],),
        checks=(Check("rise", "?", (Clock,), judge),),
    )
    replay = Replay([Heard("n1", WELL), Heard("n2", WELL)])
    world = World(lambda _reading, _s: replay, lambda: NOON, 1, "r")

    run = burnin(book, [N1, N2], world, unread={"n1"})

    assert [bool(earlier[name]) for name in ("n1", "n2")] == [False, True]
    assert run.past_s is None

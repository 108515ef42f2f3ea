"""A run again without its nodes."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterctl.model import Answer, Kind, Node, Question, Trouble
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

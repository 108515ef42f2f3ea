"""Questions that are answered in parts, and what becomes of them when nobody listens any more."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from itertools import count
from pathlib import Path

import pytest

from clusterctl.fanout import merged
from clusterctl.model import Kind, Node, Question
from clusterctl.transport import TransportError
from clusterctl.transport.local import Local
from clusterctl.transport.wire import Conversation

PYENV = Path.home() / ".pyenv" / "versions"
PYTHONS = [sys.executable, *map(str, sorted(PYENV.glob("3.6.*/bin/python3"))[:1])]


def sh(line: str, **more: object) -> Question:
    return Question("talks", ("sh", "-c", line), **more)


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).parts[-3])
def test_parts_come_as_they_are_said_and_the_end_comes_last(python):
    asked = sh("echo one; sleep 0.3; echo two; sleep 0.3; echo three >&2; exit 3", lease_s=20.0)
    beside = Question("beside", ("echo", "fine"))
    with Local(30, pythons=python).open(Node("here")) as shell:
        heard = list(shell.ask([asked, beside]))
    told = [(one.more, one.stdout, one.exit_code) for one in heard if one.name == "talks"]
    assert told == [(True, "one\n", None), (True, "two\n", None), (False, "", 3)]
    assert [one.stderr for one in heard if one.name == "talks"][-1] == "three\n"
    assert [one.stdout for one in heard if one.name == "beside"] == ["fine\n"]


def family_alive(word: str) -> bool:
    for place in Path("/proc").glob("[0-9]*/environ"):
        try:
            if word in place.read_text(errors="replace") and place.parent.name != str(os.getpid()):
                return True
        except OSError:
            continue
    return False


def gone(word: str, seconds: float) -> bool:
    finish = time.monotonic() + seconds
    while family_alive(word):
        if time.monotonic() > finish:
            return False
        time.sleep(0.05)
    return True


CHATTER = "while :; do echo still here; sleep 0.1; done"


def test_who_hears_nothing_from_us_ends_by_itself(monkeypatch):
    """The pipe stays open, as a connection does whose other end lost its power."""
    family = uuid.uuid4().hex
    monkeypatch.setenv("FAMILY", family)
    talk = Conversation([sh(CHATTER, lease_s=1.0, timeout_s=1e6)], node_s=1e6)
    with subprocess.Popen(
        ["/bin/sh", "-c", talk.command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while not (out := talk.to_send()):
            assert not list(talk.feed(process.stdout.read(100)))
        process.stdin.write(out)
        assert b" part 0 " in process.stdout.read(65536)
        assert gone(family, 10)
        assert process.wait() == 124
        process.stdin.close()


def test_acknowledgements_keep_the_lease(monkeypatch):
    family = uuid.uuid4().hex
    monkeypatch.setenv("FAMILY", family)
    asked = sh("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.25; done", lease_s=0.8)
    with Local(1e6).open(Node("here")) as shell:
        heard = [one.stdout.strip() for one in shell.ask([asked]) if one.more]
    assert heard == ["1", "2", "3", "4", "5", "6", "7", "8"]


def test_leaving_the_conversation_ends_what_talks(monkeypatch):
    family = uuid.uuid4().hex
    monkeypatch.setenv("FAMILY", family)
    with Local(1e6).open(Node("here")) as shell:
        for number, _ in enumerate(shell.ask([sh(CHATTER, lease_s=30.0, timeout_s=1e6)])):
            if number == 2:
                break
        assert family_alive(family)
    assert gone(family, 5)


def test_parts_that_nobody_asked_for_end_the_conversation():
    talk = Conversation([Question("plain", ("true",))], node_s=5)
    list(talk.feed(f"{talk.nonce} python 3.11\n".encode()))
    with pytest.raises(TransportError) as error:
        list(talk.feed(f"{talk.nonce} part 0 3\nabc".encode()))
    assert error.value.kind is Kind.UNREADABLE


def test_parts_are_acknowledged_however_their_bytes_come():
    talk = Conversation([sh("true", lease_s=5.0)], node_s=5)
    list(talk.feed(f"{talk.nonce} python 3.11\n".encode()))
    talk.to_send()
    said = f"{talk.nonce} part 0 3\nabc{talk.nonce} part 0 2\nde".encode()
    heard = [one.stdout for byte in said for one in talk.feed(bytes((byte,)))]
    assert heard == ["abc", "de"]
    assert talk.to_send() == b".."


def test_streams_are_merged_as_they_come_and_silence_is_said():
    def follow(name: str):
        for number in range(3):
            yield f"{name}{number}"
            time.sleep(0.15)

    heard = list(merged(["a", "b"], follow, every_s=0.05, kept=100))
    assert sorted(one for one in heard if one) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert None in heard
    assert list(merged([], follow, every_s=0.05, kept=100)) == []


def test_what_breaks_in_a_stream_is_raised_here():
    def follow(_name: str):
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(merged(["a"], follow, every_s=0.05, kept=100))


def test_nobody_runs_away_from_a_slow_listener():
    made = count()

    def follow(_name: str):
        while True:
            yield next(made)

    streams = merged(["a"], follow, every_s=0.05, kept=10)
    assert [next(streams) for _ in range(3)] == [0, 1, 2]
    time.sleep(0.1)
    assert next(made) < 20
    streams.close()

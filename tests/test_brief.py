"""Brief scripts share a process; whatever one of them does, it does to itself alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zlib
from itertools import islice

import pytest
from kin import generation, wait_for
from test_runner import LONG_S, PYTHONS, alive, family, gone, pump  # noqa: F401 - a fixture

from clusterctl.model import Answer, Question
from clusterctl.transport.wire import Conversation, remote_file

# Stems of remote/ whose text each script here takes the place of.
STEMS = ("read_files", "read_pci", "ask_cpu", "ask_clock", "ask_drives")
WHO = "import os; print(os.getpid())"
BUSY = "while True: pass"


@pytest.fixture(params=PYTHONS, ids=lambda path: "-".join(path.split("/")[-3:]))
def python(request) -> str:
    return request.param


def converse(python: str, *texts: str, node_s: float = 30, **more: object) -> list[Answer]:
    """What these scripts answer, in their order, asked as brief questions of one conversation."""
    asked = [
        Question(stem, script=stem, brief=True, **more)
        for stem, _ in zip(STEMS, texts, strict=False)
    ]
    node, process = begin(python, asked, texts, node_s)
    answers = {answer.name: answer for answer in pump(node, process)}
    assert node.done
    process.stdin.close()
    assert process.wait(5) == 0
    return [answers[question.name] for question in asked]


def begin(python, asked, texts, node_s):
    node = Conversation(asked, node_s=node_s, pythons=python)
    inflate = zlib.decompressobj()
    program = inflate.decompress(node.program).decode()
    for stem, text in zip(STEMS, texts, strict=False):
        assert program.count(repr(remote_file(f"{stem}.py"))) == 1
        program = program.replace(repr(remote_file(f"{stem}.py")), repr(text))
    packed = zlib.compress(program.encode()) + inflate.unused_data
    node.command = node.command.replace(f" {len(node.program)} ", f" {len(packed)} ")
    node.program = packed
    process = subprocess.Popen(
        ["sh", "-c", node.command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    list(node.feed(process.stdout.read(100)))
    process.stdin.write(node.to_send())
    return node, process


def test_brief_scripts_share_a_process(python):
    said = converse(python, WHO, WHO, WHO)
    assert len({answer.stdout for answer in said}) == 1
    assert [answer.exit_code for answer in said] == [0, 0, 0]


def test_a_brief_script_alone_is_one_like_any_other(python):
    (said,) = converse(python, WHO)
    assert (said.exit_code, said.stdout.strip().isdigit()) == (0, True)


def test_each_has_its_own_arguments_output_errors_and_exit_code(python):
    first, second, third, fourth = converse(
        python,
        "import sys; print(sys.argv[0]); sys.exit(3)",
        "import sys; sys.stderr.write('no card'); print('x' * 300000, end='')",
        "1 // 0",
        "import sys; print(sys.argv, __name__, 'first' in globals())",
    )
    assert (first.exit_code, first.stdout, first.stderr) == (3, "read_files.py\n", "")
    assert (second.exit_code, len(second.stdout), second.stderr) == (0, 300000, "no card")
    assert third.exit_code == 1
    assert third.stderr.rstrip().endswith("ZeroDivisionError: integer division or modulo by zero")
    assert (fourth.stdout, fourth.stderr) == ("['ask_clock.py'] __main__ False\n", "")


@pytest.mark.parametrize("wait", ["time.sleep(600)", "os.read(os.pipe()[0], 1)", BUSY])
def test_one_that_waits_or_computes_for_ever_holds_up_nobody(python, family, wait):  # noqa: F811
    """Those behind it answer while it is still at it; once it is killed, so does it."""
    stuck = f"import os, time\nprint(os.getpid(), flush=True)\n{wait}"
    asked = [Question(stem, script=stem, brief=True, timeout_s=LONG_S) for stem in STEMS[:4]]
    node, process = begin(python, asked, (WHO, stuck, WHO, WHO), LONG_S)
    coming = pump(node, process)
    first = {answer.name: answer for answer in islice(coming, 3)}
    assert set(first) == {STEMS[0], STEMS[2], STEMS[3]}
    assert {answer.exit_code for answer in first.values()} == {0}
    assert len({answer.stdout for answer in first.values()}) == 3
    os.kill(int(first[STEMS[0]].stdout), signal.SIGKILL)
    (last,) = coming
    assert (last.exit_code, last.stdout) == (-9, first[STEMS[0]].stdout)
    process.stdin.close()
    assert process.wait(60) == 0
    assert gone(family)


def test_one_that_is_late_ends_alone(python, family):  # noqa: F811
    asked = [
        Question(stem, script=stem, brief=True, timeout_s=limit_s)
        for stem, limit_s in zip(STEMS, (LONG_S, 2.0, LONG_S), strict=False)
    ]
    stuck = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    node, process = begin(python, asked, (WHO, stuck, WHO), LONG_S)
    before, late, after = sorted(pump(node, process), key=lambda answer: STEMS.index(answer.name))
    assert (late.exit_code, late.stdout) == (None, before.stdout)
    assert (before.exit_code, after.exit_code) == (0, 0)
    process.stdin.close()
    assert process.wait(60) == 0
    assert gone(family)


def test_one_that_is_slow_and_then_ends_does_not_run_the_others_again(python, tmp_path):
    note = f"open({str(tmp_path / 'notes')!r}, 'a').write('{{}}')"
    texts = (
        f"import time; time.sleep(1.5); {note.format('a')}",
        note.format("b"),
        note.format("c"),
    )
    assert [answer.exit_code for answer in converse(python, *texts)] == [0, 0, 0]
    assert sorted((tmp_path / "notes").read_text()) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("end", "code"),
    [("os.kill(os.getpid(), 9)", -9), ("os.kill(os.getpid(), 11)", -11), ("os._exit(9)", 9)],
)
def test_one_that_kills_its_process_kills_no_other(python, end, code):
    first, dead, after, last = converse(
        python, WHO, f"import os; print('x', flush=True); {end}", WHO, WHO
    )
    assert (dead.exit_code, dead.stdout) == (code, "x\n")
    assert [answer.exit_code for answer in (first, after, last)] == [0, 0, 0]


def test_a_flood_costs_its_own_answer(python, family):  # noqa: F811
    flood, after = converse(
        python, "while True: print('y' * 99)", WHO, cap_bytes=1000, timeout_s=20
    )
    assert (flood.truncated, len(flood.stdout), after.exit_code) == (True, 1000, 0)
    assert gone(family)


def test_a_child_left_behind_does_not_speak_for_the_next(python, family):  # noqa: F811
    child = "    time.sleep(1)\n    print('late')\n    time.sleep(600)"
    left = f"import os, time\nif os.fork() == 0:\n{child}"
    parent, after, last = converse(python, left, WHO, "import time; time.sleep(1.2)")
    assert (parent.stdout, parent.exit_code) == ("", 0)
    assert (after.exit_code, last.stdout) == (0, "")
    assert gone(family)


def test_what_one_leaves_in_its_buffer_or_changes_is_not_the_nexts(python):
    rude = "import sys; out = sys.stdout; print('lost', end=''); sys.meta_path[:] = []; 1 // 0"
    _, after = converse(python, rude, "import wave, sys; print(sys.stdout is not None)")
    assert (after.stdout, after.exit_code) == ("True\n", 0)


def test_nobody_listening_ends_the_whole_crew(python, family):  # noqa: F811
    asked = [Question(stem, script=stem, brief=True, timeout_s=LONG_S) for stem in STEMS[:2]]
    _, process = begin(python, asked, ("import time; time.sleep(600)", WHO), LONG_S)
    time.sleep(0.3)
    assert alive(family)
    process.stdin.close()
    assert gone(family)
    process.wait(5)


def test_a_killed_runner_takes_its_crew_along(family):  # noqa: F811
    asked = [Question(stem, script=stem, brief=True, timeout_s=LONG_S) for stem in STEMS[:2]]
    _, process = begin(sys.executable, asked, ("import time; time.sleep(600)", WHO), LONG_S)
    assert wait_for(lambda: generation(family, 2))
    (runner,) = generation(family, 1)
    os.kill(runner, signal.SIGKILL)
    assert gone(family)
    process.wait(5)

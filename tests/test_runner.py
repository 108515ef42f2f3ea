"""Bad tools, run for real by each Python there is here and by each sh."""

from __future__ import annotations

import os
import select
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from clusterctl.model import Answer, Kind, Node, Question
from clusterctl.transport import TransportError
from clusterctl.transport.local import Local
from clusterctl.transport.wire import Conversation

REMOTE = Path(__file__).parents[1] / "clusterctl" / "remote"
# Another shell may have no Python at all, hence the names that pyenv keeps.
PYENV = Path.home() / ".pyenv" / "versions"
OTHER_PYTHONS = [
    str(place)
    for series in ("3.6", "3.13")
    for place in sorted(PYENV.glob(f"{series}.*/bin/python3"))[:1]
]
PYTHONS = [sys.executable, *OTHER_PYTHONS]
SHELLS = [name for name in ("dash", "busybox", "bash") if shutil.which(name)]
LONG_S = 600.0  # nobody waits for what takes this long
SH_TOOLS = "sed head cat grep sleep setsid nice tr kill true echo yes env"


@pytest.fixture(params=[*PYTHONS, *SHELLS], ids=lambda way: "-".join(Path(way).parts[-3:]))
def way(request, tmp_path, monkeypatch) -> str:
    """What runs our program on this node; its PATH has that and no other."""
    if "/" in request.param:
        return request.param
    tools = tmp_path / "bin"
    tools.mkdir()
    shell = shutil.which(request.param)
    (tools / "sh").symlink_to(shell)
    applets = []
    if request.param == "busybox":
        applets = subprocess.check_output(["busybox", "--list"], text=True).split()
    for name in SH_TOOLS.split():
        place = shell if name in applets else shutil.which(name)
        if place and (name in applets or not applets):
            (tools / name).symlink_to(place)
    monkeypatch.setenv("PATH", str(tools))
    return ""


@pytest.fixture
def family(monkeypatch) -> str:
    """Marks every process started from here, whatever becomes of its other marks."""
    name = uuid.uuid4().hex
    monkeypatch.setenv("FAMILY", name)
    return name


def alive(word: str) -> list[str]:
    """Command lines of the processes whose first environment holds this word."""
    found = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        if place.parent.name == str(os.getpid()):
            continue
        try:
            if word in place.read_text(errors="replace"):
                found.append((place.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def gone(word: str) -> bool:
    """Whether they end long before what they sleep through here does."""
    end = time.monotonic() + LONG_S / 10
    while time.monotonic() < end:
        if not alive(word):
            return True
        time.sleep(0.05)
    return False


def ask(way: str, *questions: Question, node_s: float = 30) -> dict[str, Answer]:
    with Local(node_s=node_s, pythons=way).open(Node("here")) as shell:
        return {answer.name: answer for answer in shell.ask(questions)}


def sh(name: str, line: str, **more: object) -> Question:
    return Question(name, ("sh", "-c", line), **more)


GOOD = Question("good", ("echo", "all is well"))


def test_bad_tools_cost_their_own_answers(way, family):
    answers = ask(
        way,
        sh("stubborn", "trap '' TERM; echo half; while :; do sleep 1; done", timeout_s=1),
        sh("flood", "yes", timeout_s=10, cap_bytes=100_000),
        sh("killed", "kill -9 $$"),
        sh("exit", "echo bad luck >&2; exit 3"),
        sh("quiet", "exec >&- 2>&-; sleep 1; exit 4"),
        sh("family", "sleep 600 & echo parent", timeout_s=2),
        Question("missing", ("no-such-tool", "-x")),
        Question("file", ("/etc/passwd",)),
        GOOD,
    )
    assert answers["good"].stdout == "all is well\n"
    assert answers["good"].exit_code == 0
    assert (answers["stubborn"].exit_code, answers["stubborn"].stdout) == (None, "half\n")
    assert answers["flood"].truncated
    assert answers["flood"].stdout == "y\n" * 50_000
    assert answers["flood"].exit_code != 0
    assert answers["killed"].exit_code == -9
    assert (answers["exit"].exit_code, answers["exit"].stderr) == (3, "bad luck\n")
    assert (answers["quiet"].exit_code, answers["quiet"].stdout) == (4, "")
    assert answers["family"].stdout == "parent\n"
    assert (answers["missing"].exit_code, answers["missing"].stderr) == (
        127,
        "not found: no-such-tool\n",
    )
    assert answers["file"].exit_code == 126
    assert gone(family)


def test_output_comes_back_as_it_was_printed(way):
    text = "no newline at the end, ANSI \x1b[31m, é and\ttabs"
    answers = ask(
        way,
        Question("bare", ("printf", "%s", text)),
        Question("empty", ("true",)),
        Question("blank", ("printf", "\\n\\n")),
        Question("not text", ("printf", "\\377x")),
        Question("quotes", ("echo", "'\"$HOME`id`\\", "*")),
        Question("mark", ("echo", "=0123456789abcdef answer 0 0 1")),
    )
    assert answers["bare"].stdout == text
    assert answers["empty"].stdout == ""
    assert answers["blank"].stdout == "\n\n"
    assert answers["not text"].stdout == "\ufffdx"
    assert answers["quotes"].stdout == "'\"$HOME`id`\\ *\n"
    assert answers["mark"].stdout == "=0123456789abcdef answer 0 0 1\n"


def test_tools_find_themselves_in_a_plain_world(way):
    (answer,) = ask(way, Question("env", ("env",))).values()
    seen = dict(line.split("=", 1) for line in answer.stdout.splitlines() if "=" in line)
    assert (seen["LC_ALL"], seen["TERM"], seen["COLUMNS"]) == ("C", "dumb", "200")
    assert "/opt/rocm/bin" in seen["PATH"].split(":")
    assert seen["CLUSTERCTL_TALK"]


def test_a_tool_cannot_read_our_stdin(way):
    assert ask(way, Question("cat", ("cat",), timeout_s=5))["cat"].exit_code == 0


def test_escapees_of_a_killed_tool_are_found(way, family):
    escape = sh("escape", "setsid sleep 600 & setsid sleep 600 >/dev/null 2>&1 & wait", timeout_s=1)
    assert ask(way, escape, GOOD)["good"].exit_code == 0
    assert gone(family)


def test_the_end_of_stdin_ends_everything(way, family):
    with Local(node_s=LONG_S, pythons=way).open(Node("here")) as shell:
        answers = shell.ask(
            [
                GOOD,
                sh("deaf", "trap '' TERM HUP; while :; do sleep 1; done", timeout_s=LONG_S),
                sh("away", "setsid sleep 600 >/dev/null 2>&1; :", timeout_s=LONG_S),
            ]
        )
        next(answers)
        time.sleep(0.2)
        assert alive(family)
    assert gone(family)


def test_the_nodes_own_deadline_ends_everything(way, family):
    deaf = sh("deaf", "trap '' TERM; while :; do sleep 1; done", timeout_s=LONG_S)
    node, process = begin(way, [deaf], node_s=1)
    assert list(pump(node, process)) == []
    assert process.wait(60) == 124
    assert gone(family)
    process.stdin.close()


def begin(
    way: str, questions: Sequence[Question], *, node_s: float = 30, before: Sequence[str] = ()
) -> tuple[Conversation, subprocess.Popen[bytes]]:
    node = Conversation(questions, node_s=node_s, pythons=way)
    process = subprocess.Popen(
        [*before, "sh", "-c", node.command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    list(node.feed(process.stdout.read(100)))
    process.stdin.write(node.to_send())
    return node, process


def pump(node: Conversation, process: subprocess.Popen[bytes]) -> Iterator[Answer]:
    while not node.done:
        assert select.select([process.stdout], [], [], 60)[0], "not a word in a minute"
        chunk = process.stdout.read(1 << 16)
        if not chunk:
            return
        yield from node.feed(chunk)


def test_a_reader_that_does_not_read_cannot_keep_it_alive(way, family):
    noise = Question("noise", ("head", "-c", "1000000", "/dev/urandom"))
    _, process = begin(way, [noise] * 3, node_s=LONG_S)
    time.sleep(0.5)
    process.stdin.close()
    assert gone(family)
    process.stdout.close()
    process.wait()


def test_a_closed_stdout_ends_everything(way, family):
    _, process = begin(way, [sh("slow", "sleep 600", timeout_s=LONG_S), GOOD], node_s=LONG_S)
    process.stdout.close()
    process.stdin.close()
    assert gone(family)
    process.wait()


def test_a_runner_that_is_killed_takes_its_tools_along(family):
    questions = [
        GOOD,
        sh("away", "setsid sleep 600"),
        sh("killer", "sleep 0.3; kill -9 $PPID", timeout_s=20),
    ]
    answers = []
    here = Local(node_s=LONG_S, pythons=sys.executable)
    with here.open(Node("here")) as shell, pytest.raises(TransportError) as error:
        answers.extend(shell.ask(questions))
    assert [answer.name for answer in answers] == ["good"]
    assert error.value.kind is Kind.CUT
    assert "killed" in str(error.value)
    assert gone(family)


def test_a_runner_that_is_told_to_stop_cleans_up(family):
    questions = [GOOD, sh("away", "setsid sleep 600"), sh("term", "sleep 0.3; kill -TERM $PPID")]
    here = Local(node_s=LONG_S, pythons=sys.executable)
    with here.open(Node("here")) as shell, pytest.raises(TransportError) as error:
        list(shell.ask(questions))
    assert error.value.kind is Kind.CUT
    assert gone(family)


@pytest.mark.parametrize("python", PYTHONS, ids=lambda way: "-".join(Path(way).parts[-3:]))
class TestPython:
    def test_questions_of_one_group_never_meet(self, python):
        line = "date +%s.%N; sleep 0.2; date +%s.%N"
        answers = ask(
            python, *(sh(f"q{i}", line, group="lock") for i in range(3)), sh("free", "sleep 0.3")
        )
        spans = sorted(
            tuple(float(row) for row in answers[f"q{i}"].stdout.split()) for i in range(3)
        )
        assert all(one[1] <= two[0] for one, two in pairwise(spans))

    def test_a_late_tool_does_not_keep_its_group_waiting_for_ever(self, python):
        answers = ask(
            python,
            sh("first", "sleep 30", timeout_s=0.3, group="lock"),
            Question("second", ("no-such-tool",), group="lock"),
            Question("third", ("echo", "my turn"), group="lock"),
        )
        assert answers["first"].exit_code is None
        assert answers["third"].stdout == "my turn\n"

    def test_questions_run_side_by_side(self, python, tmp_path):
        """Each waits for all the others."""
        line = f": > {tmp_path}/$0; until [ $(ls {tmp_path} | wc -l) = 8 ]; do sleep 0.1; done"
        meeting = [
            Question(f"q{i}", ("sh", "-c", line, str(i)), timeout_s=LONG_S) for i in range(8)
        ]
        answers = ask(python, *meeting, node_s=60)
        assert [answer.exit_code for answer in answers.values()] == [0] * 8

    def test_ten_times_the_limit_is_read_and_forgotten(self, python):
        (answer,) = ask(
            python, sh("big", "head -c 9000000 /dev/zero; exit 5", cap_bytes=1000)
        ).values()
        assert (answer.exit_code, len(answer.stdout), answer.truncated) == (5, 1000, True)

    def test_what_has_no_end_is_not_read_for_ever(self, python):
        big = Question("big", ("cat", "/dev/zero"), timeout_s=LONG_S)
        (answer,) = ask(python, big, node_s=60).values()
        assert answer.exit_code == -9
        assert answer.truncated

    def test_a_child_in_the_background_does_not_delay_its_parents_answer(self, python, family):
        (answer,) = ask(python, sh("parent", "sleep 600 & echo gone", timeout_s=LONG_S)).values()
        assert (answer.exit_code, answer.stdout) == (0, "gone\n")
        assert gone(family)

    def test_a_script_has_its_arguments(self, python):
        answer = ask(python, Question("files", ("/proc/sys/kernel/ostype",), script="read_files"))
        assert answer["files"].stdout == "/proc/sys/kernel/ostype\tLinux\n"
        assert answer["files"].exit_code == 0

    def test_a_module_is_imported_from_memory(self, python, tmp_path, monkeypatch):
        (tmp_path / "told.py").write_text("WORD = 'é from the controller'\n")
        monkeypatch.syspath_prepend(tmp_path)
        answer = run_text(
            python, "import sys, told; print(told.WORD, sys.argv)", ("a",), modules=("told",)
        )
        assert answer.stdout == "é from the controller ['trial.py', 'a']\n"

    def test_a_file_comes_along_as_text(self, python):
        path = "cuda/burn.cu"
        answer = run_text(python, f"print(FILES[{path!r}], len(FILES))", files=(path,))
        assert answer.stdout == (REMOTE / path).read_text() + " 1\n"

    def test_a_program_comes_along_byte_by_byte(self, python, tmp_path):
        one, other = tmp_path / "one", tmp_path / "other"
        one.write_bytes(bytes(range(256)) * 9)
        other.write_bytes(b"other")
        look = f"print(PROGRAMS[{str(one)!r}] == bytes(range(256)) * 9, len(PROGRAMS))"
        answer = run_text(python, look, programs=(str(one),))
        assert answer.stdout == "True 1\n"
        answer = run_text(python, look, programs=(str(one), str(other)))
        assert answer.stdout == "True 2\n"

    def test_nothing_that_is_imported_leaves_a_compiled_file(self, python):
        answer = run_text(python, "import sys; print(sys.dont_write_bytecode)")
        assert answer.stdout == "True\n"

    def test_a_script_may_use_what_is_installed_on_the_node(self, python):
        answer = run_text(python, "import pip; print(pip.__name__)")
        known = subprocess.run([python, "-Ic", "import pip"], capture_output=True, check=False)
        assert (answer.stdout == "pip\n") == (known.returncode == 0)

    @pytest.mark.parametrize(
        ("text", "code", "words"),
        [
            ("raise SystemExit", 0, ""),
            ("raise SystemExit(7)", 7, ""),
            ("import sys; sys.exit('no card')", 1, "no card\n"),
            ("def f():\n    return 1 // 0\nf()", 1, "return 1 // 0\nZeroDivisionError"),
            ("what's this", 1, "SyntaxError"),
            ("import no_such_module", 1, "No module named 'no_such_module'"),
            ("import os; os.kill(os.getpid(), 11)", -11, ""),
            ("import os; os._exit(9)", 9, ""),
            ("import sys; sys.stdout.close()", 0, ""),
        ],
    )
    def test_a_scripts_end_is_told_as_the_interpreter_would(self, python, text, code, words):
        answer = run_text(python, text)
        assert answer.exit_code == code
        said = "\n".join(line.strip() for line in answer.stderr.split("\n") if "~^" not in line)
        assert words in said or not words

    def test_a_script_that_forks_away_is_found(self, python, family):
        run_text(
            python,
            "import os, time\nif os.fork() == 0:\n    os.setsid()\ntime.sleep(600)",
            timeout_s=0.5,
        )
        assert gone(family)


def run_text(python: str, text: str, command=(), **more) -> Answer:
    """Sends a script that is not in remote/: the program is data, so another can be made."""
    node = Conversation(
        [Question("a", command, script="read_files", **more)], node_s=20, pythons=python
    )
    inflate = zlib.decompressobj()
    program = inflate.decompress(node.program).decode()
    stem = repr((REMOTE / "read_files.py").read_text())
    assert stem in program
    packed = zlib.compress(
        program.replace(stem, repr(text)).replace("read_files", "trial").encode()
    )
    packed += inflate.unused_data  # the modules
    node.command = node.command.replace(f" {len(node.program)} ", f" {len(packed)} ")
    node.program = packed
    process = subprocess.Popen(
        ["sh", "-c", node.command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    list(node.feed(process.stdout.read(100)))
    process.stdin.write(node.to_send())
    (answer,) = pump(node, process)
    assert node.done
    process.stdin.close()
    process.wait(5)
    return answer


STUBBORN = (
    '#include <unistd.h>\nint main(void) { setgid(0); setuid(0); write(1, "up\\n", 3);'
    " for (;;) pause(); }\n"
)


def ours(home: Path) -> list[int]:
    """Processes that run a program of this folder."""
    return [
        int(place.parent.name)
        for place in Path("/proc").glob("[0-9]*/exe")
        if place.is_symlink() and Path(os.path.realpath(place)).parent == home
    ]


@pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("gcc") or not shutil.which("setpriv"),
    reason="a process that the runner may not signal needs root, gcc and setpriv to make",
)
def test_a_process_that_no_signal_ends_is_abandoned():
    """As one in D state would be: here it belongs to somebody else."""
    home = Path(tempfile.mkdtemp())
    home.chmod(0o755)
    try:
        source = home / "stubborn.c"
        source.write_text(STUBBORN)
        subprocess.run(["gcc", "-o", home / "stubborn", source], check=True, capture_output=True)
        (home / "stubborn").chmod(0o755 | stat.S_ISUID)
        node, process = begin(
            "/usr/bin/python3",
            [Question("stubborn", (str(home / "stubborn"),), timeout_s=0.5), GOOD],
            before=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
        )
        answers = {answer.name: answer for answer in pump(node, process)}
        assert node.done
        assert answers["good"].exit_code == 0
        assert answers["stubborn"].exit_code is None
        assert answers["stubborn"].stdout == "up\n"
        assert ours(home), "it did not outlive its answer"
        process.stdin.close()
        process.wait(5)
    finally:
        for pid in ours(home):
            os.kill(pid, 9)
        shutil.rmtree(home)


@pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("sudo") or not shutil.which("setpriv"),
    reason="becoming nobody, who may not use sudo, needs root, setpriv and sudo",
)
def test_a_user_who_may_not_use_sudo_is_told_so():
    node = Conversation([GOOD], node_s=10, become=True)
    refused = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", node.command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert list(node.feed(refused.stdout)) == []
    error = node.closed(refused.returncode, refused.stderr)
    assert error.kind is Kind.DENIED
    assert "NOPASSWD" in str(error)


def test_an_old_python_is_passed_over(tmp_path):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 99\n")
    broken = tmp_path / "python3.9"
    broken.write_text("#!/bin/sh\necho 'libpython3.9.so: cannot open' >&2\nexit 127\n")
    for place in (old, broken):
        place.chmod(0o755)
    assert ask(f"{old} {broken} {sys.executable}", GOOD)["good"].exit_code == 0
    assert ask(f"{old} {broken}", GOOD)["good"].exit_code == 0  # through sh


LOGIN_SHELLS = [
    pytest.param(
        shell,
        marks=pytest.mark.skipif(not shutil.which(shell), reason=f"no {shell} on this machine"),
    )
    for shell in ("sh", "bash", "tcsh", "fish", "zsh")
]


@pytest.mark.parametrize("shell", LOGIN_SHELLS)
def test_any_login_shell_runs_the_command(shell):
    node = Conversation([GOOD], node_s=10)
    with subprocess.Popen(
        [shell, "-c", node.command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        list(node.feed(process.stdout.read(100)))
        process.stdin.write(node.to_send())
        assert [answer.stdout for answer in pump(node, process)] == ["all is well\n"]


RUN_VERMIN = "from vermin import main; main()"


def test_what_runs_on_nodes_is_python_3_6():
    checked = subprocess.run(
        [sys.executable, "-c", RUN_VERMIN, "-t=3.6-", "--no-tips", *REMOTE.glob("*.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_the_runner_imports_next_to_nothing():
    times = subprocess.run(
        [
            sys.executable,
            "-ISX",
            "importtime",
            "-c",
            "import errno,io,os,select,sys,time,zlib,_signal",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"re", "json", "enum", "subprocess", "selectors", "ctypes", "typing"}
    assert not heavy & {line.split("|")[-1].strip() for line in times.stderr.splitlines()}
    lines = (REMOTE / "runner.py").read_text().splitlines()
    tops = {line.split()[1] for line in lines if line.startswith("import ")}
    assert tops == {"errno", "io", "os", "select", "sys", "time", "zlib"}

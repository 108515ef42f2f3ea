"""The machine we are on, asked as any node is: deadlines, leaving early, and being killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from kin import wait_for

from clusterctl.model import Kind, Node, Question
from clusterctl.transport import TransportError
from clusterctl.transport.local import Local

NODE = Node("here")
GOOD = Question("good", ("echo", "fine"))
# One tool that is deaf to SIGTERM, one that leaves its process group, one that does both.
TOOLS = (
    GOOD,
    Question("deaf", ("sh", "-c", "trap '' TERM HUP INT; while :; do sleep 1; done"), 600),
    Question("away", ("sh", "-c", "setsid sleep 601 </dev/null >/dev/null 2>&1 & wait"), 600),
    Question("both", ("sh", "-c", "trap '' TERM; setsid sh -c 'sleep 602; :' & wait"), 600),
)
WAYS = pytest.mark.parametrize("pythons", [sys.executable, ""], ids=["python", "sh"])


@pytest.fixture
def family(monkeypatch) -> str:
    """Marks every process started from here, whatever becomes of its other marks."""
    name = uuid.uuid4().hex
    monkeypatch.setenv("FAMILY", name)
    return name


def alive(family: str) -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"FAMILY={family}" in place.read_text(errors="replace"):
                found.append(int(place.parent.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def gone(family: str) -> bool:
    """None of them ends by itself so soon."""
    return wait_for(lambda: not alive(family), 60)


def test_everyone_is_worth_opening():
    nodes = [Node("a"), Node("b")]
    assert list(Local(node_s=5).knock(nodes)) == [(nodes[0], None), (nodes[1], None)]


@WAYS
def test_nothing_is_left_when_all_is_answered(pythons, family):
    with Local(node_s=20, pythons=pythons).open(NODE) as shell:
        assert [answer.stdout for answer in shell.ask([GOOD])] == ["fine\n"]
    assert gone(family)


@WAYS
def test_the_deadline_of_the_node_ends_the_wait_and_the_tools(pythons, family):
    answers = []
    local = Local(node_s=3, pythons=pythons)
    with pytest.raises(TransportError) as error, local.open(NODE) as shell:
        answers.extend(shell.ask(TOOLS))
    # The runner has its deadline too, says so in other words and then waits for its tools.
    assert (error.value.kind, str(error.value)) == (Kind.TIMEOUT, "the node's deadline passed")
    assert [answer.name for answer in answers] == ["good"]
    assert gone(family)


@WAYS
def test_leaving_early_ends_the_tools(pythons, family):
    with Local(node_s=600, pythons=pythons).open(NODE) as shell:
        assert next(shell.ask(TOOLS)).name == "good"
        assert alive(family)
    assert gone(family)


def test_opening_and_asking_nothing_starts_nothing(family):
    with Local(node_s=5).open(NODE):
        assert not alive(family)


CONTROLLER = """
import sys
from clusterctl.transport.local import Local
sys.path.insert(0, sys.argv[1])
from test_local import NODE, TOOLS
with Local(node_s=600, pythons=sys.argv[2]).open(NODE) as shell:
    for answer in shell.ask(TOOLS):
        print(answer.name, flush=True)
"""


@WAYS
def test_a_killed_controller_leaves_nothing_running(pythons, family):
    here = Path(__file__).parent
    controller = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, str(here), pythons],
        stdout=subprocess.PIPE,
        cwd=here.parent,
        text=True,
    )
    assert controller.stdout.readline() == "good\n"
    assert wait_for(lambda: len(alive(family)) > 2, 60)
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    controller.stdout.close()
    assert gone(family)


@pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("sudo"), reason="only root may sudo without a password"
)
def test_becoming_root_goes_the_same_way(family):
    asked = Question("who", ("id", "-u"))
    with Local(node_s=20).open(Node("here", become=True)) as shell:
        assert [answer.stdout for answer in shell.ask([asked])] == ["0\n"]
    assert gone(family)


NOT_OURS = """
import os, subprocess
from clusterctl.transport.killed import kill_group
process = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, start_new_session=True)
os.setuid(65534)
kill_group(process, 0.1)
print("went on", process.pid)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_a_process_that_nobody_may_kill_is_left_and_holds_up_nobody():
    done = subprocess.run(
        [sys.executable, "-c", NOT_OURS], stdout=subprocess.PIPE, text=True, check=True, timeout=60
    )
    *words, pid = done.stdout.split()
    os.kill(int(pid), signal.SIGKILL)
    assert words == ["went", "on"]


def test_a_tool_that_talks_on_stderr_only_is_heard_in_full():
    asked = Question("loud", ("sh", "-c", "head -c 300000 /dev/zero >&2"))
    with Local(node_s=20).open(NODE) as shell:
        (answer,) = shell.ask([asked])
    assert len(answer.stderr) == 300_000

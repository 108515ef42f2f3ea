"""Stacks of all ranks: who is not where the others wait; from texts, and from real processes."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from clusterctl import remote
from clusterctl.knowledge import frames
from clusterctl.model import Answer, Kind, Node, UserError
from clusterctl.report.stacks import as_tree
from clusterctl.report.triage import as_json
from clusterctl.transport import TransportError
from clusterctl.transport.local import Local
from clusterctl.triage.collectives.collective_files import from_flight
from clusterctl.triage.stacks import asked_stacks, spy
from clusterctl.triage.stacks.asked_stacks import Looking, ask_ras, ask_stacks, gathered
from clusterctl.triage.stacks.places import stays
from clusterctl.triage.stacks.stack_verdict import triage_stacks
from clusterctl.triage.stacks.stacks import heard
from clusterctl.triage.verdict import Cause

C10D = "torch/distributed/distributed_c10d.py"
OUTER = [["train", "train.py", 50], ["<module>", "train.py", 90]]
ALL_REDUCE = [["all_reduce", C10D, 3252], ["step", "train.py", 41], *OUTER]
LOCK = [["acquire", "threading.py", 12], ["step", "train.py", 40], *OUTER]
ASLEEP = [["step", "train.py", 40], *OUTER]
LOADS = [
    ["get", "queue.py", 171],
    ["_try_get_data", "torch/utils/data/dataloader.py", 1243],
    ["_next_data", "torch/utils/data/dataloader.py", 1448],
    *OUTER,
]
SAVES = [["save", "torch/serialization.py", 900], *OUTER]
FUTEX, NAP, RUNS, DISK = "futex_do_wait", "hrtimer_nanosleep", "0", "rpc_wait_bit_killable"
NODE = {"machine": "x86_64", "spy": True, "came": "sent", "uid": 0, "capable": True, "yama": ""}


def told(ranks, node=NODE, comes_back=()):
    """`ranks`: of each its looks (frames, what the kernel holds it in); frames may be a reason.

    `comes_back`: held in these, a thread woke between the looks.
    """
    lines = [{"k": "node", **node}]
    for rank, looks in ranks.items():
        about = {"rank": rank, "label": "", "job": "7", "world": len(ranks)}
        lines.append({"k": "rank", "pid": 100 + rank, **about})
        for number, (stack, held) in enumerate(looks):
            pid = 100 + rank
            state = "R" if held == RUNS else "D" if held == DISK else "S"
            slept = number * (held in comes_back)
            task = [state, held.strip("0"), number * (held == RUNS), [], slept]
            one = {"k": "look", "pid": pid, "task": task if held else None}
            if isinstance(stack, str):
                one["why"] = stack
            else:
                one |= {"active": state == "R", "frames": stack}
            lines.append(one)
    lines.append({"k": "end", "lines": len(lines)})
    return "\n".join(json.dumps(line) for line in lines)


def judged(ranks, node=NODE, comes_back=()):
    return gathered([heard("n1", told(ranks, node, comes_back))], {}).triage()


def named(found):
    return {one.what for one in found.suspects}


def waiting(count=3, looks=3):
    return {rank: [(ALL_REDUCE, FUTEX)] * looks for rank in range(count)}


@pytest.mark.parametrize(
    ("stack", "held", "cause", "word"),
    [
        (LOCK, FUTEX, Cause.WORKER, "waits for a lock"),
        (ASLEEP, NAP, Cause.WORKER, "sleeps"),
        (ASLEEP, FUTEX, Cause.WORKER, "waits for a lock"),
        (ASLEEP, RUNS, Cause.WORKER, "runs Python"),
        (LOADS, FUTEX, Cause.DATA, "loads data"),
        (SAVES, DISK, Cause.CHECKPOINT, "checkpoint"),
        (ASLEEP, DISK, Cause.HOST, "file system or a disk"),
        (ASLEEP, "do_signal_stop", Cause.HOST, "is stopped"),
    ],
    ids=["lock", "sleep", "bare-lock", "compute", "data", "checkpoint", "disk", "stopped"],
)
def test_the_rank_that_is_not_where_the_others_wait_is_named(stack, held, cause, word):
    found = judged({**waiting(), 3: [(stack, held)] * 3})
    assert named(found) == {"rank 3"}
    assert found.cause is cause
    assert word in found.suspects[0].why[0]
    assert found.slowdown is None
    assert found.suspects[0].ranks == (3,)
    assert found.confidence > 0.9


def test_a_rank_that_is_late_in_every_step_is_slow_and_not_hung():
    """All are found at one line each time, but they woke in between: steps go on."""
    ranks = {**waiting(), 3: [(ASLEEP, NAP)] * 3}
    found = judged(ranks, comes_back=(FUTEX, NAP))
    assert named(found) == {"rank 3"}
    assert found.slowdown == pytest.approx(2.1, abs=0.1)
    assert "goes on" in found.evidence[1]
    assert any("woke 2 times" in why for why in found.suspects[0].why)
    assert judged(ranks).slowdown is None


def test_who_waits_for_one_that_runs_for_ever_hangs():
    lines = [([["spin", "train.py", line], *OUTER], RUNS) for line in (38, 39, 38)]
    found = judged({**waiting(), 3: lines})
    assert named(found) == {"rank 3"}
    assert found.slowdown is None


def test_ranks_that_spin_at_one_line_wait_there_too():
    """As in loss.item(): the device is waited for, and no frame says so."""
    item = [["step", "train.py", 44], *OUTER]
    found = judged({**{rank: [(item, RUNS)] * 3 for rank in range(3)}, 3: [(LOCK, FUTEX)] * 3})
    assert named(found) == {"rank 3"}
    assert "hangs or is slow" in found.evidence[1]
    same = judged({rank: [(item, RUNS)] * 3 for rank in range(4)})
    assert not same.suspects
    assert same.cause is Cause.UNKNOWN


def test_one_look_names_nobody_but_tells_who_was_elsewhere():
    found = judged({**waiting(looks=1), 3: [(LOCK, FUTEX)]})
    assert not found.suspects
    assert found.evidence[0].startswith("3 did not wait with the others")
    assert "--looks 4" in found.advice


def test_ranks_that_are_elsewhere_by_chance_are_not_named():
    """Of sixty-four healthy ranks that wait half the time, some never do in three looks."""
    chance = random.Random(4)
    looks = [(ALL_REDUCE, FUTEX), (ASLEEP, RUNS)]
    for _ in range(5):
        ranks = {rank: chance.choices(looks, k=3) for rank in range(64)}
        assert not judged(ranks, comes_back=(FUTEX,)).suspects


def test_more_looks_find_the_one_that_never_waits():
    chance = random.Random(4)
    looks = [(ALL_REDUCE, FUTEX), (ASLEEP, RUNS)]
    ranks = {rank: chance.choices(looks, (3, 1), k=12) for rank in range(8)}
    ranks[5] = [(ASLEEP, RUNS)] * 12
    found = judged(ranks, comes_back=(FUTEX,))
    assert named(found) == {"rank 5"}
    assert 1.3 < found.slowdown < 4


def test_all_in_one_collective_names_nobody():
    found = judged(waiting(4))
    assert found.cause is Cause.NETWORK
    assert not found.suspects
    assert found.confidence < 0.5
    goes_on = judged(waiting(4), comes_back=(FUTEX,))  # as a healthy job that communicates a lot
    assert goes_on.cause is Cause.UNKNOWN
    assert "may go on" in goes_on.evidence[1]


def test_ranks_that_move_are_not_called_healthy_nor_stuck():
    looks = [(ALL_REDUCE, FUTEX), (ASLEEP, RUNS), (ALL_REDUCE, FUTEX)]
    found = judged({rank: looks[rank % 2 :] + looks[: rank % 2] for rank in range(4)})
    assert found.cause is Cause.UNKNOWN
    assert not found.suspects


def test_all_loading_data_is_the_loaders_and_nobody_s():
    found = judged({rank: [(LOADS, FUTEX)] * 3 for rank in range(4)})
    assert found.cause is Cause.DATA
    assert not found.suspects


def test_who_waits_in_a_collective_is_no_suspect_though_the_others_are_elsewhere():
    found = judged(
        {**{rank: [(LOADS, FUTEX)] * 3 for rank in range(3)}, 3: [(ALL_REDUCE, FUTEX)] * 3}
    )
    assert found.cause is Cause.DATA
    assert not found.suspects


def test_ranks_of_a_whole_node_are_the_node_s():
    one = heard("n1", told({**waiting(4)}))
    other = heard("n2", told({rank: [(ASLEEP, RUNS)] * 3 for rank in range(4, 6)}))
    found = gathered([one, other], {}).triage()
    assert found.cause is Cause.HOST
    assert {one.node for one in found.suspects} == {"n2"}


def test_without_python_frames_the_kernel_still_tells_who_sleeps():
    node = {**NODE, "spy": False}
    looks = {rank: [("", "sk_wait_data")] * 3 for rank in range(3)}
    found = judged({**looks, 3: [("", NAP)] * 3}, node)
    assert all("py-spy is not on the node (x86_64)" in line for line in found.unseen)
    assert all("pip install py-spy" in line for line in found.unseen)


@pytest.mark.parametrize(
    ("node", "said", "word"),
    [
        ({"yama": "1", "capable": False, "uid": 1000}, "Permission Denied", "ptrace_scope is 1"),
        ({"yama": "3"}, "Operation not permitted (os error 1)", "ptrace_scope is 3"),
        ({"capable": False}, "Operation not permitted", "cap-add SYS_PTRACE"),
        ({"capable": False, "uid": 1000}, "Permission Denied", "become"),
        ({"capable": True}, "Permission Denied", "SELinux"),
        ({"spy": False, "machine": "aarch64"}, "", "--py-spy-dir"),
        ({}, "Failed to find python version from target process", "no Python"),
    ],
    ids=["yama-1", "yama-3", "container", "user", "module", "aarch64", "not-python"],
)
def test_a_refusal_says_what_to_set(node, said, word):
    (rank,) = heard("n1", told({0: [(said, FUTEX)] * 2}, {**NODE, **node})).ranks
    assert word in rank.why


def test_one_reason_is_told_once():
    nodes = [
        heard(name, told({rank: [("", FUTEX)] * 2}, {**NODE, "spy": False}))
        for name, rank in (("n1", 0), ("n2", 1), ("n3", 2))
    ]
    (line,) = (line for line in gathered(nodes, {}).unseen if "py-spy" in line)
    assert line.startswith("0-2 on n[1-3]: py-spy is not on the node")


def test_what_was_not_seen_is_said():
    stacks = gathered([heard("n1", told({0: [(ALL_REDUCE, FUTEX)] * 2}))], {"n2": "unreachable"})
    assert stacks.unseen == ("n2: unreachable",)
    assert stacks.triage().cause is Cause.UNKNOWN
    lines = told({0: [(ALL_REDUCE, FUTEX)]}).replace('"world": 1', '"world": 9')
    assert "ranks 1-8 of 9 on no node" in gathered([heard("n1", lines)], {}).unseen[0]
    other = told({1: [(ALL_REDUCE, FUTEX)] * 2}).replace('"job": "7"', '"job": "8"')
    mixed = gathered([heard("n1", told({0: [(ALL_REDUCE, FUTEX)] * 2})), heard("n2", other)], {})
    assert any("2 jobs run here" in line for line in mixed.unseen)
    assert triage_stacks([]).cause is Cause.UNKNOWN


def shown(ranks):
    console = Console(width=140, file=io.StringIO())
    console.print(as_tree(stays(heard("n1", told(ranks)).ranks)))
    return console.file.getvalue()


def test_the_tree_shows_the_minority_first_and_folds_ranks():
    text = shown({**waiting(7), 7: [(LOCK, FUTEX)] * 3, 8: [(ALL_REDUCE, FUTEX)] * 3})
    assert text.index("acquire") < text.index("all_reduce")
    assert "0-6,8" in text
    assert "0-6,8: waits in a collective" in text
    assert "step (train.py:40-41)" in text


def test_a_look_that_saw_nothing_shifts_no_other():
    """Each frame stands with what was done in it, and not with what the look before it showed."""
    text = shown({0: [("", ""), (ALL_REDUCE, FUTEX), (LOCK, FUTEX)], 1: [(ALL_REDUCE, FUTEX)] * 3})
    under_lock = text[text.index("acquire") :].splitlines()[1]
    assert "0: waits for a lock" in under_lock
    assert "no Python frames" not in text


def test_a_stack_as_deep_as_anybody_likes_is_shown():
    deep = [[f"f{number}", "deep.py", number] for number in range(5000)]
    assert "f4999" in shown({0: [(deep, RUNS)] * 2, 1: [(ALL_REDUCE, FUTEX)] * 2})


def test_a_frame_that_does_not_hold_says_so():
    looks = [(ALL_REDUCE, FUTEX), (ASLEEP, RUNS), (ALL_REDUCE, FUTEX)]
    text = shown({0: looks, 1: [(ALL_REDUCE, FUTEX)] * 3})
    assert "(1 in every look)" in text


def test_hostile_frames_are_shown_not_obeyed():
    bad = [["[red]x[/red]\x1b[31m", "[/nope].py", 3], *OUTER]
    text = shown({0: [(bad, FUTEX)] * 2})
    assert "[red]x[/red]" in text
    assert "\x1b" not in text


def test_hostile_frames_break_no_json():
    """Half a character is none, and a C1 control is one to a terminal."""
    bad = [["step\ud800\x9b31m", "train.py", 3], *OUTER]
    text = as_json(judged({**waiting(), 3: [(bad, RUNS)] * 3}))
    assert "\x9b" not in text
    assert json.loads(text.encode())["suspects"][0]["why"][0].count("step\\xd800\\x9b31m") == 1


WHOLE = told({**waiting(2), 2: [(LOCK, FUTEX), ("refused", NAP)]})


@settings(max_examples=80, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.text(max_size=6))
def test_any_cut_and_any_change_is_read_and_a_cut_is_seen(at, other):
    cut = heard("n1", WHOLE[:at])
    assert cut.troubles
    changed = heard("n1", WHOLE[:at] + other + WHOLE[at + len(other) :])
    for one in (cut, changed):
        found = gathered([one], {})
        found.triage()
        Console(file=io.StringIO()).print(as_tree(stays(found.ranks)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["node", "rank", "look", "trouble", "end"]),
    st.sampled_from(
        [
            "pid",
            "rank",
            "task",
            "frames",
            "active",
            "job",
            "label",
            "world",
            "why",
            "uid",
            "spy",
            "lines",
        ]
    ),
    JSON,
)
def test_any_value_anywhere_is_read(kind, key, value):
    lines = [json.loads(line) for line in WHOLE.splitlines()]
    for line in lines:
        if line["k"] == kind:
            line[key] = value
    gathered([heard("n1", "\n".join(map(json.dumps, lines)))], {}).triage()


def test_more_looks_than_anybody_asks_for_are_not_kept():
    one = heard("n1", told({0: [(ALL_REDUCE, FUTEX)] * 5000}))
    assert len(one.ranks[0].looks) == 100
    assert any("4900 lines" in str(trouble) for trouble in one.troubles)


@pytest.mark.parametrize("line", ['{"k": "look"}', '{"k": "trouble", "detail": "x"}', "x"])
def test_a_node_that_prints_anything_for_ever_is_told_of_in_a_few_lines(line):
    found = gathered([heard("n1", f"{line}\n" * 3000)], {})
    assert len(found.unseen) <= 25
    assert any("3000" in one or "2980" in one for one in found.unseen)


@pytest.mark.parametrize(
    ("stack", "kind"),
    [
        ([("all_reduce", C10D)], "collective"),
        ([("get", "queue.py"), ("_next_data", "torch/utils/data/dataloader.py")], "data"),
        ([("wait", "threading.py"), ("step", "train.py")], "lock"),
        ([("step", "train.py")], ""),
        ([("save", "train.py")], ""),  # the user's own
        ([("save", "torch/serialization.py")], "checkpoint"),
        ([("_engine_run_backward", "torch/autograd/graph.py")], "backward"),
        ([("ncclGroupEndInternal()", "libnccl.so.2"), ("all_reduce", C10D)], "collective"),
        ([("compile_fx", "torch/_inductor/compile_fx.py")], "compile"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_frame_tells_what_it_is_for(stack, kind):
    assert frames.kind_of(stack)[0] == kind


def test_every_kind_has_a_word_and_every_rule_a_source():
    kinds = {one.kind for one in frames.rules()} | {kind for kind, _ in frames.waits()}
    assert kinds <= set(frames.shipped()["said"])
    assert all(one.source for one in frames.rules())
    assert all(one["source"] for one in frames.shipped()["waits"])


# ----------------------------------------------------------------------------- for real

HERE = Path(__file__).parent
ME = Node("here")


def reach(node_s):
    return Local(node_s)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def job(tmp_path):
    """Starts the small job: job("lock") -> pids by rank, of which rank 2 does something else."""
    started = []

    def start(what):
        words = ["4", str(free_port()), "2", what, str(tmp_path)]
        command = [sys.executable, str(HERE / "stuck_job.py"), *words]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        said = (process.stdout.readline().split() for _ in range(4))
        return {int(rank): int(pid) for _, rank, pid in said}

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def wait_for(true):
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def sleeps(pid):
    return "nanosleep" in Path(f"/proc/{pid}/wchan").read_text()


def hanging(pids):
    """What is seen once every rank has come to where it stays: a busy machine takes time for it."""
    seen = []

    def stands():
        seen[:] = [looked(pids, binaries=spy.binaries())]
        found = seen[0].triage()
        return found.suspects and found.slowdown is None

    wait_for(stands)
    return seen[0]


needs_spy = pytest.mark.skipif(not spy.ours(), reason="py-spy is not installed here")


def looked(pids, **more):
    looking = Looking({"pids": sorted(pids.values())}, apart_s=0.3, **more)
    return ask_stacks([ME], looking, reach, at_once=1)


@needs_spy
def test_a_rank_that_is_stuck_in_a_lock_or_asleep_is_found_in_a_job_that_hangs(job, tmp_path):
    """By its stack and, as PyTorch itself recorded it, by the collective that it never began."""
    pytest.importorskip("torch")
    pids = job("lock")
    stacks = hanging(pids)
    found = stacks.triage()
    assert named(found) == {f"pid {pids[2]}"}
    assert "waits for a lock" in found.suspects[0].why[0]
    assert found.slowdown is None
    assert "all_reduce" in found.evidence[0]
    assert not stacks.unseen
    (tmp_path / "now").touch()
    wait_for(lambda: len(list(tmp_path.glob("nccl_trace_rank_*"))) == 4)
    (tmp_path / "now").unlink()
    recorded = from_flight(tmp_path)
    assert named(recorded) == {"rank 2"}
    assert "ranks 0-1,3 wait in all_reduce of 1000" in recorded.evidence[0]
    os.kill(pids[2], signal.SIGUSR1)
    wait_for(lambda: sleeps(pids[2]))
    found = hanging(pids).triage()
    assert named(found) == {f"pid {pids[2]}"}
    assert "sleeps" in found.suspects[0].why[0]


def test_without_py_spy_the_kernel_s_own_view_remains(monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    sleeper = subprocess.Popen(["sleep", "60"])
    wait_for(lambda: sleeps(sleeper.pid))
    try:
        (rank,) = looked({0: sleeper.pid}).ranks
    finally:
        sleeper.kill()
        sleeper.wait()
    assert "py-spy is not on the node" in rank.why
    assert len(rank.looks) == 3
    assert stays([rank])[0].kind == "sleep"
    assert stays([rank])[0].held


@needs_spy
def test_py_spy_that_was_sent_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    places = [Path(name) for name in ("/tmp", "/dev/shm", "/var/tmp", "/run")]  # noqa: S108
    before = {entry for place in places for entry in place.iterdir()}
    script = tmp_path / "naps.py"
    script.write_text("import time\ndef nap():\n    time.sleep(60)\nnap()\n")
    sleeper = subprocess.Popen([sys.executable, str(script)])
    wait_for(lambda: sleeps(sleeper.pid))
    try:
        (rank,) = looked({0: sleeper.pid}, binaries=spy.binaries()).ranks
    finally:
        sleeper.kill()
        sleeper.wait()
    assert [one.name for one in rank.looks[0].frames] == ["nap", "<module>"]
    left = {entry for place in places for entry in place.iterdir()} - before
    assert not {entry for entry in left if "spy" in entry.name}


@needs_spy
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="only root can make a name space"
)
def test_a_process_in_a_container_is_seen_by_a_node_that_knows_it_by_another_number(tmp_path):
    """py-spy tells the number that the thread has in there."""
    script = tmp_path / "naps.py"
    script.write_text("import time\ndef nap():\n    time.sleep(60)\nnap()\n")
    inside = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, str(script)]
    with subprocess.Popen(inside) as holder:
        children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
        wait_for(lambda: children.read_text() and sleeps(int(children.read_text())))
        try:
            (rank,) = looked({0: int(children.read_text())}, binaries=spy.binaries()).ranks
        finally:
            holder.kill()
    assert [one.name for one in rank.looks[0].frames] == ["nap", "<module>"]
    assert [one.held_in for one in rank.looks] == ["hrtimer_nanosleep"] * 3


@needs_spy
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can give up a right"
)
def test_a_real_refusal_says_what_to_set(tmp_path, monkeypatch):
    """As root in a container: all files may be read, no other process may be looked into."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    less = "setpriv --bounding-set -sys_ptrace --inh-caps -sys_ptrace"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {less} {sys.executable} "$@"\n')
    python.chmod(0o755)
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    wait_for(lambda: sleeps(sleeper.pid))
    looking = Looking({"pids": [sleeper.pid]}, 2, 0.1, binaries=spy.binaries())
    try:
        stacks = ask_stacks([ME], looking, lambda s: Local(s, pythons=str(python)), at_once=1)
    finally:
        sleeper.kill()
        sleeper.wait()
    (line,) = stacks.unseen
    assert "py-spy was refused: we are root without CAP_SYS_PTRACE" in line
    assert "--cap-add SYS_PTRACE" in line
    assert [one.state for one in stacks.ranks[0].looks] == ["S", "S"]


def test_a_binary_is_known_by_its_header_not_its_name(tmp_path):
    head = bytearray(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00" + bytes(40))
    (tmp_path / "whatever").write_bytes(head)
    (tmp_path / "README").write_text("no binary")
    assert spy.binaries(tmp_path)["aarch64"].name == "whatever"
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="--py-spy-dir"):
        spy.binaries(empty)


def test_ras_is_asked_twice_over_its_own_protocol(monkeypatch):
    """A server of ours that speaks as src/ras/client_support.cc does."""
    answers = [9, 9]
    server = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr(asked_stacks, "APART_S", 0)
    monkeypatch.setenv("NCCL_RAS_ADDR", f"localhost:{server.getsockname()[1]}")

    def serve():
        for count in answers:
            link, _ = server.accept()
            with link, link.makefile("rwb", buffering=0) as file:
                assert file.readline() == b"CLIENT PROTOCOL 2\n"
                file.write(b"SERVER PROTOCOL 2\n")
                assert file.readline() == b"SET FORMAT json\n"
                file.write(b"OK\n")
                assert file.readline() == b"VERBOSE STATUS\n"
                file.write(ras_answer(count).encode())

    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    holder = subprocess.Popen(["sleep", "60"])  # a process that has the address in its environment
    try:
        found = ask_ras(ME, reach)
    finally:
        holder.kill()
        holder.wait()
        server.close()
    assert named(found) == {"rank 3 on n9"}
    assert found.confidence >= 0.9


def ras_answer(count):
    def rank(number):
        counts = {"AllReduce": count - (number == 3)}
        status = {"init_state": 0, "async_error": 0}
        return {
            "rank": number,
            "host": "n9",
            "pid": number + 1,
            "cuda_dev": 0,
            "status": status,
            "collective_counts": counts,
        }

    one = {"hash": "0x1", "size": 4, "ranks": [rank(n) for n in range(4)], "missing_ranks": []}
    return json.dumps({"communicators": [one], "ras": {"timeouts_count": 0}})


class Answering:
    """A transport whose conversations go as told, one list a conversation, and then end."""

    def __init__(self, *said):
        self.said = list(said)

    def __call__(self, _node_s):
        return self

    def knock(self, nodes):
        return ((node, None) for node in nodes)

    @contextmanager
    def open(self, _node):
        yield self

    def ask(self, _questions):
        said = self.said.pop(0)
        if isinstance(said, TransportError):
            raise said
        return iter([said])


LACKS = Answer("stacks", 0, told(waiting(1, looks=0), {**NODE, "spy": False}), "", 0.1)


@pytest.mark.parametrize(
    ("second", "word"),
    [
        (TransportError(Kind.UNREACHABLE, "no route to host"), "no route to host"),
        (Answer("stacks", None, "", "", 40.0), "no answer in 40 s"),
        (Answer("stacks", 1, "", "MemoryError\n", 0.1), "MemoryError"),
    ],
    ids=["lost", "late", "broken"],
)
def test_a_node_that_fails_when_py_spy_is_sent_is_said(tmp_path, second, word):
    """What it told without py-spy stays: who is there."""
    (tmp_path / "py-spy").touch()
    looking = Looking({}, binaries={"x86_64": tmp_path / "py-spy"})
    stacks = ask_stacks([ME], looking, Answering(LACKS, second), at_once=1)
    assert [one.rank for one in stacks.ranks] == [0]
    assert any(one.startswith("here: ") and word in one for one in stacks.unseen)


def test_why_a_node_broke_off_is_said():
    cut = told(waiting(2)).rpartition("\n")[0]
    broken = Answer("stacks", 1, cut, "Traceback …\nMemoryError: too much\n", 0.1)
    stacks = ask_stacks([ME], Looking({}), Answering(broken), at_once=1)
    assert [one.rank for one in stacks.ranks] == [0, 1]
    assert any("MemoryError: too much" in line for line in stacks.unseen)
    assert any("no right end mark" in line for line in stacks.unseen)


def test_what_a_node_said_before_its_deadline_stands():
    """As py-spy that hangs on one rank of it may take until then."""
    late = Answer("stacks", None, told(waiting(2)).rpartition("\n")[0], "", 42.0)
    stacks = ask_stacks([ME], Looking({}), Answering(late), at_once=1)
    assert [one.rank for one in stacks.ranks] == [0, 1]
    assert all(one.looks for one in stacks.ranks)
    assert any("it did not end within 42 s" in line for line in stacks.unseen)


def test_py_spy_that_no_signal_reaches_costs_its_rank_and_not_the_node(tmp_path):
    """A stand-in whose child keeps the pipes open, as one that hangs in the kernel does."""
    stand_in = tmp_path / "py-spy"
    stand_in.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {tmp_path}/child\nwait\n")
    stand_in.chmod(0o755)
    asked = spy.question({"pids": [os.getpid()]}, looks=1)
    order = {**json.loads(asked.command[0]), "look_s": 0.2}
    script = Path(remote.__file__).parent / "dump_stacks.py"
    path = f"{tmp_path}:{os.environ['PATH']}"
    try:
        done = subprocess.run(
            [sys.executable, str(script), json.dumps(order)],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=True,
            timeout=40,
        )
    finally:
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)
    assert "py-spy gave no answer" in done.stdout
    assert heard("here", done.stdout).troubles == ()


def test_a_node_without_ras_says_so():
    found = ask_ras(ME, reach)
    assert found.cause is Cause.UNKNOWN
    assert any("no RAS of NCCL answers here" in line for line in found.unseen)

"""What probes paths on a node, between two processes of this machine, by old and new Pythons."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from clusterctl import remote
from clusterctl.model import Answer
from clusterctl.triage.links.said import told
from clusterctl.trials.flows import meeting

sys.path.insert(0, str(Path(remote.__file__).parent))

import probe_paths  # of remote/

sys.path.pop(0)

REMOTE = Path(remote.__file__).parent
OLD = Path("/root/.pyenv/versions/3.6.15/bin/python3.6")
PYTHONS = [sys.executable, *([str(OLD)] if OLD.exists() else [])]
LIMITS = {"seconds": 1.5, "meeting_s": 5.0, "bytes": 1400, "share": 0.01, "cpu": 0.05}


def begun(python: str, role: str, count: int, **limits: float) -> subprocess.Popen[str]:
    """n0 calls n1 on so many rails."""
    paths = []
    for rail in range(count):
        secret, ports = meeting(f"{os.getpid()} {rail}")
        whole = {"name": f"n0/{rail}>n1/{rail}", "role": role, "ports": ports, "secret": secret}
        paths.append({**whole, "address": "127.0.0.1", "bind": ""})
    order = {**LIMITS, "cap_bit_s": 1e6, **limits, "paths": paths}
    return subprocess.Popen(
        [python, str(REMOTE / "probe_paths.py"), json.dumps(order)],
        stdout=subprocess.PIPE,
        text=True,
    )


def answer(done: subprocess.Popen[str]) -> Answer:
    text = done.communicate(timeout=90)[0]
    return Answer("paths", done.returncode, text, "", 1.0)


@pytest.mark.parametrize("pythons", [PYTHONS, PYTHONS[::-1]][: len(PYTHONS)])
def test_both_ends_count_alike_and_no_more_is_sent_than_may_be(pythons: list[str]) -> None:
    listen, call = begun(pythons[0], "listen", 3), begun(pythons[-1], "call", 3)
    said = {"n1": answer(listen), "n0": answer(call)}
    found = told(said)
    assert not found.unseen
    assert len(found.ways) == 6
    for way in found.ways:
        assert way.lost is not None
        assert way.lost <= 1  # a machine without load loses nothing; the handshake is counted once
        assert way.rtt_us is not None
        assert 0 < way.rtt_us < LIMITS["seconds"] * 1e6
        assert way.wait_us is not None
    rows = [json.loads(line) for line in said["n0"].stdout.splitlines()]
    messages = sum(row.get("messages", 0) for row in rows)
    assert messages >= 3 * 3
    # Three paths share the one interface: what all of them send stays below its cap.
    assert messages * LIMITS["bytes"] * 8 <= 1e6 * LIMITS["seconds"] + 3 * 2 * LIMITS["bytes"] * 8
    assert all(row["stamped"] is True for row in rows if row["k"] == "path")


def test_a_message_that_no_kernel_stamped_is_not_timed() -> None:
    """A processor that is late to read it would look like a queue before its NIC."""
    ours, theirs = socket.socketpair()
    wanted = {**LIMITS, "seconds": 0.02}
    path = probe_paths.Path({"name": "n0/0>n1/0", "role": "call"}, wanted, 1)
    path.peer, path.rate = ours, 1e9
    other = probe_paths.Path({"name": "n0/0>n1/0", "role": "listen"}, wanted, 1)
    other.peer = theirs
    answering = threading.Thread(target=other.answer)
    answering.start()
    path.ask()
    answering.join()
    ours.close()
    theirs.close()
    assert path.messages
    assert (path.times, path.told()["stamped"], other.told()["stamped"]) == ([], False, False)


@pytest.mark.parametrize("paths", [1, 8, 64])
def test_all_paths_of_a_node_together_keep_to_their_share_of_a_processor(paths: int) -> None:
    cost_s, least_s, lasts_s, share = 1e-4, 0.09, 8.0, 0.01
    due, spent_s, messages = [0.0] * paths, 0.0, 0
    while (now := min(due)) < lasts_s:
        spent_s += cost_s
        messages += 1
        due[due.index(now)] = probe_paths.later(now + least_s, now, spent_s / share)
    assert spent_s <= 1.1 * share * lasts_s
    assert messages >= min(paths * lasts_s / least_s, 0.9 * share * lasts_s / cost_s)


def test_a_partner_that_is_not_there_costs_its_path_and_is_told() -> None:
    found = told({"n0": answer(begun(sys.executable, "call", 1, meeting_s=0.5))})
    assert not found.ways
    assert "n0/0>n1/0: cannot reach the partner at 127.0.0.1" in found.unseen[0]


def test_a_partner_that_dies_in_the_middle_is_told_and_nobody_waits_for_it() -> None:
    listen = begun(sys.executable, "listen", 1)
    call = begun(sys.executable, "call", 1, seconds=600)
    time.sleep(1.5)
    listen.send_signal(signal.SIGKILL)
    listen.wait()
    found = told({"n0": answer(call)})
    assert "n0/0>n1/0: " in found.unseen[0]
    assert found.ways[0].lost is not None


def test_processes_that_go_on_are_told_from_those_that_stand() -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    stands, goes, gone = (subprocess.Popen(sleeper) for _ in range(3))
    try:
        gone.kill()
        gone.wait()
        stands.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, stands.pid, os.WSTOPPED)
        command = [PYTHONS[-1], str(REMOTE / "still_stopped.py")]
        done = subprocess.run(
            [*command, *(str(one.pid) for one in (stands, goes, gone))],
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout) == {"moving": [goes.pid]}
    finally:
        for one in (stands, goes):
            one.kill()
            one.wait()

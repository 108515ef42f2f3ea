"""`triage --probe-links` of a job that really runs, and of one that stands still."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Lab

sys.path.insert(0, str(Path(__file__).parent / "bench"))

from triage_bed import CAN_LIMIT, Bed, at_work, shaped

NODES = ("n09", "n10", "n11", "n12")
FREE = ("n13", "n14")
pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not CAN_LIMIT, reason="a bed needs control groups of version 1"),
]


@pytest.fixture(scope="module")
def job(lab: Lab) -> Iterator[Bed]:
    with at_work(lab, NODES, steps=3) as running:
        yield running


def command(lab: Lab, runs: Path, nodes: str, *words: str) -> list[str]:
    where = ["-i", str(lab.inventory), "-F", str(lab.ssh_config), "--runs-dir", str(runs)]
    asked = ["--nodes", nodes, "--probe-links", "--no-stacks", "--seconds", "3"]
    whole = [sys.executable, "-m", "clusterctl", "triage", *where, *asked]
    return [*whole, "--format", "json", *words]


def triage(lab: Lab, runs: Path, nodes: str) -> dict[str, object]:
    done = subprocess.run(
        command(lab, runs, nodes),
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(lab.folder)},
        timeout=200,
        check=False,
    )
    assert done.stdout, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


def there(lab: Lab) -> dict[str, set[int]]:
    return {node: set(lab.processes(node)) for node in (*NODES, *FREE)}


def test_a_shaped_nic_and_a_lossy_one_are_both_told_while_the_job_runs(
    job: Bed, tmp_path: Path
) -> None:
    before = there(job.lab)
    lossy = ["-m", "statistic", "--mode", "random", "--probability", "0.06", "-j", "DROP"]
    job.lab.do("n11", *shaped("6mbit"))
    job.lab.do("n10", "iptables", "-w", "-I", "INPUT", "-p", "tcp", "!", "--dport", "22", *lossy)
    try:
        time.sleep(2)  # what was in the pipes before
        told = triage(job.lab, tmp_path, "n[09-12]")
    finally:
        job.heal("n11")
        job.heal("n10")
        job.await_steps(2)
    assert told["class"] == "network", told
    probed = {
        one["what"]: [line for line in one["why"] if line.startswith("low-rate probe: ")]
        for one in told["suspects"]
    }
    assert any("waits" in line for line in probed["n11 sends"]), told
    assert any("never came" in line for line in probed["n10 receives"]), told
    assert there(job.lab) == before
    assert not list(tmp_path.iterdir())  # nothing was loaded, so there is no run


def test_paused_nodes_and_free_ones_get_rounds_and_are_left_as_they_were(
    job: Bed, tmp_path: Path
) -> None:
    pids = [
        pid
        for node in NODES[:2]
        for pid, said in job.lab.processes(node).items()
        if "triage_job" in said
    ]
    before = there(job.lab)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        told = triage(job.lab, tmp_path, "n[09-10,13-14]")
        states = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][1] for pid in pids]
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    job.await_steps(2)
    assert set(states) == {"T"}
    text = json.dumps(told)
    (run,) = tmp_path.iterdir()
    assert f"(clusterctl show {run.name})" in text  # cleared, or on a busy machine in doubt
    measured = (run / "measured.csv").read_text()
    assert {node for node in (*NODES, *FREE) if node in measured} == {*NODES[:2], *FREE}
    assert there(job.lab) == before


def test_ctrl_c_leaves_nothing_on_any_node(job: Bed, tmp_path: Path) -> None:
    before = there(job.lab)
    running = subprocess.Popen(
        command(job.lab, tmp_path, "n[09-12]"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(job.lab.folder)},
    )
    deadline = time.monotonic() + 60
    while not any(listens(job.lab, node) for node in NODES):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=30) == 130
    while there(job.lab) != before:
        assert time.monotonic() < deadline + 30
        time.sleep(0.1)


def listens(lab: Lab, node: str) -> bool:
    """Some partner's port of the probe is open there."""
    lines = lab.enter(node, "cat", "/proc/net/tcp", "/proc/net/tcp6").stdout.splitlines()
    ports = [
        int(cells[1].rpartition(":")[2], 16)
        for line in lines
        if len(cells := line.split()) > 3 and ":" in cells[1] and cells[3] == "0A"
    ]
    return any(20000 <= port < 29000 for port in ports)

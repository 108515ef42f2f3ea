"""watch-job on real nodes: the steps of a real job are learnt, and nothing stays.

A job that gets slower midway takes minutes: `tests/bench/watch_job_lab.py`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import Lab

sys.path.insert(0, str(Path(__file__).parent / "bench"))

from triage_bed import CAN_LIMIT, Bed, at_work

NODES = ("n01", "n02", "n03", "n04")
pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not CAN_LIMIT, reason="a bed needs control groups of version 1"),
]
CALM = 0.9  # seconds that every rank sleeps, so that the job leaves two cores to others


@pytest.fixture(scope="module")
def job(lab: Lab) -> Iterator[Bed]:
    with at_work(lab, NODES, steps=3, sleep_s=CALM) as running:
        yield running


def begun(lab: Lab, folder: Path) -> subprocess.Popen[str]:
    command = ["watch-job", "-i", str(lab.inventory), "-F", str(lab.ssh_config)]
    words = ["--nodes", "n[01-04]", "--format", "json", "--seconds", "4", "--no-stacks"]
    return subprocess.Popen(
        [sys.executable, "-m", "clusterctl", *command, *words, "--runs-dir", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOME": str(lab.folder)},
    )


def heard(folder: Path) -> list[dict[str, object]]:
    """What it wrote down as it happened."""
    lines = [line for path in folder.glob("*/events.jsonl") for line in path.open()]
    return [json.loads(line) for line in lines]


def until(enough: Callable[[], object], patience_s: float) -> None:
    finish = time.monotonic() + patience_s
    while not enough():
        assert time.monotonic() < finish
        time.sleep(0.2)


def test_the_steps_of_a_real_job_are_learnt_and_ctrl_c_leaves_nothing(
    job: Bed, tmp_path: Path
) -> None:
    before = {node: set(job.lab.processes(node)) for node in NODES}
    watch = begun(job.lab, tmp_path)
    try:
        until(lambda: [one for one in heard(tmp_path) if one["event"] == "learnt"], 150)
    finally:
        watch.send_signal(signal.SIGINT)
        out, errors = watch.communicate(timeout=30)
    told = [json.loads(line) for line in out.splitlines()]
    (learnt,) = (one for one in told if one["event"] == "learnt")
    assert learnt["step_s"] > CALM, learnt  # steps or several of them, and nothing shorter
    assert watch.returncode == 130, errors
    until(lambda: {node: set(job.lab.processes(node)) for node in NODES} == before, 10)


def test_a_controller_that_is_killed_leaves_nothing(job: Bed, tmp_path: Path) -> None:
    before = {node: set(job.lab.processes(node)) for node in NODES}
    watch = begun(job.lab, tmp_path)
    until(lambda: len("".join(p.read_text() for p in tmp_path.glob("*/ring-*"))) > 1000, 60)
    assert {node: set(job.lab.processes(node)) for node in NODES} != before
    watch.kill()
    watch.communicate()
    until(lambda: {node: set(job.lab.processes(node)) for node in NODES} == before, 10)

"""Triage of a job that really runs: four ranks of our ring on four nodes, and what is planted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Lab

from clusterctl.inventory.ranges import expand

sys.path.insert(0, str(Path(__file__).parent / "bench"))

from triage_bed import CAN_LIMIT, PLANTS, Bed, at_work

NODES = ("n01", "n02", "n03", "n04")
SECONDS = 5
pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not CAN_LIMIT, reason="a bed needs control groups of version 1"),
]


@pytest.fixture(scope="module")
def job(lab: Lab) -> Iterator[Bed]:
    with at_work(lab, NODES, steps=5) as running:
        yield running


def triage(lab: Lab, *words: str) -> tuple[int, dict[str, object], str]:
    command = ["triage", "-i", str(lab.inventory), "-F", str(lab.ssh_config), "--format", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "clusterctl", *command, "--seconds", str(SECONDS), *words],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(lab.folder)},
        timeout=120,
        check=False,
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


@pytest.mark.parametrize("name", ["sleeps", "slow-nic", "cpu-quota"])
def test_a_planted_cause_is_named_with_its_node(job: Bed, name: str) -> None:
    plant = next(one for one in PLANTS if one.name == name)
    before = {node: set(job.lab.processes(node)) for node in NODES}
    plant.plant(job, "n03")
    try:
        time.sleep(2)  # what was in the pipes before
        code, told, errors = triage(job.lab, "--nodes", "n[01-04]", "--no-stacks")
    finally:
        job.heal("n03")
        job.await_steps(2)
    assert code == 1, errors
    assert told["class"] in plant.expected, told
    assert told["suspects"][0]["node"] == "n03", told
    assert {node: set(job.lab.processes(node)) for node in NODES} == before


def test_pids_that_the_operator_names_are_looked_at_and_dead_nodes_do_not_hold_it_up(
    job: Bed,
) -> None:
    """Processes are named as their node numbers them; n01 is not among its own job's nodes."""
    words = []
    for node in NODES[1:]:
        (pid,) = job.lab.enter(node, "pgrep", "-f", "triage_job").stdout.split()
        words.append(f"{node}:{pid}")
    pids = " ".join([*words, "n77:1", "n78:1", "n79:1"])
    code, told, errors = triage(job.lab, "--pids", pids, "--no-stacks")
    assert code in {0, 1, 4}, errors
    heads = [line.partition(":")[0] for line in told["unseen"]]
    assert {"n77", "n78", "n79"} <= {n for head in heads if " " not in head for n in expand(head)}
    assert any("rank 0 of 4 not seen" in line for line in told["unseen"])


@pytest.mark.skipif(shutil.which("scontrol") is None, reason="needs slurm-client")
def test_without_slurm_the_operator_is_told_who_was_asked(job: Bed) -> None:
    code, told, errors = triage(job.lab, "--slurm", "12345", "--nodes", "n01")
    assert (code, told) == (2, {})
    assert "--slurm 12345: Slurm does not answer: here: " in errors

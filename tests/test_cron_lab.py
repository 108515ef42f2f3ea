"""A sweep by cron's rules on real nodes: within its budget, and beside a job."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from clusterctl.model import LEFT_ALONE

pytestmark = [pytest.mark.lab, pytest.mark.timeout(200)]


@pytest.fixture
def swept(lab, tmp_path):
    def sweep(nodes: str, *words: str) -> tuple[dict, str]:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "clusterctl", "sweep", "--nodes", nodes),
                *("-i", str(lab.inventory), "-F", str(lab.ssh_config), "--format", "json"),
                *("--runs-dir", str(tmp_path / "runs"), *words),
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode in {0, 1, 4}, done.stderr
        return json.loads(done.stdout), done.stderr

    return sweep


def test_a_node_that_the_budget_cuts_short_is_unknown_and_what_it_said_stands(swept, faults):
    faults("n07", "smi_hangs")
    told, said = swept("n[06-07]", "--budget", "20s")
    assert "the budget of 20s was spent: " in said
    assert "n07" in said.partition("to the end: ")[2]
    assert told["statuses"]["n07"] == "unknown"
    (why,) = [
        one["why"] for one in told["findings"]
        if one["node"] == "n07" and one["check"] == "reachable"
    ]  # fmt: skip
    assert "the time budget of the run ended; what it answered until then stands" in why
    assert [
        one for one in told["findings"]
        if one["node"] == "n07" and one["check"] == "cpu_count" and one["status"] != "unknown"
    ]  # fmt: skip


def test_beside_a_job_the_heavy_question_is_not_asked_and_nobody_is_alarmed(lab, swept):
    lab.do("n06", "touch", "/dev/nvidia0")
    hold = [*lab.into("n06"), "sh", "-c", "exec sleep 100 </dev/nvidia0"]
    job = subprocess.Popen(hold, start_new_session=True)
    try:
        told, _ = swept("n[05-06]")
    finally:
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
        lab.do("n06", "rm", "/dev/nvidia0")
    observed = {
        (one["node"], one["part"]): (one["status"], one["why"])
        for one in told["findings"]
        if one["check"] == "observed"
    }
    assert observed["n06", "nvidia_smi"] == ("skip", LEFT_ALONE)
    assert observed["n05", "nvidia_smi"][0] == "pass"
    assert observed["n06", "nvml"][0] == "pass"
    assert told["statuses"] == {"n05": "pass", "n06": "pass"}
    assert told["parts"]["accelerators"] == {"seen": 16, "expected": 16}

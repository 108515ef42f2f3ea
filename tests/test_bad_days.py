"""Sixteen real nodes on their worst day: every fault on its node, and nobody else's verdict moves.

The real program, real sshds, real files; only hardware is a stub at its lowest seam.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clusterctl.catalog import all_probes
from clusterctl.store import Stored

pytestmark = [pytest.mark.lab, pytest.mark.timeout(280)]

CLUSTERCTL = (sys.executable, "-m", "clusterctl")


@dataclass(frozen=True)
class Swept:
    """What one sweep said.  `findings` without those that pass or do not apply."""

    document: dict[str, Any]
    exit_code: int

    @property
    def statuses(self) -> dict[str, str]:
        return self.document["statuses"]

    def of(self, node: str) -> list[tuple[str, str, str]]:
        """(check, part, status) of what a person must look at on this node."""
        return [
            (one["check"], one["part"], one["status"])
            for one in self.document["findings"]
            if one["node"] == node and one["status"] not in {"pass", "skip"}
        ]

    def words(self, node: str) -> str:
        return " ".join(
            f"{one['actual']} {one['why']} {one['remedy']}"
            for one in self.document["findings"]
            if one["node"] == node and one["status"] not in {"pass", "skip"}
        )


@pytest.fixture
def sweep(lab, tmp_path):
    def sweeping(*arguments: str, expect: tuple[int, ...] = (0, 1, 4)) -> Swept:
        run = subprocess.run(
            [
                *CLUSTERCTL, "sweep", "-i", str(lab.inventory), "-F", str(lab.ssh_config),
                "--runs-dir", str(tmp_path / "runs"), "--format", "json", *arguments,
            ],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert run.returncode in expect, run.stderr
        return Swept(json.loads(run.stdout), run.returncode)

    return sweeping


def test_sixteen_healthy_nodes_pass_and_every_part_is_counted(sweep):
    swept = sweep()

    assert set(swept.statuses.values()) == {"pass"}, [swept.of(node) for node in swept.statuses]
    assert swept.exit_code == 0
    assert swept.document["parts"]["accelerators"] == {"seen": 128, "expected": 128}


# node -> the fault, and what must be said of it: (check, part, status)
WORST_DAY = {
    "n01": ("off", "", ("reachable", "node", "unknown"), "unreachable"),
    "n02": ("drop", "", ("reachable", "node", "unknown"), "does not answer"),
    "n03": ("refuse_key", "", ("reachable", "node", "unknown"), "denied"),
    "n04": ("host_key", "", ("reachable", "node", "unknown"), "has changed"),
    "n05": ("silent", "", ("reachable", "node", "unknown"), "says nothing"),
    "n06": ("no_python", "", ("observed", "nvml", "unknown"), "needs Python"),
    "n07": ("smi_hangs", "", ("observed", "nvidia_smi", "unknown"), "no answer in"),
    "n08": ("gpus", "7", ("accelerator_count", "accelerators", "fail"), "0000:df:00.0"),
    "n09": ("ecc", "", ("ecc", "gpu3", "fail"), "lost"),
    "n10": ("throttle", "", ("throttle", "gpu3", "fail"), "hw_thermal"),
    "n11": ("xid79", "", ("xid", "gpu1", "fail"), "fell off the bus"),
    "n12": ("xid13", "", ("xid", "gpu1", "warn"), "application"),
    "n13": ("half_rate", "", ("port_rate", "mlx5_3/1", "fail"), "200 Gbit/s"),
    "n14": ("pcie_x8", "", ("pcie_width", "gpu5", "fail"), "x8"),
    "n15": ("hostile", "", ("observed", "nvidia_smi", "unknown"), "printed more than"),
}


def unsaid(swept: Swept, day: dict) -> list[str]:
    """What was not said of a node, and what was."""
    return [
        f"{node} {fault}: wanted {said} and {word!r}, got {swept.of(node)} {swept.words(node)}"
        for node, (fault, _, said, word) in day.items()
        if not any(meets(said, one) for one in swept.of(node)) or word not in swept.words(node)
    ]


def meets(said: tuple[str, str, str], found: tuple[str, str, str]) -> bool:
    """An empty part in `said` is any part."""
    return all(want in {"", have} for want, have in zip(said, found, strict=True))


def test_the_worst_day_names_every_fault_on_its_node(sweep, faults):
    for node, (fault, argument, _, _) in WORST_DAY.items():
        faults(node, fault, argument)

    swept = sweep()

    assert not (missed := unsaid(swept, WORST_DAY)), "\n".join(missed)
    assert {node: swept.statuses[node] for node in WORST_DAY} == {
        node: said[2] for node, (_, _, said, _) in WORST_DAY.items()
    }
    assert swept.statuses["n16"] == "pass"
    assert swept.exit_code == 1
    assert swept.document["nodes"]["selected"] == 16
    assert swept.document["nodes"]["answered"] == 11


MORE = {
    "n01": ("disk_full", "", ("disk_space", "/", "fail"), "full"),
    "n02": ("ro_root", "", ("read_only", "/", "fail"), "read-only"),
    "n03": ("clock_off", "", ("clock_offset", "chrony", "warn"), ""),
    "n04": ("service_failed", "", ("services", "nvidia-fabricmanager", "warn"), ""),
    "n05": ("remap", "", ("row_remap", "gpu3", "fail"), ""),
    "n06": ("port_down", "", ("port_state", "mlx5_3/1", "fail"), ""),
    "n07": ("gpu_lost", "", ("accelerator_count", "accelerators", "fail"), "0000:61:00.0"),
    "n08": ("driver_drift", "", ("drift", "driver/nvidia", "warn"), "535.161.08"),
    "n09": ("drive_worn", "", ("disk_health", "nvme0", "fail"), ""),
    "n10": ("nvml_hangs", "", ("observed", "nvml", "unknown"), "no answer in"),
    "n11": ("gpu_gone", "", ("accelerator_count", "accelerators", "fail"), "7"),
    "n12": ("mce", "", ("kernel_faults", "", "fail"), ""),
    "n13": ("refuse", "", ("reachable", "node", "unknown"), "refuse"),
    "n14": ("gpu_dead", "", ("observed", "nvml:gpu3", "unknown"), "lost"),
}


def test_another_bad_day_names_every_fault_on_its_node(sweep, faults):
    for node, (fault, argument, _, _) in MORE.items():
        faults(node, fault, argument)

    swept = sweep()

    assert not (missed := unsaid(swept, MORE)), "\n".join(missed)
    assert {swept.statuses["n15"], swept.statuses["n16"]} == {"pass"}


def test_a_node_that_reboots_in_mid_answer_is_cut_and_named(lab, sweep, faults):
    faults("n05", "smi_hangs")  # so that its conversation is still going on
    later = threading.Timer(4, faults, ("n05", "reboot", "1"))
    later.start()
    swept = sweep()
    later.join()

    assert ("reachable", "node", "unknown") in swept.of("n05")
    assert "cut" in swept.words("n05")
    assert {status for node, status in swept.statuses.items() if node != "n05"} == {"pass"}


def left_running(lab, node: str) -> list[str]:
    """Processes of ours on the node; its own sshd and init are not ours."""
    return [
        line
        for line in lab.processes(node).values()
        if "nvidia-smi" in line or "clusterctl" in line or "python" in line
    ]


def heard_from(runs: Path, node: str) -> int:
    return sum(
        said.node == node
        for partial in runs.glob("*.partial")
        for said in Stored(partial, {}).heard("now")
    )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_controller_that_dies_leaves_nothing_running_on_any_node(lab, faults, tmp_path, how):
    for node in ("n01", "n02", "n03"):
        faults(node, "smi_hangs")
    runs = tmp_path / "runs"
    sweeping = subprocess.Popen(
        [*CLUSTERCTL, "sweep", "-i", str(lab.inventory), "-F", str(lab.ssh_config),
         "--runs-dir", str(runs)],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while not left_running(lab, "n01") and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left_running(lab, "n01"), "the hung tool must be seen running first"
    while heard_from(runs, "n16") < len(all_probes()) and time.monotonic() < deadline:
        time.sleep(0.2)

    os.kill(sweeping.pid, how)
    sweeping.wait(timeout=10)

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(left_running(lab, node) for node in lab.nodes):
        time.sleep(0.2)
    assert {node: left_running(lab, node) for node in lab.nodes} == {n: [] for n in lab.nodes}
    if how == signal.SIGINT:
        assert sweeping.returncode == 130
        said = sweeping.stderr.read()
        (partial,) = runs.glob("*.partial")
        assert f"clusterctl judge {partial}" in said
        judged = subprocess.run(
            [*CLUSTERCTL, "judge", str(partial), "--format", "json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        statuses = json.loads(judged.stdout)["statuses"]
        assert statuses["n16"] == "pass"
        assert statuses["n01"] == "unknown"


def test_a_run_judged_again_says_the_same(sweep, faults, tmp_path):
    faults("n09", "ecc")
    swept = sweep()

    again = subprocess.run(
        [*CLUSTERCTL, "judge", "last", "--runs-dir", str(tmp_path / "runs"), "--format", "json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    replayed = json.loads(again.stdout)
    assert again.returncode == swept.exit_code
    assert replayed["statuses"] == swept.statuses
    assert replayed["counts"] == swept.document["counts"]


def test_new_host_keys_are_taken_when_asked_and_changed_ones_never(lab, faults, tmp_path):
    empty = tmp_path / "known_hosts"
    config = tmp_path / "config"
    config.write_text(
        lab.ssh_config.read_text().replace(str(lab.folder / "known_hosts"), str(empty))
    )

    def sweeping(*more: str) -> dict[str, str]:
        run = subprocess.run(
            [*CLUSTERCTL, "sweep", "-i", str(lab.inventory), "-F", str(config), "--format", "json",
             "--nodes", "n01,n02", "--runs-dir", str(tmp_path / "runs"), *more],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return json.loads(run.stdout)["statuses"]

    assert set(sweeping().values()) == {"unknown"}
    assert "unknown" not in sweeping("--accept-new").values()
    faults("n02", "host_key")
    assert sweeping("--accept-new")["n02"] == "unknown"

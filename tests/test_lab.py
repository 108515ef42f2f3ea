"""The lab itself: its nodes are real, its faults show, and nothing of it stays."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from faults import FAULTS
from lab import HERE, PACKAGES, Lab, LabError, load, missing

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(bool(missing()), reason=f"no lab here: {missing()}"),
]

STARTER = """
import sys, time
sys.path.insert(0, sys.argv[1])
import lab
running, holder = lab.start(2)
print(running.folder, holder.pid, flush=True)
time.sleep(600)
"""


def said(lab: Lab, node: str, *command: str) -> str:
    done = lab.ssh(node, *command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_node_answers_with_its_own_name(lab: Lab) -> None:
    started = {
        node: subprocess.Popen(
            ["ssh", "-F", str(lab.ssh_config), node, "hostname"], stdout=subprocess.PIPE, text=True
        )
        for node in lab.nodes
    }

    assert len(lab.nodes) == 16
    assert {node: ssh.communicate()[0].strip() for node, ssh in started.items()} == {
        node: node for node in lab.nodes
    }


def test_nobody_enters_this_machine_for_a_node(lab: Lab, tmp_path: Path) -> None:
    noted = tmp_path / "nodes" / "n01" / "pid"
    noted.parent.mkdir(parents=True)
    noted.write_text(str(os.getpid()))

    with pytest.raises(LabError, match="own root"):
        replace(lab, folder=tmp_path).do("n01", "true")


def test_a_node_that_starts_afresh_can_be_entered_at_once(lab: Lab) -> None:
    here = Path("/").stat()
    for _ in range(5):
        lab.ask_keeper(do="fresh", node="n16")
        assert not os.path.samestat(Path(f"/proc/{lab.pid('n16')}/root/").stat(), here)


def test_a_node_sees_its_own_processes_and_no_others(lab: Lab) -> None:
    assert said(lab, "n01", "cat", "/proc/1/comm").strip() != ""
    seen = said(lab, "n01", "ps", "-e", "-o", "pid=").split()
    assert len(seen) < 12
    assert str(os.getpid()) not in seen or os.getpid() < 100


def test_a_node_has_hardware_that_this_machine_lacks(lab: Lab) -> None:
    assert said(lab, "n02", "ls", "/sys/class/infiniband").split() == [
        f"mlx5_{index}" for index in range(8)
    ]
    vendors = said(lab, "n02", "cat /sys/bus/pci/devices/*/vendor").split()
    assert vendors.count("0x10de") == 8
    assert said(lab, "n02", "cat", "/sys/class/infiniband/mlx5_7/ports/1/state") == "4: ACTIVE\n"
    assert said(lab, "n02", "cat /sys/class/infiniband/mlx5_7/device/vendor") == "0x15b3\n"


def test_the_stub_library_shows_as_many_gpus_as_the_bus(lab: Lab) -> None:
    assert said(lab, "n02", COUNT_GPUS) == "c_uint(8)\n"


def test_what_lies_about_on_this_machine_is_on_no_node(lab: Lab) -> None:
    """Of a test that was cut off, say: a node would seem to have been left unclean."""
    for place in ("/tmp", "/var/tmp"):  # noqa: S108 - where everybody leaves things
        with tempfile.NamedTemporaryFile(dir=place) as mine:
            assert lab.ssh("n04", "ls", mine.name).returncode != 0


def test_a_node_has_its_own_disk_clock_and_boot(lab: Lab) -> None:
    assert said(lab, "n03", "echo mine >/root/here && cat /root/here") == "mine\n"
    assert lab.ssh("n04", "cat", "/root/here").returncode != 0
    assert not Path("/root/here").exists()
    boots = {said(lab, node, "cat /proc/sys/kernel/random/boot_id") for node in ("n03", "n04")}
    assert len(boots) == 2
    assert "/ overlay rw" in said(lab, "n03", "cat", "/proc/mounts")


def test_a_node_finds_the_system_python(lab: Lab) -> None:
    assert said(lab, "n05", "command -v python3") == "/usr/bin/python3\n"


def test_another_user_may_become_root(lab: Lab) -> None:
    assert said(lab, "n05", "sudo -u ops sudo -n id -u") == "0\n"


def test_nodes_reach_each_other_at_the_shaped_rate(lab: Lab) -> None:
    receive = (
        "import socket; s = socket.create_server(('', 5001)).accept()[0]\n"
        "while s.recv(1 << 20): pass\ns.send(b'!')"
    )
    send = (
        "import socket, time\n"
        f"s = socket.create_connection(({lab.addresses['n07']!r}, 5001))\n"
        "t = time.time(); s.sendall(bytes(12_500_000)); s.shutdown(1); s.recv(1)\n"
        "print(100 / (time.time() - t))"
    )
    listener = subprocess.Popen([*lab.into("n07"), "/usr/bin/python3", "-c", receive])
    try:
        deadline = time.monotonic() + 5
        while ":5001" not in lab.do("n07", "ss", "-ltn") and time.monotonic() < deadline:
            time.sleep(0.02)
        mbit_s = float(lab.do("n06", "/usr/bin/python3", "-c", send))
    finally:
        listener.kill()
        listener.wait()

    assert 100 < mbit_s < 230


def seen(lab: Lab, node: str, look: str) -> str:
    """What a shell on the node prints, or what ssh complains of."""
    done = lab.ssh(node, look)
    return done.stdout or done.stderr


COUNT_GPUS = """python3 -c '
from ctypes import *
nvml = CDLL("libnvidia-ml.so.1")
count = c_uint()
assert not nvml.nvmlInit_v2() and not nvml.nvmlDeviceGetCount_v2(byref(count))
print(count)'
"""
SHOWN = [
    ("refuse", "true", "Connection refused"),
    ("refuse_key", "true", "Permission denied"),
    ("host_key", "true", "Host key verification failed"),
    ("no_python", "python3 -V 2>&1", "not found"),
    ("half_rate", "cat /sys/class/infiniband/mlx5_3/ports/1/rate", "200 Gb/sec"),
    ("port_down", "cat /sys/class/infiniband/mlx5_3/ports/1/state", "1: DOWN"),
    ("symbol_errors", "cat /sys/class/infiniband/mlx5_3/ports/1/counters/symbol_error", "50000"),
    ("gpu_gone", "cat /etc/clusterctl-lab/nvml.conf", "count = 7"),
    ("pcie_x8", "cat /sys/bus/pci/devices/0000:c3:00.0/current_link_width", "8\n"),
    ("gpu_gone", "cat /sys/bus/pci/devices/*/vendor | grep -c 10de", "7\n"),
    ("xid79", "tail -n 1 /dev/kmsg", "NVRM: Xid (PCI:0000:43:00): 79,"),
    ("xid13", "tail -n 1 /dev/kmsg", "NVRM: Xid (PCI:0000:43:00): 13,"),
    ("mce", "cat /sys/devices/system/edac/mc/mc0/ue_count", "1\n"),
    ("disk_full", "stat -f -c '= %a left' /", "= 0 left"),
    ("ro_root", "touch /root/x 2>&1; grep ' / ' /proc/mounts", "/ overlay ro"),
    ("clock_off", "chronyc -n -c tracking", "Not synchronised"),
    ("service_failed", "systemctl --state=failed list-units", "nvidia-fabricmanager.service"),
    ("driver_drift", "cat /sys/module/nvidia/version", "535.161.08"),
    ("drive_worn", "nvme smart-log -o json /dev/nvme0", '"critical_warning":1'),
    ("gpus", COUNT_GPUS, "c_uint(7)"),
    ("hostile", "chronyc tracking | head -c 4", "\x1b[2J"),
    ("slow_nic", "tc qdisc show dev eth0", "rate 20Mbit"),
    ("loss", "iptables -S INPUT", "-j DROP"),
]


@pytest.mark.parametrize(("name", "look", "shows"), SHOWN, ids=[case[0] for case in SHOWN])
def test_a_fault_shows_on_its_node_and_no_other(lab, faults, name, look, shows) -> None:
    assert shows not in seen(lab, "n08", look)

    faults("n08", name)

    assert shows in seen(lab, "n08", look)
    assert shows not in seen(lab, "n09", look)


def test_clear_undoes_a_fault(lab, faults) -> None:
    faults("n08", "no_python")
    faults("n08", "clear")

    assert said(lab, "n08", "command -v python3") == "/usr/bin/python3\n"


def connect(lab: Lab, node: str, timeout_s: float) -> bytes:
    with socket.create_connection((lab.addresses[node], 22), timeout=timeout_s) as wire:
        return wire.recv(4)


def test_a_node_that_is_off_is_not_there(lab, faults) -> None:
    faults("n10", "off")

    with pytest.raises(OSError, match=r"No route to host|timed out"):
        connect(lab, "n10", 5)
    with pytest.raises(LabError, match="n10 is off"):
        lab.enter("n10", "true")


def test_a_dropping_node_answers_nothing_at_all(lab, faults) -> None:
    faults("n10", "drop")

    with pytest.raises(TimeoutError):
        connect(lab, "n10", 0.5)


def test_a_silent_node_accepts_and_says_nothing(lab, faults) -> None:
    faults("n10", "silent")

    wire = socket.create_connection((lab.addresses["n10"], 22), timeout=1)
    with wire, pytest.raises(TimeoutError):
        wire.recv(4)


def test_a_hanging_tool_survives_sigterm(lab, faults) -> None:
    faults("n10", "smi_hangs")

    look = "timeout -k 0.3 0.3 nvidia-smi >/dev/null 2>&1"
    assert lab.ssh("n10", look).returncode == 128 + signal.SIGKILL


def test_a_reboot_cuts_what_runs_and_brings_another_boot(lab, faults) -> None:
    before = said(lab, "n11", "cat /proc/sys/kernel/random/boot_id")
    running = subprocess.Popen(
        ["ssh", "-F", str(lab.ssh_config), "-o", "ServerAliveInterval=1", "n11", "sleep 600"],
        stderr=subprocess.DEVNULL,
    )
    while not any("sleep 600" in command for command in lab.processes("n11").values()):
        time.sleep(0.05)

    faults("n11", "reboot", "0.5")
    with pytest.raises(LabError, match="off"):
        lab.processes("n11")
    lab.await_sshd(["n11"])

    assert said(lab, "n11", "cat /proc/sys/kernel/random/boot_id") != before
    assert float(said(lab, "n11", "cat /proc/uptime").split()[0]) < 60
    assert not any("sleep" in command for command in lab.processes("n11").values())
    assert running.wait(timeout=20) == 255


def test_processes_shows_what_runs_on_a_node(lab: Lab) -> None:
    running = subprocess.Popen([*lab.into("n12"), "sleep", "61.7"])
    try:
        deadline = time.monotonic() + 5
        while "sleep 61.7" not in lab.processes("n12").values() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "sleep 61.7" in lab.processes("n12").values()
        assert "sleep 61.7" not in lab.processes("n13").values()
    finally:
        running.kill()
        running.wait()


def test_run_installs_what_the_lab_needs() -> None:
    words = (HERE.parent / "run").read_text().split()

    assert set(PACKAGES) <= {word.strip('"').removeprefix('packages="') for word in words}


def test_every_fault_says_what_it_does() -> None:
    listed = subprocess.run([HERE / "fault", "--list"], capture_output=True, text=True, check=True)

    assert all(fault.__doc__ for fault in FAULTS.values())
    assert len(listed.stdout.splitlines()) == len(FAULTS)


def test_faults_come_from_outside_the_tests_too(lab: Lab, faults) -> None:
    command = [HERE / "fault", "--dir", lab.folder, "n14"]
    subprocess.run([*command, "xid=48"], check=True)
    faults("n14", "clear")
    refused = subprocess.run([*command, "xyd"], capture_output=True, text=True, check=False)

    assert refused.returncode != 0
    assert "no fault 'xyd'" in refused.stderr


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def interfaces() -> set[str]:
    return {entry.name for entry in Path("/sys/class/net").iterdir()}


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


@pytest.mark.parametrize("victim", ["starter", "up", "watcher", "keeper"])
def test_nothing_stays_when_one_of_its_processes_is_killed(victim: str) -> None:
    before = interfaces()
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(HERE)], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    folder, up = starter.stdout.readline().split()
    lab = load(Path(folder))
    watcher = parent(lab.keeper)
    pids = {int(up), watcher, lab.keeper, *map(lab.pid, lab.nodes)}
    pids |= {pid for node in lab.nodes for pid in lab.processes(node)}
    added = interfaces() - before
    killed = {"starter": starter.pid, "up": int(up), "watcher": watcher, "keeper": lab.keeper}

    os.kill(killed[victim], signal.SIGKILL)
    if victim == "starter":
        starter.wait()
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline and (
        alive(pids - {int(up)}) or Path(folder).exists() or interfaces() & added
    ):
        time.sleep(0.05)
    starter.kill()
    starter.wait()

    assert len(added) == 1
    assert not alive(pids - {int(up)})
    assert not Path(folder).exists()
    assert not interfaces() & added
    assert folder not in Path("/proc/self/mounts").read_text()


def test_a_lab_in_the_background_stays_until_it_is_taken_down(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    up = [HERE / "up", "--nodes", "1", "--names", "x", "--dir", folder]
    inventory = subprocess.run(up, capture_output=True, text=True, check=True).stdout.strip()
    lab = load(folder)

    assert Path(inventory) == lab.inventory
    assert lab.nodes == ("x01",)
    assert said(lab, "x01", "hostname") == "x01\n"

    subprocess.run([HERE / "down", "--dir", folder], check=True)

    assert not folder.exists()
    assert not Path(f"/proc/{lab.keeper}").exists()


def test_up_refuses_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    up = [HERE / "up", "--dir", tmp_path]
    refused = subprocess.run(up, capture_output=True, text=True, check=False)

    assert refused.returncode == 2
    assert "is not empty" in refused.stderr
    assert (tmp_path / "precious").read_text() == "mine"

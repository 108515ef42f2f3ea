"""What asks about RoCE and Ascend ports, on a node whose /sys, /dev and /etc are ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clusterctl.catalog import fabric_probes
from clusterctl.model import Address, Kind, Trouble, Version

REMOTE = Path(__file__).parent.parent / "clusterctl" / "remote"
OLD = Path("/root/.pyenv/versions/3.6.15/bin/python3.6")
PYTHONS = [sys.executable, *([str(OLD)] if OLD.exists() else [])]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
QOS = """\
#!/bin/sh
printf 'Priority trust state: dscp\\nPFC configuration:\\n\\tpriority    0 1 2 3 4 5 6 7\\n'
printf '\\tenabled     0 0 0 1 0 0 0 0\\n'
"""
HCCN = """\
#!/bin/sh
case "$2" in
0) printf 'ipaddr:10.1.0.1\\nnetmask:255.255.255.0\\n\\n' ;;
1) printf 'ipaddr:10.1.0.7\\nnetmask:255.255.255.0\\n\\n' ;;
2) echo 'Get ipconf failed, because no ip was preset there!'; exit 13 ;;
*) echo 'device is not ready' >&2; exit 1 ;;
esac
"""


@pytest.fixture
def ask(tmp_path):
    """`ask(python, "roce_qos", {"sys/…": "text"}, mlnx_qos=SCRIPT)`: the probe's facts."""

    def asking(python: str, name: str, files: dict[str, str], **tools: str):
        for path, text in files.items():
            place = tmp_path / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        for tool, script in tools.items():
            (tmp_path / "bin").mkdir(exist_ok=True)
            (tmp_path / "bin" / tool).write_text(script)
            (tmp_path / "bin" / tool).chmod(0o755)
        tops = sorted({path.partition("/")[0] for path in files})
        mounts = "".join(f"mount --bind {tmp_path}/{top} /{top} && " for top in tops)
        question = fabric_probes()[name].question
        script = REMOTE / f"{question.script}.py"
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", f'{mounts}exec "$@"', "sh", python, "-I", str(script),
             *question.command],
            capture_output=True, text=True, check=False, timeout=60,
            env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "LD_LIBRARY_PATH": ""},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return list(fabric_probes()[name].parse(done.stdout))

    return asking


PORT = "sys/class/infiniband/mlx5_0/ports/1"
ROCE = {f"{PORT}/link_layer": "Ethernet\n", f"{PORT}/gid_attrs/ndevs/0": "eth2\n"}


@pytest.mark.parametrize("python", PYTHONS)
def test_a_roce_port_says_its_priorities(ask, python):
    assert ask(python, "roce_qos", ROCE, mlnx_qos=QOS) == [
        Version("rdma/mlx5_0/trust", "dscp"),
        Version("rdma/mlx5_0/pfc", "3"),
    ]


def test_an_infiniband_port_is_not_asked_about_pfc(ask):
    files = {f"{PORT}/link_layer": "InfiniBand\n", f"{PORT}/gid_attrs/ndevs/0": "ib0\n"}
    assert ask(sys.executable, "roce_qos", files, mlnx_qos=QOS) == []


def test_a_tool_that_fails_is_a_trouble_of_that_port(ask):
    (found,) = ask(sys.executable, "roce_qos", ROCE, mlnx_qos="#!/bin/sh\necho no >&2; exit 3\n")
    assert (found.kind, found.part, found.detail) == (Kind.EXIT, "mlx5_0", "mlnx_qos: 3: no")


NPUS = {
    "etc/hccn.conf": "address_0=10.1.0.1\nnetmask_0=255.255.255.0\naddress_1=10.1.0.2\n",
    **{f"dev/davinci{number}": "" for number in range(4)},
    "dev/davinci_manager": "",
}


@pytest.mark.parametrize("python", PYTHONS)
def test_an_npu_says_the_address_that_it_has(ask, python):
    *told, trouble = ask(python, "hccn", NPUS, hccn_tool=HCCN)
    assert told == [
        Address("npu0", "10.1.0.1", "10.1.0.1", "/etc/hccn.conf"),
        Address("npu1", "10.1.0.7", "10.1.0.2", "/etc/hccn.conf"),
        Address("npu2", "", "", "/etc/hccn.conf"),
    ]
    assert trouble == Trouble(Kind.EXIT, "hccn_tool: exit 1: device is not ready", "npu3")


def test_npus_without_their_tool_are_a_trouble(ask):
    (found,) = ask(sys.executable, "hccn", NPUS)
    assert (found.kind, found.detail) == (Kind.MISSING, "hccn_tool is not installed")


def test_a_node_without_npus_has_nothing_to_say(ask):
    assert ask(sys.executable, "hccn", {"dev/null": ""}) == []

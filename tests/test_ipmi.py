"""The node's own BMC: the real ipmitool against OpenIPMI's simulator, and what becomes of it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from scripted import NOON, Scripted, answers, said

from clusterctl.catalog import all_checks, all_probes
from clusterctl.model import Chassis, Fan, Kind, Node, Playbook, SelEvent, Sensor, Trouble
from clusterctl.run import World, sweep

IPMITOOL = all_probes()["ipmitool"]
REMOTE = Path(__file__).parent.parent / "clusterctl" / "remote"
OLD = Path("/root/.pyenv/versions/3.6.15/bin/python3.6")
PYTHONS = [sys.executable, *([str(OLD)] if OLD.exists() else [])]
CAPTURED = Path(__file__).parent / "captured" / "ipmitool"
LAN = """\
name "bmcsim"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  user 2 true "ops" "test" admin 10 none md2 md5 straight
"""


def sdr(number: int, name: str, kind: int, unit: int, entity: int, *, times: int, most: int) -> str:
    """A full sensor record: IPMI 2.0 specification, table 43-1."""
    body = [
        *(0x20, 0, number, entity, 1, 0x7F, 0x68, kind, 0x01),
        *(0x95, 0x7A, 0x95, 0x7A, 0x3F, 0x3F, 0, unit, 0, 0, times, 0, 0, 0, 0, 0, 0),
        *(0, 0, 0, 255, 0, most, most, most, 0, 0, 0, 1, 1, 0, 0, 0),
        *(0xC0 | len(name), *name.encode()),
    ]
    record = [0, 0, 0x51, 0x01, len(body), *body]
    return "main_sdr_add 0x20 " + " ".join(f"{byte:#04x}" for byte in record)


def program() -> str:
    """A board whose inlet is at 50 °C, above its 42; its fan turns, its log holds an ECC error."""
    none = " ".join(["0" * 15] * 4)
    lines = ["mc_setbmc 0x20"]
    lines += ["mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr"]
    lines += ["sel_enable 0x20 1000 0x0a", "sensor_add 0x20 0 1 0x01 0x01"]
    lines += ["sensor_add 0x20 0 2 0x04 0x01"]
    lines += ["sensor_set_threshold 0x20 0 1 settable 111000 0x2d 0x2a 0x28 0 0 0"]
    for number, value in ((1, 50), (2, 84)):
        lines += [f"sensor_set_event_support 0x20 0 {number} enable scanning per-state {none}"]
        lines += [f"sensor_set_value 0x20 0 {number} {value} 1"]
    lines += [sdr(1, "Inlet Temp", 0x01, 0x01, 0x07, times=1, most=0x2A)]
    lines += [sdr(2, "Fan1A", 0x04, 0x12, 0x07, times=60, most=0)]
    event = "0 0 0 0 0x20 0x00 0x04 0x0c 0x53 0x6f 0xa1 0xff 0xff"
    lines += [f"sel_add 0x20 0x02 {event}", "mc_enable 0x20"]
    return "\n".join(lines) + "\n"


def udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def bmc(tmp_path_factory):
    """A folder with an `ipmitool` that asks the simulator, and a file in place of /dev/ipmi0."""
    real, simulator = shutil.which("ipmitool"), shutil.which("ipmi_sim")
    if not real or not simulator:
        pytest.skip("ipmitool or openipmi is not installed")
    folder, port = tmp_path_factory.mktemp("bmc"), udp_port()
    (folder / "lan.conf").write_text(LAN.format(port=port))
    (folder / "board.emu").write_text(program())
    (folder / "ipmi0").touch()
    tool = folder / "ipmitool"
    reach = f"-I lan -H 127.0.0.1 -p {port} -U ops -P test"
    tool.write_text(f'#!/bin/sh\nexec {real} {reach} "$@"\n')
    tool.chmod(0o755)
    process = subprocess.Popen(
        [simulator, "-c", "lan.conf", "-f", "board.emu", "-s", "state", "-n"],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(50):
            if subprocess.run([tool, "mc", "info"], capture_output=True, check=False).returncode:
                time.sleep(0.1)
            else:
                break
        yield folder
    finally:
        process.kill()
        process.wait()


def ask(folder: Path, python: str, device: str = "ipmi0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, REMOTE / "ask_ipmitool.py", str(folder / device)],
        env={"PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip


@pytest.mark.parametrize("python", PYTHONS)
def test_the_simulated_board_tells_its_inlet_fan_power_and_log(bmc, python):
    done = ask(bmc, python)
    found = list(IPMITOOL.parse(done.stdout))
    assert not [one for one in found if isinstance(one, Trouble)], done.stdout
    inlet = next(one for one in found if isinstance(one, Sensor))
    assert (inlet.kind, inlet.measured, inlet.health) == ("inlet", 50.0, "critical")
    fan = next(one for one in found if isinstance(one, Fan))
    assert (fan.part, fan.rpm, fan.health) == ("Fan1A", 5040.0, "ok")
    event = next(one for one in found if isinstance(one, SelEvent))
    assert (event.event, event.asserted, event.at) == ("Uncorrectable ECC", True, None)
    assert next(one for one in found if isinstance(one, Chassis)).power == "off"


def test_a_node_without_a_bmc_has_nothing_to_tell_and_no_trouble(bmc):
    done = ask(bmc, sys.executable, "not-there")
    assert done.returncode == 0
    assert not list(IPMITOOL.parse(done.stdout))


def test_a_bmc_without_the_tool_is_missing_it(tmp_path):
    if any(Path(place, "ipmitool").exists() for place in ("/usr/sbin", "/sbin", "/usr/local/bin")):
        pytest.skip("ipmitool stands where the script looks besides PATH")
    (tmp_path / "ipmi0").touch()
    done = subprocess.run(
        [sys.executable, REMOTE / "ask_ipmitool.py", str(tmp_path / "ipmi0")],
        env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 127
    assert "not found" in done.stderr


def swept(**texts: str):
    book = Playbook(
        "test",
        probes=(IPMITOOL,),
        checks=tuple(
            all_checks()[name]
            for name in ("psu", "fan", "inlet_temperature", "board_sensors", "sel", "rack_power")
        ),
    )
    there = Scripted({name: answers(said("ipmitool", text)) for name, text in texts.items()})
    nodes = [Node(name, labels={"rack": "r1", "rack_power_w": "6000"}) for name in texts]
    world = World(reach=lambda _name, _s: there, clock=lambda: NOON, seed=1, run_id="r")
    run = sweep(book, nodes, world)
    return {(one.check, one.verdict.node, one.verdict.part): one.verdict for one in run.findings}


def test_every_planted_fault_is_named_and_the_healthy_node_passes():
    found = swept(
        n1=(CAPTURED / "healthy.txt").read_text(), n2=(CAPTURED / "troubled.txt").read_text()
    )
    bad = {key[::2] for key, one in found.items() if key[1] == "n1" and one.status == "fail"}
    assert not bad
    assert found["psu", "n1", "psu1"].status == "pass"
    for check, part in (
        ("psu", "psu1"),
        ("fan", "Fan1A"),
        ("inlet_temperature", "Inlet Temp"),
        ("board_sensors", "bmc"),
    ):
        assert found[check, "n2", part].status == "fail", (check, part)
    assert found["psu", "n2", "psu1"].why == "the supply has no feed"
    # Its log was not read to the end: nobody may say that it holds nothing.
    assert found["observed", "n2", "ipmitool"].status == "unknown"
    assert found["sel", "n2", "sel:Mmry ECC Sensor"].status == "fail"


def test_power_of_the_bmc_joins_the_racks_sum():
    healthy = (CAPTURED / "healthy.txt").read_text()
    one = swept(n1=healthy)["rack_power", "n1", "rack=r1"]
    assert (one.status, one.actual) == ("pass", "5210 W by 1 of 1 nodes")
    two = swept(n1=healthy, n2=healthy)["rack_power", "n1", "rack=r1"]
    assert (two.status, two.actual) == ("fail", "10420 W by 2 of 2 nodes")
    blind = swept(n1=healthy, n2=(CAPTURED / "no_bmc.txt").read_text())
    assert blind["rack_power", "n1", "rack=r1"].status == "unknown"


def test_rubbish_is_unknown_everywhere():
    found = swept(n1="\0\0\0\n")
    assert found["observed", "n1", "ipmitool"].actual == Kind.UNREADABLE
    assert {one.status for key, one in found.items() if key[0] == "psu"} == {"unknown"}

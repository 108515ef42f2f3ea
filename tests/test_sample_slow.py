"""Power meters, supplies and modules, sampled at their own pace beside a soak."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clusterctl import remote

REMOTE = Path(remote.__file__).parent
OLD = sorted(Path.home().glob(".pyenv/versions/3.6.*/bin/python3.6"))
DRIVER = """
import sys
sys.path.insert(0, sys.argv[1])
import sample_slow
sample_slow.HWMON, sample_slow.NET, sample_slow.PLACES = sys.argv[2:4] + [sys.argv[4:5]]
sample_slow.CALL_S = 1.0
sample_slow.main(*sys.argv[5:])
"""
QSFP = """
echo '\tIdentifier                                : 0x11 (QSFP28)'
echo '\tRcvr signal avg optical power(Channel 1)  : 0.7682 mW / -1.15 dBm'
echo '\tRcvr signal avg optical power(Channel 2)  : 0.0000 mW / -inf dBm'
echo '\tLaser output power high alarm threshold   : 3.4674 mW / 5.40 dBm'
echo '\tTransmit avg optical power (Channel 1)    : 0.9000 mW / -0.46 dBm'
echo '\tModule temperature                        : 46.50 degrees C / 115.70 degrees F'
"""


def put(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text + "\n")
    return folder


@pytest.mark.parametrize("python", [sys.executable, *map(str, OLD[:1])])
def test_it_says_all_once_and_then_what_changed(tmp_path, python):
    hwmon, net, places = tmp_path / "hwmon", tmp_path / "net", tmp_path / "bin"
    put(hwmon / "hwmon0", name="coretemp", temp1_input="40000")
    put(hwmon / "hwmon2", name="power_meter", power1_average="6250000000")
    supply = put(hwmon / "hwmon4", name="pfe1100", power1_label="pin", power1_input="650900000",
                 in1_label="vin", in1_input="231500")  # fmt: skip
    put(hwmon / "hwmon5", name="pfe1100", power1_label="pin", power1_input="garbage")
    for device in ("eth0", "eth1", "eth2"):
        (net / device / "device").mkdir(parents=True)
    (net / "eth2" / "device" / "physfn").mkdir()  # a virtual function has its parent's module
    tool = put(places, ethtool=f"#!/bin/sh\n[ $2 = eth0 ] || exit 1\n{QSFP}") / "ethtool"
    tool.chmod(0o755)
    words = [python, "-c", DRIVER, REMOTE, hwmon, net, places, "0.2", "600"]
    with subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, text=True) as process:
        try:
            first = json.loads(process.stdout.readline())
            (supply / "in1_input").write_text("0\n")
            changes = next(
                found for _ in range(50) if (found := json.loads(process.stdout.readline()))
            )
        finally:
            process.kill()
    said = dict(zip(first["names"], first["values"], strict=True))
    assert said == {
        "meter.hwmon2.node_w": 6250, "psu.hwmon4.in_w": 650, "psu.hwmon4.in_v": 231,
        "psu.hwmon5.in_w": "!", "optic.eth0.rx1_nw": 768200, "optic.eth0.rx2_nw": 0,
        "optic.eth0.tx1_nw": 900000, "optic.eth0.temp_c": 46,
    }  # fmt: skip
    assert changes == [first["names"].index("psu.hwmon4.in_v"), 0]


def test_a_module_that_hangs_costs_its_own_values(tmp_path):
    (tmp_path / "net" / "eth0" / "device").mkdir(parents=True)
    tool = put(tmp_path / "bin", ethtool="#!/bin/sh\nexec sleep 30") / "ethtool"
    tool.chmod(0o755)
    words = [sys.executable, "-c", DRIVER, REMOTE, tmp_path / "none", tmp_path / "net",
             tmp_path / "bin", "60", "600"]  # fmt: skip
    with subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert json.loads(process.stdout.readline()) == {"names": [], "values": []}
        finally:
            process.kill()

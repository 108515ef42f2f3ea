"""What asks NICs in depth, on a node whose /sys is ours, and what a sweep makes of the answers."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from scripted import NOON, Scripted, answers, nodes, said

from clusterctl import playbook
from clusterctl.catalog import all_checks, all_probes, fabric_probes, named_probes
from clusterctl.judge import judge
from clusterctl.model import Evidence, Kind, Playbook, Setting, Status, Trouble, Version
from clusterctl.observe import observe
from clusterctl.probes import ethtool

HERE = Path(__file__).parent
REMOTE = HERE.parent / "clusterctl" / "remote"
TEXTS = HERE / "nic_texts"
OLD = Path("/root/.pyenv/versions/3.6.15/bin/python3.6")
PYTHONS = [sys.executable, *([str(OLD)] if OLD.exists() else [])]
root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
BUS = "devices/pci0000:00/"
MLXLINK = """\
#!/bin/sh
[ "$2 $3" = "0000:1b:00.0 -m" ] && exec cat {folder}/good
[ "$2 $3" = "0000:2c:00.0 -m" ] && exec sleep 60
echo "-E- Failed to open device: $2" >&2; exit 1
"""
MLXCONFIG = """\
#!/bin/sh
[ "$3 $4" = "-e query" ] || exit 9
exec cat {folder}/good
"""


@pytest.fixture
def ask(tmp_path):
    """`ask(python, probe, *arguments, tool=SCRIPT)`: facts, with four RDMA devices in /sys."""
    devices = {
        "mlx5_0": ("0000:1b:00.0", "0x15b3", ""),
        "mlx5_1": ("0000:2c:00.0", "0x15b3", ""),
        "mlx5_2": ("0000:2c:00.1", "0x15b3", "physfn"),
        "mlx5_3": ("0000:3d:00.0", "0x15b3", ""),
        "bnxt_re0": ("0000:4e:00.0", "0x14e4", ""),
    }
    for name, (address, vendor, virtual) in devices.items():
        place = tmp_path / "sys" / BUS / address
        (place / "infiniband" / name).mkdir(parents=True)
        (place / "vendor").write_text(vendor + "\n")
        (place / "class").write_text("0x020700\n")
        (place / "config").write_bytes(config(relaxed=name != "mlx5_3"))
        if virtual:
            (place / virtual).mkdir()
        rdma = tmp_path / "sys/class/infiniband" / name
        (rdma / "ports/1").mkdir(parents=True)
        (rdma / "device").symlink_to(f"../../../{BUS}{address}")
        bus = tmp_path / "sys/bus/pci/devices"
        bus.mkdir(parents=True, exist_ok=True)
        (bus / address).symlink_to(f"../../../{BUS}{address}")

    def asking(python: str, name: str, *arguments: str, good: str = "", **tools: str):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "good").write_text(good)
        for tool, script in tools.items():
            (tmp_path / "bin" / tool).write_text(script.format(folder=tmp_path))
            (tmp_path / "bin" / tool).chmod(0o755)
        probe = {**named_probes(), **fabric_probes()}[name]
        command = [python, "-I", str(REMOTE / f"{probe.question.script}.py")]
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", f'mount --bind {tmp_path}/sys /sys && exec "$@"', "sh",
             *command, *(arguments or probe.question.command)],
            capture_output=True, text=True, check=False, timeout=60,
            env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "LD_LIBRARY_PATH": ""},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return list(probe.parse(done.stdout))

    return asking


def config(*, relaxed: bool) -> bytes:
    """Configuration space: a power management capability at 0x40, PCI Express at 0x60."""
    space = bytearray(256)
    space[0x34], space[0x40], space[0x41], space[0x60] = 0x40, 0x01, 0x60, 0x10
    word = (5 << 12) | (1 << 5) | (1 << 4 if relaxed else 0)
    space[0x68], space[0x69] = word & 0xFF, word >> 8
    return bytes(space)


@root
@pytest.mark.parametrize("python", PYTHONS)
def test_each_mellanox_port_is_asked_in_turn_and_a_hung_call_costs_its_own(ask, python):
    good = (TEXTS / "mlxlink__bare.json").read_text()
    found = ask(python, "mlxlink", "link", "30", "1", good=good, mlxlink=MLXLINK)
    facts = {type(one).__name__: one.part for one in found if not isinstance(one, Trouble)}
    assert facts == {"BitErrors": "mlx5_0/1", "Version": "fec/mlx5_0/1", "Optic": "mlx5_0/1"}
    assert [(one.kind, one.part) for one in found if isinstance(one, Trouble)] == [
        (Kind.TIMEOUT, "mlx5_1/1"),
        (Kind.EXIT, "mlx5_3/1"),
    ]


@root
@pytest.mark.parametrize("python", PYTHONS)
def test_firmware_settings_by_mstconfig_where_mlxconfig_is_not(ask, python):
    good = (TEXTS / "mlxconfig__bare.txt").read_text()
    found = ask(python, "mlxconfig", good=good, mstconfig=MLXCONFIG)
    assert not [one for one in found if isinstance(one, Trouble)]
    devices = {one.device for one in found if isinstance(one, Setting)}
    assert devices == {"mlx5_0", "mlx5_1", "mlx5_3"}
    assert Version("nic/mlx5_0/MAX_ACC_OUT_READ", "44") in found


@root
def test_cards_without_their_tool_are_a_trouble(ask):
    (found,) = ask(sys.executable, "mlxlink")
    assert (found.kind, found.detail) == (
        Kind.MISSING,
        "none of these is installed: mlxlink mstlink",
    )


@root
@pytest.mark.parametrize("python", PYTHONS)
def test_relaxed_ordering_is_read_of_configuration_space(ask, python):
    found = ask(python, "pcie_settings")
    assert Version("pcie/mlx5_0/relaxed_ordering", "on") in found
    assert Version("pcie/mlx5_3/relaxed_ordering", "off") in found
    assert Version("pcie/bnxt_re0/max_payload_bytes", "256") in found
    assert Version("pcie/mlx5_0/max_read_request_bytes", "4096") in found
    assert not [one for one in found if "mlx5_2" in getattr(one, "part", "")]


def test_what_only_root_may_read_is_one_trouble():
    rows = "clusterctl\tpcie\t1\n" + "".join(
        f"refused\t0000:{bus}:00.0\tEACCES\n" for bus in ("1b", "2c")
    )
    (found,) = fabric_probes()["pcie_settings"].parse(rows + "end\t3\n")
    assert found.kind is Kind.DENIED
    assert "2 devices, 0000:1b:00.0 first" in found.detail


# ------------------------------------------------------------------ through the whole pipe


def swept(probes, checks, *given):
    """{(check, part): verdicts that are no PASS} of one node that gave these answers."""
    (node,) = nodes(1)
    seen = observe(node, probes, Scripted({node.name: answers(*given)}), lambda: NOON)
    book = Playbook("t", probes=probes, checks=tuple(all_checks()[name] for name in checks))
    found: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for one in judge(book, (node,), seen, probes={probe.name: probe for probe in probes}):
        verdict = one.verdict
        row = found.setdefault((one.check, verdict.part), [])
        if verdict.status is not Status.PASS:
            row.append((str(verdict.status), str(verdict.severity), verdict.actual))
    return found


def test_a_signal_full_of_errors_is_named_with_its_dim_lane():
    probes = (named_probes()["mlxlink"],)
    text = (TEXTS / "mlxlink__three_ports.txt").read_text()
    found = swept(probes, ("bit_errors", "optics"), said("mlxlink", text))
    assert found["bit_errors", "mlx5_0/1"] == found["optics", "mlx5_0/1"] == []
    assert found["bit_errors", "mlx5_1/1"] == [
        ("fail", "isolate", "3e-09"),
        ("warn", "observe", "4e-05"),
        ("warn", "observe", "lane 3: 7.6 dB below the best, 4e-05"),
        ("warn", "observe", "Bad signal integrity; check the cable"),
    ]
    assert ("fail", "isolate", "Rx LOS on lane 3") in found["optics", "mlx5_1/1"]
    assert found["observed", "mlxlink:mlx5_2/1"] == [("unknown", "observe", "exit")]
    assert found["observed", "mlxlink:mlx5_3/1"] == [("unknown", "observe", "timeout")]


def test_a_setting_that_waits_and_one_that_is_too_small_are_named():
    probes = (named_probes()["mlxconfig"],)
    text = (TEXTS / "mlxconfig__two_devices.txt").read_text()
    found = swept(probes, ("nic_settings",), said("mlxconfig", text))
    assert found["nic_settings", "mlx5_0"] == []
    assert found["nic_settings", "mlx5_1"] == [
        ("warn", "observe", "16"),
        ("warn", "reboot-node", "PCI_WR_ORDERING per_mkey(0)"),
    ]


def test_a_leg_of_a_bond_that_is_down_is_named():
    text = (HERE / "captured/bonding/one_leg_down_and_a_garbled_bond.txt").read_text()
    found = swept((all_probes()["bonding"],), ("bonds",), said("bonding", text))
    assert found["bonds", "bond0"] == [
        ("fail", "isolate", "ens1f1np1 down"),
        ("fail", "isolate", "ens1f1np1 apart"),
    ]
    assert found["observed", "bonding:bond1"] == [("unknown", "observe", "unreadable")]


@pytest.mark.parametrize("exit_code", [0, 1, None])
@pytest.mark.parametrize("stdout", ["", "binary \0 rubbish", "half"])
def test_no_broken_answer_about_bonds_passes(exit_code, stdout):
    whole = (HERE / "captured/bonding/lacp_healthy.txt").read_text()
    text = whole[: len(whole) // 2] if stdout == "half" else stdout
    found = swept((all_probes()["bonding"],), ("bonds",), said("bonding", text, exit_code))
    told = [row for (check, _), rows in found.items() if check == "bonds" for row in rows]
    assert {status for status, *_ in told} == {"unknown"}


@pytest.mark.parametrize(
    "name",
    [
        *("rx_fcs_err_frames", "rx_fec_uncorrectable_blocks", "rx_pcs_symbol_err"),  # bnxt_en
        "rx_stat_discard",
        *("rx_crc_errors.nic", "illegal_bytes.nic", "rx_dropped.nic"),  # ice
        *("port.rx_crc_errors", "port.rx_dropped"),  # i40e
        *("mac_rx_fcs_err_pkt_num", "mac_rx_sym_err_pkt_num"),  # hinic
        *("frames_rx_bad_fcs", "rsfec_uncorrectable_word", "frames_rx_dropped"),  # ionic
        *("rx_crc_errors_phy", "rx_discards_phy"),  # mlx5_core
    ],
)
def test_a_counter_of_any_driver_that_rises_warns(name):
    now, *_ = ethtool.parse(f"NIC statistics:\n     {name}: 1000\n")
    then = replace(now, counters={name: 0})
    check = all_checks()["port_errors"]
    (node,) = nodes(1)
    evidence = Evidence(node, (now,), check.limits, earlier=(then,), seconds=3600.0)
    (verdict,) = check.judge([evidence])
    assert (verdict.status, verdict.part) == (Status.WARN, "port")
    assert name in verdict.expected


def test_what_is_heavy_on_firmware_is_asked_only_where_a_playbook_names_it():
    assert not set(named_probes()) & {probe.name for probe in playbook.load("nightly").probes}
    book = playbook.build("x.yml", {"name": "x", "probes": ["all", "mlxlink", "mlxconfig"]})
    assert {*all_probes(), "mlxlink", "mlxconfig"} == {probe.name for probe in book.probes}
    assert {"bit_errors", "nic_settings"} <= {check.name for check in book.checks}

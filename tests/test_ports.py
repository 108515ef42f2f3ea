"""RDMA and Ethernet ports: what is kept of the answers, and that silence is not a good port."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clusterctl.model import Kind, Optic, Port, Trouble, Version
from clusterctl.probes import ethtool, sysfs_rdma

HERE = Path(__file__).parent
SCRIPT = HERE.parent / "clusterctl" / "remote" / "ask_ethtool.py"
CAPTURES = HERE.parent.parent / "shared" / "captures"
RDMA = (HERE / "captured" / "sysfs_rdma" / "two_ports.txt").read_text()
ETHTOOL = (HERE / "captured" / "ethtool" / "optic_and_down.txt").read_text()

captures = pytest.mark.skipif(not CAPTURES.exists(), reason="the captures are not here")
a_port = pytest.mark.skipif(
    not list(Path("/sys/class/net").glob("[!l][!o]*")), reason="no network device here"
)
FAKE = """\
#!/bin/sh
case "$1" in
--version) echo "ethtool version 6.1" ;;
-i) cat {folder}/i ;;
-S) cat {folder}/S ;;
-m) cat {folder}/m ;;
-I) [ "$2" = --show-fec ] && sh {folder}/fec ;;
*) cat {folder}/settings ;;
esac
"""


def of(kind, found):
    return [one for one in found if isinstance(one, kind)]


# ------------------------------------------------------------------ sysfs_rdma


def test_no_cut_of_the_rdma_answer_shows_a_port():
    assert of(Port, sysfs_rdma.parse(RDMA))
    for place in range(len(RDMA)):
        found = list(sysfs_rdma.parse(RDMA[:place]))
        assert not of(Port, found)
        assert [one.kind for one in found] == [Kind.CUT]


@pytest.mark.parametrize("name", ["state", "phys_state", "rate"])
def test_a_port_that_lacks_a_file_is_a_trouble(name):
    text = re.sub(rf"(?m)^.*/mlx5_0/ports/1/{name}\t.*\n", "", RDMA)
    found = list(sysfs_rdma.parse(text))
    assert [one.part for one in of(Port, found)] == ["mlx5_bond_0/1"]
    assert [one.part for one in of(Trouble, found)] == ["mlx5_0/1"]


def test_management_devices_are_no_ports():
    doors = "".join(
        f"/sys/class/infiniband/{name}/ports/1/state\t4: ACTIVE\n" for name in ("issm0", "umad0")
    )
    assert list(sysfs_rdma.parse(doors + RDMA)) == list(sysfs_rdma.parse(RDMA))


def test_of_many_network_devices_on_one_function_none_is_the_ports():
    more = RDMA.replace(
        "/sys/class/infiniband/mlx5_0/device/net/ibp26s0/dev_port\t0\n",
        "/sys/class/infiniband/mlx5_0/device/net/pf0\t0\n"
        "/sys/class/infiniband/mlx5_0/device/net/pf0vf0/dev_port\t0\n"
        "/sys/class/infiniband/mlx5_0/device/net/pf0vf1/dev_port\t0\n",
    )
    assert of(Port, sysfs_rdma.parse(more))[0].netdev is None


@captures
def test_a_real_h100_node_shows_nine_ports():
    (file,) = (CAPTURES / "sys-class-infiniband").iterdir()
    rows = [line.replace(": ", "\t", 1) for line in file.read_text().splitlines()]
    text = "".join(f"/sys/class/infiniband/{row}\n" for row in rows) + f"{sysfs_rdma.END}\tLinux\n"
    found = list(sysfs_rdma.parse(text))
    ports = {port.part: port for port in of(Port, found)}
    assert not of(Trouble, found)
    assert len(ports) == 9
    assert {(port.state, port.phys_state) for port in ports.values()} == {("active", "linkup")}
    assert [port.rate_gbit_s for port in ports.values()] == [400.0] * 8 + [200.0]
    assert ports["mlx5_1/1"].counters["link_downed"] == 255
    assert ports["mlx5_bond_0/1"].link_layer == "ethernet"
    assert Version("firmware/mlx5_0", "28.41.1000") in found


# ------------------------------------------------------------------ ethtool: the answer


def test_no_cut_of_the_ethtool_answer_shows_a_port_it_did_not_finish():
    whole = list(ethtool.parse(ETHTOOL))
    for place in range(len(ETHTOOL)):
        found = list(ethtool.parse(ETHTOOL[:place]))
        assert of(Trouble, found)
        assert set(map(repr, of(Port, found))) < set(map(repr, of(Port, whole)))
        assert set(map(repr, of(Optic, found))) <= set(map(repr, of(Optic, whole)))


@pytest.mark.parametrize(
    ("driver", "kept"),
    [
        (
            "mlx5_core",
            [
                "rx_discards_phy",
                "rx_out_of_buffer",
                "rx_crc_errors_phy",
                "rx_symbol_err_phy",
                "rx_prio3_pause",
                "rx_pcs_symbol_err_phy",
                "rx_corrected_bits_phy",
                "rx_prio0_discards",
                "link_down_events_phy",
                "tx_pause_storm_warning_events",
                "rx_ecn_mark",
                "module_unplug",
                "outbound_pci_stalled_wr",
            ],
        ),
        (
            "bnxt_en",
            [
                "rx_fcs_err_frames",
                "rx_stat_discard",
                "link_down_events",
                "continuous_roce_pause_events",
                "rx_pfc_frames",
                "rx_fec_uncorrectable_blocks",
                "rx_total_ring_discards",
                "rx_pcs_symbol_err",
            ],
        ),
        (
            "ionic",
            [
                "frames_rx_bad_fcs",
                "frames_rx_bad_all",
                "frames_rx_pripause",
                "frames_rx_stomped_crc",
                "hw_rx_dropped",
                "frames_rx_jabber",
            ],
        ),
        (
            "hinic3",
            ["mac_rx_fcs_err_pkt_num", "mac_rx_sym_err_pkt_num", "mac_rx_pfc_pri3_pkt_num"],
        ),
        (
            "ice",
            ["rx_crc_errors.nic", "link_xoff_rx.nic", "mac_local_faults.nic", "illegal_bytes.nic"],
        ),
        (
            "i40e",
            ["port.rx_crc_errors", "port.link_xoff_rx", "port.tx_dropped_link_down"],
        ),
        (
            "virtio_net",
            ["rx_drops", "tx_tx_timeouts"],
        ),
    ],
)
def test_the_counters_that_matter_are_kept(driver, kept):
    stats = dict.fromkeys(kept, "1")
    told = ethtool.Told(sys={"driver": driver}, stats=stats)
    assert dict(ethtool.wanted_counters(told)) == stats


@pytest.mark.parametrize(
    "name",
    [
        "rx0_ecn_mark",
        "tx17_dropped",
        "[3]:_rx_discards",
        "rx_queue_0_drops",
        "rxq3_errors",
        "ch4_force_irq",
        "rx-0.rx_drops",
        "rx_xdp_drop",
        "rx_cache_full",
        "tx_bytes_phy",
        "rx_csum_unnecessary",
        "rx_interrupts",
        "frames_rx_9217b_16383b",
    ],
)
def test_what_queues_and_caches_count_is_left_out(name):
    told = ethtool.Told(sys={"driver": "mlx5_core"}, stats={name: "1"})
    assert not dict(ethtool.wanted_counters(told))


# ------------------------------------------------------------------ ethtool: the script


def run_script(path: str, *budget: str) -> list[object]:
    _, _, wanted, unwanted = ethtool.PROBES[0].question.command
    command = [sys.executable, str(SCRIPT), *(budget or ("20", "5")), wanted, unwanted]
    done = subprocess.run(
        command, capture_output=True, check=True, timeout=60, env={"PATH": path, "LC_ALL": "C"}
    )
    return list(ethtool.parse(done.stdout.decode()))


def fake_tool(folder: Path, **says: str) -> str:
    """A PATH whose ethtool says this of every device."""
    tool = folder / "ethtool"
    tool.write_text(FAKE.format(folder=folder))
    tool.chmod(0o755)
    for option in ("i", "S", "m", "settings"):
        (folder / option).write_text(says.get(option, ""))
    (folder / "fec").write_text(says.get("fec", "echo 'Operation not supported' >&2; exit 1"))
    return f"{folder}:/usr/bin:/bin"


@a_port
def test_every_port_of_this_machine_is_seen():
    found = run_script("/usr/bin:/bin")
    assert not of(Trouble, found)
    for port in of(Port, found):
        state = Path(f"/sys/class/net/{port.part}/operstate").read_text().strip()
        assert port.state in {ethtool.STATES.get(state), "active", "down", "unknown"}
        assert port.counters["rx_packets"] >= 0


@a_port
@pytest.mark.skipif(
    not list(Path("/sys/class/net").glob("*/device")), reason="no physical network device here"
)
@pytest.mark.parametrize(
    "shell",
    [shell for shell in (["sh"], ["bash"], ["busybox", "sh"]) if shutil.which(shell[0])],
    ids=" ".join,
)
def test_a_node_without_python_shows_the_same_ports(shell):
    command = [*shell, *ethtool.PROBES[0].question.without_python[1:]]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    found = list(ethtool.parse(done.stdout.decode()))
    assert not done.stderr
    assert not of(Trouble, found)
    seen = [(port.part, port.state, port.rate_gbit_s) for port in of(Port, found)]
    whole = [(one.part, one.state, one.rate_gbit_s) for one in of(Port, run_script("/bin"))]
    assert seen == whole


@a_port
def test_the_tools_words_become_counters_optics_and_firmware(tmp_path):
    queues = "".join(f"     rx{queue}_wqe_err: 0\n" for queue in range(5000))
    path = fake_tool(
        tmp_path,
        i="driver: fake\nfirmware-version: 28.39\nbus-info: 0000:65:00.0\n",
        S=f"NIC statistics:\n     rx_discards_phy: 7\n{queues}     duplicate metric: 1\n",
        m="\tIdentifier : 0x03 (SFP)\n\tLaser output power : 0.5012 mW / -3.00 dBm\n",
        settings="Settings for x:\n\tSupported link modes:   10baseT/Half 1000baseT/Full \n"
        "\t                        25000baseCR/Full \n\tSupported pause frame use: No\n",
    )
    found = run_script(path)
    assert not of(Trouble, found)
    port, optic = of(Port, found)[0], of(Optic, found)[0]
    assert port.counters["rx_discards_phy"] == 7
    assert not any("wqe" in name for name in port.counters)
    assert (port.firmware, port.rate_max_gbit_s) == ("28.39", 25.0)
    assert (optic.part, optic.tx_mw, optic.rx_mw) == (port.part, (0.5012,), None)
    assert Version("ethtool", "6.1") in found


@a_port
def test_blocks_that_could_not_be_corrected_are_counted(tmp_path):
    fec = "echo Active FEC encoding: RS; echo '  uncorrectable_blocks: 145'; echo '    Lane 0: 128'"
    found = run_script(fake_tool(tmp_path, fec=fec))
    assert not of(Trouble, found)
    lit = [port for port in of(Port, found) if "fec_uncorrectable_blocks" in port.counters]
    assert {port.counters["fec_uncorrectable_blocks"] for port in lit} == {145}
    assert Version(f"fec/{lit[0].part}", "RS") in found


@a_port
def test_an_ethtool_that_is_too_old_for_fec_is_no_trouble(tmp_path):
    old = "echo 'ethtool: bad command line argument(s)' >&2; exit 1"
    assert not of(Trouble, run_script(fake_tool(tmp_path, fec=old)))


@a_port
def test_a_tool_that_hangs_costs_its_own_answer_and_not_the_ports(tmp_path):
    tool = tmp_path / "ethtool"
    tool.write_text("#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n")
    tool.chmod(0o755)
    found = run_script(f"{tmp_path}:/usr/bin:/bin", "2", "0.5")
    assert of(Port, found)
    assert of(Trouble, found)
    assert {one.kind for one in of(Trouble, found)} == {Kind.TIMEOUT}


@a_port
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare"
)
def test_a_missing_tool_loses_no_port(tmp_path):
    _, _, wanted, unwanted = ethtool.PROBES[0].question.command
    hide = 'mount --bind "$0" /usr/sbin && PATH=/nowhere exec "$@"'
    command = [sys.executable, str(SCRIPT), "20", "5", wanted, unwanted]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", hide, str(tmp_path), *command],
        capture_output=True,
        check=True,
        timeout=60,
    )
    found = list(ethtool.parse(done.stdout.decode()))
    assert Version("ethtool", "missing") in found
    assert of(Port, found)
    assert not of(Trouble, found)


@a_port
@captures
@pytest.mark.parametrize(
    ("name", "tx", "rx", "alarms"),
    [
        ("m_ddm_netdata.txt", (3.6119,), (0.0044,), ()),
        (
            "m_ddm_no_fiber_netdata.txt",
            (3.0487,),
            (0.0001,),
            ("Laser rx power low alarm", "Laser rx power low warning"),
        ),
        ("m_no_ddm_netdata.txt", None, None, ()),
        ("m_sichek_sfp_dom.txt", (0.5012,), (0.4898,), ()),
        ("jc_ethtool--module-info.txt", None, None, ()),
    ],
)
def test_real_modules_are_read(tmp_path, name, tx, rx, alarms):
    path = fake_tool(tmp_path, m=(CAPTURES / "ethtool" / name).read_text())
    optic = of(Optic, run_script(path))[0]
    assert (optic.tx_mw, optic.rx_mw, optic.alarms) == (tx, rx, alarms)


@a_port
@captures
def test_real_driver_counters_are_read(tmp_path):
    capture = CAPTURES / "ethtool"
    path = fake_tool(
        tmp_path,
        S=(capture / "ethtool_S_mlx5_discards_5.15.txt").read_text(),
        i=(capture / "ethtool_i_node_exporter_eth0.txt").read_text(),
        settings=(capture / "ethtool_node_exporter_eth0_settings.txt").read_text(),
    )
    port = of(Port, run_script(path))[0]
    assert port.counters["rx_discards_phy"] == 58591428329
    assert port.counters["rx_out_of_buffer"] == 990473555
    assert port.counters["tx_pause_ctrl_phy"] == 5745055
    assert not any(re.match(r"rx\d", name) for name in port.counters)
    assert (port.firmware, port.rate_max_gbit_s) == ("0.5-4", 10.0)

"""What people paste of NIC and fabric tools: what a reader finds in it, and nothing more."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clusterctl import codec
from clusterctl.catalog import readers
from clusterctl.model import (
    Bandwidth,
    BitErrors,
    Collective,
    Optic,
    PcieDevice,
    Port,
    Psu,
    Setting,
    Trouble,
    Version,
)

HERE = Path(__file__).parent
CAPTURES = HERE.parent.parent / "shared" / "captures"
captures = pytest.mark.skipif(not CAPTURES.exists(), reason="the captures are not here")
TEXTS = sorted((HERE / "nic_texts").iterdir())
ours = pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
RUBBISH = [
    "",
    "\n",
    "\0\0\0",
    "Segmentation fault\n",
    "<html>\n",
    "{}\n",
    "[]\n",
    "[[[[",
    "9" * 5000,
]
HEALTHY = {"active", "linkup", "ok", "up"}


def read(name: str, text: str):
    found = list(readers()[name.replace("-", "_")](text))
    for one in found:
        if not isinstance(one, Trouble):
            assert codec.read(json.loads(json.dumps(codec.spell(one)))) == one
    return found


def of(kind, found):
    return [one for one in found if isinstance(one, kind)]


def captured(path: str):
    return read(path.partition("/")[0], (CAPTURES / path).read_bytes().decode("utf-8", "replace"))


def tool(path: Path) -> str:
    return path.name.partition("__")[0]


# ------------------------------------------------------------------ our own look-alikes


@ours
def test_no_cut_raises_or_shows_a_healthy_part_that_the_whole_does_not(path):
    text = path.read_text()
    whole = {(one.part, one.state) for one in of(Port, read(tool(path), text))}
    for place in range(0, len(text), max(1, len(text) // 400)):
        for one in of(Port, read(tool(path), text[:place])):
            assert one.state not in HEALTHY or (one.part, one.state) in whole


@ours
def test_no_flip_of_a_letter_makes_a_port_active(path):
    text = path.read_text()
    active = len([one for one in of(Port, read(tool(path), text)) if one.state == "active"])
    for place in range(0, len(text), max(1, len(text) // 300)):
        flipped = text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]
        found = of(Port, read(tool(path), flipped))
        assert len([one for one in found if one.state == "active"]) <= active


@ours
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_mutation_raises(path, data):
    text = path.read_text()
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(text)))
        new = data.draw(
            st.text(max_size=6)
            | st.sampled_from(["nan", "-1", "9" * 400, "N/A", "\n", '"', "{", "null"])
        )
        text = text[:place] + new + text[place + len(new) :]
    read(tool(path), text)


@pytest.mark.parametrize("name", sorted({tool(path) for path in TEXTS}))
@pytest.mark.parametrize("rubbish", RUBBISH)
def test_rubbish_is_a_trouble_and_no_fact(name, rubbish):
    found = read(name, rubbish)
    assert found
    assert of(Trouble, found) == found


@pytest.mark.parametrize("name", ["nccl_tests__two_ranks", "hccl_test__null"])
def test_a_digit_that_is_none_costs_its_row(name):
    tables = (HERE / "nic_texts" / f"{name}.txt").read_text()
    whole = read(tool(Path(f"{name}.txt")), tables)
    garbled = re.sub(r"(?m)^( *)(1048576|8192) ", "\\g<1>1\u00b24 ", tables)
    found = read(tool(Path(f"{name}.txt")), garbled)
    assert len(of(Collective, found)) < len(of(Collective, whole))
    assert any("1\u00b24" in one.detail for one in of(Trouble, found))


def text(name: str) -> str:
    return (HERE / "nic_texts" / name).read_text()


def test_a_port_that_polls_is_down():
    ports = of(Port, read("ibstat", text("ibstat__one_polling.txt")))
    assert [(one.part, one.state, one.phys_state) for one in ports] == [
        ("mlx5_0/1", "active", "linkup"),
        ("mlx5_1/1", "down", "polling"),
    ]


def test_ibdev2netdev_says_which_network_device_it_is_with_and_without_v():
    ports = of(Port, read("ibdev2netdev", text("ibdev2netdev__one_down.txt")))
    assert [(one.part, one.netdev, one.state, one.pci) for one in ports] == [
        ("mlx5_0/1", "ens1np0", "active", "0000:1b:00.0"),
        ("mlx5_1/1", "ens2np0", "down", None),
    ]


def test_perfquery_counts_in_the_names_of_sysfs():
    (port,) = read("perfquery", text("perfquery__discards.txt"))
    assert port.counters == {
        "port_xmit_data": 371086,
        "symbol_error": 3,
        "link_downed": 1,
        "port_xmit_discards": 20046,
        "port_xmit_wait": 7,
    }
    assert port.state == "unknown"


def test_a_power_supply_without_current_is_critical():
    supplies = of(Psu, read("ibswinfo", text("ibswinfo__psu_dead.txt")))
    assert [(one.part, one.health, one.power_w) for one in supplies] == [
        ("psu0", "ok", 154.0),
        ("psu1", "critical", None),
    ]
    assert supplies[1].words == ("DC power: ERROR", "fan status: ERROR")


def test_of_our_own_question_mlxlink_tells_signal_and_module_and_each_failure():
    found = read("mlxlink", text("mlxlink__three_ports.txt"))
    assert not of(Port, found)
    clean, bad = of(BitErrors, found)
    assert clean.fec == bad.fec == "Standard RS-FEC - (544,514)"
    assert (clean.part, clean.raw_ber, clean.advice) == ("mlx5_0/1", 5e-10, "")
    assert (bad.part, bad.effective_ber, bad.effective_errors) == ("mlx5_1/1", 3e-9, 812)
    assert clean.most_corrected == 1
    assert of(Optic, found)[0].alarms == ()
    assert of(Optic, found)[1].alarms == ("Temperature [C]: 82 is above 80", "Rx LOS on lane 3")
    assert [(one.kind, one.part, one.detail) for one in of(Trouble, found)] == [
        ("exit", "mlx5_2/1", "exit 1: Failed to open device"),
        ("timeout", "mlx5_3/1", "no answer in time; it was stopped"),
    ]


def test_optical_power_is_told_in_milliwatts():
    (optic,) = of(Optic, read("mlxlink", text("mlxlink__bare.json")))
    assert optic.rx_mw == (2.2387, 2.0893, 2.0893, 1.8197)  # of 3.5, 3.2, 3.2 and 2.6 dBm
    assert optic.volt_v == 3.2355


def test_a_lane_without_light_is_dark_and_divides_nothing():
    dark = text("mlxlink__bare.json").replace("3.5,3.2,3.2,2.6", "-inf,3.2,3.2,2.6")
    (optic,) = of(Optic, read("mlxlink", dark))
    assert optic.rx_mw[0] == 0.0001
    assert optic.alarms == ("Rx Power Current [dBm] of lane 1: -60 is below -9.914",)


def test_a_bit_error_ratio_above_one_is_none():
    found = read("mlxlink", text("mlxlink__bare.json").replace("15E-255", "15E255"))
    assert not of(BitErrors, found)
    assert of(Trouble, found)


def test_mlxconfig_tells_what_matters_and_what_waits_for_a_reboot():
    found = read("mlxconfig", text("mlxconfig__two_devices.txt"))
    told = {one.part: (one.value, one.next_boot) for one in of(Setting, found)}
    assert told["mlx5_0/MAX_ACC_OUT_READ"] == ("44", "44")
    assert told["mlx5_1/PCI_WR_ORDERING"] == ("per_mkey(0)", "force_relax(1)")
    assert "mlx5_0/MEMIC_BAR_SIZE" not in told
    assert Version("nic/mlx5_0/PCI_WR_ORDERING", "force_relax(1)") in found
    assert [(one.part, one.kind) for one in of(Trouble, found)] == [("mlx5_2", "exit")]


SFP = """\
	Identifier                                : 0x03 (SFP)
	Vendor name                               : ACME
	Module temperature                        : 38.00 degrees C / 100.40 degrees F
	Laser tx power                            : 0.5012 mW / -3.00 dBm
	Receiver signal average optical power     : {rx} mW / -3.10 dBm
	Module temperature high alarm threshold   : 75.00 degrees C
	Module temperature low alarm threshold    : -5.00 degrees C
	Laser rx power high alarm threshold       : 1.0000 mW / 0.00 dBm
	Laser rx power low alarm threshold        : 0.0100 mW / -20.00 dBm
"""


@pytest.mark.parametrize(
    ("rx", "alarms"),
    [
        ("0.4898", ()),
        ("0.0100", ()),
        ("0.0042", ("rx power low alarm: 0.0042 and not 0.01",)),
        ("1.2000", ("rx power high alarm: 1.2 and not 1",)),
    ],
)
def test_a_module_without_flags_is_held_to_the_limits_stored_in_it(rx, alarms):
    (optic,) = read("ethtool", SFP.format(rx=rx))
    assert optic.alarms == alarms


def test_error_correction_is_told_with_what_it_could_not_correct():
    fec, port = read("ethtool", text("ethtool__fec.txt"))
    assert port.counters == {"fec_corrected_blocks": 256, "fec_uncorrectable_blocks": 145}
    assert fec == Version("fec/eth2", "RS")


def test_limits_of_zero_are_none_and_flags_of_its_own_win():
    zero = SFP.replace("0.0100 mW / -20.00", "0.0000 mW / -inf").replace("1.0000", "0.0000")
    assert read("ethtool", zero.format(rx="0.5000"))[0].alarms == ()
    flags = SFP.format(rx="0.0042") + "\tLaser rx power low alarm                  : Off\n"
    assert read("ethtool", flags)[0].alarms == ()


def test_nicctl_joins_a_port_with_its_statistics():
    up, down = of(Port, read("nicctl", text("nicctl__one_down.json")))
    assert (up.part, up.state, up.rate_gbit_s) == ("nic-049081000001", "active", 400.0)
    assert up.counters["rsfec_uncorrectable_word"] == 2
    assert (down.state, down.rate_gbit_s, down.rate_max_gbit_s) == ("down", None, 400.0)


def test_lspci_tells_lanes_and_relaxed_ordering():
    found = read("lspci", text("lspci__vv.txt"))
    nic, card = of(PcieDevice, found)
    assert (nic.gen, nic.gen_max, nic.width, nic.width_max) == (4, 5, 8, 16)
    assert Version("pcie/0000:1b:00.0/relaxed_ordering", "on") in found
    assert (card.kind, card.vendor, card.width) == ("accelerator", "nvidia", None)
    assert [(one.kind, one.part) for one in of(Trouble, found)] == [("denied", "0000:3b:00.0")]


def test_an_accelerator_that_lost_its_link_keeps_its_zero_lanes():
    lost = text("lspci__vv.txt").replace(
        "<access denied>",
        "[60]\n\t\tLnkCap: Port #0, Speed 32GT/s, Width x16\n\t\tLnkSta: Speed unknown, Width x0",
    )
    assert of(PcieDevice, read("lspci", lost))[1].width == 0


def test_the_tree_of_lspci_tells_addresses():
    assert [(one.part, one.kind) for one in read("lspci", text("lspci__tree.txt"))] == [
        ("0000:83:00.0", "accelerator"),
        ("0000:84:00.0", "nic"),
        ("0000:84:00.1", "nic"),
        ("0000:00:00.0", "other"),
        ("0000:01:00.0", "nvme"),
    ]


# ------------------------------------------------------------------ captures

# capture -> how many facts of each kind a reader counts in it
FOUND: dict[str, str] = json.loads((HERE / "nic_captures.json").read_text())


@captures
@pytest.mark.parametrize("path", FOUND)
def test_a_capture_holds_what_a_reader_counts(path):
    told = Counter(type(one).__name__ for one in captured(path))
    assert " ".join(f"{kind}:{count}" for kind, count in sorted(told.items())) == FOUND[path]


@captures
def test_every_capture_of_these_tools_is_counted():
    folders = {path.partition("/")[0] for path in FOUND}
    there = {f"{name}/{path.name}" for name in folders for path in (CAPTURES / name).iterdir()}
    assert there == set(FOUND)


@captures
def test_captures_show_the_faults_that_their_owners_saw():
    down = of(Port, captured("ibstat/h100_some_down_0.txt"))
    assert sum(one.state == "down" for one in down) == 3
    polling = of(Port, captured("ibstat/h100_some_down_polling.txt"))
    assert [one.phys_state for one in polling if one.state == "down"].count("polling") == 1
    (panic,) = of(Trouble, captured("ibstat/a100_ibpanic_exit255.txt"))
    assert "mlx5_8" in panic.detail
    dark = of(Optic, captured("ethtool/m_ddm_no_fiber_netdata.txt"))[0]
    assert (dark.rx_mw, dark.alarms[0]) == ((0.0001,), "Laser rx power low alarm")
    lost = of(Port, captured("ethtool/ethtool_S_mlx5_discards_5.15.txt"))[0]
    assert lost.counters["rx_discards_phy"] == 58591428329
    stages = captured("ibdiagnet/ibdiagnet_summary_table.txt")[0]
    assert (stages.failed["Speed / Width checks"], stages.warned["Nodes Information"]) == (15, 16)
    (slow,) = of(Port, captured("mlxlink/mlxlink__cx7_port200g_running_100g_mft4.34.txt"))
    assert (slow.rate_gbit_s, slow.rate_max_gbit_s) == (100.0, 200.0)
    (failed,) = captured("mlxlink/DERIVED_mlxlink_json__status_code1_failed_to_open.json")
    assert "Failed to open device" in failed.detail
    assert captured("ibswinfo/treydock_ibswinfo_test3.out")[3].health == "critical"
    (narrow,) = captured("lspci/lnksta_downgraded_2line.txt")
    assert (narrow.gen, narrow.gen_max, narrow.width, narrow.width_max) == (3, 4, 8, 16)
    (changed,) = of(Setting, captured("mlxconfig/mlxconfig_set_dialogue__cx6.txt"))
    assert (changed.value, changed.next_boot) == ("IB(1)", "ETH(2)")
    assert "retcode: 7" in captured("hccl_test/doc_retcode7_leftover_process.txt")[0].detail


@captures
def test_captures_show_the_values_that_they_state():
    json_of = "mlxlink/mlxlink_json__mft4.34.1_cx7_"
    (bits,) = of(BitErrors, captured(f"{json_of}400g-dr4.json"))
    assert (bits.raw_ber, bits.lane_ber) == (5e-10, (1e-10, 1e-9, 4e-10, 5e-10))
    (bins,) = of(BitErrors, captured(f"{json_of}fec_histogram_serdes.json"))
    assert bins.most_corrected == 8
    cards = of(PcieDevice, captured("lspci/lspci_nn_a100.txt"))
    assert sum(one.kind == "accelerator" for one in cards) == 8
    tree = of(PcieDevice, captured("lspci/lspci_tv__hpe-mi100.txt"))
    assert [one.part for one in tree if one.kind == "accelerator"][:2] == [
        "0000:ca:00.0",
        "0000:d0:00.0",
    ]
    racks = of(Collective, captured("nccl-tests/all_reduce_perf__gb200_20racks.txt"))
    assert {(one.ranks, one.operation) for one in racks} == {(1440, "all_reduce")}
    (rate,) = of(Bandwidth, captured("perftest/superbench_ib_loopback_8M_size.txt"))
    assert rate.gbit_s == pytest.approx(24056.72 * 8 * 1048576 / 1e9, abs=1e-3)
    hccl = of(Collective, captured("hccl_test/doc_all_reduce_8npu_success.txt"))
    assert hccl[-1].algbw_gbyte_s == 23.76245
    nic = of(Port, captured("nicctl/amdmock_nicctl_show_port_statistics_j.txt"))[0]
    assert (
        nic.counters["rsfec_ch_symbol_err_cnt"],
        nic.counters["number_of_link_down_events"],
    ) == (7, 11)


@captures
@pytest.mark.parametrize("path", FOUND)
def test_no_cut_of_a_capture_raises(path):
    name, whole = path.partition("/")[0], (CAPTURES / path).read_bytes().decode("utf-8", "replace")
    for place in range(0, len(whole), max(1, len(whole) // 12)):
        list(readers()[name.replace("-", "_")](whole[:place]))
        list(readers()[name.replace("-", "_")](whole[place:]))

"""Ascend NPUs as real machines printed them: values that a reader writes down from the file."""

from __future__ import annotations

from random import Random

import pytest
from ascend_texts import CAPTURES, MIB, OWN, capture, each, here, read

from clusterctl.model import (
    Accelerator,
    Address,
    DeviceProcess,
    Kind,
    Link,
    Optic,
    Port,
    Version,
)

# file: how many accelerators; of the named one, spot values; kinds of trouble and their parts
CARDS: dict[str, tuple[int, dict[str, dict[str, object]], list[tuple[Kind, str]]]] = {
    "npu-smi/doc_info_23.0.rc3_busy.txt": (
        8,
        {
            "npu3": {
                "pci": "0000:01:00.0",
                "health": "ok",
                "power_w": 69.6,
                "temp_c": 44,
                "memory_total_bytes": 32768 * MIB,
                "memory_used_bytes": 30709 * MIB,  # "30709/ 32768"
            }
        },
        [],
    ),
    "npu-smi/doc_info_t_ecc.txt": (
        1,
        {"npu1": {"ecc_uncorrected_volatile": 0, "ecc_corrected_aggregate": 0, "retired_pages": 0}},
        [],
    ),
    "npu-smi/fd910A_npu-smi_info_-i_0_-c_0_-t_board.txt": (
        1,
        {"npu0": {"model": "910A", "pci": "0000:61:00.0", "serial": ""}},
        [],
    ),
    "npu-smi/fd910A_npu-smi_info_-i_0_-c_0_-t_health.txt": (
        1,
        {"npu": {"index": None, "health": "ok", "error_codes": ()}},
        [],
    ),
    "npu-smi/fd910A_npu-smi_info_-i_0_-t_board.txt": (1, {"npu0": {"pci": "0000:61:00.0"}}, []),
    "npu-smi/fd910A_npu-smi_info_-i_0_-t_usages.txt": (
        1,
        {"npu0": {"utilisation_percent": 0, "memory_total_bytes": 31129 * MIB}},
        [],
    ),
    "npu-smi/fd910A_npu-smi_info_-m.txt": (
        8,
        {"npu7": {"model": "Ascend 910A", "health": None}},
        [],
    ),
    "npu-smi/flagperf_info_22.0.3_one910A.txt": (
        1,
        {"npu0": {"model": "910A", "power_w": None, "memory_total_bytes": 21534 * MIB}},
        [],
    ),
    "npu-smi/gpustack_ai-server_atlas-800-inference-server_model-3000_version-1.0.0-1.0.10.txt": (
        4,
        {"npu2": {"model": "310", "pci": "0000:dd:00.0", "temp_c": 57, "power_w": 12.8}},
        [],
    ),
    "npu-smi/gpustack_ai-server_atlas-800-inference-server_model-3000_version-1.0.0-1.0.10_mapping"
    ".txt": (4, {"npu3": {"model": "MiniD"}}, []),
    "npu-smi/gpustack_ai-server_atlas-800-inference-server_model-3000_version-1.0.11-1.0.15.txt": (
        4,
        {"npu6": {"pci": "0000:8c:00.0", "temp_c": 65, "memory_used_bytes": 2867 * MIB}},
        [],
    ),
    "npu-smi/gpustack_ai-server_atlas-800-training-server_model-9010_version-24.1.RC2_mapping"
    ".txt": (8, {"npu0": {"model": "Ascend 910A"}}, []),
    "npu-smi/gpustack_ai-server_atlas-800-training-server_model-9010_version-6.0.RC1.txt": (
        8,
        {"npu3": {"power_w": 191.7, "temp_c": 42, "memory_used_bytes": 0}},
        [],
    ),
    "npu-smi/hami_info_25.5.1_0.txt": (
        2,
        {"npu1": {"model": "310P3", "pci": "0000:85:00.0", "power_w": None}},
        [],
    ),
    "npu-smi/hami_info_25.5.1_1.txt": (  # NPU 32768 is a virtual one, Device 0
        1,
        {"npu0": {"memory_total_bytes": 8192 * MIB, "memory_used_bytes": 0}},
        [],
    ),
    "npu-smi/info__a3_25.2.1_alarm_cut.txt": (
        1,
        {"npu0": {"health": "alarm", "power_w": 161.8, "memory_used_bytes": 3165 * MIB}},
        [(Kind.CUT, ""), (Kind.CUT, "")],
    ),
    "npu-smi/info__a3_26.0.rc2_wide_cut.txt": (
        2,
        {"npu1": {"pci": "0000:9f:00.0", "power_w": None, "temp_c": 34}},
        [(Kind.CUT, "")],
    ),
    "npu-smi/info_t_hccs__ok_3links.txt": (0, {}, []),
    "npu-smi/info_t_topo__910c_physid_names.txt": (0, {}, []),
    "npu-smi/msswift_info_24.1.rc1.b030.txt": (
        8,
        {"npu6": {"model": "910B3", "power_w": 103.8, "memory_total_bytes": 65536 * MIB}},
        [],
    ),
    "npu-smi/paddle_info_23.0.3_910B2C.txt": (
        2,
        {"npu1": {"pci": "0000:29:00.0", "power_w": 93.8, "memory_used_bytes": 3316 * MIB}},
        [],
    ),
    "ascend-collect/fd910A_before.txt": (
        8,
        {"npu0": {"health": "ok", "error_codes": (), "pci": "0000:61:00.0"}},
        [(Kind.EXIT, "")],  # npu-smi info said nothing
    ),
    "ascend-collect/fd910A_after.txt": (
        1,
        {"npu0": {"health": "alarm", "error_codes": ("A4025021", "8C03A000", "8C084E00")}},
        [(Kind.EXIT, "npu0")],  # Invalid card id.
    ),
    "ascend-collect/fd_cqe_after.txt": (0, {}, [(Kind.UNREADABLE, "")]),  # hccn_tool only
    "ascend-collect/fd_st_after.txt": (0, {}, []),
}


@pytest.mark.parametrize("name", each(CARDS))
def test_npu_smi_says_what_a_reader_finds(name):
    count, spots, wanted = CARDS[name]
    facts, troubles = read("npu_smi", capture(name).read_text())
    cards = {fact.part: fact for fact in facts if isinstance(fact, Accelerator)}
    assert len(cards) == count
    for part, values in spots.items():
        assert {field: getattr(cards[part], field) for field in values} == values
    assert [(trouble.kind, trouble.part) for trouble in troubles] == wanted


@here("npu-smi/doc_info_23.0.rc3_busy.txt")
def test_processes_are_those_of_the_table():
    facts, _ = read("npu_smi", capture("npu-smi/doc_info_23.0.rc3_busy.txt").read_text())
    processes = [fact for fact in facts if isinstance(fact, DeviceProcess)]
    assert len(processes) == 8
    assert processes[5] == DeviceProcess("npu5", 139163, "python", 30780 * MIB)
    assert Version("driver/ascend", "23.0.rc2.3") in facts


@here("npu-smi/info_t_hccs__ok_3links.txt")
def test_hccs_links_have_their_counters_one_by_one():
    facts, _ = read("npu_smi", capture("npu-smi/info_t_hccs__ok_3links.txt").read_text())
    assert [(link.part, link.state) for link in facts if isinstance(link, Link)] == [
        (f"npu/hccs{n}", "up") for n in range(3)
    ]
    assert facts[2].counters["rx_packets"] == 4126456722
    assert facts[2].counters["retry_count"] == 0


@here("npu-smi/info_t_topo__910c_physid_names.txt")
def test_a_topology_is_text_to_compare_by():
    facts, _ = read("npu_smi", capture("npu-smi/info_t_topo__910c_physid_names.txt").read_text())
    told = "Phy-ID2:SIO Phy-ID3:X Phy-ID12:HCCS_SW Phy-ID13:HCCS_SW"
    assert facts[1] == Version("topology/npu3", told)


ECC = "npu-smi/doc_info_t_ecc.txt"


@here(ECC)
@pytest.mark.parametrize("kind", ["HBM", "DDR"])
@pytest.mark.parametrize("bits", ["Single", "Double"])
def test_half_a_sum_of_errors_is_no_sum(kind, bits):
    label = f"{kind} {bits} Bit Error Count   "
    text = capture(ECC).read_text()
    assert text.count(label) == 1
    (card,), (trouble,) = read("npu_smi", text.replace(label, label.replace("Bit", "B\0t")))
    name = {"Single": "ecc_corrected_volatile", "Double": "ecc_uncorrected_volatile"}[bits]
    assert getattr(card, name) is None
    assert (trouble.kind, trouble.part) == (Kind.UNREADABLE, "npu1")


# From the command reference: no machine of ours has printed these.
DOCUMENTED = {
    "temp": ("NPU Temperature (C) : 45", {"temp_c": 45.0}),
    "power": ("Power Dissipation(W) : 12.8", {"power_w": 12.8}),
    "memory": (
        (
            "DDR Capacity(MB) : 15137\nHBM Capacity(MB) : 65536\nHBM Clock Speed(MHz) : 1600\n"
            "HBM Temperature(C) : 39"
        ),
        {"memory_total_bytes": 65536 * MIB, "clock_memory_mhz": 1600.0, "temp_memory_c": 39.0},
    ),
    "common": (
        (
            "Aicore Usage Rate(%) : 97\nAicore Freq(MHZ) : 1650\nAicore curFreq(MHZ) : 800\n"
            "Temperature(C) : 44\nNPU Real-time Power(W) : NA"
        ),
        {
            "utilisation_percent": 97.0,
            "clock_sm_max_mhz": 1650.0,
            "clock_sm_mhz": 800.0,
            "temp_c": 44.0,
            "power_w": None,
        },
    ),
    "usages": ("DDR Capacity(MB) : 8192\nHBM Capacity(MB) : 0", {"memory_total_bytes": 8192 * MIB}),
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_each_chip_of_a_card_gets_what_stands_above_its_number(name):
    text, wanted = DOCUMENTED[name]
    other = text.partition(" : ")[0] + " : NA"
    card = f"\tNPU ID : 3\n\tChip Count : 2\n\n{text}\nChip ID : 0\n\n{other}\nChip ID : 1\n"
    facts, troubles = read("npu_smi", card)
    assert not troubles
    first = facts[0]
    assert first.part == "npu3"
    assert {field: getattr(first, field) for field in wanted} == wanted
    assert all(getattr(fact, field) is None for fact in facts[1:] for field in wanted)


def test_a_list_of_cards_gives_each_its_serial_number():
    cards = "Card Count : 2\n" + "".join(
        f"NPU ID : {n}\nProduct Name : Atlas 300I\nSerial Number : S{n}\nChip Count : 1\n\n"
        for n in (1, 4)
    )
    facts, troubles = read("npu_smi", cards)
    assert [(fact.part, fact.serial) for fact in facts] == [("npu1", "S1"), ("npu4", "S4")]
    assert not troubles


def test_a_list_of_chips_with_physical_numbers_and_controllers():
    heads = ("NPU ID", "Chip ID", "Chip Logic ID", "Chip Phy-ID", "Chip Name")
    rows = (heads, ("8", "0", "0", "6", "Ascend910"), ("8", "1", "-", "-", "Mcu"))
    text = "\n".join("    ".join(row) for row in rows) + "\n"
    (card,), troubles = read("npu_smi", text)
    assert (card.part, card.index, card.model) == ("npu6", 6, "Ascend910")
    assert not troubles


@pytest.mark.parametrize("digits", [20, 400, 5000])
def test_numbers_that_no_device_has_cost_only_themselves(digits):
    """Python itself refuses to read numbers of more than 4300 digits."""
    many = "9" * digits
    for text in (
        f"NPU ID : {many}\nHealth Status : OK\n",
        f"$ npu-smi info -t health -i {many} -c 0\nHealth Status : OK\n",
        f"hccs health status : OK\nhccs error count : [{many} 0]\n",
        (OWN / "npu_smi/healthy.txt").read_text().replace("  0     0     ", f"  0     {many}  "),
    ):
        read("npu_smi", text)
    read("hccn_tool", f"Speed: {many} Mb/s\n")
    read("hccn_tool", f"$ hccn_tool -i {many} -link -g\nlink status: UP\n")


def test_a_flood_of_chips_is_bounded():
    rows = "".join(f"{n}    0    {n}    Ascend\n" for n in range(5000))
    facts, troubles = read("npu_smi", f"NPU ID    Chip ID    Chip Logic ID    Chip Name\n{rows}")
    assert len(facts) == 256
    assert [trouble.kind for trouble in troubles] == [Kind.UNREADABLE]


def test_errors_of_the_only_memory_must_be_told():
    text = "NPU ID : 0\nChip ID : 0\nHBM Single Bit Error Count : 0\nHBM D\0uble Bit Err : 7\n"
    (card,), (trouble,) = read("npu_smi", text)
    assert card.ecc_uncorrected_volatile is None
    assert trouble.part == "npu0"


DOWNS = (44746.0,)
PORTS: dict[str, dict[str, dict[str, object]]] = {
    "hccn_tool/doc_link_g.txt": {"npu/1": {"state": "active", "reach": None}},
    "hccn_tool/doc_link_stat_g.txt": {
        "npu0/1": {"state": "unknown", "downs_s_ago": (63378.0,), "counters": {"link_up_count": 2}}
    },
    "hccn_tool/doc_net_health_init.txt": {"npu/1": {"reach": None}},
    "hccn_tool/fd910A_hccn_tool_-i_0_-link_stat_-g.txt": {"npu0/1": {"downs_s_ago": DOWNS}},
    "hccn_tool/fd910A_hccn_tool_-i_0_-net_health_-g.txt": {"npu/1": {"reach": "socket failed"}},
    "hccn_tool/net_health_success_and_fault.txt": {"npu/1": {"reach": "fault"}},
    "hccn_tool/fd910A_hccn_tool_-i_0_-stat_-g.txt": {
        "npu/1": {"counters": {"roce_rx_err_pkt_num": 0, "roce_tx_err_pkt_num": 0}}
    },
    "hccn_tool/doc_stat_g_elided.txt": {"npu/1": {"state": "unknown", "rate_gbit_s": None}},
    "hccn_tool/doc_fec_g.txt": {},
    "hccn_tool/doc_tls_g.txt": {},
    "hccn_tool/doc_optical_g_elided.txt": {},
    "hccn_tool/fd910A_hccn_tool_-i_0_-fec_-g.txt": {},
    "hccn_tool/fd910A_hccn_tool_-i_0_-ip_-g.txt": {},
    "hccn_tool/fd910A_hccn_tool_-i_0_-optical_-g.txt": {},
    "hccn_tool/fd910A_hccn_tool_-i_1_-ip_-g.txt": {},
    "hccn_tool/ip_g_no_ip.txt": {},
    "hccn_tool/ip_g_ok.txt": {},
    "ascend-collect/fd910A_before.txt": {
        "npu0/1": {"reach": "socket failed", "downs_s_ago": DOWNS, "state": "unknown"}
    },
    "ascend-collect/fd910A_after.txt": {"npu0/1": {"downs_s_ago": (46323.0, 46383.0)}},
    "ascend-collect/fd_cqe_after.txt": {},
    "ascend-collect/fd_st_after.txt": {
        **{f"npu{n}/1": {"state": "unknown"} for n in range(8)},
        "npu6/1": {
            "counters": {
                "roce_rx_err_pkt_num": 13,
                "roce_tx_err_pkt_num": 77,
                "link_up_count": 2,
            }
        },
    },
}
ADDRESSES = {
    "hccn_tool/fd910A_hccn_tool_-i_0_-ip_-g.txt": [("npu", "192.161.200.10")],
    "hccn_tool/fd910A_hccn_tool_-i_1_-ip_-g.txt": [("npu", "192.161.201.10")],
    "hccn_tool/ip_g_no_ip.txt": [("npu", "")],
    "hccn_tool/ip_g_ok.txt": [("npu", "172.20.9.77")],
    "ascend-collect/fd910A_before.txt": [("npu0", "192.161.200.10"), ("npu1", "192.161.201.10")],
    "ascend-collect/fd_cqe_after.txt": [
        ("npu0", "192.1.45.172"),
        ("npu1", "192.2.167.33"),
        ("npu2", "192.3.103.252"),
        ("npu3", "192.4.166.202"),
        ("npu4", "192.1.157.81"),
        ("npu5", "192.2.8.198"),
        ("npu6", "192.3.26.213"),
        ("npu7", "192.4.32.120"),
    ],
    "ascend-collect/fd_st_after.txt": [(f"npu{n}", f"10.10.0.{10 + n}") for n in range(8)],
}


@pytest.mark.parametrize("name", each(PORTS))
def test_hccn_tool_says_what_a_reader_finds(name):
    facts, troubles = read("hccn_tool", capture(name).read_text())
    ports = {fact.part: fact for fact in facts if isinstance(fact, Port)}
    assert ports.keys() == PORTS[name].keys()
    for part, values in PORTS[name].items():
        assert {field: getattr(ports[part], field) for field in values} == values
    told = [(fact.part, fact.actual) for fact in facts if isinstance(fact, Address)]
    assert told == ADDRESSES.get(name, [])
    silent = [(Kind.EXIT, "npu2")] if name == "ascend-collect/fd910A_before.txt" else []
    assert [(trouble.kind, trouble.part) for trouble in troubles] == silent


@here("hccn_tool/fd910A_hccn_tool_-i_0_-optical_-g.txt")
def test_a_module_is_judged_by_its_own_limits_too():
    name = "hccn_tool/fd910A_hccn_tool_-i_0_-optical_-g.txt"
    ((optic,), troubles) = read("hccn_tool", capture(name).read_text())
    assert not troubles
    assert optic == Optic(
        "npu/1",
        "Hisense",
        "LMQ8611-PC+",
        "V8BD6H25033",
        47.0,
        3.2629,
        (4.4035, 1.3968, 1.4140, 1.4988),
        (1.0189, 0.0054, 0.9907, 1.0213),
        (7.9360, 7.9280, 7.9360, 7.9240),
        (
            "not present, and it measures light",
            "rx los 0xff",
            "rx lol 0xff",
            "tx power of lane 1 high: 4.4035 mW, at most 3.5481",
            "rx power of lane 2 low: 0.0054 mW, at least 0.1445",
        ),
    )


BORDER = "+--------+--------+--------+----------+-------------+------------+"
DEV_INFO = f"""{BORDER}
| UdieID | PortID | Speed  | PortType | Link Status | Media Type |
{BORDER}
| 0      | 4      | 200    | ETH      | DOWN        | Electrical |
| 1      | 9      | 200    | UB       | UP          | Optical    |
| 1      | x      | 200    | UB       | UP          | Optical    |
{BORDER}
"""


def test_the_newer_order_of_words_shows_a_table_of_ports():
    """As Ascend/mind-cluster's device manager reads it."""
    facts, (trouble,) = read("hccn_tool", f"# hccn_tool -g -dev_info -i 3\n{DEV_INFO}")
    assert facts == [
        Port("npu3/0.4", "npu3", "down", "ethernet", rate_gbit_s=200.0, driver="hccn"),
        Port("npu3/1.9", "npu3", "active", "ub", rate_gbit_s=200.0, driver="hccn"),
    ]
    assert (trouble.kind, trouble.part) == (Kind.UNREADABLE, "npu3")


def test_a_port_that_is_down_has_no_speed():
    link, speed = "$ hccn_tool -i 4 -link -g", "$ hccn_tool -i 4 -speed -g"
    (port,), troubles = read("hccn_tool", f"{link}\nlink status: DOWN\n{speed}\nSpeed: Unknown!\n")
    assert (port.part, port.state, port.rate_gbit_s, troubles) == ("npu4/1", "down", None, [])


def test_a_speed_has_its_unit():
    (port,), _ = read("hccn_tool", "Speed: 100000 Mb/s\n")
    assert port.rate_gbit_s == 100.0
    (port,), _ = read("hccn_tool", "Speed: 200 G\n")
    assert port.rate_gbit_s == 200.0
    facts, (trouble,) = read("hccn_tool", "Speed: 200000\n")
    assert (facts, trouble.kind) == ([], Kind.UNREADABLE)


def test_outputs_that_nothing_parts_are_not_taken_for_one():
    (port,), (trouble,) = read("hccn_tool", "link status: UP\nnet health status: Fault\n")
    assert "several outputs" in trouble.detail
    assert port.part == "npu/1"


def test_a_history_with_a_line_that_cannot_be_read_is_none():
    text = (OWN / "hccn_tool/troubled.txt").read_text().replace("LINK DOWN", "LINK D\0WN", 1)
    facts, troubles = read("hccn_tool", text)
    (port,) = [fact for fact in facts if isinstance(fact, Port) and fact.part == "npu2/1"]
    assert port.downs_s_ago is None
    assert "npu2" in {trouble.part for trouble in troubles}


@here("hccn_tool/SPEC_optical_stat_from_driver_source.txt")
def test_a_list_of_formats_is_no_answer():
    text = capture("hccn_tool/SPEC_optical_stat_from_driver_source.txt").read_text()
    facts, troubles = read("hccn_tool", text)
    assert not [fact for fact in facts if not isinstance(fact, Port)]
    assert troubles


@here("npu-smi/REF_mindcluster_faultCode.json")
def test_a_table_of_codes_is_no_answer():
    facts, troubles = read("npu_smi", capture("npu-smi/REF_mindcluster_faultCode.json").read_text())
    assert not facts
    assert troubles


HINIC = {
    "hinicadm/hinicadm3_info__2x_cal_4x25g_cut.txt": (9, [(Kind.CUT, "hinic1")]),
    "hinicadm/hinicadm3_info__cal_2x100g.txt": (3, []),
}


@pytest.mark.parametrize("name", each(HINIC))
def test_hinicadm_says_what_sits_where(name):
    count, wanted = HINIC[name]
    facts, troubles = read("hinicadm", capture(name).read_text())
    assert len(facts) == count
    assert facts[0].part == "board/hinic0"
    assert [(trouble.kind, trouble.part) for trouble in troubles] == wanted


TOOLS = {"npu-smi": "npu_smi", "hccn_tool": "hccn_tool", "hinicadm": "hinicadm"}
FILES = sorted(path for tool in TOOLS for path in CAPTURES.glob(f"{tool}/*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_flip_of_a_capture_says_healthy_what_the_text_does_not(path):
    text, random = path.read_text(), Random(path.name)
    probe = TOOLS[path.parent.name]
    for _ in range(150):
        at = random.randrange(len(text))
        flipped = chr(ord(text[at]) ^ (1 << random.randrange(7)))
        changed = text[:at] + flipped + text[at + 1 :]
        facts, _ = read(probe, changed)
        for card in facts:
            if isinstance(card, Accelerator):
                assert card.health != "ok" or "OK" in changed.upper()
                assert all(spelled(value) in changed for value in numbers(card))
        healthy = [card for card in facts if getattr(card, "health", None) == "ok"]
        assert len(healthy) <= changed.upper().count("OK")


def numbers(card: Accelerator) -> list[float]:
    """What stands in a cell as it is."""
    found = [card.temp_c, card.power_w, card.utilisation_percent, card.temp_memory_c]
    return [value for value in found if value is not None]


def spelled(value: float) -> str:
    return f"{value:g}"

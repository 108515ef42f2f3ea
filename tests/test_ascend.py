"""Ascend NPUs as real machines printed them: values that a reader writes down from the file."""

from __future__ import annotations

import os
import shutil
import subprocess
from itertools import groupby
from pathlib import Path
from random import Random

import pytest
from rich.console import Console
from scripted import NOON, Scripted, answers, nodes, said

from clusterctl.catalog import all_checks, all_probes
from clusterctl.knowledge import ascend
from clusterctl.model import (
    Accelerator,
    Address,
    DeviceProcess,
    Fact,
    Kind,
    Link,
    Node,
    Optic,
    Playbook,
    Port,
    Run,
    Severity,
    Status,
    Trouble,
    Version,
)
from clusterctl.probes.pci import BUS, END
from clusterctl.report.accounts import account
from clusterctl.report.tables import summary
from clusterctl.run import World, sweep

MIB = 1 << 20
HERE = Path(__file__).parent
CAPTURES = HERE.parent.parent / "shared/captures"
OWN = HERE / "captured"


def read(probe: str, text: str) -> tuple[list[Fact], list[Trouble]]:
    found = list(all_probes()[probe].parse(text))
    troubles = [item for item in found if isinstance(item, Trouble)]
    return [item for item in found if not isinstance(item, Trouble)], troubles


def capture(name: str) -> Path:
    return CAPTURES / name


def here(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        not capture(name).exists(), reason=f"{name} is not among this checkout's captures"
    )


def each(table: dict[str, object]) -> list[object]:
    return [pytest.param(name, marks=here(name)) for name in table]


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


# ----------------------------------------------------------------------------- the question


def stub(folder: Path, tool: str, text: str) -> None:
    """A tool that says what the fixture says it said, and exits as there."""
    for piece in text.split("== run ")[1:]:
        command, _, rest = piece.partition("\n")
        output, _, status = rest.rpartition("\n== exit ")
        name = command.replace(" ", "_").replace("/", "_")
        (folder / name).write_text(output)
        (folder / f"{name}.status").write_text(status.split("\n")[0])
    script = folder / tool
    script.write_text(
        f'#!/bin/sh\nf="{folder}/{tool}_$(echo "$*" | tr " /" __)"\n'
        '[ -e "$f" ] || { echo "This device does not support it"; exit 255; }\n'
        'cat "$f"; exit "$(cat "$f.status")"\n'
    )
    script.chmod(0o755)


def ask(
    probe: str, folder: Path, path: str = os.environ["PATH"]
) -> subprocess.CompletedProcess[str]:
    """Of a machine whose /dev and PCI bus are in the folder."""
    shell, option, command = all_probes()[probe].question.without_python
    for root in ("/dev/davinci", BUS):
        command = command.replace(root, f"{folder}{root}")
    return subprocess.run(
        [shell, option, command],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{folder}:{path}"},
        timeout=60,
    )


def machine(folder: Path, device: str, npus: int) -> None:
    (folder / "dev").mkdir()
    for number in range(npus):
        (folder / f"dev/davinci{number}").touch()
    (folder / "dev/davinci_manager").touch()
    card = folder / BUS.lstrip("/") / "0000:9d:00.0"
    card.mkdir(parents=True)
    for name, text in {"vendor": "0x19e5", "class": "0x120000", "device": device}.items():
        (card / name).write_text(f"{text}\n")


def test_the_question_brings_back_what_hccn_tool_says(tmp_path):
    text = (OWN / "hccn_tool/healthy.txt").read_text()
    stub(tmp_path, "hccn_tool", text)
    machine(tmp_path, "0xd803", 2)
    facts, troubles = read("hccn_tool", ask("hccn_tool", tmp_path).stdout)
    assert not troubles
    whole = [fact for fact in read("hccn_tool", text)[0] if not isinstance(fact, Address)]
    assert [fact for fact in facts if not isinstance(fact, Address)] == whole


def test_inference_cards_have_no_ports_to_ask_for(tmp_path):
    stub(tmp_path, "hccn_tool", (OWN / "hccn_tool/healthy.txt").read_text())
    machine(tmp_path, "0xd500", 2)
    assert read("hccn_tool", ask("hccn_tool", tmp_path).stdout) == ([], [])


def test_cards_without_device_files_are_a_trouble(tmp_path):
    stub(tmp_path, "hccn_tool", (OWN / "hccn_tool/healthy.txt").read_text())
    machine(tmp_path, "0xd803", 0)
    facts, (trouble,) = read("hccn_tool", ask("hccn_tool", tmp_path).stdout)
    assert not facts
    assert trouble == Trouble(Kind.MISSING, "no /dev/davinci0: is the driver loaded?")


def test_a_node_without_timeout_is_asked_all_the_same(tmp_path):
    text = (OWN / "npu_smi/healthy.txt").read_text()
    stub(tmp_path, "npu-smi", text)
    bare = tmp_path / "bin"
    bare.mkdir()
    for tool in ("sh", "cat", "tr", "sort", "date"):
        (bare / tool).symlink_to(shutil.which(tool) or tool)
    facts, troubles = read("npu_smi", ask("npu_smi", tmp_path, str(bare)).stdout)
    assert not troubles
    assert len(facts) == len(read("npu_smi", text)[0])


def test_the_question_brings_back_what_npu_smi_says(tmp_path):
    text = (OWN / "npu_smi/healthy.txt").read_text()
    stub(tmp_path, "npu-smi", text)
    answer = ask("npu_smi", tmp_path)
    assert answer.returncode == 0
    facts, troubles = read("npu_smi", answer.stdout)
    assert not troubles
    assert set(map(repr, facts)) == set(map(repr, read("npu_smi", text)[0]))


@pytest.mark.parametrize("probe", ["npu_smi", "hccn_tool", "hinicadm"])
def test_a_tool_that_is_not_installed_is_missing(probe, tmp_path):
    answer = ask(probe, tmp_path)
    assert answer.returncode == 127
    assert "not found" in answer.stderr


# ----------------------------------------------------------------------------- the whole pipe

CHECKS = (
    "accelerator_count",
    "accelerator_health",
    "accelerator_links",
    "ecc",
    "fault_codes",
    "link_flaps",
    "optics",
    "port_errors",
    "port_reach",
    "port_state",
    "stale_addresses",
    "temperature",
)
BUSES = ("9d", "9f", "a1", "a3")
ASCEND = {"vendor": "0x19e5", "device": "0xd803", "class": "0x120000", "driver@": "drv_pcie"}
NONE = f"{END}\tLinux\n"
PCI = "".join(
    f"{BUS}/0000:{bus}:00.0/{name}\t{text}\n" for bus in BUSES for name, text in ASCEND.items()
)


def swept(*told: dict[str, str | int], pci: str = PCI + NONE) -> Run:
    """A sweep of as many nodes as are given; a number is the exit status of a tool that fails."""
    probes = tuple(all_probes()[name] for name in ("pci", "npu_smi", "hccn_tool"))
    book = Playbook(
        "test",
        probes=probes,
        checks=tuple(check for n, check in all_checks().items() if n in CHECKS),
    )
    script = {
        node.name: answers(
            said("pci", pci),
            *(
                said(name, "", what) if isinstance(what, int) else said(name, what)
                for name, what in texts.items()
            ),
        )
        for node, texts in zip(many(len(told)), told, strict=True)
    }
    world = World(reach=lambda _r, _s: Scripted(script), clock=lambda: NOON, seed=1, run_id="r")
    return sweep(book, many(len(told)), world)


def many(count: int) -> tuple[Node, ...]:
    return nodes(count, sku="a3")


def case(name: str, ports: str = "") -> dict[str, str | int]:
    return {
        "npu_smi": (OWN / f"npu_smi/{name}.txt").read_text(),
        "hccn_tool": (OWN / f"hccn_tool/{ports or name}.txt").read_text(),
    }


def found(run: Run, *statuses: Status) -> set[tuple[str, str]]:
    return {
        (finding.check, finding.verdict.part)
        for finding in run.findings
        if finding.verdict.status in statuses
    }


def test_healthy_nodes_pass_and_nothing_is_left_unknown():
    run = swept(case("healthy"))
    assert not found(run, Status.FAIL, Status.WARN, Status.UNKNOWN)
    assert account(run).nodes == {"n000": Status.PASS}


def test_each_fault_of_a_troubled_node_is_named():
    run = swept(case("healthy"), case("healthy"), case("healthy"), case("troubled"))
    assert found(run, Status.FAIL) >= {
        ("accelerator_health", "npu1"),
        ("accelerator_links", "npu2"),
        ("ecc", "npu1"),
        ("fault_codes", "npu1"),
        ("link_flaps", "npu2/1"),
        ("port_reach", "npu2/1"),
        ("port_state", "npu1/1"),
        ("stale_addresses", "npu0"),
        ("stale_addresses", "npu2"),
        ("temperature", "npu2"),
    }
    assert account(run).nodes["n003"] is Status.FAIL
    assert {
        finding.verdict.node for finding in run.findings if finding.verdict.status is Status.FAIL
    } == {"n003"}


def test_the_words_are_those_of_any_other_vendor():
    """The same checks judge, so what is to be done about an error of memory is said the same."""
    run = swept(case("troubled"))
    verdicts = {(f.check, f.verdict.part): f.verdict for f in run.findings}
    ecc, hot = verdicts["ecc", "npu1"], verdicts["temperature", "npu2"]
    assert (ecc.severity, ecc.actual) == (Severity.RESET_DEVICE, "66")
    assert ecc.why == "data in device memory was lost since the driver was loaded"
    assert (hot.severity, hot.why) == (Severity.ISOLATE, "so hot that it slows down")
    worst = [
        f.verdict for f in run.findings if f.check == "fault_codes" and f.verdict.part == "npu1"
    ]
    assert [verdict.actual for verdict in worst] == ["80E18402", "80E01801"]
    assert worst[0].severity is Severity.RETURN


def test_the_table_shows_the_faults():
    run = swept(case("troubled"))
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(summary(run, account(run)))
    shown = console.export_text()
    for words in ("80E18402", "npu2/1", "97 °C", "10.1.0.77"):
        assert words in shown


def test_a_garbled_node_does_not_pass():
    run = swept(case("garbled"))
    assert account(run).nodes == {"n000": Status.UNKNOWN}
    assert ("observed", "npu_smi") in found(run, Status.UNKNOWN)


def test_what_could_not_be_read_is_no_fault_beside_healthy_peers():
    run = swept(case("garbled"), case("healthy"), case("healthy"), case("healthy"))
    assert not found(run, Status.FAIL)
    assert account(run).nodes["n000"] is Status.UNKNOWN


@pytest.mark.parametrize("what", [127, 1, "", "Segmentation fault\n"])
def test_a_node_with_npus_and_a_tool_that_fails_is_unknown(what):
    run = swept({"npu_smi": what, "hccn_tool": case("healthy")["hccn_tool"]})
    assert account(run).nodes == {"n000": Status.UNKNOWN}


@pytest.mark.parametrize("what", [127, 1, "", "Segmentation fault\n"])
def test_a_node_without_npus_skips_what_their_tools_say(what):
    run = swept({"npu_smi": what, "hccn_tool": what}, pci=NIC + NONE)
    assert not found(run, Status.FAIL, Status.WARN, Status.UNKNOWN)
    skips = [f.verdict.why for f in run.findings if f.check == "fault_codes"]
    assert skips == ["no Huawei accelerator on the PCI bus"]


NIC = "".join(
    f"{BUS}/0000:02:00.0/{name}\t{text}\n"
    for name, text in {"vendor": "0x8086", "device": "0x1533", "class": "0x020000"}.items()
)


# ----------------------------------------------------------------------------- fault codes


def test_every_code_says_what_it_is_and_what_to_do_in_both_languages():
    table = ascend.table()
    assert len(table) > 800
    for code, known in table.items():
        texts = [known.what, known.first, known.then]
        assert all(text.en.isascii() or "…" in text.en for text in texts), code
        assert all(any("\u4e00" <= char <= "\u9fff" for char in text.zh) for text in texts), code
        assert known.source


LEVELS = "npu-smi/REF_mindcluster_faultCode.json"


@here(LEVELS)
def test_the_levels_are_those_of_the_original():
    import json

    original = json.loads(capture(LEVELS).read_text())
    graver = {"A2301001"}  # in two lists
    for name, codes in original.items():
        level = name.removesuffix("Codes").removesuffix("Fault")
        for code in set(codes) - graver:
            assert ascend.meaning(code).level == level, code
    assert ascend.meaning("A2301001").level == "SeparateNPU"
    leveled = {code for code, known in ascend.table().items() if known.level}
    assert leveled == {code for codes in original.values() for code in codes}


@pytest.mark.parametrize("code", ["80E18402", "0x80e18402", " 80e18402 "])
def test_a_code_is_found_however_it_is_written(code):
    known = ascend.about(code)
    assert known
    assert known.severity is Severity.RETURN
    assert "80E18401" in known.confused.en


@pytest.mark.parametrize("code", ["", "FFFFFFFF", "80E1", "nonsense"])
def test_what_no_table_has_is_not_made_up(code):
    assert ascend.about(code) is None
    assert ascend.meaning(code).severity is Severity.OBSERVE


def test_no_code_asks_for_less_than_its_level():
    order = list(Severity)
    for level, members in groupby(
        sorted(ascend.table().values(), key=lambda known: known.level), key=lambda k: k.level
    ):
        floor = ascend.document()["asks"][level or "unlisted"]["severity"]
        assert all(order.index(known.severity) >= order.index(Severity(floor)) for known in members)

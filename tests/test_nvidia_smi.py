"""nvidia-smi as real machines printed it: values that a reader writes down from the file."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from clusterctl.model import Accelerator, DeviceProcess, Kind, Link, Trouble, Version
from clusterctl.probes import nvidia_smi, nvidia_smi_lists, nvml

MIB = 1 << 20
CAPTURES = Path(__file__).parent.parent.parent / "shared/captures/nvidia-smi"
OWN = Path(__file__).parent / "captured"


def capture(name: str) -> Path:
    return CAPTURES / name


def here(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        not capture(name).exists(), reason=f"{name} is not among this checkout's captures"
    )


READ_BY_HAND = {
    "qx__netdata_a100-sxm4-mig.xml": {  # DTD 11
        "model": "NVIDIA A100-SXM4-40GB",
        "pci": "0000:00:04.0",
        "serial": "1324321002473",
        "temp_c": 36,
        "temp_memory_c": 44,
        "temp_memory_max_c": 95,
        "power_w": 66.92,
        "power_limit_w": 400,
        "mig": True,
        "utilisation_percent": None,  # N/A under MIG
        "ecc_on": True,
        "ecc_uncorrected_volatile": None,  # N/A under MIG
        "ecc_uncorrected_aggregate": 0,
        "remap_failed": None,
        "persistence": False,
        "throttle": (),
    },
    "qx__netdata_rtx-2080-win.xml": {  # DTD 12
        "model": "NVIDIA GeForce RTX 2080",
        "pci": "0000:0a:00.0",
        "serial": "",
        "pcie_width": 8,
        "pcie_width_max": 16,
        "pcie_gen": 3,
        "throttle": ("idle",),
        "ecc_on": None,
        "persistence": None,
    },
    "qx__netdata_rtx-pro-6000-driver-580.xml": {
        "model": "NVIDIA RTX PRO 6000 Blackwell",
        "temp_c": 37,
        "power_w": 66.84,  # only the instant power is told
        "temp_slowdown_c": 93,  # 37 + 56 - 0
        "memory_total_bytes": None,
    },
    "qx__telegraf_gtx-1070-ti.xml": {  # DTD 10
        "model": "GeForce GTX 1070 Ti",
        "pci": "0000:01:00.0",
        "temp_c": 39,
        "power_w": None,
        "clock_memory_mhz": 405,
        "memory_total_bytes": 4096 * MIB,
        "pcie_gen": 1,
        "pcie_gen_max": None,
        "throttle": None,
    },
    "qx__telegraf_quadro-p2000-v12.xml": {
        "model": "Quadro P2000",
        "serial": "0322218049033",
        "temp_c": 34,
        "temp_slowdown_c": 101,
        "power_w": 4.61,
        "power_limit_default_w": 75,
        "clock_sm_mhz": 139,
        "clock_sm_max_mhz": 1721,
        "pcie_gen": 1,
        "pcie_gen_max": 3,
        "pcie_width": 8,
        "ecc_corrected_aggregate": None,
        "persistence": True,
        "mig": None,
    },
    "qx__telegraf_rtx-3080-v13.xml": {
        "model": "NVIDIA GeForce RTX 3080",
        "memory_total_bytes": 10240 * MIB,
        "memory_used_bytes": 9184 * MIB,
        "utilisation_percent": 65,
        "power_w": 139.62,
        "recovery_action": "none",
        "throttle": (),
        "fabric_state": None,
    },
    "qx__telegraf_rtx-4000-sff-ada-v13.xml": {
        "model": "NVIDIA RTX 4000 SFF Ada Generation",
        "pci": "0000:06:00.0",
        "temp_c": 38,
        "temp_slowdown_c": 89,  # 38 + 49 + 2
        "power_w": 8.81,
        "ecc_on": False,
        "ecc_corrected_volatile": None,
        "remapped_uncorrected": 0,
        "remap_pending": False,
        "throttle_power_us": 4251825415,
        "throttle_thermal_us": 0,
        "pcie_gen": 1,
        "pcie_gen_max": 4,
        "fabric_status": None,
    },
    "qx__telegraf_tesla-t4.xml": {
        "model": "Tesla T4",
        "pci": "0000:00:1e.0",
        "retired_pages": 0,
        "retired_pending": False,
        "ecc_uncorrected_volatile": 0,
        "pcie_width": 8,
        "clock_sm_mhz": 585,
        "clock_memory_max_mhz": 5001,
        "temp_memory_c": None,
        "throttle": (),
    },
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=here(name)) for name in READ_BY_HAND])
def test_a_real_report_says_what_a_reader_finds(name):
    found = list(nvidia_smi.parse(capture(name).read_text()))
    assert not [item for item in found if isinstance(item, Trouble)]
    (card,) = [item for item in found if isinstance(item, Accelerator)]
    expected = READ_BY_HAND[name]
    assert {field: getattr(card, field) for field in expected} == expected


@here("qx__telegraf_a100-sxm4-v12.xml")
def test_a_report_that_shows_one_of_its_four_gpus_says_so():
    found = list(nvidia_smi.parse(capture("qx__telegraf_a100-sxm4-v12.xml").read_text()))
    troubles = [item for item in found if isinstance(item, Trouble)]
    assert [(trouble.kind, trouble.part) for trouble in troubles] == [
        (Kind.CUT, "gpu1"),
        (Kind.CUT, "gpu2"),
        (Kind.CUT, "gpu3"),
    ]
    assert Version("driver/nvidia", "535.54.03") in found


@here("qx__telegraf_tesla-t4.xml")
def test_processes_of_a_real_report():
    found = list(nvidia_smi.parse(capture("qx__telegraf_tesla-t4.xml").read_text()))
    assert [item for item in found if isinstance(item, DeviceProcess)] == [
        DeviceProcess("gpu0", 675, "/usr/lib/xorg/Xorg", 22 * MIB),
        DeviceProcess("gpu0", 5762, "python", 1005 * MIB),
    ]


@here("ERR_device_handle_lines.txt")
def test_real_failure_lines_name_the_gpu_they_are_about():
    found = list(nvidia_smi.parse(capture("ERR_device_handle_lines.txt").read_text()))
    assert all(isinstance(item, Trouble) for item in found)
    assert [item.part for item in found] == ["gpu1", "gpu0", "0000:07:00.0", "0000:01:00.0", ""]


LINKS = {
    "nvlink_s__h100-hbm3_590.48.01.txt": (18, "up", 26.562),
    "nvlink_s__l40s_595.80.txt": (0, "", None),
    "nvlink_s__h200-mig_590.48.01.txt": (0, "", None),
    "nvlink_s__rtx2080s_610.57.04.txt": (1, "inactive", None),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=here(name)) for name in LINKS])
def test_real_nvlink_listings(name):
    links = list(nvidia_smi_lists.nvlinks(capture(name).read_text()))
    count, state, rate = LINKS[name]
    assert len(links) == count
    assert all(isinstance(link, Link) for link in links)
    assert {(link.state, link.rate_gbyte_s) for link in links} == (
        {(state, rate)} if count else set()
    )


@pytest.mark.parametrize(
    "cell",
    ["ERR!", "Unknown Error", "[Unknown Error]", "GPU is lost", "[Insufficient Permissions]"],
)
@pytest.mark.parametrize(
    "path",
    [
        "gpu_temp",
        "memory_temp",
        "current_power_limit",
        "gpu_util",
        "sm_clock",
        "dram_uncorrectable",
        "remapped_row_failure",
        "remapped_row_pending",
        "current_link_width",
        "current_link_gen",
        "clocks_event_reason_hw_thermal_slowdown",
        "uuid",
        "current_ecc",
        "replay_counter",
    ],
)
def test_an_error_in_a_cell_is_trouble_for_that_gpu_and_no_value(path, cell):
    text = (OWN / "nvidia_smi/healthy_one_busy.txt").read_text()
    broken = re.sub(rf"<{path}>[^<]*<", f"<{path}>{cell}<", text, count=1)
    assert broken != text
    troubles = [item for item in nvidia_smi.parse(broken) if isinstance(item, Trouble)]
    assert {trouble.part for trouble in troubles} == {"gpu0"}


def kept(probe, text: str) -> set[object]:
    """Facts without what dict fields hold; those cannot be hashed."""
    return {item for item in probe.parse(text) if not isinstance(item, Trouble | Link)}


@pytest.mark.parametrize(
    ("probe", "case"),
    [
        pytest.param(probe, path, id=f"{path.parent.name}/{path.stem}")
        for probe in (nvml, nvidia_smi)
        for path in sorted((OWN / probe.__name__.rpartition(".")[2]).glob("*.txt"))
    ],
)
def test_a_cut_says_nothing_that_the_whole_does_not(probe, case):
    text = case.read_text()
    whole = kept(probe, text)
    # What follows a bare report has no end of its own; our question marks it.
    bare = probe is nvidia_smi and not text.startswith(nvidia_smi.BEGIN)
    ends = text.rfind(nvidia_smi.ROOT_END) if bare else len(text.rstrip())
    for place in range(0, ends, max(1, len(text) // 400)):
        found = list(probe.parse(text[:place]))
        assert kept(probe, text[:place]) <= whole
        assert any(isinstance(item, Trouble) for item in found), place


def test_a_node_without_the_tool_says_that_it_is_missing(tmp_path):
    (probe,) = nvidia_smi.PROBES
    shell = shutil.which("sh")
    (tmp_path / "sh").symlink_to(shell)
    ran = subprocess.run(
        [shell, *probe.question.command[1:]],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (127, "", "nvidia-smi: not found\n")

"""What real NVIDIA tools printed, and what a reader writes down of each file.

The files are not ours to ship: they lie beside the checkout, or the test skips by name.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from clusterctl.catalog import readers
from clusterctl.model import (
    Accelerator,
    Burn,
    Copy,
    DeviceProcess,
    Fact,
    KernelEvent,
    Link,
    Partition,
    Trouble,
    Version,
)

MIB = 1 << 20
CAPTURES = Path(__file__).parent.parent.parent / "shared/captures"
FOLDERS = {
    "nvidia-smi": "nvidia_smi",
    "dcgmi": "dcgmi",
    "fabricmanager": "fabricmanager",
    "kmsg": "kernel_log",
    "dmesg": "kernel_log",
    "cuda-bandwidthTest": "cuda_bandwidthTest",
    "gpu-burn": "gpu_burn",
    "gpu-copy": "gpu_copy",
    "nvbandwidth": "nvbandwidth",
}
FILES = [path for folder in FOLDERS for path in sorted((CAPTURES / folder).glob("*"))]


def found_in(name: str, reader: str = "") -> list[Fact | Trouble]:
    path = CAPTURES / name
    if not path.exists():
        pytest.skip(f"{name} is not among this checkout's captures")
    text = path.read_bytes().decode("utf-8", "replace")
    return list(readers()[reader or FOLDERS[path.parent.name]](text))


def told(found: list[Fact | Trouble], kind: type) -> list:
    return [item for item in found if isinstance(item, kind)]


# ----------------------------------------------------------------------------- nvidia-smi: cards

H100 = {"model": "NVIDIA H100 80GB HBM3", "pci": "0000:00:09.0", "power_limit_w": 700}
H200 = {"model": "NVIDIA H200", "pci": "0000:83:00.0", "power_limit_w": 700, "mig": False}
L40S = {"model": "NVIDIA L40S", "pci": "0000:01:00.0", "power_limit_w": 350, "ecc_on": True}
RTX = {"pci": "0000:0c:00.0", "power_limit_w": 250, "ecc_on": None, "mig": None}
FABRIC = {"fabric_state": "completed", "fabric_status": "success", "fabric_cluster": None}
CLEAN = {"ecc_on": True, "ecc_uncorrected_volatile": 0}
IN_MIG = {"mig": True, "utilisation_percent": None, "ecc_on": True}

# file: accelerators, partitions, processes, values of the first card
CARDS: dict[str, tuple[int, int, int, dict[str, object]]] = {
    "q__535.154.05_0.txt": (8, 0, 7, {"model": "NVIDIA GeForce RTX 4090", "ecc_on": False}),
    "q__535.154.05_2.txt": (8, 0, 2, {"model": "NVIDIA GeForce RTX 4090", "mig": None}),
    "q__535.154.05_3.txt": (8, 0, 3, {"temp_c": 27, "temp_slowdown_c": 86, "power_w": 46.62}),
    "q__535.161.08.txt": (8, 0, 0, {"throttle": ("hw_slowdown", "hw_power_brake"), **CLEAN}),
    "q__535.183.01.txt": (8, 0, 1, {"model": "NVIDIA H100 80GB HBM3", **FABRIC, **CLEAN}),
    "q__a10_535.129.03.txt": (
        *(1, 0, 0),
        {
            "model": "NVIDIA A10",
            "remapped_uncorrected": 4,
            "remap_pending": True,
            "remap_failed": False,
            "recovery_action": "none",
            "power_w": 43.89,
            "temp_slowdown_c": 98,
            "memory_total_bytes": 23028 * MIB,
        },
    ),
    "q_excerpt__a100_remapped_rows_pending.txt": (
        *(1, 0, 0),
        {"pci": "0000:10:1c.0", "ecc_corrected_volatile": 177, "remap_pending": True},
    ),
    "q_excerpt__retired_pages_pending_blacklist_yes.txt": (
        *(1, 0, 0),
        {"retired_pages": 2, "retired_pending": True, "index": None},
    ),
    "q_excerpt__sram_uncorrectable_5.txt": (
        *(1, 0, 0),
        {"ecc_uncorrected_volatile": 1, "ecc_uncorrected_aggregate": 5},
    ),
    "q_idle__h100-hbm3_590.48.01.txt": (1, 0, 0, {**H100, **FABRIC, **CLEAN, "temp_c": 41}),
    "q_idle__h100-mig_590.48.01.txt": (
        *(1, 4, 0),
        {**H100, **IN_MIG, "power_w": 71.27, "remap_pending": None, "temp_slowdown_c": 89},
    ),
    "q_idle__h200-mig_590.48.01.txt": (1, 5, 0, {**IN_MIG, "model": "NVIDIA H200"}),
    "q_idle__h200_590.48.01.txt": (1, 0, 0, {**H200, **FABRIC, "throttle": ("idle",)}),
    "q_idle__l40s_595.80.txt": (1, 0, 0, {**L40S, "fabric_state": None, "fabric_status": None}),
    "q_idle__rtx2080s_610.57.04.txt": (1, 0, 2, {**RTX, "power_w": 38.89, "pcie_gen_max": 3}),
    "q_load__h200_590.48.01.txt": (
        *(1, 0, 3),
        {**H200, "power_w": 627.32, "utilisation_percent": 100, "throttle": ()},
    ),
    "query-gpu_csv_vbios_cut.txt": (2, 0, 0, {"pci": "0000:04:00.0", "power_w": None}),
    "query_compute_apps_idle__h100-mig_590.48.01.csv": (0, 0, 0, {}),
    "query_compute_apps_idle__h200_590.48.01.csv": (0, 0, 0, {}),
    "query_gpu_idle__h100-hbm3_590.48.01.csv": (1, 0, 0, {**H100, **FABRIC, **CLEAN}),
    "query_gpu_idle__h100-mig_590.48.01.csv": (1, 0, 0, {**H100, **IN_MIG, "power_w": 71.15}),
    "query_gpu_idle__h200-mig_590.48.01.csv": (1, 0, 0, {**IN_MIG, "temp_c": 28}),
    "query_gpu_idle__h200_590.48.01.csv": (1, 0, 0, {**H200, "power_w": 77.71, "pcie_width": 16}),
    "query_gpu_idle__l40s_595.80.csv": (1, 0, 0, {**L40S, "temp_c": 63, "power_w": 144.97}),
    "query_gpu_idle__rtx2080s_610.57.04.csv": (1, 0, 0, {**RTX, "temp_c": 33}),
    "query_gpu_load__h100-hbm3_590.48.01.csv": (1, 0, 0, {**H100, "utilisation_percent": 100}),
    "query_gpu_load__h100-mig_590.48.01.csv": (1, 0, 0, {**H100, **IN_MIG}),
    "query_gpu_load__h200-mig_590.48.01.csv": (1, 0, 0, IN_MIG),
    "query_gpu_load__h200_590.48.01.csv": (
        *(1, 0, 0),
        {**H200, "power_w": 627.4, "memory_used_bytes": 32362 * MIB, "temp_memory_c": 40},
    ),
    "query_gpu_load__l40s_595.80.csv": (1, 0, 0, L40S),
    "query_gpu_load__rtx2080s_610.57.04.csv": (1, 0, 0, RTX),
    "query_retired_pages__h100-mig_590.48.01.csv": (1, 0, 0, {"retired_pages": None}),
    "query_retired_pages__h200_590.48.01.csv": (1, 0, 0, {"pci": "0000:83:00.0"}),
    "table__525.125.06.txt": (1, 0, 0, {"temp_c": 38, "power_w": 49, "persistence": False}),
    "table_idle__h100-hbm3_590.48.01.txt": (1, 0, 0, {**H100, **CLEAN, "mig": False}),
    "table_idle__h100-mig_590.48.01.txt": (1, 4, 0, {**H100, **IN_MIG}),
    "table_idle__h200-mig_590.48.01.txt": (1, 5, 0, {**IN_MIG, "temp_c": 28, "power_w": 78}),
    "table_idle__h200_590.48.01.txt": (1, 0, 0, {**H200, **CLEAN}),
    "table_idle__l40s_595.80.txt": (1, 0, 0, {**L40S, "ecc_uncorrected_volatile": 0}),
    "table_idle__rtx2080s_610.57.04.txt": (1, 0, 2, RTX),
    "table_load__h100-hbm3_590.48.01.txt": (1, 0, 3, H100),
    "table_load__h100-mig_590.48.01.txt": (1, 4, 3, {**H100, **IN_MIG, "power_w": 432}),
    "table_load__h200-mig_590.48.01.txt": (1, 5, 3, IN_MIG),
    "table_load__h200_590.48.01.txt": (1, 0, 3, {**H200, "utilisation_percent": 100}),
    "table_load__l40s_595.80.txt": (1, 0, 2, {**L40S, "power_w": 110}),
    "table_load__rtx2080s_610.57.04.txt": (1, 0, 4, {**RTX, "temp_c": 38, "power_w": 97}),
    "L__h100-mig_590.48.01.txt": (1, 4, 0, {"model": "NVIDIA H100 80GB HBM3"}),
    "L__h200_590.48.01.txt": (1, 0, 0, {"model": "NVIDIA H200"}),
    "dmon_load__h100-mig_590.48.01.txt": (
        *(1, 0, 0),
        {"power_w": 439, "temp_c": 56, "temp_memory_c": 62, "utilisation_percent": None},
    ),
    "dmon_load__h200_590.48.01.txt": (
        *(1, 0, 0),
        {"power_w": 630, "clock_memory_mhz": 3201, "utilisation_percent": 100},
    ),
    "topo_m__azure-ndmv4-a100_superbench.txt": (8, 0, 0, {}),
    "topo_m__azure-ndv4-a100_superbench.txt": (8, 0, 0, {}),
    "topo_m__h100-hbm3_590.48.01.txt": (1, 0, 0, {}),
    "topo_m__h100-mig_590.48.01.txt": (1, 0, 0, {}),
    "topo_m__h200-mig_590.48.01.txt": (1, 0, 0, {}),
    "topo_m__h200_590.48.01.txt": (1, 0, 0, {}),
    "topo_m__l40s_595.80.txt": (1, 0, 0, {}),
    "topo_m__rtx2080s_610.57.04.txt": (1, 0, 0, {}),
    "topo_m__v100_superbench.txt": (2, 0, 0, {}),
    "qx__netdata_a100-sxm4-mig.xml": (1, 2, 0, {"mig": True, "ecc_uncorrected_volatile": None}),
    "qx__netdata_rtx-2080-win.xml": (1, 0, 26, {"pcie_width": 8}),
    "qx__netdata_rtx-pro-6000-driver-580.xml": (1, 0, 0, {"power_w": 66.84}),
    "qx__telegraf_a100-sxm4-v12.xml": (1, 4, 0, {"mig": True}),
    "qx__telegraf_gtx-1070-ti.xml": (1, 0, 0, {"pcie_gen": 1}),
    "qx__telegraf_quadro-p2000-v12.xml": (1, 0, 0, {"power_w": 4.61}),
    "qx__telegraf_rtx-3080-v13.xml": (1, 0, 0, {"recovery_action": "none"}),
    "qx__telegraf_rtx-4000-sff-ada-v13.xml": (1, 0, 4, {"temp_slowdown_c": 89}),
    "qx__telegraf_tesla-t4.xml": (1, 0, 2, {"retired_pages": 0}),
}
# What each file has that is no value: how many, and words of one.
TROUBLED = {
    "ERR_device_handle_lines.txt": (5, "GPU is lost"),
    "ERR_nvlink_all_inactive.txt": (1, "all links are inActive"),
    "help-query-gpu_590.48.01.txt": (1, "no nvidia_smi_log"),
    "nvlink_e__h100_cut.txt": (1, "[...]"),
    "nvlink_status__h100_cut.txt": (1, "[...]"),
    "q__535.154.05_3.txt": (8, "addressing_mode"),
    "q_excerpt__a100_remapped_rows_pending.txt": (9, "does not show it"),
    "q_excerpt__retired_pages_pending_blacklist_yes.txt": (2, "not a PCI address"),
    "q_excerpt__sram_uncorrectable_5.txt": (2, "ends early"),
    "query-gpu_csv_vbios_cut.txt": (1, "[...]"),
    "qx__telegraf_a100-sxm4-v12.xml": (3, "does not show it"),
    "table__525.125.06.txt": (2, "ERR!"),
}
# Links and how many of them are up.
LINKS = {
    "nvlink_e__h100_cut.txt": (3, 0),
    "nvlink_s__h100-hbm3_590.48.01.txt": (18, 18),
    "nvlink_s__h100-mig_590.48.01.txt": (0, 0),
    "nvlink_s__h200-mig_590.48.01.txt": (0, 0),
    "nvlink_s__h200_590.48.01.txt": (18, 18),
    "nvlink_s__l40s_595.80.txt": (0, 0),
    "nvlink_s__rtx2080s_610.57.04.txt": (1, 0),
    "nvlink_status__a100.txt": (96, 96),
    "nvlink_status__azure_good.txt": (12, 12),
    "nvlink_status__h100_cut.txt": (2, 2),
    "topo_m__azure-ndmv4-a100_superbench.txt": (56, 56),
    "topo_m__azure-ndv4-a100_superbench.txt": (56, 56),
}


@pytest.mark.parametrize("name", CARDS)
def test_cards_are_as_many_and_as_a_reader_finds_them(name):
    found = found_in(f"nvidia-smi/{name}")
    cards, parts, processes, values = CARDS[name]
    shown = told(found, Accelerator)
    assert len(shown) == cards
    assert len(told(found, Partition)) == parts
    assert len(told(found, DeviceProcess)) == processes
    assert {field: getattr(shown[0], field) for field in values} == values


@pytest.mark.parametrize("name", sorted({*CARDS, *TROUBLED, *LINKS}))
def test_what_is_no_value_is_said_and_nothing_else_is(name):
    troubles = [str(one) for one in told(found_in(f"nvidia-smi/{name}"), Trouble)]
    count, words = TROUBLED.get(name, (0, ""))
    assert len(troubles) == count, troubles
    assert any(words in one for one in troubles) or not count


@pytest.mark.parametrize("name", LINKS)
def test_links_are_as_many_as_a_reader_counts(name):
    links = told(found_in(f"nvidia-smi/{name}"), Link)
    assert (len(links), sum(link.state == "up" for link in links)) == LINKS[name]


def test_the_driver_of_a_version_listing():
    for model in ("h100-mig", "h200"):
        found = found_in(f"nvidia-smi/version__{model}_590.48.01.txt")
        assert found == [Version("driver/nvidia", "590.48.01")]


def test_one_gpu_of_eight_is_slowed_by_its_power_brake():
    cards = told(found_in("nvidia-smi/q__535.183.01.txt"), Accelerator)
    slow = Counter(reason for card in cards for reason in card.throttle if reason != "idle")
    assert slow == {"sw_power_cap": 1, "hw_power_brake": 1, "sw_thermal": 1}


# ----------------------------------------------------------------------------- the others

EVENTS = {
    "fabricmanager/fabricmanager_log_gpud.log": {("sxid", "12028"): 1},
    "fabricmanager/fabricmanager_log_gpud_old.log": {("sxid", "12028"): 18},
    "fabricmanager/sichek_fm_member_gpu_handle_error.txt": {("fabricmanager", "member_gpu"): 2},
    "kmsg/gpud_kmsg1.log": {},
    "dmesg/xid63_row_remapper_pcifunc1c.txt": {("xid", "63"): 1},
    "dmesg/xid48_ctx_switch_timeout_nvsentinel.txt": {("xid", "48"): 1},
}


@pytest.mark.parametrize("name", EVENTS)
def test_events_are_as_many_as_a_reader_counts(name):
    events = told(found_in(name), KernelEvent)
    assert Counter((event.kind, event.code) for event in events) == EVENTS[name]


def test_every_collected_line_of_a_gpu_or_a_switch_is_an_event():
    name = "dmesg/nvidia_xid_sxid_lines_collected.txt"
    events = Counter(event.kind for event in told(found_in(name), KernelEvent))
    text = (CAPTURES / name).read_text()
    assert events["xid"] == text.count("NVRM: Xid (")
    assert events["sxid"] == text.count(": SXid (")
    assert events["nvrm"] == 4


DIAGNOSED = {
    "diag_table_excerpt__gpu_memory_fail_thermal_warning.txt": ({"gpu0"}, 8),
    "diag_table_excerpt__row_remap_pending.txt": ({"gpu3"}, 1),
    "gcm_diag_r1_line60.json": (set(), 0),
    "gcm_diag_r1_line65.json": (set(), 0),
    "gcm_diag_r1_line72.json": (set(), 0),
    "gcm_diag_r1_pass.json": (set(), 0),
    "glimmer_gb10-level1.json": (set(), 0),
    "glimmer_gb10-level2-plugins-allowed.json": (set(), 1),
    "glimmer_gb10-level2-plugins-gated.json": (set(), 0),
    "hyperpod_8gpu_persistence_fail_reconstructed.json": (set(), 0),
}


@pytest.mark.parametrize("name", DIAGNOSED)
def test_diag_blames_the_gpus_that_a_reader_blames(name):
    """Settings are no fault of a GPU, and a level that tests no hardware judges none."""
    found = found_in(f"dcgmi/{name}", "dcgmi_diag")
    burns = told(found, Burn)
    blamed, judged = DIAGNOSED[name]
    assert {burn.part for burn in burns if burn.errors} == blamed
    assert len(burns) == judged
    assert told(found, Trouble) or judged


def test_links_of_dcgmi_have_their_counters():
    zero, twelve = (
        told(found_in(f"dcgmi/gcm_nvlink_e_{name}.json"), Link) for name in ("zero", "crc12")
    )
    assert [link.counters["crc_data_errors"] for link in zero] == [0, 0]
    assert [link.counters["crc_data_errors"] for link in twelve] == [12, 0]
    assert {link.state for link in (*zero, *twelve)} == {"unknown"}


COPIES = {
    "cuda-bandwidthTest/superbench_cuda_memory_h2d_bw.txt": (81, "host>gpu0", 0.4),
    "gpu-copy/superbench_gpu_copy_bw_performance.txt": (57, "host>gpu0", 26.2409),
    "nvbandwidth/nvbandwidth_j_ok.json": (14, "host>gpu0", 12.3964),
    "nvbandwidth/nvbandwidth_j_with_warnings.txt": (14, "host>gpu0", 12.3964),
    "nvbandwidth/nvbandwidth_text_readme.txt": (8, "host>gpu0", 26.03),
    "nvbandwidth/nvbandwidth_text_stas00.txt": (4, "host>gpu0", 359.05),
    "nvbandwidth/superbench_nvbandwidth_text.txt": (20, "host>gpu0", 369.36),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_as_many_as_a_reader_counts(name):
    copies = told(found_in(name), Copy)
    count, part, rate = COPIES[name]
    assert (len(copies), copies[0].part, copies[0].gbyte_s) == (count, part, rate)


def test_the_burn_of_eight_gpus_found_no_error():
    burns = told(found_in("gpu-burn/superbench_gpu_burn.txt"), Burn)
    assert [(burn.part, burn.errors, burn.precision) for burn in burns] == [
        (f"gpu{index}", 0, "fp64") for index in range(8)
    ]


# ----------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_file_and_no_cut_of_it_raises(path):
    """Another tool's specification or help may be nothing to it, and is no error of ours."""
    text = path.read_bytes().decode("utf-8", "replace")[:60_000]
    names = [FOLDERS[path.parent.name]]
    names += ["dcgmi_diag"] if path.parent.name == "dcgmi" else []
    for name in names:
        for place in range(0, len(text) + 1, max(1, len(text) // 12)):
            for item in readers()[name](text[:place]):
                assert isinstance(item, Trouble) or item.part is not None


def test_every_file_of_nvidia_smi_has_its_row():
    if not (CAPTURES / "nvidia-smi").exists():
        pytest.skip("no captures of nvidia-smi beside this checkout")
    names = {path.name for path in (CAPTURES / "nvidia-smi").glob("*")}
    assert names - {name for name in names if "version__" in name} <= {*CARDS, *TROUBLED, *LINKS}


# Values that stand in the text as they stand in the fact; others are sums or conversions.
AS_TOLD = (
    *("temp_c", "temp_memory_c", "power_w", "power_limit_w", "clock_sm_mhz", "clock_memory_mhz"),
    *("clock_sm_max_mhz", "utilisation_percent", "pcie_gen", "pcie_width", "pcie_replays"),
)


def flipped(text: str, rng: Random) -> str:
    """Some bits of some characters."""
    letters = list(text)
    for _ in range(rng.randint(1, 12)):
        at = rng.randrange(len(letters))
        letters[at] = chr(ord(letters[at]) ^ (1 << rng.randrange(7)))
    return "".join(letters)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_flip_of_a_file_raises_or_yields_a_number_that_is_not_in_it(path):
    rng = Random(path.name)
    text = path.read_bytes().decode("utf-8", "replace")[:30_000]
    for _ in range(6):
        broken = flipped(text, rng)
        for item in readers()[FOLDERS[path.parent.name]](broken):
            if not isinstance(item, Accelerator):
                continue
            for name in AS_TOLD:
                value = getattr(item, name)
                words = [] if value is None else [f"{value:g}", f"{value:.2f}"]
                assert value is None or any(word in broken for word in words), (name, value)

"""AMD's and Hygon's tools as real machines printed them: what a reader finds in each file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from clusterctl.model import Accelerator, DeviceProcess, Kind, Link, Trouble, Version
from clusterctl.probes import amd_smi, hy_smi, rocm_smi

MIB = 1 << 20
CAPTURES = Path(__file__).parent.parent.parent / "shared/captures"
SHORTENED = [(Kind.CUT, "")]


def found_in(probe, folder: str, name: str):
    path = CAPTURES / folder / name
    if not path.exists():
        pytest.skip(f"{folder}/{name} is not among this checkout's captures")
    return list(probe.parse(path.read_text(encoding="utf-8")))


def matches(probe, folder: str, name: str, expected) -> None:
    """`expected`: how many accelerators, {number: {field: value}}, other facts, troubles."""
    count, spots, others, troubles = expected
    found = found_in(probe, folder, name)
    cards = {item.index: item for item in found if isinstance(item, Accelerator)}
    assert len(cards) == count
    for index, values in spots.items():
        assert {field: getattr(cards[index], field) for field in values} == values
    kinds = Counter(type(item) for item in found)
    assert {kind: number for kind, number in kinds.items() if kind in others} == others
    assert set(kinds) <= {Accelerator, Trouble, *others}
    said = [(item.kind, item.part) for item in found if isinstance(item, Trouble)]
    assert said == troubles


def limits(power: int, edge: int) -> dict[str, object]:
    return {
        "power_limit_w": power,
        "temp_slowdown_c": 110,
        "temp_memory_max_c": 100,
        "temp_c": None,
        "model": "",
    }


AMD_SMI = {
    "amd-smi_list__rocm6.3.0_L436.txt": (
        2,
        {
            0: {"pci": "0000:23:00.0", "uuid": ""},  # <redacted> is no name
            1: {"pci": "0000:26:00.0", "power_w": None},
        },
        {},
        [],
    ),
    # CPUs and cores of an MI300A: nothing of a GPU, and no fault in it
    "amd-smi_metric_O_0_1_2__rocm6.1.0_L1417.txt": (0, {}, {}, []),
    "amd-smi_metric_U_all__rocm6.1.0_L1444.txt": (0, {}, {}, []),
    "amd-smi_static_U_all__rocm6.1.0_L1408.txt": (0, {}, {}, []),
    "amd-smi_metric_P__rocm6.1.0_L1554.txt": (
        1,
        {0: {"pcie_gen": 4, "pcie_width": 16, "pcie_replays": 0, "pcie_width_max": None}},
        {},
        [],
    ),
    "amd-smi_metric_clock__rocm6.1.1_L1052.txt": (
        1,
        {
            0: {
                "clock_sm_mhz": 113,
                "clock_sm_max_mhz": 1800,
                "clock_memory_mhz": 900,
                "clock_memory_max_mhz": 1200,
            }
        },
        {},
        [],
    ),
    "amd-smi_metric_ecc_block__rocm6.1.2_L971.txt": (
        1,
        {
            0: {
                "ecc_corrected_volatile": 0,
                "ecc_uncorrected_volatile": 0,
                "ecc_deferred_volatile": 0,
                "error_codes": (),  # seven blocks
                "ecc_on": None,
            }
        },
        {},
        [],
    ),
    "amd-smi_metric_ecc_ecc_blocks__rocm6.1.1_L1163.txt": (
        1,
        {0: {"ecc_corrected_volatile": 0, "ecc_uncorrected_volatile": 0}},
        {},
        SHORTENED,
    ),
    "amd-smi_metric_p_json__rocm6.1.0_L1634.txt": (
        1,
        {0: {"power_w": 10, "throttle": (), "power_limit_w": None}},
        {},
        [],
    ),
    "amd-smi_metric_pcie__rocm6.3.0_L260.txt": (
        2,
        {1: {"pcie_gen": 5, "pcie_width": 16, "pcie_replays": 0}},
        {},
        SHORTENED,
    ),
    "amd-smi_metric_power__rocm6.1.2_L1014.txt": (
        2,
        {0: {"power_w": 11, "throttle": ()}, 1: {"power_w": 17}},
        {},
        [],
    ),
    "amd-smi_metric_throttle__rocm6.3.0_L33.txt": (
        2,
        {0: {"throttle": ()}, 1: {"throttle": (), "throttle_thermal_us": None}},
        {},
        SHORTENED,
    ),
    "amd-smi_metric_usage__rocm6.1.0_L1570.txt": (1, {0: {"utilisation_percent": 0}}, {}, []),
    "amd-smi_metric_usage__rocm6.3.0_L106.txt": (
        2,
        {1: {"utilisation_percent": 0}},
        {},
        SHORTENED,
    ),
    "amd-smi_monitor_json__rdna_16g.json": (
        1,
        {
            0: {
                "power_w": 25,
                "temp_c": 49,
                "temp_memory_c": 50,
                "clock_sm_mhz": 0,
                "clock_memory_mhz": 456,
                "memory_used_bytes": 922 * MIB,
                "memory_total_bytes": 15760 * MIB,
                "throttle": (),
                "pcie_replays": 0,
            }
        },
        {},
        [],
    ),
    "amd-smi_monitor_p_t_v__rocm6.3.0_L610.txt": (
        32,
        {
            0: {"power_w": 248, "temp_c": 55, "temp_memory_c": 48},
            24: {"power_w": 211, "memory_total_bytes": 196300 * MIB},
            31: {"memory_used_bytes": 283 * MIB, "utilisation_percent": None},
        },
        {},
        [],
    ),
    "amd-smi_monitor_ptumv__rocm6.1.0_L1388.txt": (
        8,
        {
            2: {"temp_c": 31, "temp_memory_c": 33, "clock_sm_mhz": 113},
            4: {"power_w": 178, "memory_used_bytes": 284 * MIB, "clock_memory_mhz": 900},
        },
        {},
        [],
    ),
    "amd-smi_monitor_q__rocm6.2.0_L727.txt": (
        1,
        {
            0: {
                "power_w": 199,
                "temp_c": 103,
                "utilisation_percent": 99,
                "ecc_corrected_volatile": 0,
                "ecc_uncorrected_volatile": 0,
                "memory_total_bytes": 16335 * MIB,
            }
        },
        {DeviceProcess: 1},
        [],
    ),
    "amd-smi_monitor_violation__rocm6.3.0_L78.txt": (16, {15: {"throttle": ()}}, {}, SHORTENED),
    "amd-smi_process__rocm6.2.0_L766.txt": (1, {}, {DeviceProcess: 1}, []),
    "amd-smi_process__rocm6.2.0_L782.txt": (1, {}, {DeviceProcess: 1}, []),
    "amd-smi_static_asic__rocm6.3.0_L456.txt": (1, {0: {"model": "MI308X", "uuid": ""}}, {}, []),
    "amd-smi_static_asic__rocm6.3.0_L491.txt": (1, {0: {"model": "MI308X"}}, {}, []),
    "amd-smi_static_json__mi210_gpu_data.json": (
        1,
        {
            0: {
                "model": "AMD Instinct MI210",
                "serial": "",  # it says 0
                "pcie_gen_max": 4,
                "pcie_width_max": 16,
                "power_limit_w": 300,
                "temp_slowdown_c": 100,
                "temp_memory_max_c": 94,
                "memory_total_bytes": 65520 * MIB,
                "ecc_on": True,
                "remap_failed": None,  # a threshold and no count
            }
        },
        {},
        [],
    ),
    "amd-smi_static_limit__rocm6.1.2_L924.txt": (
        2,
        {0: limits(203, 100), 1: limits(213, 109)},
        {},
        [],
    ),
    "amd-smi_static_partition__rocm6.3.0_L563.txt": (1, {0: {"model": ""}}, {}, []),
    "amd-smi_topology__rocm6.1.0_L1668.txt": (
        8,
        {0: {"pci": "0000:0c:00.0"}, 7: {"pci": "0000:df:00.0"}},
        {Link: 56},
        [],
    ),
    # Two cards on PCIe that cannot reach each other: no link between accelerators
    "amd-smi_topology_a_t_json__rocm6.1.1_L1275.txt": (2, {1: {"pci": "0000:44:00.0"}}, {}, []),
    "amd-smi_topology_json__rocm6.1.1_L1189.txt": (2, {0: {"pci": ""}}, {}, []),
    "amd-smi_topology_cndz__rocm6.3.0_L366.txt": (8, {6: {"pci": "0000:bf:00.0"}}, {}, []),
    "amd-smi_topology_json__rocm6.1.1_L1243.txt": (
        1,
        {0: {"pci": "0000:01:00.0"}},
        {Link: 1},
        SHORTENED,
    ),
    "amd-smi_version_json__7.0.2.json": (0, {}, {Version: 2}, []),
    "amd-smi_xgmi__rocm6.1.0_L1598.txt": (8, {3: {"pci": "0000:5c:00.0"}}, {}, []),
}


@pytest.mark.parametrize("name", AMD_SMI)
def test_amd_smi_says_what_a_reader_finds(name):
    matches(amd_smi, "amd-smi", name, AMD_SMI[name])


def test_every_capture_of_amd_smi_is_written_down():
    folder = CAPTURES / "amd-smi"
    if not folder.is_dir():
        pytest.skip("amd-smi is not among this checkout's captures")
    assert {path.name for path in folder.iterdir()} == set(AMD_SMI)


def test_a_process_of_somebody_else_keeps_its_number():
    found = found_in(amd_smi, "amd-smi", "amd-smi_process__rocm6.2.0_L766.txt")
    (held,) = [item for item in found if isinstance(item, DeviceProcess)]
    assert (held.pid, held.memory_bytes) == (1693982, int(10.1 * (1 << 30)))
    assert "TransferBench" not in held.name


def test_a_topology_tells_which_peer_a_link_goes_to():
    found = found_in(amd_smi, "amd-smi", "amd-smi_topology__rocm6.1.0_L1668.txt")
    mine = [item.part for item in found if isinstance(item, Link) and item.accelerator == "gpu2"]
    assert mine == [f"gpu2/to-gpu{peer}" for peer in (0, 1, 3, 4, 5, 6, 7)]


def nothing(count: int):
    """Texts that name devices and tell nothing of theirs that we look at."""
    return (count, {0: {"temp_c": None, "throttle": None}}, {}, [])


MI300A_HW = (
    12,
    {
        0: {"pci": "0000:01:00.0", "ecc_on": None},  # three partitions of one card
        2: {"pci": "0000:01:00.0"},
        11: {"pci": "0003:01:00.0", "model": ""},
    },
    {},
    [],
)
MI308X = {
    "temp_c": 43,
    "power_w": 155,
    "power_limit_w": 650,
    "clock_sm_mhz": 94,
    "clock_memory_mhz": 900,
    "utilisation_percent": 0,
    "memory_total_bytes": 206141652992,
    "memory_used_bytes": 297611264,
}
RX6700 = {
    "uuid": "",
    "serial": "",
    "model": "Navi 22 [Radeon RX 6700/6700 XT / 6800M]",
    "pci": "0000:07:00.0",
    "temp_c": 47,
    "temp_memory_c": 46,
    "power_limit_w": 211,
    "memory_total_bytes": 12868124672,
    "pcie_gen": 4,
    "pcie_width": 16,
    "pcie_replays": 0,
}
NOT_OURS = (0, {}, {}, [(Kind.UNREADABLE, "")])
ROCM_SMI = {
    "gpustack_amd-gpu-6.2.4-rocm-smi.json": (
        1,
        {
            0: {
                "model": "Navi 32 [Radeon RX 7700 XT / 7800 XT]",
                "uuid": "0x5c88007d760374f3",
                "serial": "",
                "temp_c": 51,
                "temp_memory_c": 54,
                "power_w": 53,
                "utilisation_percent": 100,
                "memory_used_bytes": 11615076352,
            }
        },
        {},
        [],
    ),
    "gpustack_amd-gpu-6.2.4-rocminfo.txt": NOT_OURS,  # another tool's
    "msswift_rocm-smi_1.txt": nothing(8),
    "msswift_rocm-smi_2.txt": (8, {0: MI308X, 7: {"clock_sm_mhz": 107}}, {}, []),
    "msswift_rocm-smi_3.txt": (8, {0: MI308X, 3: {"power_w": 155, "temp_c": 41}}, {}, []),
    "rocm-smi_i__changelog_rocm6.1.1_L422.txt": (
        4,
        {3: {"model": "Aqua Vanjaram [Instinct MI300A]"}},
        {},
        [],
    ),
    "rocm-smi_showbus__changelog_rocm6.1.0_L700.txt": (
        4,
        {3: {"pci": "0000:01:00.3"}},
        {},
        SHORTENED,
    ),
    "rocm-smi_showbus__changelog_rocm6.1.0_L715.txt": (
        24,
        {4: {"pci": "0000:01:00.1"}, 23: {"pci": "0003:01:00.0"}},
        {},
        [],
    ),
    "rocm-smi_showhw__changelog_rocm6.1.1_L367.txt": MI300A_HW,
    "rocm-smi_showhw__changelog_rocm6.1.1_L401.txt": MI300A_HW,
    "rocm-smi_showhw__changelog_rocm6.1.1_L556.txt": MI300A_HW,
    "rocm-smi_showmetrics__changelog_rocm6.4_L188.txt": (2, {}, {Link: 16}, SHORTENED),
    "rocm-smi_showmetrics__changelog_rocm6.5.0_L36.txt": nothing(1),
    "rocm-smi_showmetrics__changelog_rocm6.5.0_L58.txt": nothing(1),
    "rocm-smi_showproduct__changelog_rocm6.1.1_L450.txt": (
        4,
        {0: {"model": "Aqua Vanjaram [Instinct MI300A]"}},
        {},
        [],
    ),
    "rocm-smi_showtoponuma__changelog_rocm6.1.1_L584.txt": nothing(12),
    "rocm-smi_showvbios__changelog_rocm6.1.1_L507.txt": nothing(4),
    "rocm-smi_table__changelog_rocm6.1.1_L353.txt": (
        2,
        {
            0: {"temp_c": 43, "power_w": 6, "power_limit_w": 150, "clock_sm_mhz": 0},
            1: {"temp_c": 34, "power_w": 8, "power_limit_w": 213, "clock_memory_mhz": 96},
        },
        {},
        [],
    ),
    "rocm-smi_table__changelog_rocm6.1.1_L526.txt": (
        1,
        {0: {"model": "Aqua Vanjaram [Insti", "temp_c": 40, "clock_memory_mhz": 1300}},
        {},
        [],
    ),
    "rocm-smi_table__changelog_rocm6.4.1_L124.txt": (
        9,
        {5: {"power_w": 152, "clock_sm_mhz": 153}, 8: {"power_w": 158, "temp_c": 44}},
        {},
        SHORTENED,
    ),
    "rocm-smi_table__changelog_rocm6.4.1_L146.txt": (
        9,
        {0: {"power_w": 151}, 4: {"power_w": None, "temp_c": None, "clock_sm_mhz": None}},
        {},
        SHORTENED,
    ),
    "showtopo__mi100_hpe_superbench.txt": nothing(8),
    "stas_rocm-smi_table.txt": (
        8,
        {
            2: {"model": "AMD Instinct MI300X", "temp_c": 47, "power_w": 180},
            3: {"power_limit_w": 750, "clock_sm_mhz": 131, "clock_memory_mhz": 900},
        },
        {},
        [],
    ),
    "telegraf_mi100_rocm602.json": (
        4,
        {
            0: {
                "model": "Arcturus GL-XL [Instinct MI100]",
                "pci": "0000:83:00.0",
                "temp_c": 55,
                "power_limit_w": 290,
                "clock_memory_mhz": 1200,
                "memory_total_bytes": 34342961152,
                "memory_used_bytes": 6750208,
            },
            3: {"pci": "0000:e3:00.0", "power_w": 39, "uuid": "0x1b9dd972253c3736"},
        },
        {Version: 1 + 4 * 12},
        [],
    ),
    "telegraf_rx6700xt_rocm571.json": (1, {0: RX6700 | {"power_w": 6}}, {Version: 14}, []),
    # Its power is told as N/A (Secondary die)
    "telegraf_rx6700xt_rocm602.json": (1, {0: RX6700 | {"power_w": None}}, {Version: 14}, []),
    "telegraf_rx6700xt_rocm612.json": (1, {0: RX6700 | {"clock_sm_mhz": 0}}, {Version: 14}, []),
    "telegraf_vega-20-WKS-GL-XE.json": (
        1,
        {
            0: {
                "model": "Radeon Instinct MI50 32GB",
                "serial": "692024000810",
                "clock_sm_mhz": 1725,
                "power_limit_w": 225,
            }
        },
        {Version: 23},
        [],
    ),
}


@pytest.mark.parametrize("name", ROCM_SMI)
def test_rocm_smi_says_what_a_reader_finds(name):
    matches(rocm_smi, "rocm-smi", name, ROCM_SMI[name])


def dcu(temp: float, power: float, cap: float, health: str | None = "ok") -> dict[str, object]:
    return {"temp_c": temp, "power_w": power, "power_limit_w": cap, "health": health}


HY_SMI = {
    "flagperf_rocm-smi_dtk_8dcu.txt": (8, {0: dcu(53, 96, 300), 6: dcu(55, 93, 300)}, {}, []),
    "gpustack_hygon-gpu-24.04.3-rocm-smi.json": (
        1,
        {
            0: {
                "part": "dcu0",
                "model": "DCU xxxx",
                "serial": "TPXxxxx",
                "uuid": "7100fa8866904061",
                "temp_c": 41,
                "temp_memory_c": 44,
                "power_w": 80,
                "memory_total_bytes": 65520 * MIB,
                "memory_used_bytes": 2 * MIB,
                "health": None,
            }
        },
        {},
        [],
    ),
    "gpustack_hygon-gpu-24.04.3-rocminfo.txt": NOT_OURS,  # another tool's
    "hy-smi_failure_message.txt": (0, {}, {}, [(Kind.EXIT, "")]),
    # No column Mode
    "paddle_rocm-smi_dtk23.10_4dcu.txt": (4, {3: dcu(29, 39, 280, None)}, {}, []),
    "table_8hcu_perf-high.txt": (8, {1: dcu(41, 162, 800), 7: dcu(36, 161, 800)}, {}, []),
    "table_BW1000_DTK26.04_2hcu.txt": (2, {1: dcu(52, 89, 1000)}, {}, []),
    "table_BW101_1hcu.txt": (1, {0: dcu(46, 51, 400)}, {}, []),
}


@pytest.mark.parametrize("name", HY_SMI)
def test_hy_smi_says_what_a_reader_finds(name):
    matches(hy_smi, "hy-smi", name, HY_SMI[name])


@pytest.mark.parametrize(("folder", "table"), [("rocm-smi", ROCM_SMI), ("hy-smi", HY_SMI)])
def test_every_capture_of_these_tools_is_written_down(folder, table):
    if not (CAPTURES / folder).is_dir():
        pytest.skip(f"{folder} is not among this checkout's captures")
    assert {path.name for path in (CAPTURES / folder).iterdir()} == set(table)


def test_ports_of_a_chip_that_have_no_peer_are_not_up():
    name = "rocm-smi_showmetrics__changelog_rocm6.4_L188.txt"
    links = [item for item in found_in(rocm_smi, "rocm-smi", name) if isinstance(item, Link)]
    states = [link.state for link in links if link.accelerator == "gpu0"]
    assert [number for number, state in enumerate(states) if state != "up"] == [4, 6]


@pytest.mark.parametrize("name", [name for name in HY_SMI if name.startswith(("table", "flag"))])
def test_hygons_rocm_smi_is_not_taken_for_amds(name):
    found = found_in(rocm_smi, "hy-smi", name)
    assert [type(item) for item in found] == [Trouble]
    assert "hy_smi reads it" in found[0].detail


@pytest.mark.parametrize("name", ["stas_rocm-smi_table.txt", "telegraf_mi100_rocm602.json"])
def test_amds_rocm_smi_is_not_taken_for_hygons(name):
    found = found_in(hy_smi, "rocm-smi", name)
    assert [type(item) for item in found] == [Trouble]
    assert "rocm_smi reads it" in found[0].detail

"""The questions to NVML and nvidia-smi, asked for real of a library and a tool that are stubs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from nvml_nodes import COMPILER, GpuNode, build_library

from clusterctl.model import Accelerator, DeviceProcess, Kind, Partition, Trouble, Version
from clusterctl.probes import nvml

pytestmark = pytest.mark.skipif(not COMPILER, reason="no C compiler for the stub library")

OLDEST = "3.6"
PYTHONS = sorted(
    {
        found
        for version in (OLDEST, "3.11", "3.13")
        for found in (
            shutil.which(f"python{version}"),
            *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")),
        )
        if found and "shims" not in found  # pyenv's are no interpreters
    }
)


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nvml")
    build_library(folder)
    return folder


@pytest.fixture
def node(library, tmp_path):
    found = GpuNode(library, tmp_path)
    found.says("count=8")
    return found


HEALTHY = Accelerator(
    "gpu3",
    "nvidia",
    3,
    uuid="GPU-5a5a0000-0000-4000-8000-000000000003",
    serial="1650000000003",
    model="NVIDIA H100 80GB HBM3",
    pci="0000:61:00.0",
    temp_c=34,
    temp_memory_c=45,
    temp_slowdown_c=89,
    power_w=72.5,
    power_limit_w=700,
    power_limit_default_w=700,
    clock_sm_mhz=345,
    clock_sm_max_mhz=1980,
    clock_memory_mhz=2619,
    clock_memory_max_mhz=2619,
    utilisation_percent=0,
    memory_total_bytes=81559 << 20,
    memory_used_bytes=4 << 20,
    throttle=("idle",),
    throttle_thermal_us=0,
    throttle_power_us=0,
    ecc_on=True,
    ecc_corrected_volatile=0,
    ecc_uncorrected_volatile=0,
    ecc_corrected_aggregate=0,
    ecc_uncorrected_aggregate=0,
    remapped_corrected=0,
    remapped_uncorrected=0,
    remap_pending=False,
    remap_failed=False,
    pcie_gen=5,
    pcie_gen_max=5,
    pcie_width=16,
    pcie_width_max=16,
    pcie_replays=0,
    fabric_state="completed",
    fabric_status="success",
    recovery_action="none",
    persistence=True,
    mig=False,
)


@pytest.mark.parametrize("python", PYTHONS)
def test_every_python_tells_the_same_of_healthy_gpus(node, python):
    seen = node.nvml(python)
    assert (seen.exit_code, seen.stderr, seen.troubles) == (0, "", ())
    assert list(seen.cards()) == [f"gpu{index}" for index in range(8)]
    assert seen.cards()["gpu3"] == HEALTHY
    assert len(seen.links("gpu3")) == 18
    assert Version("driver/nvidia", "550.90.07") in seen.facts
    assert Version("vbios/gpu7", "96.00.89.00.01") in seen.facts


FAULTS = {
    "temperature": ("temp_c = 88", {"temp_c": 88}),
    "memory temperature": ("temp_memory_c = 96", {"temp_memory_c": 96}),
    "old thresholds": ("temp_slowdown_c = 93", {"temp_slowdown_c": 93}),
    "lowered power limit": ("power_limit_w = 350", {"power_limit_w": 350}),
    "throttled": (
        "throttle = hw_slowdown,hw_thermal",
        {"throttle": ("hw_slowdown", "hw_thermal")},
    ),
    "throttled, by mask": ("throttle = 0x84", {"throttle": ("sw_power_cap", "hw_power_brake")}),
    "throttled before": ("throttle_thermal_us = 4251825415", {"throttle_thermal_us": 4251825415}),
    "ecc off": (
        "ecc_on = 0",
        {
            "ecc_on": False,
            **dict.fromkeys(
                f"ecc_{kind}_{since}"
                for kind in ("corrected", "uncorrected")
                for since in ("volatile", "aggregate")
            ),
        },
    ),
    "uncorrected errors": ("ecc_uncorrected_volatile = 2", {"ecc_uncorrected_volatile": 2}),
    "a counter past 2**53": (
        "ecc_corrected_aggregate = 9007199254740993",
        {"ecc_corrected_aggregate": 2**53 + 1},
    ),
    "remap pending": ("remap_pending = 1", {"remap_pending": True}),
    "remap failed": ("remap_failed = 1", {"remap_failed": True}),
    "rows remapped": ("remapped_uncorrected = 4", {"remapped_uncorrected": 4}),
    "narrow": ("pcie_width = 8", {"pcie_width": 8}),
    "slow": ("pcie_gen = 1", {"pcie_gen": 1}),
    "replays": ("pcie_replays = 9", {"pcie_replays": 9}),
    "joining its fabric": (
        "fabric_state = in_progress",
        {"fabric_state": "in_progress", "fabric_status": None},
    ),
    "no fabric": ("fabric_state = none", {"fabric_state": None, "fabric_status": None}),
    "of a rack": (
        "fabric_cluster = 00aa2b009e8b4c0f8d1e000000000501\ngpu.3.fabric_clique = 32766",
        {"fabric_cluster": "00aa2b00-9e8b-4c0f-8d1e-000000000501", "fabric_clique": 32766},
    ),
    "wants a reset": ("recovery_action = 1", {"recovery_action": "reset"}),
    "wants to be drained": ("recovery_action = 4", {"recovery_action": "drain_and_reset"}),
    "MIG": ("mig = 1", {"mig": True}),
    "no persistence": ("persistence = 0", {"persistence": False}),
    "no utilisation under MIG": ("utilisation_percent = none", {"utilisation_percent": None}),
    "full": ("memory_used_mib = 81000", {"memory_used_mib": 81000}),
    "other card": ("name = NVIDIA A100-SXM4-80GB", {"model": "NVIDIA A100-SXM4-80GB"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_gpus_state_is_told_by_both_and_touches_no_other(node, fault):
    line, changed = FAULTS[fault]
    if "memory_used_mib" in changed:
        changed = {"memory_used_bytes": changed["memory_used_mib"] << 20}
    node.says("count=8", f"gpu.3.{line}")
    for seen in (node.nvml(), node.nvidia_smi()):
        assert not seen.troubles
        card = seen.cards()["gpu3"]
        assert {name: getattr(card, name) for name in changed} == changed
        assert replace(card, **unchanged(changed)) == HEALTHY
        others = [other for part, other in seen.cards().items() if part != "gpu3"]
        assert all(other.temp_c == 34 and other.throttle == ("idle",) for other in others)


def unchanged(changed):
    return {name: getattr(HEALTHY, name) for name in changed}


def test_retired_pages_of_older_gpus(node):
    node.says("gpu.*.retired_single=3", "gpu.*.retired_double=1", "gpu.*.retired_pending=1")
    for seen in (node.nvml(), node.nvidia_smi()):
        card = seen.cards()["gpu0"]
        assert (card.retired_pages, card.retired_pending) == (4, True)


def test_seven_of_eight_are_seven(node):
    node.says("count=7")
    for seen in (node.nvml(), node.nvidia_smi()):
        assert (len(seen.cards()), seen.troubles) == (7, ())


def test_a_lost_gpu_is_trouble_of_its_own_and_the_others_stand(node):
    node.says("gpu.3.lost=1")
    for seen in (node.nvml(), node.nvidia_smi()):
        assert list(seen.cards()) == [f"gpu{index}" for index in (0, 1, 2, 4, 5, 6, 7)]
        assert seen.troubled() == ["gpu3"]
        assert seen.troubles[0].kind == Kind.EXIT
        assert "lost" in seen.troubles[0].detail.lower()


def test_a_gpu_that_dies_while_asked_is_no_healthy_gpu(node):
    node.says("gpu.3.dead=1")
    for seen in (node.nvml(), node.nvidia_smi()):
        assert "gpu3" not in seen.cards()
        assert seen.troubled() == ["gpu3"]


def test_a_field_that_cannot_be_read_is_trouble_and_no_absence(node):
    node.says("gpu.3.ecc_uncorrected_volatile=error 999", "gpu.3.temp_memory_c=error 999")
    for seen in (node.nvml(), node.nvidia_smi()):
        assert set(seen.troubled()) == {"gpu3"}
        told = " ".join(trouble.detail for trouble in seen.troubles)
        assert "ecc_uncorrected_volatile" in told
        assert "temp_memory_c" in told
        assert seen.cards()["gpu3"].temp_c == 34
        assert seen.cards()["gpu3"].ecc_uncorrected_volatile is None


def test_no_permission_is_denied(node):
    node.says("gpu.3.temp_c=error 4")
    (trouble,) = node.nvml().troubles
    assert (trouble.kind, trouble.part) == (Kind.DENIED, "gpu3")


def test_a_link_that_is_down_and_one_that_makes_errors(node):
    node.says("gpu.3.links_down=5,7", "gpu.3.link6.crc_flit_errors=12")
    for seen, counter in ((node.nvml(), "crc_flit_errors"), (node.nvidia_smi(), "crc_errors")):
        links = seen.links("gpu3")
        idle = [part for part, link in links.items() if link.state != "up"]
        assert idle == ["gpu3/link5", "gpu3/link7"]
        assert links["gpu3/link6"].counters[counter] == 12
        assert links["gpu3/link4"].rate_gbyte_s == 26.562
        assert len(seen.links("gpu4")) == 18


def test_a_gpu_without_links_has_none(node):
    node.says("gpu.*.links=0")
    for seen in (node.nvml(), node.nvidia_smi()):
        assert (seen.links("gpu3"), seen.troubles) == ({}, ())


def test_processes_are_told_with_their_memory(node):
    node.says("gpu.3.processes=4242:python3:1024;17:Xorg:12")
    expected = {
        DeviceProcess("gpu3", 4242, "python3", 1 << 30),
        DeviceProcess("gpu3", 17, "Xorg", 12 << 20),
    }
    for seen in (node.nvml(), node.nvidia_smi()):
        assert {fact for fact in seen.facts if isinstance(fact, DeviceProcess)} == expected


def test_a_call_that_hangs_costs_only_what_comes_after_it(node):
    node.says("gpu.2.hang=temp_c")
    seen = node.nvml(timeout_s=3)
    assert seen.exit_code is None
    assert list(seen.cards()) == ["gpu0", "gpu1"]
    assert seen.troubled() == ["", *(f"gpu{index}" for index in range(2, 8))]
    assert "gpu2" in seen.troubles[0].detail


def test_a_library_that_hangs_at_once_says_nothing(node):
    node.says("hang=1")
    for seen in (node.nvml(timeout_s=1), node.nvidia_smi(timeout_s=1)):
        assert (seen.exit_code, seen.facts) == (None, ())
        assert seen.troubles


def test_a_driver_that_is_not_loaded_is_exit_9(node):
    node.says("init=9")
    seen = node.nvml()
    assert (seen.exit_code, seen.stdout) == (9, "")
    assert seen.stderr == "NVML: Driver Not Loaded\n"
    seen = node.nvidia_smi()
    assert seen.exit_code == 9
    assert [trouble.kind for trouble in seen.troubles] == [Kind.EXIT]


def test_a_missing_library_is_a_missing_tool(node, tmp_path):
    seen = GpuNode(tmp_path / "nothing", tmp_path).nvml()
    assert (seen.exit_code, seen.stdout) == (127, "")
    assert seen.stderr == "libnvidia-ml.so.1 not found\n"


def test_no_device_is_no_card_but_a_driver(node):
    node.says("count=0")
    seen = node.nvml()
    assert (seen.cards(), seen.troubles, seen.exit_code) == ({}, (), 0)
    assert node.nvidia_smi().exit_code == 6


def test_old_bindings_lack_names_and_nothing_breaks(node, tmp_path):
    """As with the binding of 2017: no name for anything that is newer."""
    stub = (
        "from real_pynvml import *\n"
        "from real_pynvml import NVMLError\n"
        "for name in ('nvmlDeviceGetMarginTemperature', 'nvmlDeviceGetRemappedRows',"
        " 'nvmlDeviceGetGpuFabricInfoV', 'c_nvmlGpuFabricInfo_v2_t', 'nvmlMemory_v2',"
        " 'nvmlDeviceGetCurrentClocksEventReasons', 'nvmlDeviceGetFieldValues',"
        " 'nvmlDeviceGetComputeRunningProcesses_v2'):\n"
        "    globals().pop(name, None)\n"
    )
    import pynvml

    (tmp_path / "pynvml.py").write_text(stub)
    shutil.copy(pynvml.__file__, tmp_path / "real_pynvml.py")
    old = OldBinding(node.library, node.folder)
    seen = old.nvml()
    assert (seen.exit_code, seen.troubles) == (0, ())
    card = seen.cards()["gpu3"]
    assert (card.remapped_corrected, card.temp_memory_c, card.recovery_action) == (None, None, None)
    assert (card.temp_c, card.throttle, card.throttle_thermal_us) == (34, ("idle",), 0)
    assert len(seen.links("gpu3")) == 18  # found without being told how many


class OldBinding(GpuNode):
    def environment(self):
        return {**super().environment(), "PYTHONPATH": str(self.folder)}


def test_lines_of_others_are_passed_over(node):
    stdout = node.nvml().stdout
    noisy = "WARNING: something preloaded\n" + stdout.replace('{"asking":4}', "chatter\n[]")
    assert list(nvml.parse(noisy)) == list(nvml.parse(stdout))


def test_not_a_number_is_never_a_temperature(node):
    stdout = node.nvml().stdout
    for bad in ("NaN", "Infinity", "true", '"34"', "1e999", "4294967295", "-400", "[]"):
        found = list(nvml.parse(stdout.replace('"temp_c":34', f'"temp_c":{bad}', 1)))
        cards = {fact.part: fact for fact in found if isinstance(fact, Accelerator)}
        assert cards.get("gpu0", HEALTHY).temp_c in (None, HEALTHY.temp_c)
        assert "gpu0" not in cards or cards["gpu0"].temp_c is None
        assert "gpu0" in {item.part for item in found if not isinstance(item, Accelerator)}


def test_a_field_lost_on_the_way_is_trouble(node):
    stdout = node.nvml().stdout
    found = list(nvml.parse(stdout.replace('"ecc_uncorrected_volatile":0,', "", 1)))
    assert [item.detail for item in found if hasattr(item, "detail")] == [
        "not answered (ecc_uncorrected_volatile)"
    ]


def test_what_the_script_asks_is_what_the_parser_reads(node):
    """A field that only one side knows would be silent."""
    import json

    line = next(line for line in node.nvml().stdout.split("\n") if line.startswith('{"v"'))
    told = json.loads(line)
    asked = {*told["v"], *told["none"]}
    assert asked - {"link_count", "partitions"} == set(nvml.FIELDS)


MIG_LINE = """{"nvml":{"devices":1,"driver":"590.48.01"}}
{"gpu":0,"v":{"partitions":%s},"none":%s,"e":%s}
{"end":{"devices":1,"seen":1}}
"""


def mig(partitions: str, errors: str = "{}"):
    import json

    absent = json.dumps(sorted(nvml.FIELDS))
    found = list(nvml.parse(MIG_LINE % (partitions, absent, errors)))
    return [item for item in found if isinstance(item, Partition | Trouble)]


def test_mig_devices_are_parts_of_their_gpu():
    assert mig('[[0,"MIG-aa",42412802048,27262976,2],[3,"MIG-bb",10468982784,9437184,null]]') == [
        Partition("gpu0/mig0", "gpu0", "MIG-aa", "", 42412802048, 27262976, 2),
        Partition("gpu0/mig3", "gpu0", "MIG-bb", "", 10468982784, 9437184),
    ]


@pytest.mark.parametrize(
    "partitions", ['[[0,"MIG-aa",1,1]]', "[7]", '[[-1,"MIG-aa",1,1,0]]', '[[0,"MIG-aa",1,1,-1]]']
)
def test_a_garbled_mig_device_is_trouble_of_its_gpu(partitions):
    (trouble,) = mig(partitions)
    assert (trouble.kind, trouble.part) == (Kind.UNREADABLE, "gpu0")


def test_mig_devices_that_cannot_be_asked_are_trouble():
    assert mig("[]", '{"partitions":"Unknown"}') == [
        Trouble(Kind.EXIT, "NVML: Unknown (MIG devices)", "gpu0")
    ]

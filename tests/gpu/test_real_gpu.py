"""What only a real NVIDIA GPU can show: that its library and its tool tell us the same."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from clusterctl import remote
from clusterctl.model import Accelerator, Link, Partition, Trouble, Version
from clusterctl.probes import nvidia_smi, nvml, pci

REMOTE = Path(remote.__file__).parent


def library_is_here() -> bool:
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True


pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not library_is_here(), reason="no libnvidia-ml.so.1: no NVIDIA driver here"),
]

# These move between two questions: only that both tell them, and how far apart they may be.
MOVING = {
    "temp_c": 5,
    "temp_memory_c": 5,
    "temp_slowdown_c": 2,
    "power_w": 150,
    "clock_sm_mhz": 3000,
    "clock_memory_mhz": 10000,
    "utilisation_percent": 100,
    "memory_used_bytes": 1 << 31,
    "throttle_thermal_us": 10**7,
    "throttle_power_us": 10**7,
    "pcie_gen": 6,
    "pcie_replays": 100,
    "ecc_corrected_volatile": 100,
    "ecc_corrected_aggregate": 100,
}


def answer(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.fixture(scope="module")
def by_library():
    return list(nvml.parse(answer(sys.executable, str(REMOTE / "ask_nvml.py"))))


@pytest.fixture(scope="module")
def by_tool():
    return list(nvidia_smi.parse(answer(*nvidia_smi.PROBES[0].question.command)))


def cards(found) -> list[Accelerator]:
    return [item for item in found if isinstance(item, Accelerator)]


def test_both_read_every_gpu_without_trouble(by_library, by_tool):
    assert not [item for item in (*by_library, *by_tool) if isinstance(item, Trouble)]
    assert len(cards(by_library)) == len(cards(by_tool)) > 0


def test_both_tell_the_same_field_by_field(by_library, by_tool):
    different = {}
    for one, other in zip(cards(by_library), cards(by_tool), strict=True):
        for field in fields(Accelerator):
            a, b = getattr(one, field.name), getattr(other, field.name)
            apart = MOVING.get(field.name)
            if field.name == "throttle" or a == b:
                continue
            if apart is None or a is None or b is None or abs(a - b) > apart:
                different[one.part, field.name] = (a, b)
    assert different == {}


def test_both_tell_the_same_mig_devices(by_library, by_tool):
    """nvidia-smi rounds to MiB, and its XML has neither UUID nor profile."""

    def told(found):
        return {
            item.part: (item.memory_total_bytes >> 20, item.ecc_uncorrected_volatile)
            for item in found
            if isinstance(item, Partition)
        }

    assert told(by_library) == told(by_tool)


QUERY = (
    "index,name,uuid,serial,pci.bus_id,vbios_version,persistence_mode,mig.mode.current,"
    "ecc.mode.current,memory.total,memory.used,utilization.gpu,temperature.gpu,temperature.memory,"
    "power.draw,enforced.power.limit,power.default_limit,clocks.current.sm,clocks.max.sm,"
    "clocks.max.memory,pcie.link.gen.max,pcie.link.width.current,pcie.link.width.max,"
    "ecc.errors.uncorrected.volatile.total,ecc.errors.corrected.volatile.total"
)
OUTPUTS = {
    "-q": ("-q",),
    "table": (),
    "-L": ("-L",),
    "csv": (f"--query-gpu={QUERY}", "--format=csv"),
    "csv,nounits": (f"--query-gpu={QUERY}", "--format=csv,nounits"),
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_every_output_of_the_tool_tells_of_the_same_cards(by_tool, output):
    """What an output holds is what the XML holds; the table shortens names and rounds."""
    shown = cards(nvidia_smi.parse(answer("nvidia-smi", *OUTPUTS[output])))
    assert len(shown) == len(cards(by_tool))
    different = {}
    for one, other in zip(cards(by_tool), shown, strict=True):
        for field in fields(Accelerator):
            a, b = getattr(one, field.name), getattr(other, field.name)
            apart = MOVING.get(field.name, 0 if output != "table" else 1)
            if b in (None, "", ()) or a == b or field.name == "throttle":
                continue
            if field.name == "model" and b.endswith("...") and a.startswith(b[:-3].strip()):
                continue
            if not isinstance(b, int | float) or a is None or abs(a - b) > apart:
                different[one.part, field.name] = (a, b)
    assert different == {}


@pytest.mark.parametrize("output", ["nvlink -s", "nvlink -e", "topo -m", "dmon -c 1", "--version"])
def test_every_other_output_of_the_tool_is_understood(output):
    ran = subprocess.run(
        ("nvidia-smi", *output.split()), capture_output=True, text=True, check=False, timeout=120
    )
    found = list(nvidia_smi.parse(ran.stdout))
    assert not [item for item in found if isinstance(item, Trouble)], ran.stdout


def test_both_tell_the_same_versions_and_links(by_library, by_tool):
    def versions(found):
        return {item for item in found if isinstance(item, Version)}

    def links(found):
        return {(item.part, item.state, item.rate_gbyte_s) for item in found if type(item) is Link}

    assert versions(by_library) == versions(by_tool)
    assert links(by_library) == links(by_tool)


def test_every_gpu_sits_on_the_pci_bus(by_library):
    question = pci.PROBES[0].question
    listed = list(pci.parse(answer(sys.executable, str(REMOTE / "read_pci.py"), *question.command)))
    there = {item.part: item for item in listed if not isinstance(item, Trouble)}
    for card in cards(by_library):
        assert there[card.pci].vendor == "nvidia"
        assert there[card.pci].width_max == card.pcie_width_max

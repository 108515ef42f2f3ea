"""The pci probe asks this very machine, in both ways, and reads the answers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from clusterctl.catalog import all_probes
from clusterctl.model import Accelerator, PcieDevice, Trouble
from clusterctl.probes import pci

REMOTE = Path(pci.__file__).parent.parent / "remote"
DEVICES = Path("/sys/bus/pci/devices")
WITH_BUS = pytest.mark.skipif(
    not DEVICES.is_dir() or not any(DEVICES.iterdir()), reason="this machine has no PCI functions"
)
(PROBE,) = pci.PROBES


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def ask_with_python() -> str:
    return run(sys.executable, str(REMOTE / "read_pci.py"), *PROBE.question.command)


@WITH_BUS
def test_this_machine_is_read_without_trouble():
    found = list(PROBE.parse(ask_with_python()))
    assert not [item for item in found if isinstance(item, Trouble)]


@WITH_BUS
def test_a_node_without_python_tells_the_same():
    shell = list(PROBE.parse(run(*PROBE.question.without_python)))
    assert shell == list(PROBE.parse(ask_with_python()))


@WITH_BUS
def test_only_the_classes_asked_for_travel():
    answer = ask_with_python()
    functions = {line.split("/")[5] for line in answer.split("\n") if line.count("/") == 6}
    told = [item for item in PROBE.parse(answer) if isinstance(item, PcieDevice)]
    assert {item.part for item in told} <= functions
    assert len(functions) <= len(list(DEVICES.iterdir()))


@pytest.mark.parametrize(
    ("text", "generation"),
    [
        ("2.5 GT/s PCIe", 1),
        ("5.0 GT/s PCIe", 2),
        ("8 GT/s", 3),
        ("16.0 GT/s PCIe", 4),
        ("32 GT/s", 5),
        ("64.0 GT/s PCIe", 6),
        ("Unknown", None),
        ("Unknown speed", None),
    ],
)
def test_every_kernels_spelling_of_a_speed(text, generation):
    assert pci.generation({"current_link_speed": text}, "current_link_speed") == generation


@pytest.mark.parametrize("text", ["32.0", "GT/s", "320 GT/s", "32.0 MT/s PCIe", ""])
def test_another_unit_is_no_speed(text):
    with pytest.raises(ValueError, match="no PCIe speed"):
        pci.generation({"current_link_speed": text}, "current_link_speed")


@pytest.mark.parametrize("width", ["255", "0"])
def test_a_function_without_a_link_of_its_own_reports_no_width(width):
    text = (
        "/sys/bus/pci/devices/0000:01:00.0/vendor\t0x10de\n"
        "/sys/bus/pci/devices/0000:01:00.0/device\t0x2330\n"
        "/sys/bus/pci/devices/0000:01:00.0/class\t0x030200\n"
        f"/sys/bus/pci/devices/0000:01:00.0/current_link_width\t{width}\n"
        f"/sys/bus/pci/devices/0000:01:00.0/max_link_width\t{width}\n"
        "/proc/sys/kernel/ostype\tLinux\n"
    )
    (card,) = PROBE.parse(text)
    assert card == replace(card, width=None, width_max=None)


@pytest.mark.parametrize(
    ("vendor", "class_id", "device", "kind"),
    [
        ("1ee0", "1200", "0011", "accelerator"),  # Biren
        ("ffee", "0302", "0001", "accelerator"),  # a vendor nobody knows, in every class of cards
        ("ffee", "0b40", "0001", "accelerator"),
        ("ffee", "1200", "0001", "accelerator"),
        ("ffee", "0300", "0001", "accelerator"),
        ("ffee", "0380", "0001", "accelerator"),
        ("ffee", "0c03", "0001", "other"),
        ("10de", "0300", "2204", "accelerator"),
        ("1a03", "0300", "2000", "other"),  # ASPEED's VGA in nearly every BMC
        ("102b", "0300", "0536", "other"),  # Matrox G200
        ("19e5", "0300", "1711", "other"),  # Huawei iBMC
        ("0014", "0300", "7a36", "other"),  # display of a Loongson bridge
        ("0014", "0302", "7a15", "other"),  # and its Vivante GPU
        ("1234", "0300", "1111", "other"),  # QEMU
        ("8086", "0b40", "4940", "other"),  # QuickAssist
    ],
)
def test_what_may_be_an_accelerator_is_one(vendor, class_id, device, kind):
    assert pci.kind_of(vendor, device, class_id) == kind


def test_every_vendor_has_a_probe_or_is_said_to_have_none():
    """Otherwise a card of that vendor would be called silent, or unknown, for the wrong reason."""
    asking = [probe for probe in all_probes().values() if Accelerator in probe.yields]
    asked = {vendor for probe in asking for vendor in probe.applies.pci_vendors}
    assert {*pci.VENDORS} == pci.UNASKED | asked
    assert not pci.UNASKED & asked


def test_the_newer_cards_of_kunlunxin_have_another_vendor_and_the_same_tool():
    applies = all_probes()["xpu_smi"].applies
    assert {pci.VENDORS[one] for one in applies.pci_vendors} == {"kunlunxin"}
    assert set(applies.pci_vendors) == {"1d22", "2057"}

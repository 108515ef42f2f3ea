"""Nodes of thirteen vendors: what the tools print, their cards, and faults planted in the text.

The texts are those of tests/captured; a fault changes the last place where the healthy words stand,
so it is the last device's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CAPTURED = Path(__file__).parent / "captured"
Edits = tuple[tuple[str, str], ...]

# As ask_*.py and npu_smi's question head what each call printed; mine name the arguments alone.
HEADED = re.compile(r"== (?:call|run) \S+ ?(?P<words>.*)")
BARE = re.compile(r"== (?P<words>(?!end |exit |clusterctl ).*)")
EXIT = re.compile(r"== exit (?P<code>\d+).*")


@dataclass(frozen=True)
class Vendor:
    """`card`: vendor id, device id and class, as on the bus.  `tool`: its path on a node."""

    name: str
    probe: str
    case: str
    tool: str
    card: tuple[str, str, str]
    faults: Mapping[str, Edits] = field(default_factory=dict)
    mended: Edits = ()  # what keeps its text from being a healthy node's

    def text(self, fault: str = "") -> str:
        text = (CAPTURED / self.probe / f"{self.case}.txt").read_text()
        for old, new in (*self.mended, *self.faults.get(fault, ())):
            assert old in text, f"{self.name}: {old!r} is not in its text"
            before, _, after = text.rpartition(old)
            text = before + new + after
        return text

    def addresses(self) -> list[str]:
        """Where its text says that its cards are; several devices may share one."""
        told = json.loads((CAPTURED / self.probe / f"{self.case}.json").read_text())["facts"]
        return list(dict.fromkeys(fact["pci"] for fact in told if fact["type"] == "Accelerator"))

    def last(self) -> str:
        told = json.loads((CAPTURED / self.probe / f"{self.case}.json").read_text())["facts"]
        return str([fact["part"] for fact in told if fact["type"] == "Accelerator"][-1])


VENDORS = (
    Vendor(
        "nvidia",
        "nvidia_smi",
        "healthy_one_busy",
        "nvidia-smi",
        ("10de", "2330", "030200"),
        {
            "ecc": (
                (
                    "<dram_uncorrectable>0</dram_uncorrectable>\n</volatile>",
                    "<dram_uncorrectable>1</dram_uncorrectable>\n</volatile>",
                ),
            ),
            "hot": (
                ("<gpu_temp>61 C</gpu_temp>", "<gpu_temp>105 C</gpu_temp>"),
                ("<gpu_temp_tlimit>26 C<", "<gpu_temp_tlimit>-18 C<"),
            ),
        },
    ),
    Vendor(
        "huawei",
        "npu_smi",
        "healthy",
        "npu-smi",
        ("19e5", "d803", "120000"),
        {
            "ecc": (
                (
                    "HBM Double Bit Error Count               : 0",
                    "HBM Double Bit Error Count               : 1",
                ),
            ),
            "hot": (("| -           36   ", "| -           105  "),),
            "unhealthy": (
                ("Health Status                  : OK", "Health Status                  : Alarm"),
                ("| OK            | -           36", "| Alarm         | -           36"),
            ),
        },
    ),
    Vendor(
        "amd",
        "amd_smi",
        "healthy_rocm7",
        "amd-smi",
        ("1002", "74a1", "120000"),
        {
            "ecc": (('"total_uncorrectable_count": 0', '"total_uncorrectable_count": 1'),),
            "hot": (('"hotspot": {"value": 41', '"hotspot": {"value": 105'),),
        },
    ),
    Vendor(
        "hygon",
        "hy_smi",
        "healthy",
        "hy-smi",
        ("1d94", "6320", "0b4000"),
        {
            "hot": (
                ("1       40.0C", "1       105.0C"),
                ('edge) (C)": "41.0"', 'edge) (C)": "105.0"'),
            ),
            "unhealthy": (("0.0%      Normal", "0.0%      Exception"),),
        },
    ),
    Vendor(
        "cambricon",
        "cnmon",
        "healthy_one_busy",
        "cnmon",
        ("cabc", "0370", "120000"),
        {
            "ecc": (
                ("Two Bit ECC                : 0", "Two Bit ECC                : 1"),
                ("| 87%                 0 |", "| 87%                 1 |"),
            ),
            "hot": (
                ("Chip                       : 39 C", "Chip                       : 105 C"),
                ("|  0%   39C ", "|  0%   105C"),
            ),
            "unhealthy": (
                ("Device                     : Good", "Device                     : Bad"),
            ),
        },
    ),
    Vendor(
        "moorethreads",
        "mthreads_gmi",
        "healthy_one_busy",
        "mthreads-gmi",
        ("1ed5", "0400", "030200"),
        {"hot": (('Temp": "51C"', 'Temp": "105C"'), ("|51C  ", "|105C "))},
    ),
    Vendor(
        "metax",
        "mx_smi",
        "healthy_one_busy",
        "mx-smi",
        ("9999", "4001", "038000"),
        {
            "ecc": (
                (
                    "DRAM Uncorrectable                        : 0",
                    "DRAM Uncorrectable                        : 1",
                ),
            ),
            "hot": (("61C          P0", "105C         P0"),),
        },
    ),
    Vendor(
        "iluvatar",
        "ixsmi",
        "healthy_one_busy",
        "ixsmi",
        ("1e3e", "0002", "120000"),
        {
            "ecc": (
                (
                    "Double Bit\n                Total                     : 0\n        Aggregate",
                    "Double Bit\n                Total                     : 1\n        Aggregate",
                ),
            ),
            "hot": (
                ("GPU Current Temp                  : 58 C", "GPU Current Temp : 105 C"),
                ("| N/A  58C ", "| N/A  105C"),
            ),
        },
        mended=((", N/A, 4, 4", ", 52, 4, 4"),),  # a sensor that its peer has
    ),
    Vendor(
        "enflame",
        "efsmi",
        "healthy_two",
        "efsmi",
        ("1e36", "c035", "120000"),
        {
            "ecc": (("Total DBE               : 0", "Total DBE               : 1"),),
            "hot": (("GCU Temp                : 44", "GCU Temp                : 105"),),
            "unhealthy": (("Health                  : True", "Health                  : False"),),
        },
    ),
    Vendor(
        "kunlunxin",
        "xpu_smi",
        "healthy_two",
        "xpu_smi",
        ("1d22", "3688", "120000"),
        {
            "ecc": (
                (
                    "Uncorrectable            : 0\n        Aggregate",
                    "Uncorrectable            : 1\n        Aggregate",
                ),
            ),
            "hot": (("Temp                  : 41 C", "Temp                  : 105 C"),),
        },
    ),
    Vendor(
        "biren",
        "brsmi",
        "healthy_two",
        "brsmi",
        ("1ee0", "0011", "120000"),
        {"ecc": (("1, 0, 0", "1, 0, 1"),), "hot": (("BR0002, 46", "BR0002, 105"),)},
    ),
    Vendor(
        "tecorigin",
        "teco_smi",
        "healthy_two",
        "teco-smi",
        ("ffe7", "0001", "120000"),  # its real id is not published: any that nobody has
        {
            "hot": (("|        38C ", "|        105C"),),
            "unhealthy": (("| OK               25%", "| Error            25%"),),
        },
    ),
    Vendor(
        "thead",
        "ppu_smi",
        "healthy_two",
        "ppu-smi",
        ("1ded", "8001", "120000"),
        {"ecc": (("1, 1, 0", "1, 1, 1"),), "hot": (("1, 42, ", "1, 105, "),)},
    ),
)
BY_NAME = {vendor.name: vendor for vendor in VENDORS}


def calls(text: str) -> dict[str, tuple[str, int]]:
    """{arguments: (what the tool prints then, its exit code)}"""
    headed = HEADED if any(HEADED.fullmatch(line) for line in text.split("\n")) else BARE
    said: dict[str, tuple[str, int]] = {}
    words: str | None = None
    for line in text.split("\n"):
        if opens := headed.fullmatch(line):
            words = opens["words"]
            said[words] = ("", 0)
        elif words is not None and (ends := EXIT.fullmatch(line)):
            said[words] = (said[words][0], int(ends["code"]))
            words = None
        elif words is not None and not line.startswith("== "):
            said[words] = (f"{said[words][0]}{line}\n", said[words][1])
    return said


def pci_listing(vendor: Vendor, *, more: tuple[str, ...] = (), width: int = 16) -> str:
    """What the pci question is answered where these cards sit; `width` is the last one's."""
    ids, lines = vendor.card, []
    places = sorted({*vendor.addresses(), *more})
    for place in places:
        base = f"/sys/bus/pci/devices/{place}"
        for name, value in zip(("vendor", "device", "class"), ids, strict=True):
            lines.append(f"{base}/{name}\t0x{value}")
        lines.append(f"{base}/current_link_speed\t32.0 GT/s PCIe")
        lines.append(f"{base}/max_link_speed\t32.0 GT/s PCIe")
        lanes = width if place == places[-1] else 16
        lines.append(f"{base}/current_link_width\t{lanes}")
        lines.append(f"{base}/max_link_width\t16")
        lines.append(f"{base}/driver@\t{vendor.name}")
    lines.append(f"/sys/bus/pci/devices\t{len(places)}")
    lines.append("/proc/sys/kernel/ostype\tLinux")
    return "".join(f"{line}\n" for line in lines)

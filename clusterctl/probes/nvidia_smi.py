"""NVIDIA GPUs by nvidia-smi: https://docs.nvidia.com/deploy/nvidia-smi/ (DTD versions 10 to 13)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from xml.etree import ElementTree as ET

from clusterctl.model import (
    Accelerator,
    Applies,
    DeviceProcess,
    Fact,
    Kind,
    Link,
    Parse,
    Partition,
    Probe,
    Question,
    Trouble,
    Version,
)
from clusterctl.probes import nvidia_smi_csv, nvidia_smi_lists, nvidia_smi_table, nvidia_smi_text
from clusterctl.probes.device_files import NVIDIA
from clusterctl.probes.nvidia_smi_card import readings
from clusterctl.spelling import Unreadable, count, pci_address, plain, visible

ROOT, ROOT_END, GPU_END = "<nvidia_smi_log", "</nvidia_smi_log>", "</gpu>"
GPUS_AT_MOST = 256

# Newer: Unable to determine the device handle for GPU1: 0000:34:00.0: Unknown Error
# Older: Unable to determine the device handle for GPU 0000:01:00.0: GPU is lost.  Reboot the system
NO_HANDLE = re.compile(
    r"Unable to determine the device handle for GPU ?(?P<index>\d{1,3}(?=: ))?[: ]*"
    r"(?P<pci>[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7])?[: ]*(?P<why>.*)"
)
# As in WARNING: infoROM is corrupted at gpu 0000:3B:00.0
CORRUPT = re.compile(r"infoROM is corrupted at gpu (?P<pci>[0-9A-Fa-f:.]+)")
FAILED = re.compile(
    "No devices were found|NVIDIA-SMI has failed|Failed to initialize NVML|GPU is lost"
    "|couldn't communicate|Unknown Error|Insufficient Permissions",
    re.IGNORECASE,
)
BEGIN, LINKS, END = "== report", "== nvlink", "== end"  # marks of ours; a bare report has none

# What it costs to ask three times is little beside what NVML's own absence costs.
COMMAND = (
    "command -v nvidia-smi >/dev/null || { echo 'nvidia-smi: not found' >&2; exit 127; }; "
    f"echo '{BEGIN}'; nvidia-smi -q -x; code=$?; "
    f"echo '{LINKS}'; nvidia-smi nvlink -s; nvidia-smi nvlink -e; echo '{END}'; exit $code"
)


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Every GPU announced comes out as an Accelerator or as a Trouble of that part.

    Takes what our question brings back, and what people keep of nvidia-smi's other outputs.
    What lacks an index (a lost GPU, by older drivers) has its PCI address for a part.
    """
    text = plain(stdout)
    if ROOT not in text and BEGIN not in text and (reader := raw(text)):
        yield from reader(text)
        return
    report, _, links = text.partition(LINKS)
    whole = END in links or BEGIN not in report
    if not whole:
        yield Trouble(Kind.CUT, "nvidia-smi's answer ends early")
    before, root, rest = report.partition(ROOT)
    payload, ended, after = rest.partition(ROOT_END)
    head, *blocks = re.split(r'(?=<gpu id=")', payload)
    said = [*without_xml(before, head, *blocks, after)]
    lost = {trouble.part: trouble for trouble in handles(said)}
    free = (index for index in range(GPUS_AT_MOST) if f"gpu{index}" not in lost)
    # Blocks first: zip asks its first argument once more than it yields.
    numbered = {index: block for block, index in zip(blocks, free, strict=False)}
    complaints = [*lost.values(), *warnings(said, numbered)]
    yield from complaints
    if not root:
        if not complaints:
            yield Trouble(Kind.UNREADABLE, f"no nvidia_smi_log in {visible(report.strip(), 80)!r}")
        return
    if not ended:
        yield Trouble(Kind.CUT, f"nvidia-smi's output has no {ROOT_END}")
    driver = re.search(r"<driver_version>([^<]*)</driver_version>", head)
    if driver:
        yield Version("driver/nvidia", driver[1].strip())
    for index, block in numbered.items():
        yield from gpu(index, block)
    yield from unseen(head, len(blocks) + len(lost), free)
    if whole:  # a GPU that shows 3 of its 18 links would look broken
        yield from nvidia_smi_lists.nvlinks(links)


def without_xml(*texts: str) -> Iterator[str]:
    """The lines outside any GPU's element that are no XML: errors, warnings, somebody's noise."""
    for line in "\n".join(text.rpartition(GPU_END)[2] for text in texts).split("\n"):
        words = line.strip()
        if words and not words.startswith("<"):
            yield words


def handles(said: Sequence[str]) -> Iterator[Trouble]:
    for words in said:
        if found := NO_HANDLE.search(words):
            yield Trouble(Kind.EXIT, visible(words, 200), part_of(found["index"], found["pci"]))


def warnings(said: Sequence[str], numbered: Mapping[int, str]) -> Iterator[Trouble]:
    for words in said:
        if corrupt := CORRUPT.search(words):
            address = part_of(None, corrupt["pci"])
            parts = [f"gpu{i}" for i, block in numbered.items() if place_of(block) == address]
            yield Trouble(Kind.EXIT, visible(words, 200), (*parts, address)[0])
        elif FAILED.search(words) and not NO_HANDLE.search(words):
            yield Trouble(Kind.EXIT, visible(words, 200))


def place_of(block: str) -> str:
    return part_of(None, block.removeprefix('<gpu id="').partition('"')[0])


def part_of(index: str | None, pci: str | None) -> str:
    if index:
        return f"gpu{int(index)}"
    try:
        return pci_address(pci or "")
    except Unreadable:
        return ""


def unseen(head: str, told: int, free: Iterator[int]) -> Iterator[Trouble]:
    """A trouble for each GPU that nvidia-smi counts and does not show."""
    attached = re.search(r"<attached_gpus>([^<]*)</attached_gpus>", head)
    if not attached:
        return
    try:
        missing = min(count(attached[1]), GPUS_AT_MOST) - told
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, f"attached_gpus: {error}")
        return
    for _, index in zip(range(missing), free, strict=False):
        yield Trouble(Kind.CUT, "nvidia-smi counts this GPU and does not show it", f"gpu{index}")


def gpu(index: int, block: str) -> Iterator[Fact | Trouble]:
    """One GPU's element, read apart from the others: a bad one costs only itself.

    It has no prolog, hence no DTD and no entities of its own.
    """
    part = f"gpu{index}"
    element, end, _ = block.partition(GPU_END)
    if not end:
        yield Trouble(Kind.CUT, "its record ends early", part)
        return
    try:
        found = ET.fromstring(element + end)  # noqa: S314 - see the docstring
    except (ET.ParseError, ValueError) as error:
        yield Trouble(Kind.UNREADABLE, f"not XML: {error}", part)
        return
    if any("GPU is lost" in (item.text or "") for item in found.iter()):
        yield Trouble(Kind.EXIT, "nvidia-smi: GPU is lost", part)
        return
    yield from readings(part, index, found)


# What people keep of the tool's other outputs, by how it looks; the first that fits reads it.
SHAPES: tuple[tuple[Callable[[str], object], Parse], ...] = (
    (nvidia_smi_table.SHAPE.search, nvidia_smi_table.table),
    (nvidia_smi_csv.header, nvidia_smi_csv.query),
    (nvidia_smi_text.SHAPE.search, nvidia_smi_text.parse),
    (nvidia_smi_lists.VERSION.search, nvidia_smi_lists.version),
    (re.compile(r"\s*# gpu +\S").match, nvidia_smi_lists.dmon),
    (re.compile(r"\n*\tGPU\d").match, nvidia_smi_lists.topology),
    (nvidia_smi_lists.SHAPE.search, nvidia_smi_lists.only_links),
    (nvidia_smi_lists.LISTED.match, nvidia_smi_lists.listing),
)


def raw(text: str) -> Parse | None:
    """Who reads this output, when it is none that our question brings back."""
    return next((reader for fits, reader in SHAPES if fits(text)), None)


PROBES = (
    Probe(
        Question(
            "nvidia_smi",
            command=("sh", "-c", COMMAND),
            without_python=("sh", "-c", COMMAND),
            timeout_s=45.0,
            spare=NVIDIA,  # NVML has told nearly all of it, with less of the driver's time
            cap_bytes=4 << 20,  # 66 kB a GPU on driver 595, most of it clocks it could run at
        ),
        parse,
        yields=(Accelerator, Link, Partition, DeviceProcess, Version),
        about="NVIDIA GPUs, NVLinks and the processes on them, from nvidia-smi",
        subject="nvidia",
        rank=1,
        applies=Applies(
            pci_vendors=("10de",),
            kinds=("accelerator",),
            why_not="no NVIDIA accelerator on the PCI bus",
        ),
    ),
)

"""NVIDIA GPUs by nvidia-smi: https://docs.nvidia.com/deploy/nvidia-smi/ (DTD versions 10 to 13)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from xml.etree import ElementTree as ET

from clusterctl.model import (
    Accelerator,
    Applies,
    DeviceProcess,
    Fact,
    Kind,
    Link,
    Probe,
    Question,
    Trouble,
    Version,
)
from clusterctl.probes.nvidia_smi_cells import FIELDS, label, process
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
LINK_GPU = re.compile(r"GPU (\d{1,3}): .*\(UUID: [^)]*\)\s*")
LINK_STATE = re.compile(r"\s+Link (\d{1,3}): (?:<inactive>|(\d+(?:\.\d+)?) GB/s)\s*", re.IGNORECASE)
LINK_ERRORS = re.compile(r"\s+Link (\d{1,3}): (\w[\w ]*?): (\d{1,20})\s*")
BEGIN, LINKS, END = "== report", "== nvlink", "== end"  # marks of ours; a bare report has none

# What it costs to ask three times is little beside what NVML's own absence costs.
COMMAND = (
    "command -v nvidia-smi >/dev/null || { echo 'nvidia-smi: not found' >&2; exit 127; }; "
    f"echo '{BEGIN}'; nvidia-smi -q -x; code=$?; "
    f"echo '{LINKS}'; nvidia-smi nvlink -s; nvidia-smi nvlink -e; echo '{END}'; exit $code"
)


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Every GPU announced comes out as an Accelerator or as a Trouble of that part.

    What lacks an index (a lost GPU, by older drivers) has its PCI address for a part.
    """
    text = plain(stdout)
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
        yield from nvlinks(links)


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


def readings(part: str, index: int, found: ET.Element) -> Iterator[Fact | Trouble]:
    values: dict[str, object] = {}
    failed: defaultdict[str, list[str]] = defaultdict(list)
    for name, read in FIELDS.items():
        try:
            values[name] = read(found)
        except Unreadable as error:
            failed[str(error)].append(name)
    for why, names in failed.items():
        yield Trouble(Kind.UNREADABLE, f"{visible(why, 120)} ({', '.join(names)})", part)
    yield Accelerator(part, "nvidia", index, **values)  # type: ignore[arg-type]
    yield from versions(part, found)
    for item in found.iterfind("processes/process_info"):
        try:
            pid, name, used = process(item)
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, f"process: {visible(str(error), 120)}", part)
        else:
            yield DeviceProcess(part, pid, name, used)


def versions(part: str, found: ET.Element) -> Iterator[Fact | Trouble]:
    for name, path in (("vbios", "vbios_version"), ("inforom", "inforom_version/img_version")):
        try:
            version = label(path)(found)
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, visible(f"{error} ({name})", 120), part)
        else:
            if version:
                yield Version(f"{name}/{part}", version)


def nvlinks(text: str) -> Iterator[Link]:
    """What `nvlink -s` says of every link, with the counters of `nvlink -e`."""
    states, counters = link_lines(text)
    for (card, name), rate in states.items():
        state = "inactive" if rate is None else "up"
        part = f"{card}/{name}"
        yield Link(part, card, "nvlink", state, rate, counters.get(part, {}))


def link_lines(
    text: str,
) -> tuple[dict[tuple[str, str], float | None], dict[str, dict[str, int]]]:
    """{(gpu, link): GB/s or None} and {gpu/link: {counter: value}}."""
    states: dict[tuple[str, str], float | None] = {}
    counters: defaultdict[str, dict[str, int]] = defaultdict(dict)
    card = ""
    for line in text.split("\n"):
        if header := LINK_GPU.fullmatch(line):
            card = f"gpu{int(header[1])}"
        elif card and (state := LINK_STATE.fullmatch(line)):
            states[card, f"link{int(state[1])}"] = float(state[2]) if state[2] else None
        elif card and (errors := LINK_ERRORS.fullmatch(line)):
            name = errors[2].lower().replace(" ", "_")
            counters[f"{card}/link{int(errors[1])}"][name] = int(errors[3])
        elif card and "all links are inactive" in line.lower():
            states[card, "links"] = None  # how many there are, it does not say
    return states, counters


PROBES = (
    Probe(
        Question(
            "nvidia_smi",
            command=("sh", "-c", COMMAND),
            without_python=("sh", "-c", COMMAND),
            timeout_s=45.0,
            cap_bytes=4 << 20,  # 66 kB a GPU on driver 595, most of it clocks it could run at
        ),
        parse,
        yields=(Accelerator, Link, DeviceProcess, Version),
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

"""Memory sizes, per NUMA node too, and the errors EDAC counts by controller and module."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from clusterctl.model import Dimm, Fact, Kind, Memory, Probe, Trouble
from clusterctl.spelling import Unreadable, count, visible
from clusterctl.sysfs import contents, files

MEMINFO = "/proc/meminfo"
NUMA = "/sys/devices/system/node/node[0-7]/meminfo"  # 2.4 kB each; GB200 has 34, mostly empty
EDAC = "/sys/devices/system/edac/mc/mc*"

# "MemTotal:       263950108 kB", and in a node's: "Node 0 MemTotal:       131896300 kB"
LINE = re.compile(r"(?:Node [0-9]+ )?\w+:\s+([0-9]{1,20}) kB")
WANTED = {
    "MemTotal": "total_bytes",
    "MemAvailable": "available_bytes",
    "SwapTotal": "swap_total_bytes",
    "SwapFree": "swap_free_bytes",
    "HardwareCorrupted": "hardware_corrupted_bytes",
}
# Documentation/admin-guide/ras.rst: dimm* or rank* on today's kernels, csrow* on those before 3.6
MODULE = re.compile(r"/sys/devices/system/edac/mc/(mc\d+(?:/(?:dimm|rank|csrow)\d+)?)/(\w+)")


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    texts, troubles = contents(stdout)
    refused = {part_of(trouble.part) for trouble in troubles}
    for trouble in troubles:
        yield replace(trouble, part=part_of(trouble.part))
    if MEMINFO not in texts and "memory" not in refused and texts:
        yield Trouble(Kind.UNREADABLE, f"{MEMINFO} is not in the answer", "memory")
    for path, text in texts.items():
        if path.endswith("/meminfo"):
            yield sizes(part_of(path), text)
    for part, found in counters(texts).items():
        if part not in refused:
            yield module_errors(part, found)


def part_of(path: str) -> str:
    """memory, node1, mc0 or mc0/dimm3; empty for what is no path of ours."""
    if path == MEMINFO:
        return "memory"
    match = MODULE.fullmatch(path) or re.fullmatch(r"/sys/devices/system/node/(node\d+)/.*", path)
    return match[1] if match else ""


def sizes(part: str, text: str) -> Memory | Trouble:
    """One file's sizes.  A line of the five we read that is garbled costs the whole part."""
    found: dict[str, int] = {}
    for line in text.split("\n"):
        name = re.sub(r"^Node \d+ ", "", line).split(":")[0]
        if name not in WANTED:
            continue
        match = LINE.fullmatch(line.strip())
        if not match:
            return Trouble(Kind.UNREADABLE, f"not a size: {visible(line)}", part)
        found[WANTED[name]] = int(match[1]) * 1024
    if "total_bytes" not in found:
        return Trouble(Kind.UNREADABLE, "MemTotal is not in the answer", part)
    return Memory(part, **found)


def counters(texts: dict[str, str]) -> dict[str, dict[str, str]]:
    """EDAC's files by controller and module.

    Where a controller shows dimms, its csrows are the same errors again, and left out.
    """
    found: dict[str, dict[str, str]] = {}
    for path, text in texts.items():
        if match := MODULE.fullmatch(path):
            found.setdefault(match[1], {})[match[2]] = text
    modern = {part.split("/")[0] for part in found if re.search("/(dimm|rank)", part)}
    return {
        part: files
        for part, files in found.items()
        if "/csrow" not in part or part.split("/")[0] not in modern
    }


def module_errors(part: str, found: dict[str, str]) -> Dimm | Trouble:
    """Both counters, or the trouble with them: one that is missing is not zero."""
    prefix = "dimm_" if "/dimm" in part or "/rank" in part else ""
    label = found.get("dimm_label") or found.get("mc_name") or found.get("ch0_dimm_label") or ""
    try:
        return Dimm(
            part,
            visible(label, 80),
            corrected=count(found.get(f"{prefix}ce_count", "")),
            uncorrected=count(found.get(f"{prefix}ue_count", "")),
        )
    except Unreadable as error:
        return Trouble(Kind.UNREADABLE, str(error), part)


PROBES = (
    Probe(
        files(
            "memory",
            MEMINFO,
            NUMA,
            f"{EDAC}/mc_name",
            f"{EDAC}/[cu]e_count",
            f"{EDAC}/dimm[0-9]*/dimm_[cu]e_count",
            f"{EDAC}/dimm[0-9]*/dimm_label",
            f"{EDAC}/rank[0-9]*/dimm_[cu]e_count",
            f"{EDAC}/rank[0-9]*/dimm_label",
            f"{EDAC}/csrow[0-9]*/[cu]e_count",
            f"{EDAC}/csrow[0-9]*/ch0_dimm_label",
        ),
        parse,
        yields=(Memory, Dimm),
        about="Memory and swap sizes, pages lost to hardware errors, EDAC counters by module",
    ),
)

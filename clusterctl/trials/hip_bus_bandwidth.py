"""What hipBusBandwidth of ROCm's HIP samples prints, as SuperBench's rocm_memory tests run it.

It names its device by model, not by number: device 0, unless it was told another (-d).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.model import Copy, Kind, Trouble
from clusterctl.spelling import Unreadable, number, visible

DEVICE = re.compile(r"Device:(.{1,80}?) Mem=")
#    H2D_Bandwidth_pinned     524288kB       GB/sec        24.7523 24.6708 0.1586  24.3154 24.7880
ROW = re.compile(r"\s*(\w{1,40}_Bandwidth_?\w{0,20})\s+(\S+)\s+(\S+)\s+(.+?)\s*")
WAYS = {"H2D": "host>gpu0", "D2H": "gpu0>host", "D2D": "gpu0>gpu0"}
SIZE = re.compile(r"(\d{1,12})kB")
TINY = re.compile(r"[+-]?\d{1,12}By")  # a copy of so few bytes tells of its start alone
VALUES = 5  # median, mean, stddev, min, max


def parse(stdout: str) -> Iterator[Copy | Trouble]:
    """One Copy a size and direction: the median.  Times are left out: they say the same."""
    device = DEVICE.search(stdout)
    found = 0
    for line in stdout.split("\n"):
        if row := ROW.fullmatch(line):
            found += 1
            yield from copy(*row.groups())
    if not device or not found:
        shown = visible(stdout.strip().split("\n")[-1], 120)
        yield Trouble(Kind.UNREADABLE, f"hipBusBandwidth measured nothing: {shown!r}")


def copy(name: str, size: str, unit: str, values: str) -> Iterator[Copy | Trouble]:
    way, _, memory = name.partition("_Bandwidth")
    if TINY.fullmatch(size):
        return
    try:
        size_bytes, told = quantities(way, size, unit, values.split())
    except Unreadable as error:
        shown = visible(f"{name} {size}", 60)
        yield Trouble(Kind.UNREADABLE, f"{shown}: {visible(str(error), 80)}")
        return
    median, mean, _, least, most = told
    yield Copy(
        WAYS[way],
        "hipBusBandwidth",
        median,
        size_bytes=size_bytes,
        way=f"{memory.strip('_')} memory".strip(),
        detail=f"mean {mean:g}, {least:g} to {most:g} GB/s",
    )


def quantities(way: str, size: str, unit: str, cells: list[str]) -> tuple[int, list[float]]:
    """The size in bytes and the five values; a rate of nothing is none."""
    kilobytes = SIZE.fullmatch(size)
    if way not in WAYS or unit != "GB/sec" or len(cells) != VALUES or not kilobytes:
        raise Unreadable("not a row of hipBusBandwidth")
    told = [number(cell) for cell in cells]
    values = [value for value in told if value is not None and value >= 0]
    if len(values) != VALUES or not values[0]:
        raise Unreadable("a value is not there")
    return int(kilobytes[1]) << 10, values


READS = {"hipBusBandwidth": parse}

"""What people paste of tests of GPUs: gpu_burn, dcgmi diag, nvbandwidth, bandwidthTest, gpu_copy.

Trials read the answers of their own engines; these serve `clusterctl read` alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from clusterctl.model import Burn, Copy, Fact, Kind, Trouble
from clusterctl.spelling import Unreadable, number, plain, visible
from clusterctl.trials import dcgm_diag, dcgm_table, gpu_bandwidth, gpu_burn, nvbandwidth

OURS = re.compile(r"(?m)^(?:tool|report|line|burn|copy|trouble|engine|end|clusterctl)\t")


def burns(stdout: str) -> Iterator[Fact | Trouble]:
    text = plain(stdout)
    if OURS.search(stdout):
        yield from gpu_burn.parse(stdout)
    elif "Gflop/s" in text:
        yield from wilicc(text)
    else:
        yield from diag(text)


def diag(stdout: str) -> Iterator[Fact | Trouble]:
    """`dcgmi diag` as JSON of either shape, or as its table."""
    text = plain(stdout)
    at = text.find("{")
    if at >= 0 and '"DCGM' in text:
        try:
            given, _ = json.JSONDecoder().raw_decode(text[at:])
        except (ValueError, RecursionError) as problem:
            yield Trouble(Kind.UNREADABLE, f"dcgmi's JSON: {visible(str(problem), 120)}")
            return
        yield from dcgm_diag.report(json.dumps(given), 0.0, "")
    else:
        yield from dcgm_table.parse(text)


# ----------------------------------------------------------------------------- gpu_burn

# https://github.com/wilicc/gpu-burn.  A line is written again and again, after a carriage return:
# 50.0%  proc'd: 2261 (7150 Gflop/s) - 0 (0 Gflop/s)   errors: 0 - 0   temps: 38 C - 36 C
PROGRESS = re.compile(
    r"\d{1,3}\.\d%\s+proc'd: (?P<done>[^:]*?)\s+errors: (?P<errors>[^:]*?)\s+temps: "
    r"(?P<temps>(?:(?:\d{1,3} C|--) ?-? ?)*)"
)
RATE = re.compile(r"(-?\d{1,12}) \((\d{1,9}(?:\.\d+)?) Gflop/s\)")
WRONG = re.compile(r"(-?\d{1,18})\s*(?:\((?:WARNING|DIED)!\))?")
RESULT = re.compile(r"(?m)^\s+GPU (\d{1,3}): (OK|FAULTY)\s*$")
TESTED = re.compile(r"(?m)^Tested (\d{1,3}) GPUs?:")
LONE = re.compile(r"\d{1,3} C|--")
PRECISIONS = {"DOUBLES": "fp64", "FLOATS": "fp32"}


def wilicc(text: str) -> Iterator[Burn | Trouble]:
    """One row a GPU.  `errors` is the most of one report: they are not added up in the text."""
    reports = [
        (RATE.findall(one["done"]), WRONG.findall(one["errors"]), LONE.findall(one["temps"]))
        for one in PROGRESS.finditer(text)
    ]
    results = dict(RESULT.findall(text))
    tested = TESTED.search(text)
    count = int(tested[1]) if tested else max((len(rates) for rates, _, _ in reports), default=0)
    if not tested:
        yield Trouble(Kind.CUT, "gpu_burn's output ends before its results")
    precision = next((ours for word, ours in PRECISIONS.items() if f"using {word}" in text), "")
    for index in range(min(count, 256)):
        verdict = results.get(str(index))
        if tested and verdict is None:
            yield Trouble(Kind.CUT, "gpu_burn tested this GPU and shows no result", f"gpu{index}")
            continue
        yield burned(index, verdict, reports, precision)


def burned(
    index: int,
    verdict: str | None,
    reports: Sequence[tuple[list[tuple[str, str]], list[str], list[str]]],
    precision: str,
) -> Burn:
    rates = [float(row[index][1]) for row, _, _ in reports if len(row) > index]
    died = any(len(row) > index and row[index][0] == "-1" for row, _, _ in reports)
    wrong = [abs(int(row[index])) for _, row, _ in reports if len(row) > index]
    temps = [
        int(row[index].split()[0])
        for _, _, row in reports
        if len(row) > index and row[index] != "--"
    ]
    most = max(wrong, default=0)
    faulty = verdict == "FAULTY" or died or most > 0
    return Burn(
        f"gpu{index}",
        "gpu_burn",
        0.0,
        rate=max(rates) / 1000 if any(rates) else None,
        rate_unit="tflop_s" if any(rates) else "",
        errors=max(most, 1) if faulty else 0 if verdict == "OK" else None,
        detail="its process died" if died else (verdict or "no result").lower(),
        precision=precision,
        temp_max_c=float(max(temps)) if temps else None,
    )


# ----------------------------------------------------------------------------- copies


def copies(stdout: str) -> Iterator[Fact | Trouble]:
    text = plain(stdout)
    if OURS.search(stdout):
        yield from gpu_bandwidth.parse(stdout)
    elif "bandwidthTest" in text or "CUDA Bandwidth Test" in text:
        yield from bandwidth_test(text)
    elif GPU_COPY.search(text):
        yield from gpu_copy(text)
    else:
        yield from nvbandwidth_text(text)


def nvbandwidth_text(stdout: str) -> Iterator[Fact | Trouble]:
    """Lines before and after its JSON are somebody's warnings."""
    text = plain(stdout)
    start = re.search(r"(?m)^\{\s*$", text) or re.match(r"\s*\{", text)
    if start and '"nvbandwidth"' in text:
        try:
            given, _ = json.JSONDecoder().raw_decode(text[start.start() :].lstrip())
        except (ValueError, RecursionError) as problem:
            yield Trouble(Kind.UNREADABLE, f"nvbandwidth's JSON: {visible(str(problem), 120)}")
            return
        yield from nvbandwidth.report(json.dumps(given))
        return
    lines = text.split("\n")
    if any(line.strip() == "[...]" for line in lines):
        yield Trouble(Kind.CUT, "somebody shortened this text: [...]")
    yield from nvbandwidth.tables([line for line in lines if line.strip()], "")


DEVICE = re.compile(r"(?m)^ *Device (\d{1,3}): ")
# bandwidthTest-H2D-Pinned, Bandwidth = 12.1 GB/s, Time = 0.00016 s, Size = 2000000 bytes, …
ROW = re.compile(
    r"bandwidthTest-([HD]2[HD])-(\w{1,20}), Bandwidth = (\S{1,20}) GB/s, Time = \S{1,20} s, "
    r"Size = (\d{1,15}) bytes, NumDevsUsed = 1\s*"
)
WAYS = {"H2D": "host>gpu{0}", "D2H": "gpu{0}>host", "D2D": "gpu{0}>gpu{0}"}


def bandwidth_test(text: str) -> Iterator[Copy | Trouble]:
    """CUDA's sample, a row a size and direction; it compares nothing here: wrong None."""
    devices = DEVICE.findall(text)
    if len(devices) != 1:
        yield Trouble(Kind.UNREADABLE, f"bandwidthTest names {len(devices)} devices, not one")
        return
    found = 0
    for line in text.split("\n"):
        if not line.startswith("bandwidthTest-"):
            continue
        row = ROW.fullmatch(line)
        rate = measured(row[3]) if row and row[1] in WAYS else None
        if row is None or rate is None:
            yield Trouble(Kind.UNREADABLE, f"not a row: {visible(line, 120)!r}")
            continue
        found += 1
        part = WAYS[row[1]].format(int(devices[0]))
        yield Copy(part, "bandwidthTest", rate, size_bytes=int(row[4]), way=row[2].lower())
    if not found:
        yield Trouble(Kind.EXIT, "bandwidthTest measured nothing")


def measured(text: str) -> float | None:
    try:
        rate = number(text)
    except Unreadable:
        return None
    return rate if rate is not None and rate >= 0 else None


# SuperBench's gpu_copy: gpu0_to_gpu1_write_by_sm 258.397, cpu_and_gpu0_by_dma_under_numa1 49.4
END = r"(?:cpu|gpu\d{1,3}|gpu_all)"
GPU_COPY = re.compile(
    rf"(?m)^({END})_(to|and)_({END})(?:_(read|write))?_by_(sm|dma)"
    r"(?:_under_numa(\d{1,3}))? (\S+)$"
)


def gpu_copy(text: str) -> Iterator[Copy | Trouble]:
    """A host is that of a NUMA node: host is node 0's.  `gpu_all`: every GPU at once."""
    for line in text.split("\n"):
        if not line.strip():
            continue
        row = GPU_COPY.fullmatch(line.strip())
        rate = measured(row[7]) if row else None
        if row is None or rate is None:
            yield Trouble(Kind.UNREADABLE, f"not a row of gpu_copy: {visible(line, 120)!r}")
            continue
        host = f"host{int(row[6])}" if int(row[6] or 0) else "host"
        ends = [host if end == "cpu" else end.replace("gpu_all", "all") for end in (row[1], row[3])]
        way = " by ".join(filter(None, (row[4], row[5])))
        yield Copy(">".join(ends), "gpu_copy", rate, way=way, both_ways=row[2] == "and")


READS = {
    "gpu_burn": burns,
    "dcgmi_diag": diag,
    "gpu_bandwidth": copies,
    "nvbandwidth": nvbandwidth_text,
    "cuda_bandwidthTest": copies,
    "bandwidthTest": copies,
    "gpu_copy": copies,
}

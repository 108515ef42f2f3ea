"""What AMD's and Huawei's own tools say of their accelerators, read by what their makers publish.

None of these readers has met its tool on hardware: UNPROVEN stands in every row they give.  What a
line does not say is not concluded: a part that no line passes is never healthy.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clusterctl.model import Burn, Fact, Kind, Trouble
from clusterctl.spelling import Unreadable, number, visible

UNPROVEN = "read by the maker's documentation, unproven on hardware"
MOST_GPUS = 1024
Test = tuple[str, str]  # its name, the GPU

# ----------------------------------------------------------------------------- rvs

# gst.so/src/gst_worker.cpp, ROCm/ROCmValidationSuite 21584e14:
#   [gst-Tflops-4K] [GPU::  5432] GFLOPS 655123 Target GFLOPS: 523000 met: TRUE
NUMBER = r"(\d{1,15}(?:\.\d{1,15})?)"
GPU = r"\[([\w .+-]{1,100})\] \[GPU:: +(\d{1,9})\] "
GST = re.compile(GPU + rf"GFLOPS {NUMBER} Target GFLOPS: {NUMBER} met: (TRUE|FALSE)\s*$")
# iet.so/src/iet_worker.cpp:  [iet-750W] [GPU::  5432] pass: TRUE
PASS = re.compile(GPU + r"pass: (TRUE|FALSE)\s*$", re.IGNORECASE)
POWER = re.compile(GPU + rf"Power\(W\) {NUMBER}\s*$")
# The products differ from each other, or from the host's: gst's self_check and accu_check.
CHECKED = re.compile(GPU + rf"(self-check|accu-check) error {NUMBER}\s*$")
VERDICT = re.compile(r"\[GPU:: .*\b(met|pass):", re.IGNORECASE)
ERROR = re.compile(r"\[ERROR *\]\s*(.*)$")


def rvs(lines: Sequence[str], seconds: float, code: str) -> Iterator[Fact | Trouble]:
    """A row for each test of each GPU.  AMD numbers GPUs otherwise than others: gpu5432.

    A target that was missed is a test that failed.  What rvs passes it has not compared, but where
    its configuration says self_check.
    """
    watts: defaultdict[Test, list[float]] = defaultdict(list)
    wrong: defaultdict[Test, list[str]] = defaultdict(list)
    for line in lines:
        if found := POWER.search(line):
            watts[found[1], found[2]].append(float_in(found[3]))
        elif found := CHECKED.search(line):
            wrong[found[1], found[2]].append(f"{found[3]} error {found[4]}")
        elif trouble := complaint(line):
            yield trouble
    judged = list(verdicts(lines, seconds, watts, wrong))
    yield from judged
    if not judged:
        yield Trouble(Kind.EXIT, f"rvs exit {visible(code, 20)}: it names no GPU that it judged")


def complaint(line: str) -> Trouble | None:
    if found := ERROR.search(line):
        return Trouble(Kind.EXIT, visible(f"rvs: {found[1]}"))
    if VERDICT.search(line) and not (GST.search(line) or PASS.search(line)):
        return Trouble(Kind.UNREADABLE, f"rvs: not a verdict: {visible(line, 200)!r}")
    return None


def verdicts(
    lines: Sequence[str],
    seconds: float,
    watts: Mapping[Test, Sequence[float]],
    wrong: Mapping[Test, Sequence[str]],
) -> Iterator[Burn]:
    """Also of a GPU whose products differed and of which no verdict came."""
    said = set()
    for line in lines:
        if found := GST.search(line):
            test, gpu, reached, target, met = found.groups()
            bad, rate = wrong.get((test, gpu), ()), float_in(reached) / 1000
            words = (f"{rate:g} of {float_in(target) / 1000:g} TFLOP/s", *bad)
            failed = met == "FALSE" or bool(bad)
            yield one_test(gpu, test, seconds, words, failed=failed, rate=rate)
            said.add((test, gpu))
        elif found := PASS.search(line):
            test, gpu, passed = found.groups()
            power, bad = max(watts.get((test, gpu), ()), default=None), wrong.get((test, gpu), ())
            failed = passed.upper() == "FALSE" or bool(bad)
            yield one_test(gpu, test, seconds, bad, failed=failed, power_w=power)
            said.add((test, gpu))
    for test, gpu in wrong.keys() - said:
        yield one_test(gpu, test, seconds, wrong[test, gpu], failed=True)


def one_test(
    gpu: str,
    test: str,
    seconds: float,
    notes: Sequence[str],
    *,
    failed: bool,
    rate: float | None = None,
    power_w: float | None = None,
) -> Burn:
    return Burn(
        f"gpu{int(gpu)}",
        visible(f"rvs, {test}", 200),
        seconds,
        amount=1.0,
        unit="tests",
        rate=rate,
        rate_unit="" if rate is None else "tflop_s",
        errors=int(failed),
        detail=visible("; ".join([*notes, UNPROVEN]), 1000),
        power_w=power_w,
    )


def float_in(text: str) -> float:
    """0 where it is none: nothing passes at 0."""
    try:
        return max(0.0, number(text) or 0.0)
    except Unreadable:
        return 0.0


# ----------------------------------------------------------------------------- agfhc


def agfhc(text: str, seconds: float, code: str) -> Iterator[Fact | Trouble]:
    """results.json, as ROCm/device-metrics-exporter's test runner reads it.

    `program_args.device_ids` are the GPUs; each of `test_results` has `state` and, where it failed,
    `primary_action_subject`: GPU-00:GPU-01, or SYSTEM, PROGRAM or nothing, which blames them all.
    """
    try:
        given = mapping(json.loads(text))
    except (ValueError, RecursionError) as problem:
        yield Trouble(Kind.UNREADABLE, f"agfhc's results.json: {visible(str(problem))}")
        return
    gpus = devices(mapping(given.get("program_args")).get("device_ids"))
    passed: defaultdict[int, list[str]] = defaultdict(list)
    failed: defaultdict[int, list[str]] = defaultdict(list)
    left: defaultdict[int, list[str]] = defaultdict(list)
    for key, result in mapping(given.get("test_results")).items():
        held = mapping(result)
        name, state = visible(str(held.get("test", key)), 80), str(held.get("state")).lower()
        blamed = subjects(str(held.get("primary_action_subject", "")), gpus)
        action = visible(str(held.get("primary_suggested_action", "")), 80)
        for gpu in gpus:
            if state == "passed":
                passed[gpu].append(name)
            elif state == "failed" and gpu in blamed:
                failed[gpu].append(f"{name} ({action})" if action else name)
            elif state != "failed":  # skipped, queued, or a word that nobody knows
                left[gpu].append(f"{name} {visible(state, 20)}")
            # That another GPU failed a test says nothing about this one.
    for gpu in gpus:
        yield one_gpu(gpu, passed[gpu], failed[gpu], left[gpu], seconds)
    if not gpus:
        yield Trouble(Kind.EXIT, f"agfhc exit {visible(code, 20)}: it names no GPU")


def one_gpu(
    gpu: int, passed: Sequence[str], failed: Sequence[str], left: Sequence[str], seconds: float
) -> Fact | Trouble:
    ran = len(passed) + len(failed)
    if not ran:
        said = f"agfhc: no test of it ran; not run: {', '.join(left) or 'none is named'}"
        return Trouble(Kind.EXIT, visible(said, 300), f"gpu{gpu}")
    words = [f"passed {', '.join(passed) or 'none'}"]
    words += [f"failed {', '.join(failed)}"] if failed else []
    words += [f"not run: {', '.join(left)}"] if left else []
    return Burn(
        f"gpu{gpu}",
        "agfhc",
        seconds,
        amount=float(ran),
        unit="tests",
        errors=len(failed),
        covered=ran / (ran + len(left)),
        asked=1.0,
        detail=visible("; ".join([*words, UNPROVEN]), 1000),
    )


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def devices(given: object) -> list[int]:
    """GPU-00, 0 or "0" in a list; no number is no GPU."""
    words = given if isinstance(given, list) else []
    found = [
        re.fullmatch(r"(?:GPU-)?(\d{1,4})", str(word).strip(), re.IGNORECASE) for word in words
    ]
    return sorted({int(one[1]) for one in found if one and int(one[1]) < MOST_GPUS})


def subjects(text: str, gpus: Sequence[int]) -> set[int]:
    words = [word.strip() for word in text.split(":") if word.strip()]
    named = [re.fullmatch(r"GPU-(\d{1,4})", word, re.IGNORECASE) for word in words]
    if not words or None in named:
        return set(gpus)
    return {int(one[1]) for one in named if one}


# ----------------------------------------------------------------------------- ascend-dmi

# MindCluster ToolBox user guide, compute test:
#   Device        Execute Times        Duration(ms)        TFLOPS@FP16          Power(W)
#   0             360,000,000          1702                313.548              239.300003
HEAD = re.compile(r"\bDevice\b.*\bExecute Times\b.*\bTF?L?OPS@(\w+)\b")
CELLS = re.compile(
    r"^[\s|]*(\d{1,4}(?:/\d{1,4})?)[\s|]+([\d,]{1,20})[\s|]+"
    rf"{NUMBER}[\s|]+{NUMBER}[\s|]+({NUMBER[1:-1]}|NA|-)[\s|]*$"
)
# Fault diagnosis: "GENERAL_WARN or EMERGENCY_WARN: the AI core may be at fault".
BAD = re.compile(r"\b(\w*FAIL\w*|\w+_WARN)\b")
GOOD = re.compile(r"\baicore\b.*\bPASS\b", re.IGNORECASE)


def ascend_dmi(lines: Sequence[str], seconds: float, code: str) -> Iterator[Fact | Trouble]:
    """A row for each device: the mean of its measurements.  It compares no result: errors None.

    What its test of the AI cores says is of the node, `npu`: its lines name no device that we know.
    """
    rates: defaultdict[str, list[float]] = defaultdict(list)
    watts: defaultdict[str, list[float]] = defaultdict(list)
    spent: defaultdict[str, float] = defaultdict(float)
    unit = ""
    for line in lines:
        if found := HEAD.search(line):
            unit = found[1].lower()
        elif unit and (found := CELLS.match(line)):
            device = found[1]
            rates[device].append(float_in(found[4]))
            spent[device] += float_in(found[3]) / 1000
            watts[device] += [float_in(found[5])] if found[5][0].isdigit() else []
    for device, seen in rates.items():
        yield measured(device, unit, seen, watts[device], spent[device])
    yield from cores(lines, seconds)
    if not rates:
        yield Trouble(Kind.EXIT, f"ascend-dmi exit {visible(code, 20)}: it measured no device")


def measured(
    device: str, unit: str, rates: Sequence[float], watts: Sequence[float], spent_s: float
) -> Burn:
    spread = f"{len(rates)} times, {min(rates):g} to {max(rates):g} TFLOP/s"
    return Burn(
        f"npu{device}",
        f"ascend-dmi, {visible(unit, 20)}",
        spent_s,
        rate=sum(rates) / len(rates),
        rate_unit="tflop_s",
        detail=f"{spread}; {UNPROVEN}",
        power_w=sum(watts) / len(watts) if watts else None,
    )


def cores(lines: Sequence[str], seconds: float) -> Iterator[Fact]:
    bad = [line for line in lines if BAD.search(line)]
    good = [line for line in lines if GOOD.search(line)]
    if bad or good:
        words = " / ".join(" ".join(line.split()) for line in (bad or good)[:4])
        yield Burn(
            "npu",
            "ascend-dmi --dg, aicore",
            seconds,
            amount=1.0,
            unit="tests",
            errors=int(bool(bad)),
            detail=visible(f"{words}; {UNPROVEN}", 1000),
        )

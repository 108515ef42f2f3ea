"""NVIDIA's `dcgmi diag`, where it is installed: what it found, less what it is known to get wrong.

Its settings tests never condemn a part, its skips never pass one, and a pass against a limit that
cannot be missed is not counted; dcgm_limits.py says which and why.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clusterctl.model import Burn, Fact, Kind, Trouble
from clusterctl.spelling import visible
from clusterctl.trials.dcgm_limits import (
    CANNOT_FAIL,
    CONFIGURATION_TESTS,
    FALSE_ALARMS,
    SEVERITY_CONFIG,
    Flaw,
)

# Level 3 takes some 15 minutes on 8 GPUs, level 4 up to 90 (NVIDIA's documentation; SKUs differ).
MOST_S = {1: 300.0, 2: 900.0, 3: 3600.0, 4: 9000.0}
# These need packages or hardware that most nodes lack: a skip of them is no gap.
EXTRAS = ("eud", "cpu_eud", "nvbandwidth", "nccl_tests", "nvlink", "ctxcreate")
# DCGM 2 and 3 spell a part of these another way, and "Blacklist" when they are old.
SPELLINGS = {
    "blacklist": "denylist",
    "gpu_memory": "memory",
    "sm_stress": "diagnostic",
    "memory_stress": "memory_bandwidth",
}
GPU = "gpu"
FAULTY = ("fail", "warn")  # they warn of limits passed over, such as thermal violations
STATUSES = ("pass", *FAULTY, "skip", "notrun")


@dataclass
class Seen:
    """One GPU's tests."""

    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Complaint:
    text: str
    error_id: int | None = None
    severity: int | None = None


def report(text: str, seconds: float, code: str) -> Iterator[Fact | Trouble]:
    """Either shape of the JSON.  A GPU on which no hardware was tested is a Trouble."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as problem:
        yield Trouble(Kind.UNREADABLE, f"dcgmi's JSON: {visible(str(problem))}")
        return
    body = mapping(mapping(given).get("DCGM Diagnostic"))
    body = body or mapping(mapping(given).get("DCGM GPU Diagnostic"))
    version = mapping(mapping(given).get("metadata")).get("version") or body.get("version")
    engine = f"dcgmi diag, DCGM {visible(str(version), 40)}" if version else "dcgmi diag"
    wrong = body.get("runtime_error")
    if wrong or not listed(body.get("test_categories")):
        said = visible(str(wrong)) if wrong else "it holds no test"
        yield Trouble(Kind.EXIT, f"dcgmi exit {visible(code, 20)}: {said}")
        return
    devices = device_ids(given)
    seen: defaultdict[str, Seen] = defaultdict(Seen)
    for category in map(mapping, listed(body.get("test_categories"))):
        for test in map(mapping, listed(category.get("tests"))):
            yield from one_test(category, test, seen, devices)
    for part in sorted(seen, key=lambda part: (len(part), part)):
        yield verdict(part, seen[part], engine, seconds)
    if not seen:
        yield Trouble(Kind.EXIT, "dcgmi names no GPU: only the machine's settings were looked at")


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def plain(name: object) -> str:
    """`Targeted Power` and `targeted_power` are one test."""
    spelt = re.sub(r"[^a-z0-9]+", "_", str(name).lower()).strip("_")
    return SPELLINGS.get(spelt, visible(spelt, 60))


def device_ids(given: object) -> dict[str, str]:
    """Part -> PCI device id, as DCGM 4 lists them."""
    found = {}
    for group in map(mapping, listed(mapping(given).get("entity_groups"))):
        if str(group.get("entity_group")).lower() == GPU:
            for one in map(mapping, listed(group.get("entities"))):
                found[f"gpu{one.get('entity_id')}"] = str(one.get("device_id")).lower()
    return found


def parts(result: Mapping[str, Any]) -> list[str]:
    """The GPUs that a result is about; none where it is about the machine, or a CPU."""
    if str(result.get("entity_group", GPU)).lower() != GPU:
        return []
    given = next((result[k] for k in ("entity_id", "gpu_ids", "gpu_id") if k in result), "")
    words = given if isinstance(given, list) else str(given).split(",")
    return [f"gpu{int(word)}" for word in map(str, words) if re.fullmatch(r" *[0-9]{1,4} *", word)]


def one_test(
    category: Mapping[str, Any],
    test: Mapping[str, Any],
    seen: defaultdict[str, Seen],
    devices: Mapping[str, str],
) -> Iterator[Trouble]:
    """Files a test's results under its GPUs; yields what cannot be filed."""
    name = plain(test.get("name"))
    deployment = str(category.get("category")).lower() == "deployment"
    for result in map(mapping, listed(test.get("results")) or [test.get("test_summary")]):
        status = str(result.get("status")).lower().replace(" ", "")
        complaints = list(map(complaint, warnings(result)))
        about = parts(result)
        if status not in STATUSES:
            said = f"{name}: status {visible(status, 40)!r}"
            yield from (Trouble(Kind.UNREADABLE, said, part) for part in about or [""])
        elif not about and status in FAULTY and not settings(name, complaints, ""):
            why = "; ".join(c.text for c in complaints)
            yield Trouble(Kind.EXIT, visible(f"dcgmi names no GPU: {name} {status}: {why}"))
        for part in about:
            gpu, device = seen[part], devices.get(part, "")
            gpu.notes += [f"{name}: {c.text}" for c in complaints if c.text]
            if status == "pass":
                file_pass(gpu, name, device, deployment=deployment)
            elif status in FAULTY:
                gpu.failed += [] if settings(name, complaints, device) else [name]
            elif status in STATUSES:
                gpu.skipped += [] if deployment or name in EXTRAS else [name]


def settings(name: str, complaints: Sequence[Complaint], device: str) -> bool:
    """Whether a failure is about how the machine is set up, or known to be false."""
    excuses = [excused(name, said, device) for said in complaints]
    return name in CONFIGURATION_TESTS or (bool(excuses) and all(excuses))


def file_pass(gpu: Seen, name: str, device: str, *, deployment: bool) -> None:
    blind = next((flaw for flaw in CANNOT_FAIL if matches(flaw, name, device)), None)
    if blind is not None:
        gpu.notes.append(f"{name}: its pass means nothing: {blind.says}")
    elif not deployment:
        gpu.passed.append(name)


def warnings(result: Mapping[str, Any]) -> list[Any]:
    """A list of objects in DCGM 4 and late 3, one text before."""
    given = result.get("warnings", result.get("warning", []))
    return given if isinstance(given, list) else [given]


def complaint(given: object) -> Complaint:
    if not isinstance(given, dict):
        return Complaint(visible(str(given)))
    error, severity = given.get("error_id"), given.get("error_severity")
    return Complaint(
        visible(str(given.get("warning", ""))),
        error if isinstance(error, int) else None,
        severity if isinstance(severity, int) else None,
    )


def excused(name: str, said: Complaint, device: str) -> bool:
    """Whether a complaint is about settings, or known to be false."""
    if said.severity == SEVERITY_CONFIG:
        return True
    return any(
        matches(flaw, name, device)
        and (flaw.error_id is not None or flaw.text)
        and flaw.error_id in (None, said.error_id)
        and flaw.text in said.text.lower()
        for flaw in FALSE_ALARMS
    )


def matches(flaw: Flaw, name: str, device: str) -> bool:
    return flaw.test in ("", name) and (not flaw.device_ids or device in flaw.device_ids)


def verdict(part: str, gpu: Seen, engine: str, seconds: float) -> Fact | Trouble:
    """`covered`: of the hardware tests of this level, those that ran and could have failed."""
    ran, notes = [*gpu.passed, *gpu.failed], "; ".join(dict.fromkeys(gpu.notes))
    if not ran:
        skipped = f"skipped: {', '.join(gpu.skipped)}; " if gpu.skipped else ""
        return Trouble(Kind.EXIT, visible(f"no test of the hardware ran; {skipped}{notes}"), part)
    detail = f"passed {', '.join(gpu.passed) or 'none'}"
    for word, names in (("failed", gpu.failed), ("skipped", gpu.skipped)):
        detail += f"; {word} {', '.join(names)}" if names else ""
    return Burn(
        part,
        engine,
        seconds,
        amount=float(len(ran)),
        unit="tests",
        errors=len(gpu.failed),
        covered=len(ran) / (len(ran) + len(gpu.skipped)),
        asked=1.0,
        detail=visible(f"{detail}; {notes}" if notes else detail, 1000),
    )

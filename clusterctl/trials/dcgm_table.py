"""The table that `dcgmi diag` prints without -j, brought into the form of its JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from clusterctl.model import Fact, Kind, Trouble
from clusterctl.spelling import visible
from clusterctl.trials import dcgm_diag

WIDEST = 400  # its rows have 78 characters
ROW = re.compile(r"\| ?([^|]*?)\s*\| ?(.*?)\s*\|?\s*")
SECTION = re.compile(r"\|-+ +(\w+) +-+\+-+\|?\s*")
# Pass - GPUs: 1, 2, 3      Fail - GPU: 0      Skip - All
RESULT = re.compile(r"(Pass|Fail|Warn|Skip)(?: - (?:(All)|GPUs?: ([\d, ]+)))?\s*", re.IGNORECASE)
ABOUT = ("Warning", "Error", "Info")
GPU = re.compile(r"\bGPU (\d{1,3})\b")


@dataclass
class Test:
    name: str
    category: str
    results: list[tuple[str, str]] = field(default_factory=list)  # status, numbers of GPUs
    said: list[str] = field(default_factory=list)


def parse(text: str) -> Iterator[Fact | Trouble]:
    """Cells are cut at their width in the middle of a word: what goes on is joined as it stands."""
    tests = read(text)
    if not tests:
        yield Trouble(Kind.UNREADABLE, f"no table of dcgmi diag in {visible(text.strip(), 80)!r}")
        return
    if not text.rstrip().endswith("+"):
        yield Trouble(Kind.CUT, "dcgmi's table has no end")
    categories = [
        {"category": test.category, "tests": [{"name": test.name, "results": results(test)}]}
        for test in tests
    ]
    told = {"DCGM GPU Diagnostic": {"test_categories": categories}}
    yield from dcgm_diag.report(json.dumps(told), 0.0, "")


def read(text: str) -> list[Test]:
    tests: list[Test] = []
    category, about = "", False
    for line in (row[:WIDEST] for row in text.split("\n")):
        if section := SECTION.fullmatch(line):
            category, about = section[1], False
            continue
        row = ROW.fullmatch(line)
        if not row or row[1] == "Diagnostic" or set(row[1]) & {"+", "="}:
            continue
        name, value = row.groups()
        if name in ABOUT:
            about = True
            if not tests or tests[-1].category != category:
                tests.append(Test(f"{category or 'diag'} {name}".lower(), category))
            tests[-1].said.append(value)
        elif name:
            about = False
            found = RESULT.fullmatch(value)
            if found:
                tests.append(Test(name, category, [said(found)]))
        elif tests:
            go_on(tests[-1], value, about=about)
    return tests


def go_on(test: Test, value: str, *, about: bool) -> None:
    """A row whose first cell is empty: more of a complaint, another result, or more numbers."""
    result = RESULT.fullmatch(value)
    if about:
        test.said[-1] += value
    elif result:
        test.results.append(said(result))
    elif test.results and re.fullmatch(r"[\d, ]+", value):
        status, numbers = test.results[-1]
        test.results[-1] = status, f"{numbers},{value}".replace(",,", ",")


def said(result: re.Match[str]) -> tuple[str, str]:
    return result[1], (result[3] or "").strip(" ,")


def results(test: Test) -> list[dict[str, object]]:
    """Complaints go to the GPUs they name, else to all that did not pass."""
    named = sorted({number for words in test.said for number in GPU.findall(words)})
    if not test.results:  # complaints without a test: only some of them are told so
        return [{"status": "Fail", "gpu_ids": ",".join(named), "warnings": test.said}]
    return [
        {
            "status": status,
            "gpu_ids": numbers,
            "warnings": [] if status.lower() == "pass" else test.said,
        }
        for status, numbers in test.results
    ]

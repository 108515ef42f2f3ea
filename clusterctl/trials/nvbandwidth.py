"""What NVIDIA's nvbandwidth prints, as JSON (`-j`) or as tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clusterctl.model import Copy, Kind, Trouble
from clusterctl.spelling import Unreadable, number, visible

# "memcpy CE CPU(row) -> GPU(column) bandwidth (GB/s)"; <- and <-> too
WAY = re.compile(r"\b([CG]PU)\(row\) (<->|->|<-) ([CG]PU)\(column\) bandwidth \(GB/s\)")
LOCAL = re.compile(r"local\b.*\(GB/s\)", re.IGNORECASE)
BROKEN = ("error", "failed")  # what it could not do; "waived": this machine has no such path
RUNNING = re.compile(r"^Running (\w{1,100})\.\s*$")
COLUMNS = re.compile(r"^\s*\d+(\s+\d+)*\s*$")
Cell = tuple[int, int, str]  # row, column, text
ROW = re.compile(r"^\s*(\d{1,4})((?:\s+(?:N/A|\d{1,12}(?:\.\d{1,12})?))+)\s*$")


def report(text: str) -> Iterator[Copy | Trouble]:
    """Its JSON.  A test that passed was compared: nvbandwidth verifies data unless told not to."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as problem:
        yield Trouble(Kind.UNREADABLE, f"nvbandwidth's JSON: {visible(str(problem))}")
        return
    body = mapping(mapping(given).get("nvbandwidth"))
    version = visible(str(body.get("git_version") or ""), 40)
    engine = f"nvbandwidth {version}".strip()
    if body.get("error"):
        yield Trouble(Kind.EXIT, f"nvbandwidth: {visible(str(body['error']))}")
    cases = body.get("testcases")
    found = 0
    for case in map(mapping, cases if isinstance(cases, list) else []):
        for one in testcase(case, engine):
            found += isinstance(one, Copy)
            yield one
    if not found:
        yield Trouble(Kind.EXIT, "nvbandwidth measured no path")


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def testcase(case: Mapping[str, Any], engine: str) -> Iterator[Copy | Trouble]:
    name, status = visible(str(case.get("name")), 100), str(case.get("status")).lower()
    if status == "waived":
        return
    if status != "passed":
        kind = Kind.EXIT if status in BROKEN else Kind.UNREADABLE
        yield Trouble(kind, visible(f"{name}: {status}: {case.get('error', '')}"))
        return
    said, matrix = str(case.get("bandwidth_description")), case.get("bandwidth_matrix")
    lines = matrix if isinstance(matrix, list) else []
    numbered = [
        (row, column, str(cell))
        for row, line in enumerate(lines)
        for column, cell in enumerate(line if isinstance(line, list) else [])
    ]
    yield from cells(numbered, name, said, engine, wrong=0)


def cells(
    numbered: Sequence[tuple[int, int, str]],
    name: str,
    said: str,
    engine: str,
    *,
    wrong: int | None,
) -> Iterator[Copy | Trouble]:
    """One path a cell; N/A where there is none (a GPU with itself)."""
    way = WAY.search(said)
    if "(ns)" in said:  # its latency tests
        return
    if way is None and not LOCAL.search(said):
        yield Trouble(Kind.UNREADABLE, f"{name}: which way? {visible(said, 120)!r}")
        return
    for row, column, text in numbered:
        part = path(way, row, column)
        try:
            rate = number(text)
        except Unreadable as problem:
            yield Trouble(Kind.UNREADABLE, f"{name}: {visible(str(problem))}", part)
            continue
        if rate is not None and rate >= 0:
            both = way is not None and way[2] == "<->"
            yield Copy(part, engine, rate, wrong=wrong, way=name, both_ways=both)
        elif rate is not None:
            yield Trouble(Kind.UNREADABLE, f"{name}: below zero: {visible(text, 40)}", part)


def path(way: re.Match[str] | None, row: int, column: int) -> str:
    """One host is `host`; the rows of several NUMA nodes are host, host1, …"""
    if way is None:
        return f"gpu{column}>gpu{column}"
    ends = [end(way[1], row), end(way[3], column)]
    return ">".join(reversed(ends) if way[2] == "<-" else ends)


def end(kind: str, number_of: int) -> str:
    if kind == "GPU":
        return f"gpu{number_of}"
    return f"host{number_of}" if number_of else "host"


def tables(lines: Sequence[str], code: str) -> Iterator[Copy | Trouble]:
    """What versions without -j print.  They do not say whether data was compared: wrong None."""
    name, said, found = "", "", 0
    for line in lines:
        if started := RUNNING.match(line):
            name, said = started[1], ""
        elif "bandwidth (GB/s)" in line or LOCAL.search(line):
            said = line.strip()
        elif name and said and (row := ROW.match(line)) and not COLUMNS.match(line):
            numbered = [(int(row[1]), at, cell) for at, cell in enumerate(row[2].split())]
            for one in cells(numbered, name, said, "nvbandwidth", wrong=None):
                found += isinstance(one, Copy)
                yield one
        elif re.search(r"\b(ERROR|FAILED|Invalid)\b", line):
            yield Trouble(Kind.EXIT, f"nvbandwidth: {visible(line)}")
    if not found:
        last = visible(lines[-1], 200) if lines else "nothing"
        yield Trouble(Kind.EXIT, f"nvbandwidth exit {visible(code, 20)} measured no path: {last}")

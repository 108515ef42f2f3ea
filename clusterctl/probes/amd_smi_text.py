"""amd-smi's JSON of ROCm 6 and 7 and its two human-readable forms as one tree a GPU.

A tree is a dict with lower-case keys; a leaf is the text that the tool would print: "16 GT/s".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from clusterctl.probes.loose_json import documents
from clusterctl.spelling import Unreadable, visible

Tree = dict[str, Any]
Record = tuple[int, Tree]  # the GPU's number, and what is said of it
GPUS_AT_MOST = 1024  # eight MI300X in 64 partitions

JSON = re.compile(r'^[ \t]*[\[{][ \t]*(?:$|["{\]}])', re.MULTILINE)
GPU_LINE = re.compile(r"^GPU: (\d{1,4})[ \t]*$", re.MULTILINE)
OTHER_LINE = re.compile(r"^(?:CPU|CORE): \d{1,4}[ \t]*$", re.MULTILINE)
LABEL = re.compile(r"( *)(?:- )?([A-Za-z][\w #/().-]{0,60}):(?: +(.*))?")
MONITOR = re.compile(r"^GPU {2,}[A-Z].*$", re.MULTILINE)
TITLE = re.compile(r"([A-Z][A-Z -]{2,40}) TABLE:")
XGMI_ROW = re.compile(r"GPU(\d{1,4})\s+(\S+)\s+(\S+ \S+)\s+(\S+ \S+)\s+(\w+)\s*")


def records(text: str) -> Iterator[Record | Unreadable]:
    """Every GPU's tree, as often as the text speaks of it.  Nothing in it: nothing is yielded."""
    if JSON.search(text):
        yield from from_json(text)
        return
    for reader in (from_labels, from_monitor, from_tables):
        yield from reader(text)


def from_json(text: str) -> Iterator[Record | Unreadable]:
    try:
        found = documents(text)
    except Unreadable as error:
        yield error
        yield from salvaged(text)
        return
    try:
        grown_ones = [one(item) for document in found for item in items(document)]
    except RecursionError:
        yield Unreadable("JSON within JSON without end")
    else:
        yield from grown_ones


def salvaged(text: str) -> Iterator[Record | Unreadable]:
    """Of JSON that cannot be read whole, the GPUs that can."""
    starts = list(re.finditer(r'^([ \t]*)\{\s*"gpu"\s*:', text, re.MULTILINE))
    outer = min((len(start[1]) for start in starts), default=0)
    places = [start.start() for start in starts if len(start[1]) == outer]
    for begin, end in zip(places, [*places[1:], len(text)], strict=False):
        try:
            found = documents(text[begin:end])
        except Unreadable:
            continue
        with suppress(RecursionError):
            yield from [one(item) for item in items(found[:1])]


def items(document: object) -> Iterator[Mapping[str, Any]]:
    """The dicts that have a GPU's number: [{…}], {"gpu_data": [{…}]}, {…}."""
    if isinstance(document, list):
        for item in document:
            yield from items(item)
    elif isinstance(document, dict):
        if "gpu" in document:
            yield document
            return
        for value in document.values():
            if isinstance(value, list):
                yield from items(value)


def one(item: Mapping[str, Any]) -> Record | Unreadable:
    index = item["gpu"]
    if isinstance(index, str) and index.isdecimal():
        index = int(index[:9])
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < GPUS_AT_MOST:
        shown = visible(str(index), 40) if isinstance(index, int | str) else "no number"
        return Unreadable(f"not a GPU's number: {shown}")
    return index, branch(item)


def branch(item: Mapping[str, Any]) -> Tree:
    return {str(key).lower(): grown(value) for key, value in item.items()}


def grown(value: object) -> Any:
    match value:
        case {"value": dict() | list()}:
            return "?"
        case {"value": amount, "unit": unit}:
            return f"{grown(amount)} {unit}" if amount != "N/A" else "N/A"
        case dict():
            return branch(value)
        case list():
            return [grown(one) for one in value]
        case None:
            return "N/A"
    return str(value)


def from_labels(text: str) -> Iterator[Record]:
    """`GPU: 0` and labels indented below it, as of `amd-smi metric`; a list may go on below."""
    starts = sorted(
        [*GPU_LINE.finditer(text), *OTHER_LINE.finditer(text)], key=lambda found: found.start()
    )
    ends = [start.start() for start in starts[1:]]
    for start, end in zip(starts, [*ends, len(text)], strict=False):
        if start[0].startswith("GPU"):
            yield int(start[1]), labels(text[start.end() : end].split("\n"))


def labels(lines: Sequence[str]) -> Tree:
    """Labels by how deep they stand; a label that comes again makes a list."""
    root: Tree = {}
    open_ones: list[tuple[int, Tree]] = [(0, root)]
    for line in joined(lines):
        if not (found := LABEL.fullmatch(line.rstrip())):
            continue
        depth, key, value = len(found[1]), found[2].strip().lower().replace(" ", "_"), found[3]
        while len(open_ones) > 1 and depth <= open_ones[-1][0]:
            open_ones.pop()
        inner: Any = value.strip() if value else {}
        holder = open_ones[-1][1]
        if key in holder:
            before = holder[key]
            holder[key] = [*before, inner] if isinstance(before, list) else [before, inner]
        else:
            holder[key] = inner
        if not value:
            open_ones.append((depth, inner))
    return root


def joined(lines: Sequence[str]) -> Iterator[str]:
    """Lists that go on over the next lines as one line."""
    whole = ""
    for line in lines:
        whole = f"{whole} {line.strip()}" if whole else line
        if whole.count("[") <= whole.count("]") or len(whole) > 20_000:
            yield whole
            whole = ""
    if whole:
        yield whole


def cells(line: str) -> list[str]:
    return [cell for cell in re.split(r"\s{2,}", line.strip()) if cell]


def from_monitor(text: str) -> Iterator[Record | Unreadable]:
    """The table of `amd-smi monitor`, {"monitor": {column: cell}}, and that of its processes."""
    for header in MONITOR.finditer(text):
        names = [name.lower() for name in cells(header[0])]
        for line in text[header.end() + 1 :].split("\n"):
            row = cells(line)
            if not row or not row[0].isdecimal():
                break
            if len(row) != len(names) or not int(row[0][:9]) < GPUS_AT_MOST:
                yield Unreadable(f"another number of cells than columns: {visible(line, 80)!r}")
                continue
            told: Tree = dict(zip(names[1:], row[1:], strict=True))
            if "pid" in told:
                told["memory_usage"] = {"vram_mem": told.get("vram_mem", "N/A")}
            yield int(row[0]), {"process_list": [told]} if "pid" in told else {"monitor": told}


def from_tables(text: str) -> Iterator[Record | Unreadable]:
    """Tables of `amd-smi topology` and `xgmi`, as JSON has them: {"bdf", "links": [{…}]}."""
    trees: dict[int, Tree] = {}
    name = ""
    header: list[str] = []
    for line in text.split("\n"):
        if title := TITLE.fullmatch(line.strip()):
            name, header = title[1].lower().replace(" ", "_"), []
        elif name == "link_metric" and (row := XGMI_ROW.match(line)):
            keys = ("bdf", "bit_rate", "max_bandwidth", "link_type")
            metric = dict(zip(keys, row.groups()[1:], strict=True))
            trees.setdefault(int(row[1]), {}).update(bdf=row[2], link_metrics=metric)
        elif name and not header:
            header = line.split()
        elif name and len(row_cells := line.split()) == len(header) + 1 and ":" in row_cells[0]:
            if row_cells[0] not in header:
                yield Unreadable(f"a row of no column: {visible(line, 80)!r}")
                continue
            index = header.index(row_cells[0])
            tree = trees.setdefault(index, {})
            tree["bdf"] = row_cells[0]
            links = tree.setdefault("links", [{"gpu": str(n)} for n in range(len(header))])
            for link, cell in zip(links, row_cells[1:], strict=False):
                link[name] = cell
    for index, tree in trees.items():
        yield index, tree

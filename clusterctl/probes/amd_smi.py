"""AMD GPUs by amd-smi: https://rocm.docs.amd.com/projects/amdsmi/en/latest/how-to/amdsmi-cli-tool.html

The shapes of ROCm 6.0 to 7.0 are those of ROCm/amdsmi's change log and command sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
from clusterctl.probes.amd_smi_cells import FIELDS, leaf, word
from clusterctl.probes.amd_smi_links import links
from clusterctl.probes.amd_smi_text import OTHER_LINE, Tree, records
from clusterctl.probes.fields import every
from clusterctl.probes.loose_json import documents, shortened
from clusterctl.probes.tool_calls import Call, calls
from clusterctl.spelling import Unreadable, count, visible

CALL_S, ALL_S = 15, 60  # a call is a Python program of some seconds on eight GPUs
EVERY_GPU = ("list", "static", "metric")  # what each of these leaves out is not there
OLDER = "== older rocm-smi"  # rocm_smi asks there
FAILED = re.compile(
    r"AMDSMI_STATUS_\w+|not (?:loaded|initialized|found)|Traceback|No such|denied"
    r"|\b[Ee]rror\b|\bERROR\b|[Nn]o (?:AMD )?(?:GPU|device)s?\b|Unable to"
)
IDLE = "no running processes"
BYTES = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Every GPU that any of the calls names comes out, with what all of them say of it."""
    if OLDER in stdout and "== end 0\n" in stdout:
        return
    asked, troubles = calls(stdout)
    yield from troubles
    trees: dict[int, Tree] = {}
    named: dict[str, set[int]] = {}
    for call in asked:
        seen: set[int] = set()
        for found in records(call.text):
            if isinstance(found, Unreadable):
                yield Trouble(Kind.UNREADABLE, visible(f"{call.words} {found}".strip(), 160))
            else:
                seen.add(found[0])
                merge(trees.setdefault(found[0], {}), found[1])
        named[(call.words.split(" ") * 2)[1]] = seen
        yield from empty(call, seen)
        yield from versions(call.text)
    yield from unnamed(asked, named, set(trees))
    for index in sorted(trees):
        yield from gpu(index, trees[index])
    yield from links(trees)


def merge(into: Tree, more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        elif key == "process_list" and isinstance(value, list):
            into[key] = each(into.get(key)) + value
        else:
            into[key] = value


def empty(call: Call, seen: set[int]) -> Iterator[Trouble]:
    """What a text that names no GPU, or was shortened by hand, is to be called."""
    text = call.text.strip()
    if shortened(text):
        yield Trouble(Kind.CUT, 'the text was shortened: it has a line "..."')
    if call.framed or seen or OTHER_LINE.search(text) or [*versions(text)]:
        return
    lines = text.split("\n")
    said = next((line for line in lines if FAILED.search(line)), None)
    kind = Kind.UNREADABLE if said is None else Kind.EXIT
    yield Trouble(kind, f"no GPU in {visible((said or lines[0]).strip(), 120)!r}")


def unnamed(
    asked: Sequence[Call], named: Mapping[str, set[int]], every: set[int]
) -> Iterator[Trouble]:
    """A trouble for each GPU that one call shows and another, which shows all of them, does not."""
    for call in asked:
        if not call.framed or not call.succeeded:
            continue
        name = call.words.split(" ")[1]
        if name not in EVERY_GPU:
            continue
        if not every:
            yield Trouble(Kind.UNREADABLE, f"{call.words}: no GPU in what it printed")
        for index in sorted(every - named[name]):
            yield Trouble(Kind.CUT, f"amd-smi {name} does not show this GPU", f"gpu{index}")


def gpu(index: int, tree: Tree) -> Iterator[Fact | Trouble]:
    part = f"gpu{index}"
    values, troubles = every(part, FIELDS, tree)
    yield from troubles
    yield Accelerator(part, "amd", index, **values)  # type: ignore[arg-type]
    yield from firmware(part, tree)
    for told in each(tree.get("process_list")) + each(tree.get("process_info")):
        yield from process(part, told)


def each(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def firmware(part: str, tree: Tree) -> Iterator[Fact | Trouble]:
    try:
        vbios = word("vbios/version", "ifwi/version", "vbios/part_number", "ifwi/part_number")(tree)
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, visible(f"{error} (vbios)", 120), part)
    else:
        if vbios:
            yield Version(f"vbios/{part}", vbios)
    for told in each(tree.get("fw_list")):
        if not isinstance(told, Mapping):
            continue
        name, version = told.get("fw_id") or told.get("fw_name"), told.get("fw_version")
        if isinstance(name, str) and isinstance(version, str) and version not in {"", "N/A"}:
            yield Version(f"firmware/{part}/{visible(name.lower(), 40)}", visible(version, 80))


def process(part: str, told: object) -> Iterator[Fact | Trouble]:
    """One entry: {"process_info": {…}}, the same without its cover, or words that there is none."""
    while isinstance(told, Mapping) and "process_info" in told:
        told = told["process_info"]
    if isinstance(told, str) and (IDLE in told.lower() or told.strip() == "N/A"):
        return
    if not isinstance(told, Mapping):
        shown = visible(told, 80) if isinstance(told, str) else "a list"
        yield Trouble(Kind.UNREADABLE, f"not a process: {shown}", part)
        return
    try:
        pid = count(str(told.get("pid", "")))
        used = space(leaf(told, "memory_usage/vram_mem"))
        name = leaf({"name": str(told.get("name", "N/A"))}, "name")
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, f"process: {visible(str(error), 120)}", part)
    else:
        yield DeviceProcess(part, pid, visible(name or "a process of somebody else", 120), used)


def space(text: str | None) -> int | None:
    """10.1 GB are 10.1 x 2^30 bytes to amd-smi."""
    if text is None:
        return None
    if not (found := re.fullmatch(r"(\d{1,20}(?:\.\d{1,9})?) ([KMGT]?B)", text)):
        raise Unreadable(f"not a size: {text!r}")
    return int(float(found[1]) * BYTES[found[2]])


def versions(text: str) -> Iterator[Version]:
    """Of `amd-smi version --json`."""
    if "AMDSMI Tool" not in text:
        return
    try:
        found = documents(text)
    except Unreadable:  # said where its GPUs are looked for
        return
    for item in (one for document in found for one in each(document)):
        if isinstance(item, dict) and item.get("tool") == "AMDSMI Tool":
            for part, key in (("tool/amd-smi", "version"), ("driver/amdgpu", "amdgpu_version")):
                value = item.get(key)
                if isinstance(value, str) and value not in {"", "N/A"}:
                    yield Version(part, visible(value, 80))


PROBES = (
    Probe(
        Question(
            "amd_smi",
            command=(str(CALL_S), str(ALL_S)),
            script="ask_amd_smi",  # the tool is a Python program itself
            modules=("tool_calls",),
            timeout_s=ALL_S + 10.0,
            cap_bytes=8 << 20,  # 30 kB a GPU of `metric`, and a node may have 64 partitions
            brief=True,
        ),
        parse,
        yields=(Accelerator, Link, DeviceProcess, Version),
        about="AMD GPUs, their xGMI links, firmware and processes, from amd-smi",
        subject="amd",
        rank=0,
        applies=Applies(
            pci_vendors=("1002",),
            kinds=("accelerator",),
            why_not="no AMD accelerator on the PCI bus",
        ),
    ),
)

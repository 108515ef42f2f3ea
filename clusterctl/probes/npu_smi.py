"""Huawei Ascend NPUs by npu-smi: the Ascend HDK's npu-smi command reference, 20.2 to 26.0."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from clusterctl.probes.ascend_sections import NUMBER, TOOLS, Section, failure, pairs, sections
from clusterctl.probes.npu_smi_cells import FIELDS, LABELS, texts_of
from clusterctl.probes.npu_smi_table import HEAD, MAP, MOST_CHIPS, Place, Told, chip_map, table
from clusterctl.spelling import Unreadable, count, reported, visible

VENDOR = "huawei"
TOPOLOGY = re.compile(r"\s+(?:Phy-ID|NPU)\d+(?:\s+\S+)*\s*")
MOST_LINKS = 64
RELATION = re.compile(r"[A-Z][A-Z0-9_]*")
ARRAY = re.compile(r"\[([0-9\s]*)\]")
Reader = Callable[[Section, Told], Iterator[Fact | Trouble]]


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Every chip named comes out as an Accelerator or as a Trouble of that part."""
    found, troubles = sections(stdout)
    yield from troubles
    mine = [one for one in found if reads(one, alone=len(found) == 1)]
    if not mine and not troubles:
        yield Trouble(Kind.UNREADABLE, "nothing of npu-smi's in it")
    told = Told()
    others: list[Fact | Trouble] = []
    for section in sorted(mine, key=rank):  # what names the chips goes first
        others += read(section, told)
    for place, values in told.values.items():
        part = told.part(place)
        name = part.removeprefix("npu")
        yield Accelerator(part, VENDOR, int(name) if NUMBER.fullmatch(name) else None, **values)
    if told.full:
        yield Trouble(Kind.UNREADABLE, f"more than {MOST_CHIPS} chips: no node has so many")
    yield from once(others)
    if told.shown:
        for place in sorted(told.logic.keys() - told.shown):
            yield Trouble(
                Kind.CUT, "npu-smi lists this chip and does not show it", told.part(place)
            )


def reads(section: Section, *, alone: bool) -> bool:
    """Whether this output is npu-smi's; what stands above the first command may be a date."""
    if section.tool:
        return section.tool in {"npu-smi", "cat"}
    return alone or shape(section) is not None


def shape(section: Section) -> Reader | None:
    """How to read it, told by what it looks like."""
    lines = section.text.split("\n")
    if any(HEAD.match(line) for line in lines):
        return table
    if any(MAP.match(line) for line in lines):
        return chip_map
    if any(TOPOLOGY.fullmatch(line) for line in lines):
        return topology
    return labelled if any(label in LABELS for label, _ in pairs(section.text)) else None


def rank(section: Section) -> int:
    return 0 if HEAD.search(section.text) else 1 if MAP.search(section.text) else 2


def once(found: Sequence[Fact | Trouble]) -> Iterator[Fact | Trouble]:
    """The first of the facts of one kind and part: the driver's version is told in many places."""
    seen = set()
    for item in found:
        key = (type(item), getattr(item, "part", ""), getattr(item, "pid", None))
        if isinstance(item, Trouble) or key not in seen:
            seen.add(key)
            yield item


def read(section: Section, told: Told) -> Iterator[Fact | Trouble]:
    if section.tool == "cat":
        yield from installed(section)
        return
    npu = section.after("-i")
    part = told.part((npu, section.after("-c"))) if npu else ""
    if how := shape(section):
        if section.status not in {"", "0"}:
            yield Trouble(Kind.EXIT, f"{visible(section.command, 60)}: exit {section.status}", part)
        yield from how(section, told)
    else:
        yield from failure(section, part)


def topology(section: Section, _told: Told) -> Iterator[Fact | Trouble]:
    """How each chip reaches the others, as text that peers can be compared by."""
    heads: list[str] = []
    for line in section.text.split("\n"):
        row = line.split()
        if not heads and TOPOLOGY.fullmatch(line):
            heads = row
        elif heads and row and re.fullmatch(r"(?:Phy-ID|NPU)\d+", row[0]):
            ways = row[1 : 1 + len(heads)]
            if len(ways) < len(heads) or not all(RELATION.fullmatch(way) for way in ways):
                yield Trouble(Kind.UNREADABLE, visible(f"topology: {line.strip()}", 160))
                continue
            said = " ".join(f"{to}:{way}" for to, way in zip(heads, ways, strict=True))
            yield Version(f"topology/{row[0].replace('Phy-ID', 'npu').lower()}", said)


def blocks(section: Section) -> Iterator[tuple[Place, dict[str, str]]]:
    """Labels by chip.  Asked for a card, it counts the chips and ends each with its Chip ID."""
    npu, chip_id, counted = section.after("-i"), section.after("-c"), False
    values: dict[str, str] = {}
    for label, value in pairs(section.text):
        if label == "npu id":
            if values:
                yield (npu, chip_id), values
            npu, chip_id, values, counted = value, section.after("-c"), {}, False
        elif label == "chip count":
            if values:  # of the card itself
                yield (npu, chip_id), values
            counted, values = not values, {}
        elif label == "chip id" and values:
            yield (npu, value), values
            values = {}
        elif label == "chip id":
            chip_id = value
        elif label in values:  # the line that would have told the chips apart is gone
            yield (npu, "?"), values
            values = {label: value}
        else:
            values[label] = value
    if values:
        yield (npu, "?" if counted else chip_id), values


def labelled(section: Section, told: Told) -> Iterator[Fact | Trouble]:
    """`info -t …` and `info -l`."""
    for (npu, chip_id), block in blocks(section):
        place = (npu, chip_id or "0")
        if chip_id == "?" or not NUMBER.fullmatch(npu + chip_id or "0"):
            if LABELS & block.keys():
                name = f"npu{npu}" if NUMBER.fullmatch(npu) else ""
                yield Trouble(Kind.CUT, "the output does not say which chip it is of", name)
            continue
        part = told.part(place)
        values: dict[str, Any] = {}
        for name, (labels, take) in FIELDS.items():
            try:
                if texts := texts_of(labels, block):
                    values[name] = take(texts)
            except Unreadable as error:
                yield Trouble(Kind.UNREADABLE, visible(f"{labels[0]}: {error}", 160), part)
        if values:
            told.take(place, values)
        yield from versions(part, block)
        yield from links(part, block)


def versions(part: str, block: Mapping[str, str]) -> Iterator[Fact | Trouble]:
    for label, name in (
        ("software version", "driver/ascend"),
        ("firmware version", f"firmware/{part}"),
    ):
        text = block.get(label, "")
        if text and reported(text):
            yield Version(name, text)
    fits = block.get("compatibility", "OK")
    if reported(fits) and fits != "OK":
        yield Trouble(
            Kind.EXIT, f"driver and firmware do not fit: Compatibility : {visible(fits, 40)}", part
        )


def links(part: str, block: Mapping[str, str]) -> Iterator[Fact | Trouble]:
    """HCCS.  The health is that of all of a chip's links: which one is bad, it does not say."""
    said = block.get("hccs health status")
    if said is None or not reported(said):
        return
    arrays: dict[str, list[str]] = {}
    for label, text in block.items():
        name = label.removeprefix("hccs ")
        if name.endswith(("packets", "bytes", "count")) and name != label:
            match = ARRAY.fullmatch(text)
            if not match:
                yield Trouble(Kind.UNREADABLE, visible(f"{label}: {text}", 120), part)
                continue
            arrays[name.replace(" ", "_")] = match[1].split()
    if len({len(counts) for counts in arrays.values()}) > 1:
        yield Trouble(Kind.UNREADABLE, "its counters of HCCS are of unequal numbers of links", part)
        return
    if said not in {"OK", "NOK"}:
        yield Trouble(Kind.UNREADABLE, visible(f"hccs health status: {said}", 120), part)
        return
    state = "up" if said == "OK" else "degraded"
    try:
        told = {name: [count(text) for text in texts] for name, texts in arrays.items()}
    except Unreadable as error:  # a link less would look like one that is down
        yield Trouble(Kind.UNREADABLE, visible(f"hccs: {error}", 120), part)
        return
    for index in range(min(max(map(len, told.values()), default=0), MOST_LINKS)):
        counters = {name: counts[index] for name, counts in told.items()}
        yield Link(f"{part}/hccs{index}", part, "hccs", state, counters=counters)


INSTALLED = {"driver/version.info": "driver/ascend", "firmware/version.info": "firmware/ascend"}


def installed(section: Section) -> Iterator[Fact | Trouble]:
    """The packages' own files: Version=23.0.7."""
    name = next((n for end, n in INSTALLED.items() if section.arguments[-1].endswith(end)), "")
    found = re.search(r"^[Vv]ersion=(\S+)$", section.text, re.MULTILINE)
    if name and found:
        yield Version(name, found[1])


# One call after another: each takes a lock in the driver.  What comes last is left out when time is
# short: then it is not reported, which is seen where peers report it.
COMMAND = (
    TOOLS
    + """
wait=10
command -v npu-smi >/dev/null || { echo 'npu-smi: not found' >&2; exit 127; }
began=$(date +%s)
extra() { if [ $(($(date +%s) - began)) -lt 35 ]; then run "$@"; fi; }
run npu-smi info
run npu-smi info -m
chips=$(timeout -k 2 10 npu-smi info -m 2>/dev/null | while read -r a b c _; do
  case "$a.$b.$c" in *[!0-9.]*|.*|*..*|*.) ;; *) echo "$a.$b" ;; esac; done)
cards=$(for x in $chips; do echo "${x%.*}"; done | sort -un)
for x in $chips; do run npu-smi info -t health -i "${x%.*}" -c "${x#*.}"; done
for x in $cards; do run npu-smi info -t ecc -i "$x"; done
for x in $chips; do run npu-smi info -t hccs -i "${x%.*}" -c "${x#*.}"; done
for t in board memory common; do for x in $cards; do extra npu-smi info -t $t -i "$x"; done; done
for x in $chips; do extra npu-smi info -t board -i "${x%.*}" -c "${x#*.}"; done
extra npu-smi info -t topo
echo "== end $n"
"""
)
PROBES = (
    Probe(
        Question(
            "npu_smi",
            command=("sh", "-c", COMMAND),
            without_python=("sh", "-c", COMMAND),
            timeout_s=50.0,
            cap_bytes=2 << 20,
            group="ascend",
        ),
        parse,
        yields=(Accelerator, Link, DeviceProcess, Version),
        about="Huawei Ascend NPUs, their fault codes, HCCS links and processes, from npu-smi",
        subject="ascend",
        applies=Applies(
            pci_vendors=("19e5",),
            kinds=("accelerator",),
            why_not="no Huawei accelerator on the PCI bus",
        ),
    ),
)

"""npu-smi's tables: `info`, two lines a chip in cells, and `info -m`.  No probe of its own.

Layouts of `info`: one chip an NPU (910A, 910B); four or two with a Device column (310, 310P); two
with a Phy-ID column (910C, Atlas A3).  A chip is called after its physical number, as hccn_tool's
`-i` and /dev/davinciN have it: Phy-ID, else Device, else the logic id of `info -m`, else the NPU's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, zip_longest
from typing import Any

from clusterctl.model import DeviceProcess, Fact, Kind, Trouble, Version
from clusterctl.probes.ascend_sections import NUMBER, Section
from clusterctl.probes.npu_smi_cells import CELLS, MB, health, memory
from clusterctl.spelling import Unreadable, count, number, pci_address, reported, visible, whole

HEAD = re.compile(r"\| *NPU +(?:Name|Chip)\b")
VERSION = re.compile(r"\| *npu-smi +\S+ +Version: *(\S+) *\|")
MAP = re.compile(r"\s*NPU ID\s{2,}Chip ID\s{2,}")
LAST = re.compile(r"\+[-+]*=[-=+]*\+")  # chips of one NPU have dashes between them
NO_PROCESS = re.compile(r"\| *No running processes found")
MOST_CHIPS = 256
Place = tuple[str, str]  # NPU id, chip id


@dataclass(frozen=True, slots=True)
class Told:
    """What the outputs say, gathered by chip, before a chip has its name."""

    names: dict[Place, str] = field(default_factory=dict)
    logic: dict[Place, str] = field(default_factory=dict)
    values: defaultdict[Place, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    shown: set[Place] = field(default_factory=set)  # in the table

    def part(self, place: Place) -> str:
        """npu0 where nothing but the NPU's own number is known; npu where not even that is."""
        npu, chip = place[0], place[1] or "0"
        named = self.names.get((npu, chip)) or self.logic.get((npu, chip))
        return f"npu{named or (npu if chip == '0' else f'{npu}.{chip}')}"

    @property
    def full(self) -> bool:
        return len(self.values) >= MOST_CHIPS

    def take(self, place: Place, found: Mapping[str, Any]) -> None:
        """The first word stands, but an unhealthy one is never overruled by a healthy one."""
        if self.full and place not in self.values:
            return
        values = self.values[place]
        for name, value in found.items():
            replaceable = {None, "", "ok"} if name == "health" and value else {None, ""}
            if values.get(name) in replaceable:
                values[name] = value


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def table(section: Section, told: Told) -> Iterator[Fact | Trouble]:
    """The chips, two lines each, and the processes."""
    lines = [line.strip() for line in section.text.split("\n")]
    rows = [line for line in lines if line.startswith(("|", "+"))]
    heads: list[list[str]] = []
    for group in between_borders(rows):
        if match := VERSION.fullmatch(group[0]):
            yield Version("driver/ascend", match[1])
        elif HEAD.match(group[0]):
            heads = [cells(row) for row in group]
        elif len(heads) == 1:
            for row in group:
                yield from process(row, told)
        elif heads:
            yield from chips(heads, group, told)
    if not LAST.fullmatch(rows[-1]):
        yield Trouble(Kind.CUT, f"the table ends early, after {visible(rows[-1], 120)!r}")


def between_borders(rows: Sequence[str]) -> Iterator[list[str]]:
    for border, group in groupby(rows, key=lambda row: row.startswith("+")):
        if not border:
            yield list(group)


def chips(heads: Sequence[Sequence[str]], rows: Sequence[str], told: Told) -> Iterator[Trouble]:
    for upper, lower in zip_longest(rows[::2], rows[1::2]):
        if lower is None:
            yield Trouble(Kind.CUT, f"half a chip: {visible(upper, 120)}")
        else:
            yield from chip(heads, (upper, lower), told)


def chip(heads: Sequence[Sequence[str]], rows: Sequence[str], told: Told) -> Iterator[Trouble]:
    upper, lower = cells(rows[0]), cells(rows[1])
    try:
        if [len(row) for row in (*heads, upper, lower)] != [3, 3, 3, 3]:
            raise Unreadable("not two lines of three cells")
        npu, _, model = upper[0].partition(" ")
        own = dict(zip(heads[1][0].split(), lower[0].split(), strict=True))
        place = str(count(npu)), str(count(own["Chip"]))
    except (ValueError, KeyError) as error:
        yield Trouble(Kind.UNREADABLE, visible(f"{error}: {' '.join(rows)}", 200))
        return
    name = own.get("Phy-ID") or own.get("Device") or ""
    if NUMBER.fullmatch(name) and not told.full and name not in told.names.values():
        told.names[place] = str(int(name))
    part = told.part(place)
    if place in told.shown:
        yield Trouble(Kind.UNREADABLE, "npu-smi shows this chip twice", part)
        return
    values: dict[str, Any] = {"model": model.strip()}
    for reader in (
        lambda: {"health": health([upper[1]])},
        lambda: {"pci": pci_address(lower[1])},
        lambda: measured(heads[0][2], upper[2]),
        lambda: measured(heads[1][2], lower[2]),
    ):
        try:
            values |= reader()
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, visible(str(error), 120), part)
    told.shown.add(place)
    told.take(place, values)


def measured(head: str, cell: str) -> dict[str, Any]:
    """The third cells: as many words as their header has, "0    / 970" being one of them."""
    words = re.sub(r"(?<=\d) */ *(?=\d)", "/", cell).split()
    names = head.replace(" / ", "/").split()
    if len(words) != len(names):
        raise Unreadable(f"not {head!r}: {cell!r}")
    said = dict(zip(names, words, strict=True))
    values: dict[str, Any] = {
        CELLS[name]: number(text) for name, text in said.items() if name in CELLS
    }
    sizes = [memory(said[name]) for name in ("HBM-Usage(MB)", "Memory-Usage(MB)") if name in said]
    for total, used in [one for one in sizes if one][:1]:
        values |= {"memory_total_bytes": total, "memory_used_bytes": used}
    return values


def process(row: str, told: Told) -> Iterator[Fact | Trouble]:
    if NO_PROCESS.match(row):
        return
    try:
        place, pid, name, used = cells(row)
        npu, device = place.split()
        total = whole(used)
        part = told.part((str(count(npu)), str(count(device))))
        yield DeviceProcess(part, count(pid), name, None if total is None else total * MB)
    except ValueError as error:
        yield Trouble(Kind.UNREADABLE, visible(f"process: {error}: {row}", 160))


def chip_map(section: Section, told: Told) -> Iterator[Trouble]:
    """`info -m`.  A card's own controller (Mcu) has no logic id."""
    heads: list[str] = []
    for line in section.text.split("\n"):
        row = re.split(r"\s{2,}", line.strip())
        if MAP.match(line):
            heads = row
        elif heads and len(row) == len(heads):
            said = dict(zip(heads, row, strict=True))
            name = said.get("Chip Phy-ID") or said.get("Chip Logic ID", "")
            if not reported(name):
                continue
            try:
                place = str(count(said["NPU ID"])), str(count(said["Chip ID"]))
                told.logic[place] = str(count(name))
            except (Unreadable, KeyError) as error:
                yield Trouble(Kind.UNREADABLE, visible(f"{error}: {line.strip()}", 160))
                continue
            if not told.shown:
                told.take(place, {"model": said.get("Chip Name", "")})
        elif heads and line.strip() and not line.startswith("http"):
            yield Trouble(Kind.UNREADABLE, visible(f"not a row of -m: {line.strip()}", 160))

"""What dmidecode prints, as a saved text: board, firmware, processors, modules, supplies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from clusterctl.model import Cpu, Dimm, Fact, Kind, Memory, Psu, Trouble, Version
from clusterctl.spelling import visible

HANDLE = re.compile(r"Handle 0x[0-9A-F]{4,}, DMI type (\d+), \d+ bytes")
LINE = re.compile(r"\t([^\t:][^:]*):(?: (.*))?")
SIZE = re.compile(r"(\d+) (MB|GB|TB)")
SCALE = {"MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
NOTHING = frozenset({"", "not specified", "unknown", "n/a", "none", "to be filled by o.e.m."})
BIOS, SYSTEM, BASE_BOARD, PROCESSOR, MODULE, SUPPLY, END = 0, 1, 2, 4, 17, 39, 127


@dataclass(slots=True)
class Entry:
    type: int
    said: dict[str, str] = field(default_factory=dict)

    def word(self, name: str) -> str:
        text = self.said.get(name, "").strip()
        return "" if text.lower() in NOTHING else visible(text, 120)

    def number(self, name: str) -> int | None:
        text = self.said.get(name, "")
        return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else None


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    entries = list(split(stdout))
    if not entries:
        yield Trouble(Kind.UNREADABLE, f"no SMBIOS table: {visible(stdout.strip(), 120)!r}")
        return
    by_type = {one.type: one for one in reversed(entries)}
    for number, part, names in (
        (BIOS, "bios", ("Vendor", "Version", "Release Date")),
        (SYSTEM, "system", ("Manufacturer", "Product Name")),
        (BASE_BOARD, "board", ("Manufacturer", "Product Name", "Version")),
    ):
        if number in by_type:
            words = " ".join(filter(None, map(by_type[number].word, names)))
            if words:
                yield Version(part, words)
    yield from processors([one for one in entries if one.type == PROCESSOR])
    whole = entries[-1].type == END
    yield from modules([one for one in entries if one.type == MODULE], whole=whole)
    for place, one in enumerate((one for one in entries if one.type == SUPPLY), 1):
        yield supply(place, one)
    if not whole:
        yield Trouble(Kind.CUT, "the table has no end: what comes after it is not known")


def split(stdout: str) -> Iterator[Entry]:
    """The last line may be cut, so it counts only where it ends or ends the table."""
    entry: Entry | None = None
    lines = stdout.split("\n")
    if lines[-1] != "End Of Table":
        lines = lines[:-1]
    for line in lines:
        if found := HANDLE.fullmatch(line):
            if entry and entry.type != END:
                yield entry
            entry = Entry(int(found[1][:4]))
        elif entry and (found := LINE.fullmatch(line)):
            entry.said.setdefault(found[1], found[2] or "")
        elif line == "End Of Table" and entry and entry.type == END:
            yield entry
            return
    if entry and entry.type != END:
        yield entry


def processors(entries: list[Entry]) -> Iterator[Fact]:
    there = [one for one in entries if "unpopulated" not in one.said.get("Status", "").lower()]
    if not there:
        return
    cores = [one.number("Core Count") for one in there]
    threads = [one.number("Thread Count") for one in there]
    yield Cpu(
        "cpu",
        there[0].word("Version"),
        sockets=len(there),
        cores=sum(filter(None, cores)) if None not in cores else None,
        threads=sum(filter(None, threads)) if None not in threads else None,
    )


def modules(entries: list[Entry], *, whole: bool) -> Iterator[Fact]:
    sizes = []
    for one in entries:
        found = SIZE.fullmatch(one.said.get("Size", ""))
        if found:
            sizes.append(int(found[1]) * SCALE[found[2]])
            label = " ".join(filter(None, (one.word("Manufacturer"), one.word("Part Number"))))
            yield Dimm(one.word("Locator") or "dimm", label=label)
    if sizes and whole:
        yield Memory("modules", sum(sizes))


def supply(place: int, one: Entry) -> Psu:
    """`Status: Present, OK`; `Not Present`; `Max Power Capacity: 2000 W`."""
    status = [word.strip() for word in one.said.get("Status", "").split(",")]
    present = {"Present": True, "Not Present": False}.get(status[0])
    words = tuple(visible(word, 40) for word in status if word)
    health = {"OK": "ok", "Non-critical": "warning", "Critical": "critical"}.get(status[-1])
    watts = re.fullmatch(r"([0-9]{1,5}) W", one.said.get("Max Power Capacity", ""))
    return Psu(
        f"psu{place}",
        present=present,
        health=health if present else None,
        words=words,
        capacity_w=float(watts[1]) if watts and int(watts[1]) else None,
        model=one.word("Model Part Number"),
        serial=one.word("Serial Number"),
    )


READS = {"dmidecode": parse}

"""What AMD's rocm-smi and the tools that Hygon made of it print, as {key: text} a device.

Keys are in lower case and the same for JSON and for lines: "temperature (sensor edge) (c)".  Those
of the tables are the column's first word: "temp", "pwrcap", "gpu%".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from clusterctl.model import Kind, Trouble
from clusterctl.probes.loose_json import documents
from clusterctl.spelling import Unreadable, visible

DEVICES_AT_MOST = 1024
CARD = re.compile(r"card(\d{1,4})")
JSON = re.compile(r'^[ \t]*\{\s*(?:"|$)', re.MULTILINE)
# GPU[0]          : PCI Bus: 0000:01:00.0; an XCP is a part of a GPU
LINE = re.compile(r"\s*(?:GPU|DCU|HCU)\[(\d{1,4})\]\s*: ?(?P<key>[^:]{1,80}):(?P<value>.*)")
TABLE = re.compile(r"\s*(?:GPU|DCU|HCU)\[(\d{1,4})\]:\s+(RAS INFO|[A-Z]+ PAGES INFO)\s*")
ERROR = re.compile(r"ERROR.*?(?:GPU|DCU|HCU)\[(\d{1,4})\]\s*:? ?(.*)")
HEADER = re.compile(r"(?:Device|GPU|DCU|HCU)\s{1,}.*(?:Temp|BUS\b).*")
RULE = re.compile(r"[=_]{10,}")
RAS_ROW = re.compile(r"\s*([A-Z][A-Z0-9_]{1,20})\s+([A-Z][A-Z ]{1,20}?)(?:\s+(\S+)\s+(\S+))?\s*")
PAGE_ROW = re.compile(r"\s*0x[0-9a-fA-F]+\s+0x[0-9a-fA-F]+\s+(\w+)\s*")
Cells = dict[str, str]


@dataclass(slots=True)
class Log:
    """`devices` by number; `system` what is said of none; `troubles` that reading it met."""

    devices: dict[int, Cells] = field(default_factory=dict)
    system: Cells = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)

    def add(self, index: int, told: Mapping[str, str]) -> None:
        self.devices.setdefault(index, {}).update(told)

    def unreadable(self, why: str, index: int | None = None, prefix: str = "gpu") -> None:
        part = "" if index is None else f"{prefix}{index}"
        self.troubles.append(Trouble(Kind.UNREADABLE, visible(why, 160), part))


def read(texts: Sequence[str], prefix: str) -> Log:
    """Of all texts together.  `prefix` names the parts: gpu, dcu."""
    log = Log()
    for text in texts:
        if JSON.search(text):
            json_cards(text, log)
        else:
            lines(text, log, prefix)
            tables(text, log, prefix)
            ras(text, log, prefix)
            pages(text, log)
    return log


def json_cards(text: str, log: Log) -> None:
    try:
        found = documents(text)
    except Unreadable as error:
        log.unreadable(str(error))
        salvaged(text, log)
        return
    for document in found:
        for key, value in document.items() if isinstance(document, dict) else ():
            if isinstance(value, dict):
                card(key, value, log)


def salvaged(text: str, log: Log) -> None:
    """Of JSON that cannot be read whole, the cards that can."""
    starts = list(re.finditer(r'"(card\d{1,4}|system)"\s*:\s*(?=\{)', text))
    for start, after in zip(starts, [*starts[1:], None], strict=False):
        piece = text[start.end() : after.start() if after else len(text)].rstrip().rstrip(",")
        try:
            found = documents(piece)
        except Unreadable:
            continue
        if found and isinstance(found[0], dict):
            card(start[1], found[0], log)


def card(name: str, value: Mapping[str, object], log: Log) -> None:
    told = {
        key.strip().rstrip(":").lower(): "?" if isinstance(cell, dict | list) else str(cell)
        for key, cell in value.items()
        if key
    }
    number = CARD.fullmatch(name)
    if number and int(number[1]) < DEVICES_AT_MOST:
        log.add(int(number[1]), told)
    elif name == "system":
        log.system.update(told)


def lines(text: str, log: Log, prefix: str) -> None:
    for line in text.split("\n"):
        if (found := LINE.fullmatch(line)) and int(found[1]) < DEVICES_AT_MOST:
            log.add(int(found[1]), {found["key"].strip().lower(): found["value"].strip()})
        elif failed := ERROR.search(line):
            part = f"{prefix}{int(failed[1])}"
            log.troubles.append(Trouble(Kind.EXIT, visible(line.strip(), 160), part))
        elif line.startswith("Driver version:"):
            log.system["driver version"] = line.partition(":")[2].strip()


def cells(line: str) -> list[str]:
    """Cells stand two blanks apart; one that ends in a comma goes on: "0x74a2,   1017"."""
    found: list[str] = []
    for cell in re.split(r"\s{2,}|\t", line.strip()):
        if found and found[-1].endswith(","):
            found[-1] += f" {cell}"
        elif cell:
            found.append(cell)
    return found


def tables(text: str, log: Log, prefix: str) -> None:
    """The concise table and that of --showhw.  A line of one name belongs to the row before."""
    names: list[str] = []
    last: int | None = None
    for line in text.split("\n"):
        row = cells(line)
        if HEADER.match(line.strip()) and len(row) > 3:
            names, last = [column(name) for name in row], None
        elif not names or not row or RULE.fullmatch(line.strip()):
            if names and last is not None and RULE.fullmatch(line.strip()):
                names = []  # the table's lower edge
        elif row[0].isdecimal() and len(row[0]) < 5:
            last = int(row[0])
            if len(row) != len(names) or text.endswith(line):
                log.unreadable(
                    f"a row that is cut, or has other cells than columns: {line.strip()}",
                    last,
                    prefix,
                )
                log.devices.setdefault(last, {})
                continue
            log.add(last, dict(zip(names[1:], row[1:], strict=True)))
        elif last is not None and len(row) == 1 and line[:1] == " ":
            log.add(last, {"name": row[0]})


def column(name: str) -> str:
    """`Temp (DieEdge)` and `Temp` are one column; `UMC RAS` and `SDMA RAS` are two."""
    return re.sub(r"\s*[(\[].*", "", name).lower() or "model"


def ras(text: str, log: Log, prefix: str) -> None:
    """The blocks' counts added up: {"ras correctable", "ras uncorrectable"}."""
    index: int | None = None
    for line in text.split("\n"):
        if table := TABLE.fullmatch(line):
            index = int(table[1]) if table[2] == "RAS INFO" else None
            if index is not None:
                log.add(index, {})
        elif RULE.fullmatch(line.strip()):
            index = None
        elif index is not None and line.strip() and "Correctable" not in line:
            row = RAS_ROW.fullmatch(line)
            if not row or (row[3] and not (row[3] + row[4]).isdecimal()):
                log.unreadable(f"not a RAS block: {line.strip()}", index, prefix)
                log.devices[index]["ras unreadable"] = "1"
            elif row[3]:
                added(log.devices[index], "ras correctable", int(row[3][:20]))
                added(log.devices[index], "ras uncorrectable", int(row[4][:20]))
                if int(row[4][:20]):
                    blocks = f"{log.devices[index].get('ras blocks', '')} {row[1]}"
                    log.devices[index]["ras blocks"] = blocks.strip()


def added(device: Cells, key: str, count: int) -> None:
    device[key] = str(int(device.get(key, "0")) + count)


def pages(text: str, log: Log) -> None:
    """Pages taken out of use and still to be; none are printed for a device that has none.

    A rule below the section says that all devices were asked: where that failed, there is none.
    """
    _, found, section = text.partition(" Pages Info ")
    whole = re.search(r"^={10,}\s*$", section.partition("\n")[2], re.MULTILINE)
    if not found or not whole:
        return
    for device in log.devices.values():
        device.update({"pages reserved": "0", "pages waiting": "0"})
    index: int | None = None
    for line in section[: whole.start() + len(section.partition("\n")[0]) + 1].split("\n"):
        if table := TABLE.fullmatch(line):
            index = int(table[1])
            log.add(index, {"pages reserved": "0", "pages waiting": "0"})
        elif index is not None and (row := PAGE_ROW.fullmatch(line)):
            kind = "reserved" if row[1] == "reserved" else "waiting"
            added(log.devices[index], f"pages {kind}", 1)


def quantity(text: str) -> tuple[str, str]:
    """("43.0", "°C") of "43.0°C", ("300", "Mhz") of "(300Mhz)"."""
    found = re.fullmatch(r"\(?(-?\d{1,20}(?:\.\d{1,9})?)\s*([^\d)]*)\)?", text.strip())
    if not found:
        raise Unreadable(f"not a quantity: {visible(text, 60)!r}")
    return found[1], found[2].strip()


def first(told: Mapping[str, str], keys: Iterator[str] | Sequence[str]) -> tuple[str, str] | None:
    """(key, text) of the first key that has something to say."""
    for key in keys:
        text = told.get(key, "").strip()
        if text and not re.match(r"n/?a\b|none\b|-+$|/$", text, re.IGNORECASE):
            return key, text
    return None

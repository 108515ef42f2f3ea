"""Reading CSV as `nvidia-smi --query-gpu=… --format=csv` prints it, and tools made like it.

Each call is a table of its own: a tool that does not know one field refuses the whole query, so
fields are asked for in several calls and their rows joined by index.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from clusterctl.model import Fact, Kind, Trouble, Version
from clusterctl.probes.labelled import (
    Block,
    Reader,
    address,
    amount,
    cell,
    counter,
    label,
    readings,
    size,
)
from clusterctl.probes.transcript import nothing, told
from clusterctl.spelling import Unreadable, number, visible

UNIT = re.compile(r"(.*?)\s*\[(.*)\]")
INDEX = re.compile(r"[0-9]{1,3}")


def answered(stdout: str, tool: str, prefix: str, vendor: str) -> Iterator[Fact | Trouble]:
    """The cards in a transcript of such calls; nothing at all of any card is trouble."""
    said, troubles = told(stdout)
    yield from troubles
    found = list(cards(said, prefix, vendor))
    yield from found
    if not found and not troubles:
        yield nothing(tool, said)


def cards(texts: Mapping[str, str], prefix: str, vendor: str) -> Iterator[Fact | Trouble]:
    """A card for each index in any of the tables, with what all of them say of it."""
    found: dict[str, dict[str, str]] = {}
    for text in texts.values():
        for row in table(text):
            if isinstance(row, Trouble):
                yield row
            elif not INDEX.fullmatch(row.get("index", "")):
                yield Trouble(Kind.UNREADABLE, f"a row without an index: {visible(str(row), 100)}")
            else:
                found.setdefault(row["index"], {}).update(row)
    drivers = {row["driver_version"] for row in found.values() if "driver_version" in row}
    yield from (Version(f"driver/{vendor}", visible(one, 40)) for one in sorted(drivers))
    for index, row in found.items():
        yield from readings(f"{prefix}{int(index)}", vendor, int(index), row, FIELDS)


def table(text: str) -> Iterator[dict[str, str] | Trouble]:
    """{field: text} of each row.  Units stay with the values; T-Head says ppu for gpu in names."""
    header: list[str] = []
    for line in text.split("\n"):
        cells = [part.strip() for part in line.split(",")]
        if not line.strip():
            continue
        if "index" in cells:
            header = [field(name) for name in cells]
        elif header and len(cells) == len(header):
            yield dict(zip(header, cells, strict=True))
        else:
            yield Trouble(Kind.UNREADABLE, f"not a row of the query: {visible(line, 100)}")


def field(name: str) -> str:
    unit = UNIT.fullmatch(name)
    return re.sub(r"\bppu\b", "gpu", unit[1] if unit else name)


def degrees(found: Block) -> float | None:
    """The one field whose unit nvidia-smi leaves out."""
    text = cell(found, "temperature.gpu")
    if text is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,3}(?: C)?", text):
        raise Unreadable(f"not a temperature: {text!r}")
    return number(text.removesuffix(" C"))


FIELDS: Mapping[str, Reader] = {
    "model": label("name"),
    "uuid": label("uuid"),
    "serial": label("serial"),
    "pci": address("pci.bus_id"),
    "temp_c": degrees,
    "power_w": amount("W", "power.draw"),
    "power_limit_w": amount("W", "power.limit"),
    "utilisation_percent": amount("%", "utilization.gpu"),
    "memory_total_bytes": size("memory.total"),
    "memory_used_bytes": size("memory.used"),
    "ecc_corrected_volatile": counter("ecc.errors.corrected.volatile.total"),
    "ecc_uncorrected_volatile": counter("ecc.errors.uncorrected.volatile.total"),
}

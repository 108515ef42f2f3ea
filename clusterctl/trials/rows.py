"""Reading what our load scripts print: rows of `burn` or `bandwidth` with name=value cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clusterctl.model import Bandwidth, Burn, Fact, Kind, Trouble
from clusterctl.spelling import number, whole
from clusterctl.sysfs import rows

BURN = {
    "part": str,
    "engine": str,
    "seconds": number,
    "amount": number,
    "unit": str,
    "rate": number,
    "rate_unit": str,
    "errors": whole,
    "covered": number,
    "detail": str,
}
BANDWIDTH = {
    "part": str,
    "engine": str,
    "gbit_s": number,
    "size_bytes": whole,
    "seconds": number,
    "samples_gbit_s": lambda text: tuple(number(cell) or 0.0 for cell in text.split()),
    "wrong": whole,
    "retransmits": whole,
}
KINDS: dict[str, tuple[type[Fact], dict[str, Any]]] = {
    "burn": (Burn, BURN),
    "bandwidth": (Bandwidth, BANDWIDTH),
}


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Rows `trouble`, kind, detail are what the script itself could not do."""
    for row in rows(stdout):
        if isinstance(row, Trouble):
            yield row
        elif row[0] == "trouble" and len(row) == 3:
            yield Trouble(Kind.MISSING if row[1] == "missing" else Kind.EXIT, row[2])
        else:
            yield fact(row)


def fact(row: tuple[str, ...]) -> Fact | Trouble:
    try:
        kind, readers = KINDS[row[0]]
        cells = dict(cell.split("=", 1) for cell in row[1:])
        return kind(**{name: readers[name](text) for name, text in cells.items()})
    except (KeyError, ValueError, TypeError) as problem:
        return Trouble(Kind.UNREADABLE, f"{problem} in the row {' '.join(row)[:200]!r}")

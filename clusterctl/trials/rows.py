"""Reading what our load scripts print: rows of `burn` or `bandwidth` with name=value cells."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from clusterctl.model import Bandwidth, Burn, Copy, Fact, Kind, Latency, Power, Trouble
from clusterctl.spelling import Unreadable, count, number, visible, whole
from clusterctl.sysfs import rows


def word(text: str) -> str:
    return visible(text, 1000)


def name(text: str) -> str:
    if not text:
        raise Unreadable("an empty name")
    return word(text)


def amount(text: str) -> float | None:
    """Never below zero: no rate, share or time is."""
    value = number(text)
    if value is not None and value < 0:
        raise Unreadable(f"below zero: {text!r}")
    return value


def tally(text: str) -> int | None:
    value = whole(text)
    if value is not None and not 0 <= value < 1 << 63:
        raise Unreadable(f"no count: {text!r}")
    return value


def measured(text: str) -> float:
    value = amount(text)
    if value is None:
        raise Unreadable(f"not measured: {text!r}")
    return value


def share(text: str) -> float | None:
    value = amount(text)
    if value is not None and value > 1:
        raise Unreadable(f"more than the whole: {text!r}")
    return value


def truth(text: str) -> bool:
    if text not in ("0", "1"):
        raise Unreadable(f"neither 0 nor 1: {text!r}")
    return text == "1"


BURN = {
    "part": name,
    "engine": name,
    "seconds": measured,
    "amount": amount,
    "unit": word,
    "rate": amount,
    "rate_unit": word,
    "errors": tally,
    "covered": share,
    "asked": share,
    "detail": word,
}
# What an accelerator's engine can say beside that.
GPU_BURN = BURN | {
    "precision": word,
    "power_w": amount,
    "power_limit_w": amount,
    "clock_sm_mhz": amount,
    "temp_max_c": amount,
    "digest": word,
}
BANDWIDTH = {
    "part": name,
    "engine": name,
    "gbit_s": measured,
    "size_bytes": tally,
    "seconds": measured,
    "samples_gbit_s": lambda text: tuple(measured(cell) for cell in text.split()),
    "retransmits": tally,
}
LOOPBACK = {
    **{key: BANDWIDTH[key] for key in ("part", "engine", "gbit_s", "size_bytes", "seconds")},
    "crossed": truth,
}
# Of one direction of one path.
FLOW = BANDWIDTH | {"both_ways": truth, "numa_node": tally}
LATENCY = {
    "part": name,
    "engine": name,
    "size_bytes": count,
    "count": count,
    **dict.fromkeys(("median_us", "p99_us"), measured),
    **dict.fromkeys(("mean_us", "min_us", "max_us"), amount),
}
COPY = {
    "part": name,
    "engine": name,
    "gbyte_s": measured,
    "size_bytes": tally,
    "seconds": measured,
    "samples_gbyte_s": lambda text: tuple(measured(cell) for cell in text.split()),
    "wrong": tally,
    "way": word,
    "detail": word,
}
POWER = {
    "part": name,
    "source": name,
    "power_w": measured,
    "least_w": amount,
    "most_w": amount,
    "seconds": measured,
    "whole": truth,
    "in_step": truth,
}
KINDS: dict[str, tuple[type[Fact], dict[str, Any]]] = {
    "burn": (Burn, BURN),
    "gpu_burn": (Burn, GPU_BURN),
    "bandwidth": (Bandwidth, BANDWIDTH),
    "loopback": (Bandwidth, LOOPBACK),
    "copy": (Copy, COPY),
    "power": (Power, POWER),
    "flow": (Bandwidth, FLOW),
    "latency": (Latency, LATENCY),
}


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Rows `trouble`, kind, detail and perhaps a part are what the script itself could not do."""
    for row in rows(stdout):
        yield row if isinstance(row, Trouble) else one_row(row)


def one_row(row: tuple[str, ...]) -> Fact | Trouble:
    if row[0] == "trouble" and len(row) in (3, 4):
        kind = Kind.MISSING if row[1] == "missing" else Kind.EXIT
        return Trouble(kind, visible(row[2]), *map(visible, row[3:]))
    return fact(row)


def fact(row: tuple[str, ...]) -> Fact | Trouble:
    """A row says all it should, once: a cell that is not there is not one without a value."""
    if row[0] not in KINDS:
        return Trouble(Kind.UNREADABLE, f"not a row of ours: {shown(row)!r}")
    kind, readers = KINDS[row[0]]
    keys = [cell.partition("=")[0] for cell in row[1:]]
    if len(keys) != len(readers) or readers.keys() != set(keys):
        return Trouble(Kind.UNREADABLE, f"other cells than a row {row[0]} has: {shown(row)!r}")
    try:
        return kind(**dict(zip(keys, [cell_of(row[0], cell) for cell in row[1:]], strict=True)))
    except Unreadable as problem:
        return Trouble(Kind.UNREADABLE, f"{visible(str(problem))} in the row {shown(row)!r}")


@lru_cache(4096)
def cell_of(kind: str, cell: str) -> Any:
    """Its value.  Three days of steps say nearly the same again and again.  Raises Unreadable."""
    key, _, text = cell.partition("=")
    return KINDS[kind][1][key](text)


def shown(row: tuple[str, ...]) -> str:
    return visible(" ".join(row), 200)

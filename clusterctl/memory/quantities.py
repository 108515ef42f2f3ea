"""Numbers that a part's own past can judge: which way is bad, what matters, who says so."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from math import inf
from typing import Any

from clusterctl.model import UserError
from clusterctl.yaml_files import read_mapping, refuse_unknown

LANES = "rx_dbm"  # made of Optic.rx_mw: of the lane that gets least


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number of one kind of fact; quantities.yml explains the words.

    `load`: a field that must be alike, within `load_within`, on nights that are compared.
    `counter`: it only grows; judged by its rise a day.  `parts`: only parts that match;
    `variant`: of a kind that has many, the one that is meant.
    """

    name: str
    kind: str
    field: str
    says: str
    unit: str = ""
    bad: str = "down"
    scale: str = "difference"
    least: float = inf
    check: str = ""
    reason: str = ""
    remedy: str = ""
    source: str = ""
    load: str = ""
    load_within: float = 0.0
    counter: bool = False
    parts: str = ""
    variant: str = ""
    zero: float = 1.0  # what stands for none on a scale of decades

    @property
    def table(self) -> str:
        """Of digests, where it lies."""
        return f"{self.kind}.{self.name}" if self.parts else self.kind


@cache
def quantities() -> tuple[Quantity, ...]:
    """The table.  Raises UserError where a line of it is wrong."""
    path = resources.files("clusterctl.memory") / "quantities.yml"
    told = read_mapping(path)
    refuse_unknown(str(path), told, ("sorts", "quantities"))
    words = ("of", "sort", *(one.name for one in fields(Quantity)))
    found = []
    for name, given in told["quantities"].items():
        refuse_unknown(f"{path}: {name}", given, words)
        cells: dict[str, Any] = {**told["sorts"].get(given.get("sort"), {}), **given}
        kind, _, field = cells.pop("of").partition(".")
        cells.pop("sort", None)
        found.append(Quantity(name, kind, field, **cells))
    return tuple(found)


@cache
def counters() -> tuple[str, ...]:
    """The counters of ports that are remembered."""
    return tuple(one.field for one in quantities() if one.kind == "Port")


def named(name: str, known: Iterable[tuple[str, str]]) -> Quantity:
    """By its own name, `Kind.field`, or a field's name alone.  Raises UserError.

    `known`: (kind, field) of every number that was remembered.
    """
    for one in quantities():
        if name in {one.name, f"{one.kind}.{one.field}"}:
            return one
    kind, _, field = name.rpartition(".")
    fits = sorted({(k, f) for k, f in known if f == field and kind in {"", k}})
    if len(fits) == 1:
        return Quantity(name, *fits[0], says=field.replace("_", " "))
    if fits:
        raise UserError(f"{name}: which one: {', '.join(f'{k}.{f}' for k, f in fits)}?")
    words = set(re.split(r"\W|_", name.lower()))
    near = [one.name for one in quantities() if words & set(one.name.split("_"))]
    raise UserError(
        f"{name}: no such number; there are {', '.join(near or [q.name for q in quantities()])}, "
        "and every number of a fact as Kind.field"
    )

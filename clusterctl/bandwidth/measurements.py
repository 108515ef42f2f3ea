"""Measured paths as CSV: round,src,dst,rail,gbit_s[,via][,status], one directed test a line."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from clusterctl.localise.columns import (
    FAILED,
    MISSING,
    OK,
    STATUSES,
    UNKNOWN,
    Measured,
    Topology,
)
from clusterctl.localise.topology import MOST_RAILS, MOST_UPLINKS, unknown
from clusterctl.model import UserError
from clusterctl.spelling import visible
from clusterctl.yaml_files import nearest

COLUMNS = ("round", "src", "dst", "rail", "gbit_s", "via", "status")
NEEDED = COLUMNS[:5]
MOST_ROUNDS = 10**9
FASTEST_GBIT_S = 1e6  # a petabit a second is a slip of the unit
NODE_LENGTH = 253  # of a host name in DNS


class BadCell(ValueError):
    """What is wrong with one cell; whoever knows the line adds it."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each column stands; `via` and `status` may be absent."""

    at: Mapping[str, int]

    def cell(self, row: Sequence[str], name: str) -> str:
        place = self.at.get(name, -1)
        return row[place].strip() if 0 <= place < len(row) else ""


def read(text: str, origin: str, topology: Topology | None) -> tuple[Topology, Measured]:
    """The rows and the fabric they speak of; without `topology`, one whose leaves are not known.

    Columns other than ours are passed over.  Raises UserError: file, line, column, remedy.
    """
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        header = next(lines, None)
        columns = heading(header or [], origin)
        rows = [(lines.line_num, row) for row in lines if any(map(str.strip, row))]
    except csv.Error as error:
        raise UserError(f"{origin}:{lines.line_num}: not CSV: {error}") from None
    known = {name: at for at, name in enumerate(topology.nodes)} if topology else {}
    cells = list(parsed(rows, columns, origin, topology, known))
    table = np.array([one[:5] for one in cells], dtype=np.int32).reshape(-1, 5)
    rates = np.array([one[5] for one in cells], dtype=np.float64)
    status = np.array([one[6] for one in cells], dtype=np.int8)
    if topology is None:
        topology = unknown(tuple(known), int(table[:, 3].max(initial=0)) + 1, origin)
    round_, src, dst, rail, via = (np.ascontiguousarray(table[:, at]) for at in range(5))
    return topology, Measured(round_, src, dst, rail, via, rates, status)


def heading(header: Sequence[str], origin: str) -> Columns:
    names = [name.strip().lower() for name in header]
    for name in NEEDED:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f", found {visible(close[0], 40)!r}" if close else ""
            raise UserError(
                f"{origin}:1: no column {name!r}{hint}; the first line is {','.join(COLUMNS)}"
            )
    for name in names:
        if name in COLUMNS and names.count(name) > 1:
            raise UserError(f"{origin}:1: the column {name!r} stands twice")
        if name not in COLUMNS and misspelt(name):
            wrong = visible(name, 40)
            raise UserError(f"{origin}:1: unknown column {wrong!r}{nearest(name, COLUMNS[5:])}")
    return Columns({name: names.index(name) for name in COLUMNS if name in names})


def misspelt(name: str) -> bool:
    """Whether it stands for one of the columns that may be absent: statuss, vias, vai."""
    mixed = any(sorted(name) == sorted(known) for known in COLUMNS[5:])
    return mixed or bool(difflib.get_close_matches(name, COLUMNS[5:], n=1, cutoff=0.8))


Cells = tuple[int, int, int, int, int, float, int]


def parsed(
    rows: Sequence[tuple[int, list[str]]],
    columns: Columns,
    origin: str,
    topology: Topology | None,
    known: dict[str, int],
) -> Iterator[Cells]:
    rails = topology.leaf.shape[1] if topology else MOST_RAILS
    uplinks = (topology.uplinks if topology else 0) or MOST_UPLINKS
    for line, row in rows:
        name = ""
        try:
            name = "round"
            number = whole(columns.cell(row, name), MOST_ROUNDS)
            name = "src"
            src = node(columns.cell(row, name), known, fixed=topology is not None)
            name = "dst"
            dst = node(columns.cell(row, name), known, fixed=topology is not None)
            if src == dst:
                raise BadCell("is the same node as src; a test runs between two")  # noqa: TRY301
            name = "rail"
            rail = whole(columns.cell(row, name), rails - 1)
            name = "via"
            via_said = columns.cell(row, name)
            via = whole(via_said, uplinks - 1) if via_said else UNKNOWN
            name = "status"
            said = status_of(columns.cell(row, name))
            name = "gbit_s"
            rate, status = rated(columns.cell(row, name), said)
        except BadCell as error:
            raise UserError(f"{origin}:{line}: {name}: {error}") from None
        yield number, src, dst, rail, via, rate, status


def whole(text: str, most: int) -> int:
    """A count from 0 to `most`."""
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise BadCell(f"expected a whole number, found {visible(text, 40)!r}")
    if int(text) > most:
        raise BadCell(f"{int(text)} is above {most}, the last there is (they count from 0)")
    return int(text)


def node(text: str, known: dict[str, int], *, fixed: bool) -> int:
    """The number of a node; a new name gets the next where no topology says who there is."""
    if text not in known:
        if not text or len(text) > NODE_LENGTH or not text.isprintable():
            raise BadCell(f"expected a node's name, found {visible(text, 40)!r}")
        if fixed:
            hint = nearest(text, known)
            raise BadCell(f"{visible(text, 40)!r} is not in the topology{hint}")
        known[text] = len(known)
    return known[text]


def status_of(text: str) -> int | None:
    if not text:
        return None
    if text.lower() not in STATUSES:
        raise BadCell(f"{visible(text, 40)!r}; expected {', '.join(STATUSES)}")
    return STATUSES.index(text.lower())


def rated(text: str, status: int | None) -> tuple[float, int]:
    """The rate and the status: a rate of 0 is a test that failed, none at all one not run."""
    if not text:
        if status == OK:
            raise BadCell("is empty though status says ok")
        return float("nan"), MISSING if status is None else status
    try:
        rate = float(text)
    except ValueError:
        rate = float("nan")
    if not isfinite(rate) or "_" in text:
        if status in {FAILED, MISSING} and text.lower() in {"nan", "none", "null", "-"}:
            return float("nan"), status
        raise BadCell(f"expected a number of Gbit/s, found {visible(text, 40)!r}")
    if not 0 <= rate <= FASTEST_GBIT_S:
        raise BadCell(f"{rate:g} Gbit/s is not a rate; expected 0 to {FASTEST_GBIT_S:g}")
    if status in {FAILED, MISSING}:
        return float("nan"), status
    return (rate, OK) if rate > 0 else (float("nan"), FAILED)


def lines(topology: Topology, planned: Measured) -> str:
    """The plan as the same CSV, header not included, without rates."""
    text = io.StringIO()
    nodes = topology.nodes
    columns = (planned.round, planned.src, planned.dst, planned.rail, planned.via)
    csv.writer(text, lineterminator="\n").writerows(
        (number, nodes[src], nodes[dst], rail, "", "" if via == UNKNOWN else via, "")
        for number, src, dst, rail, via in zip(*(one.tolist() for one in columns), strict=True)
    )
    return text.getvalue()

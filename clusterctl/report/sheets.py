"""Tables of plain cells in the three forms: for a terminal, as JSON, as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from clusterctl.inventory.ranges import fold
from clusterctl.memory.trend import BARS
from clusterctl.report.records import inert
from clusterctl.report.tables import STYLE, cell, table

Cell = str | int | float | tuple[float | None, ...] | None


@dataclass(frozen=True, slots=True)
class Sheet:
    """`name`: its key in JSON; `shown`: the columns that a terminal has room for; empty: all."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    shown: tuple[str, ...] = ()


OURS = frozenset(f"{BARS} ")
STATUS_STYLE = {str(status): style for status, style in STYLE.items()}


def as_table(sheet: Sheet) -> Table:
    shown = sheet.shown or sheet.columns
    made = table(*(name.replace("_", " ") for name in shown), title=sheet.title)
    for row in sheet.rows:
        cells = dict(zip(sheet.columns, row, strict=True))
        made.add_row(*(styled(name, cells[name]) for name in shown))
    return made


def styled(name: str, value: Cell) -> Text:
    if isinstance(value, str) and not set(value) - OURS:
        return Text(value)  # a sparkline; made safe it would read █{13}
    if isinstance(value, str) and name == "node":
        value = fold(value.split(","))  # of a finding of many it names them all
    style = STATUS_STYLE.get(str(value), "")
    return cell(spelt(value).upper() if name == "status" else spelt(value), style, limit=600)


def spelt(value: Cell) -> str:
    match value:
        case None:
            return ""
        case tuple():
            return " ".join("" if one is None else f"{one:.6g}" for one in value)
        case float():
            return f"{value:.4g}"
    return str(value)


def as_json(sheets: Sequence[Sheet]) -> str:
    document = {
        one.name: [dict(zip(one.columns, row, strict=True)) for row in one.rows] for one in sheets
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def plain(value: Cell) -> object:
    return spelt(value) if isinstance(value, tuple) else value


def as_csv(sheet: Sheet) -> str:
    """A cell that a spreadsheet would run as a formula is quoted."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(sheet.columns)
    for row in sheet.rows:
        writer.writerow([inert(one) if isinstance(one, str) else plain(one) for one in row])
    return text.getvalue()

"""Tables of plain cells in the three forms: for a terminal, as JSON, as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from clusterctl.report.records import inert
from clusterctl.report.tables import STYLE, cell, table

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Sheet:
    """`name`: its key in JSON; `styles`: of a cell's own words (a status)."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]


STATUS_STYLE = {str(status): style for status, style in STYLE.items()}


def as_table(sheet: Sheet) -> Table:
    made = table(*(name.replace("_", " ") for name in sheet.columns), title=sheet.title)
    for row in sheet.rows:
        made.add_row(
            *(
                cell(spelt(value), STATUS_STYLE.get(str(value), ""), limit=600)
                if name != "status"
                else cell(spelt(value).upper(), STATUS_STYLE.get(str(value), ""))
                for name, value in zip(sheet.columns, row, strict=True)
            )
        )
    return made


def spelt(value: Cell) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def as_json(sheets: Sequence[Sheet]) -> str:
    document = {
        one.name: [dict(zip(one.columns, row, strict=True)) for row in one.rows] for one in sheets
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def as_csv(sheet: Sheet) -> str:
    """A cell that a spreadsheet would run as a formula is quoted."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(sheet.columns)
    for row in sheet.rows:
        writer.writerow([inert(one) if isinstance(one, str) else one for one in row])
    return text.getvalue()

"""What the verbs that look back share: where runs lie, since when, in which form."""

from __future__ import annotations

import re
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from clusterctl.cli import screen
from clusterctl.cli.options import Format
from clusterctl.model import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clusterctl.memory.cache import Memory
    from clusterctl.memory.folder import Folder
    from clusterctl.report.sheets import Sheet

RunsAt = Annotated[
    str | None,
    typer.Option(
        "--runs-dir",
        envvar="CLUSTERCTL_RUNS_DIR",
        help="Where runs are kept, a folder or a URL such as s3://bucket/runs.  "
        "[default: clusterctl/runs in the XDG state home]",
    ),
]
Since = Annotated[str, typer.Option("--since", help="30d, 12h, 8w, or a date.")]
Until = Annotated[str, typer.Option("--until", help="Not after this: 2d, or a date.")]
UNITS = {"h": 1 / 24, "d": 1.0, "w": 7.0}
MANY = 3  # runs to read for the first time that are worth a word


def moment(option: str, given: str) -> datetime | None:
    """Raises UserError for what is neither an age nor a date."""
    from clusterctl.cli.world import now

    if not given:
        return None
    if found := re.fullmatch(r"(\d{1,5})([hdw])", given):
        return now() - timedelta(days=int(found[1]) * UNITS[found[2]])
    try:
        return datetime.fromisoformat(given).astimezone()
    except ValueError:
        raise UserError(f"{option} {given}: give 30d, 12h, 8w or a date, 2026-11-01") from None


def remember(runs_dir: str | None, since: str = "", until: str = "") -> Memory:
    """Raises UserError where there is nothing to look back at."""
    from clusterctl.cli.world import logs
    from clusterctl.memory.cache import memory

    logs()
    first, last = moment("--since", since), moment("--until", until)
    where = place(runs_dir)
    found = memory(where, since=first, until=last, tell=told)
    if not found.nights:
        when = f" since {since}" if since else ""
        raise UserError(f"{where.name}: no sweep or burn-in that ended{when}; --runs-dir?")
    return found


def place(runs_dir: str | None) -> Folder:
    import os

    from clusterctl.memory.folder import open_folder
    from clusterctl.store import default_runs_dir

    return open_folder(runs_dir or default_runs_dir(dict(os.environ)))


def told(done: int, count: int) -> None:
    if count > MANY and done == 0:
        screen.tell(f"clusterctl: {count} runs are read for the first time, once\n")


def show(sheets: Sequence[Sheet], form: Format, *, notes: Sequence[str] = ()) -> None:
    """CSV is the first sheet with rows alone.  Notes stand under the tables."""
    from clusterctl.report.sheets import as_csv, as_json, as_table

    if form is Format.JSON:
        sys.stdout.write(as_json(sheets))
    elif form is Format.CSV:
        sys.stdout.write(as_csv(next((one for one in sheets if one.rows), sheets[0])))
    else:
        from clusterctl.report.tables import cell

        screen.show(*(as_table(sheet) for sheet in sheets if sheet.rows))
        screen.show(*(cell(note, limit=1000) for note in notes))

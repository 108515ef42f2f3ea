"""The options that verbs share, spelled once."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

PLAIN_WIDTH = 160  # columns where nobody looks: cron, a pipe, a file


def width(file: TextIO) -> int | None:
    """Of a table in `file`: the terminal's own, or COLUMNS, or wide enough to read in a mail."""
    return None if file.isatty() else int(os.environ.get("COLUMNS") or PLAIN_WIDTH)


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    JSONL = "jsonl"  # of findings, so of runs only


def some(*forms: Format) -> Any:
    """The option of a verb that does not have them all."""

    def parsed(given: str) -> Format:
        if given not in set(forms):
            raise typer.BadParameter(f"{given!r} is not one of {', '.join(map(repr, names))}.")
        return Format(given)

    names = [str(form) for form in forms]
    return typer.Option(
        "--format", parser=parsed, metavar=f"<{'|'.join(names)}>", help="How the answer is written."
    )


def on_disk(folder: Path | None) -> Path | None:
    """Of `s3://bucket/runs` a Path has made `s3:/bucket/runs`, which would be a folder here."""
    if folder is not None and re.match(r"[a-z][a-z0-9+.-]+:/", str(folder)):
        raise typer.BadParameter(f"{folder}: a folder; URLs are for history, diff and trend")
    return folder


Inventory = Annotated[
    list[Path] | None,
    typer.Option("-i", "--inventory", help="Inventory file or folder; may be given again."),
]
Nodes = Annotated[
    str,
    typer.Option("--nodes", help="Only these, e.g. n[001-016],!n007; without -i: just these."),
]
Select = Annotated[
    str, typer.Option("--select", "-s", help='By label, e.g. "rack=r12 & !drained".')
]
PlaybookName = Annotated[
    str | None, typer.Option("-p", "--playbook", help="A playbook file, or a name from `list`.")
]
OutputFormat = Annotated[Format, some(Format.TABLE, Format.JSON, Format.CSV)]
TableOrJson = Annotated[Format, some(Format.TABLE, Format.JSON)]
RunFormat = Annotated[
    Format, typer.Option("--format", help="How the answer is written; jsonl: a finding a line.")
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="Write the answer here, not to stdout.")
]
Page = Annotated[
    Path | None,
    typer.Option("--html", help="Write the run as one self-contained page here, too."),
]
RunsDir = Annotated[
    Path | None,
    typer.Option(
        "--runs-dir",
        envvar="CLUSTERCTL_RUNS_DIR",
        callback=on_disk,
        help="Where runs are kept.  [default: clusterctl/runs in the XDG state home]",
    ),
]
AtOnce = Annotated[
    int | None, typer.Option("--at-once", min=1, help="Nodes talked to side by side.")
]
AcceptNew = Annotated[
    bool,
    typer.Option(
        "--accept-new", help="Record host keys never seen before; a changed one is still refused."
    ),
]
TakeOver = Annotated[
    bool,
    typer.Option(
        "--take-over", help="Of a campaign that another host still leads: lead it from here."
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say why everything was skipped.")]
SshConfig = Annotated[
    Path | None,
    typer.Option(
        *("--ssh-config", "-F"),
        exists=True,
        dir_okay=False,
        readable=True,
        help="Instead of ~/.ssh/config and /etc/ssh/ssh_config.",
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print nothing and exit 0 where nothing has changed."),
]
Budget = Annotated[
    str,
    typer.Option("--budget", help="End in this time, e.g. 20m; whoever was not asked is UNKNOWN."),
]
Jitter = Annotated[
    str,
    typer.Option("--jitter", help="Begin up to this much later, e.g. 5m; by this host's name."),
]
Metrics = Annotated[
    Path | None,
    typer.Option("--prometheus", help="Write metrics here, too, for node_exporter's textfiles."),
]
Notify = Annotated[
    Path | None, typer.Option("--notify", help="Tell people what changed, as this file says.")
]
NotifyDryRun = Annotated[
    bool, typer.Option("--notify-dry-run", help="Show that message instead of sending it.")
]

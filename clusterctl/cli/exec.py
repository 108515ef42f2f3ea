"""clusterctl exec: one command on many nodes, equal outputs folded."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from enum import StrEnum
from typing import Annotated

import typer

from clusterctl.cli import options
from clusterctl.cli.language import Lang
from clusterctl.cli.screen import said


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


def execute(
    command: Annotated[list[str], typer.Argument(help="The command, after --.")],
    *,
    inventory: options.Inventory = None,
    nodes: options.Nodes = "",
    select: options.Select = "",
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=1, help="Seconds that the command may take.")
    ] = 60.0,
    form: Annotated[
        Format, typer.Option("--format", help="How the answer is written.")
    ] = Format.TABLE,
    at_once: options.AtOnce = None,
    accept_new: options.AcceptNew = False,
    ssh_config: options.SshConfig = None,
    _lang: Lang = None,
) -> None:
    """Run a command on every node; nodes that say the same are shown once."""
    from clusterctl.cli.ask import Command, ask
    from clusterctl.cli.world import Flags
    from clusterctl.report.gathered import as_json, as_text, exit_code, gather

    flags = Flags(inventory, nodes, select, at_once, accept_new, ssh_config=ssh_config)
    with ExitStack() as closing:
        found = gather(ask(Command(command, timeout_s), flags, closing))
    sys.stdout.write(as_json(found) if form is Format.JSON else as_text(found, said))
    raise typer.Exit(exit_code(found))

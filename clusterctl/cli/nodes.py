"""clusterctl nodes: whom an inventory names, and which file and line says so."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from clusterctl.cli import options
from clusterctl.cli.language import Lang
from clusterctl.cli.screen import show, tell
from clusterctl.cli.world import EXIT_NO_NODE
from clusterctl.model import Node, UserError


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    NAMES = "names"


def nodes(
    *,
    inventory: options.Inventory = None,
    nodes: options.Nodes = "",
    select: options.Select = "",
    fold: Annotated[bool, typer.Option("--fold", help="One line: n[001-128].")] = False,
    form: Annotated[
        Format, typer.Option("--format", help="How the answer is written; names: one a line.")
    ] = Format.TABLE,
    _lang: Lang = None,
) -> None:
    """List, select and fold the nodes of an inventory; say which line each came from."""
    from clusterctl.inventory import load, pick
    from clusterctl.inventory.select import select as by_labels

    if fold and form not in {Format.TABLE, Format.NAMES}:
        raise UserError(f"--fold --format {form}: --fold is one line; leave one of the two out")
    known = load(inventory or (), nodes="" if inventory else nodes)
    chosen = by_labels(pick(known, nodes if inventory else ""), select)
    write(chosen, "fold" if fold else form.value)
    account = sys.stdout if form is Format.TABLE and not fold else sys.stderr
    tell(f"{len(chosen)} of {len(known)} nodes selected\n", account)
    raise typer.Exit(0 if chosen else EXIT_NO_NODE)


def write(chosen: Sequence[Node], form: str) -> None:
    from clusterctl.report import node_list

    if form != Format.TABLE:
        sys.stdout.write(node_list.WRITERS[form](chosen))
    elif chosen:
        show(node_list.node_table(chosen))

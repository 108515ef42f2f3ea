"""clusterctl ack: what somebody knows of and nobody needs to hear again until a day."""

from __future__ import annotations

import json
import secrets
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterctl.cli import options
from clusterctl.cli.language import Lang
from clusterctl.cli.screen import printed, tell

if TYPE_CHECKING:
    from clusterctl.memory.acks import Ack

Nodes = Annotated[str, typer.Argument(help="Node or nodes, n[017-020].")]
CheckName = Annotated[str, typer.Argument(help="A check's name, or all.", metavar="CHECK")]
Until = Annotated[str, typer.Option("--until", help="Last day, 2026-12-24, or a time of it.")]
Why = Annotated[str, typer.Option("--why", help="What is being done about it: a ticket, an RMA.")]
Owner = Annotated[str, typer.Option("--owner", help="Who to ask.  [default: who calls this]")]
Listed = Annotated[bool, typer.Option("--list", help="Show every ack, and what became of it.")]
Removed = Annotated[str, typer.Option("--remove", metavar="ID", help="End an ack now.")]


def ack(
    nodes: Nodes = "",
    check: CheckName = "",
    *,
    until: Until = "",
    why: Why = "",
    owner: Owner = "",
    listed: Listed = False,
    removed: Removed = "",
    form: options.OutputFormat = options.Format.TABLE,
    runs_dir: options.RunsDir = None,
    _lang: Lang = None,
) -> None:
    """Silence a finding until a day, or until it gets worse; what is silenced is still counted."""
    from clusterctl.cli import world
    from clusterctl.memory import acks
    from clusterctl.model import UserError

    folder = world.runs(runs_dir)
    whose = owner or world.person()
    if listed:
        sys.stdout.write(shown(acks.read(folder), form, world.now()))
    elif removed:
        known = {one.id: one for one in acks.read(folder)}
        if removed not in known or known[removed].removed:
            raise UserError(f"--remove {removed}: no such ack in force; `clusterctl ack --list`")
        acks.remove(folder, removed, whose, world.now())
        tell(f"removed: ack {known[removed].words}\n", sys.stdout)
    else:
        made = new(nodes, check, until, why, whose)
        acks.read(folder)  # a broken file is told before it grows
        acks.give(folder, made)
        warn_of_strangers(made, folder)
        tell(f"ack {made.words}\n", sys.stdout)


def new(nodes: str, check: str, until: str, why: str, owner: str) -> Ack:
    """Raises UserError."""
    from clusterctl.catalog import all_checks
    from clusterctl.cli import world
    from clusterctl.inventory.ranges import BadRange, expand
    from clusterctl.judge import OBSERVED, REACHABLE
    from clusterctl.memory.acks import ALL, Ack
    from clusterctl.model import UserError
    from clusterctl.yaml_files import nearest

    if not nodes or not check:
        raise UserError('ack: say who and what: clusterctl ack n017 ecc --until DATE --why "…"')
    if not why.strip():
        raise UserError("ack: --why is missing: the next person must know what is being done")
    known = {ALL, OBSERVED, REACHABLE, *all_checks()}
    if check not in known:
        raise UserError(f"ack: unknown check {check!r}{nearest(check, known)}")
    try:
        names = frozenset(expand(nodes))
    except BadRange as error:
        raise UserError(f"ack: {error}") from None
    now = world.now()
    end = ending(until)
    if end <= now:
        raise UserError(f"--until {until}: is over already")
    return Ack(f"a{secrets.token_hex(3)}", names, check, end, owner, why.strip(), now)


def ending(until: str) -> datetime:
    """The first moment after it, in the time zone of this machine.  Raises UserError."""
    from clusterctl.model import UserError

    try:
        found = datetime.fromisoformat(until).astimezone()
        return found if "T" in until or " " in until else found + timedelta(days=1)
    except (ValueError, OverflowError):
        raise UserError(f"--until {until!r}: expected a day such as 2026-12-24") from None


def warn_of_strangers(made: Ack, folder: Path) -> None:
    """A node of no run here may be a slip of the hand, or one that comes tomorrow."""
    from clusterctl import store
    from clusterctl.inventory.ranges import fold
    from clusterctl.model import UserError

    try:
        known = {node.name for node in store.find(folder, "last").nodes()}
    except UserError:
        return
    if strangers := made.nodes - known:
        tell(f"clusterctl: {fold(strangers)}: not in the last run\n")


def shown(acks: list[Ack], form: options.Format, now: datetime) -> str:
    from clusterctl.inventory.ranges import fold
    from clusterctl.memory.acks import cells

    def state(one: Ack) -> str:
        if one.removed:
            return f"removed {one.removed}"
        return "in force" if now < one.until else "ran out"

    rows: list[dict[str, object]] = [{**cells(one), "state": state(one)} for one in acks]
    if form is options.Format.JSON:
        return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
    if form is options.Format.CSV:
        from clusterctl.report.catalogue import as_csv

        return as_csv(rows)
    from clusterctl.report.tables import cell, table

    made = table("ack", "nodes", "check", "last day", "owner", "why", "state")
    for one in acks:
        last = f"{(one.until - timedelta(seconds=1)).astimezone():%Y-%m-%d}"
        words = (one.id, fold(one.nodes), one.check, last, one.owner, one.why, state(one))
        made.add_row(*(cell(word) for word in words))
    return printed(made if acks else "no acks")

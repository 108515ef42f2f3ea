"""clusterctl watch and stop: a campaign that somebody else leads."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from clusterctl.cli import options
from clusterctl.cli.language import Lang
from clusterctl.cli.screen import said, tell
from clusterctl.model import UserError

RunName = Annotated[str, typer.Argument(help='Id, start of an id, directory, or "last".')]
EVERY_S = 2.0


def watch(
    run: RunName,
    *,
    runs_dir: options.RunsDir = None,
    once: Annotated[bool, typer.Option("--once", help="Say it once, and end.")] = False,
    _lang: Lang = None,
) -> None:
    """How far a campaign is, one line a node, until it is over."""
    from clusterctl.campaign.folder import Known, is_led
    from clusterctl.cli.campaigns import Display, find, opened
    from clusterctl.report.campaign_lines import lines

    found = find(runs_dir, run)
    opening = opened(found)
    known = Known(found.path, opening.nodes)
    terminal = sys.stderr.isatty() and not once
    with Display(opening.playbook, terminal=terminal) as show:
        while terminal and is_led(found.path):
            began = time.monotonic()
            show.tell(known.read())
            time.sleep(max(EVERY_S, 10 * (time.monotonic() - began)))
    if found.path.is_dir():
        shown = lines(known.read().values(), opening.playbook, 1 << 20, say=said)
        sys.stdout.write("\n".join(shown) + "\n")
        if not is_led(found.path) and found.path.suffix == ".partial":
            tell(f"nobody leads it: `clusterctl burnin --resume {found.path}`\n", sys.stdout)
    else:
        tell(f"it is over: `clusterctl show {found.id}`\n", sys.stdout)


def stop(
    run: RunName,
    *,
    runs_dir: options.RunsDir = None,
    ssh_config: options.SshConfig = None,
    take_over: options.TakeOver = False,
    now: Annotated[bool, typer.Option("--now", help="Leave the load no time to end.")] = False,
    _lang: Lang = None,
) -> None:
    """Stop a campaign on every node, clean up, keep and judge what was measured."""
    from clusterctl.campaign.folder import is_led
    from clusterctl.cli.campaigns import find, refuse_ended, stop_here
    from clusterctl.cli.finish import render
    from clusterctl.cli.world import Flags

    found = find(runs_dir, run)
    refuse_ended(found)
    want_stop(found.path, "now\n" if now else "\n")
    if is_led(found.path):
        tell("clusterctl: its controller stops it\n")
        while is_led(found.path):
            time.sleep(EVERY_S / 4)
        if not found.path.is_dir():
            raise typer.Exit(outcome(found.path.with_suffix("")))
        tell("clusterctl: its controller is gone, so it is stopped from here\n")
    flags = Flags(None, "", "", None, accept_new=False, ssh_config=ssh_config, take_over=take_over)
    judged = stop_here(found, flags)
    raise typer.Exit(render(judged, options.Format.TABLE, None))


def want_stop(path: Path, words: str) -> None:
    """For whoever leads it.  Raises UserError."""
    from clusterctl.campaign.folder import STOP

    try:
        (path / STOP).write_text(words)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; as who may write it?") from None


def outcome(path: Path) -> int:
    """Exit code of a run that is over, which is told.  Raises UserError."""
    from clusterctl import store
    from clusterctl.cli.finish import accounted

    found = store.stored(path)
    tell(f"it is over: `clusterctl show {found.id}`\n", sys.stdout)
    return accounted(store.load(found), None).exit_code

"""clusterctl prune: old runs made small."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterctl.cli import options, remembered
from clusterctl.cli.language import Lang
from clusterctl.model import UserError

if TYPE_CHECKING:
    from datetime import datetime

    from clusterctl.memory.prune import Claim, Old
    from clusterctl.report.sheets import Sheet

MIB = 2**20


def prune(
    *,
    keep: Annotated[
        str, typer.Option("--keep", help="Younger runs keep what nodes said: 90d, 26w.")
    ] = "90d",
    yes: Annotated[bool, typer.Option("--yes", help="Do it; else it is only told.")] = False,
    form: options.OutputFormat = options.Format.TABLE,
    runs_dir: options.RunsDir = None,
    _lang: Lang = None,
) -> None:
    """Delete what nodes said word for word in old runs; facts, findings and history stay."""
    from clusterctl.cli import world
    from clusterctl.memory import prune as old_runs
    from clusterctl.memory.dataset import found

    if not re.fullmatch(r"\d{1,5}[hdw]", keep):
        raise UserError(f"--keep {keep}: give an age: 90d, 26w")
    now, folder = world.now(), world.runs(runs_dir)
    before = remembered.moment("--keep", keep) or now
    known = remembered.remember(str(folder))
    cited = drained(folder) | old_runs.citations(found(known), acked(folder, now))
    planned = old_runs.plan(folder, known, before, cited)
    going = [one for one in planned if not one.cited]
    for one in going if yes else ():
        old_runs.prune(one, now)
    remembered.show([sheet(planned)], form, notes=[note(planned, going, yes=yes)])


def acked(folder: Path, now: datetime) -> list[Claim]:
    from clusterctl.memory import acks
    from clusterctl.memory.prune import Claim

    known = acks.active(acks.read(folder), now)
    return [Claim(one.nodes, one.check, f"ack {one.words}") for one in known]


def drained(folder: Path) -> dict[str, str]:
    """Runs that a drain names which nobody has undone.  Raises UserError where nobody knows."""
    from clusterctl.act import journal
    from clusterctl.act.breaker import last_drains

    log = journal.read(folder / journal.NAME)
    if log.damaged:
        shown = ", ".join(map(str, sorted(log.damaged)[:8]))
        raise UserError(
            f"{log.path}:{shown}: not an action: whose evidence must stay is not known; mend or "
            "delete the line"
        )
    return {
        one.run: f"{one.node} was drained for its {one.check}"
        for by in {one.by for one in log.actions.values()}
        for one in last_drains(log.of(by)).values()
    }


def sheet(planned: list[Old]) -> Sheet:
    from clusterctl.report.sheets import Sheet

    rows = [
        (one.run, f"{one.started:%Y-%m-%d}", one.size_bytes / MIB, one.cited or "answers go")
        for one in planned
    ]
    return Sheet("runs", "", ("run", "started", "mib", "what"), rows)


def note(planned: list[Old], going: list[Old], *, yes: bool) -> str:
    freed = sum(one.size_bytes for one in going) / MIB
    kept = len(planned) - len(going)
    if not planned:
        return "nothing to prune"
    did = "freed" if yes else "to free"
    ask = "" if yes or not going else "; nothing was deleted: say --yes"
    return f"{freed:.1f} MiB {did} in {len(going)} runs; {kept} kept whole for open cases{ask}"

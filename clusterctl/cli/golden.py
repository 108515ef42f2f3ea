"""clusterctl golden: what nodes should run, kept in a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterctl.cli import options
from clusterctl.cli.language import Lang
from clusterctl.cli.screen import show, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from clusterctl.model import Run

golden = typer.Typer(
    help="What nodes of a kind should run: save it from a run, hold a run against it.",
    no_args_is_help=True,
)
File = Annotated[Path, typer.Argument(help="The golden file, YAML.")]
Which = Annotated[str, typer.Argument(help='Id, start of an id, directory, or "last".')]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]


@golden.command()
def save(
    file: File,
    run: Which = "last",
    *,
    force: Force = False,
    runs_dir: options.RunsDir = None,
    _lang: Lang = None,
) -> None:
    """Write what most nodes of each kind ran: kernel, drivers, firmware, settings, mounts."""
    from clusterctl.cli.finish import refuse_output, write_whole
    from clusterctl.memory import golden as kept
    from clusterctl.model import UserError
    from clusterctl.report.tables import plural

    if file.exists() and not force:
        raise UserError(f"{file}: is there already; --force writes over it")
    refuse_output(file, flag="golden save")
    whole = recorded(run, runs_dir)
    nodes = kept.seen(whole)
    try:
        write_whole(file, kept.text(nodes, whole))
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    silent = sum(not one.values for one in nodes)
    blind = f"; {silent} told nothing" if silent else ""
    tell(f"{file}: what {plural(len(nodes), 'node')} ran in {whole.id}{blind}\n", sys.stdout)


@golden.command()
def diff(
    file: File,
    run: Which = "last",
    *,
    form: options.OutputFormat = options.Format.TABLE,
    runs_dir: options.RunsDir = None,
    _lang: Lang = None,
) -> None:
    """Name every difference once, with all nodes that have it.  Exit 1: there is one."""
    from dataclasses import replace

    from clusterctl.cli.finish import write
    from clusterctl.memory import golden as kept
    from clusterctl.report.accounts import account

    wanted = kept.load(file)
    whole = recorded(run, runs_dir)
    findings = kept.compared(kept.seen(whole), wanted, f"{file}")
    # Whether a burn accepted them is not asked here.
    told = replace(whole, findings=tuple(findings), verb="sweep")
    if form is options.Format.TABLE:
        show(*differences(told, f"{file}"))
    else:
        write(told, form, sys.stdout, verbose=False)
    raise typer.Exit(account(told).exit_code)


def differences(told: Run, file: str) -> Iterator[RenderableType]:
    """Each once, then how many nodes are as the file says."""
    from rich.text import Text

    from clusterctl.model import Status
    from clusterctl.report.accounts import account
    from clusterctl.report.tables import findings_table, theirs

    nodes = account(told)
    alike, odd, unseen = map(nodes.count, (Status.PASS, Status.FAIL, Status.UNKNOWN))
    if odd or unseen:
        yield findings_table(told.findings)
    counts = f"{alike} as it says · {odd} different · {unseen} not seen"
    yield Text.assemble(theirs(f"{file} {told.id}"), ": ", counts, style="bold")


def recorded(run: str, runs_dir: Path | None) -> Run:
    from clusterctl import store
    from clusterctl.cli.world import runs

    return store.load(store.find(runs(runs_dir), run))

"""clusterctl show: a stored run again."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from clusterctl.cli import options


def show(
    run: Annotated[str, typer.Argument(help='Id, start of an id, directory, or "last".')],
    *,
    form: options.OutputFormat = options.Format.TABLE,
    output: options.Output = None,
    html: options.Page = None,
    runs_dir: options.RunsDir = None,
    raw: Annotated[
        str, typer.Option("--raw", help="Print what this node said, word for word.")
    ] = "",
    verbose: options.Verbose = False,
) -> None:
    """Show a stored run as it was judged then."""
    from clusterctl import store
    from clusterctl.cli.finish import render
    from clusterctl.cli.world import runs

    found = store.find(runs(runs_dir), run)
    if raw:
        from clusterctl.report.raw import answers

        sys.stdout.writelines(answers(found, raw))
        raise typer.Exit(0)
    kept = store.load(found)
    code = render(kept, form, output, verbose=verbose, page=html, folder=found.path)
    raise typer.Exit(code)

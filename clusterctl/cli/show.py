"""clusterctl show: a stored run again."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from clusterctl.cli import options
from clusterctl.cli.language import Lang


def show(
    run: Annotated[str, typer.Argument(help='Id, start of an id, directory, or "last".')],
    *,
    form: options.RunFormat = options.Format.TABLE,
    output: options.Output = None,
    html: options.Page = None,
    runs_dir: options.RunsDir = None,
    raw: Annotated[
        str, typer.Option("--raw", help="Print what this node said, word for word.")
    ] = "",
    verbose: options.Verbose = False,
    lang: Lang = None,
) -> None:
    """Show a stored run as it was judged then."""
    from clusterctl import store
    from clusterctl.bandwidth.folder import is_bandwidth
    from clusterctl.cli import paths
    from clusterctl.cli.finish import refuse_output, render
    from clusterctl.cli.world import runs

    refuse_output(output, html)
    found = store.find(runs(runs_dir), run)
    if raw:
        from clusterctl.report.raw import answers

        sys.stdout.writelines(answers(found, raw))
        raise typer.Exit(0)
    if is_bandwidth(found.path):
        raise typer.Exit(paths.render(found.path, form, output, page=html, lang=lang))
    kept = store.load(found)
    code = render(kept, form, output, verbose=verbose, page=html, lang=lang, folder=found.path)
    raise typer.Exit(code)

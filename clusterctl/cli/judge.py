"""clusterctl judge: a stored run judged again, offline, with other limits if you like."""

from __future__ import annotations

from typing import Annotated

import typer

from clusterctl.cli import options
from clusterctl.cli.language import Lang


def judge(
    run: Annotated[str, typer.Argument(help='Id, start of an id, directory, or "last".')],
    *,
    playbook: options.PlaybookName = None,
    form: options.RunFormat = options.Format.TABLE,
    output: options.Output = None,
    html: options.Page = None,
    runs_dir: options.RunsDir = None,
    verbose: options.Verbose = False,
    lang: Lang = None,
) -> None:
    """Judge what the nodes of a stored run said again; no node is asked anything."""
    from clusterctl import store
    from clusterctl.bandwidth.folder import is_bandwidth
    from clusterctl.cli import paths, surveying
    from clusterctl.cli.finish import refuse_output, render
    from clusterctl.cli.world import logs, runs
    from clusterctl.fabric.folder import is_fabric
    from clusterctl.rejudge import again

    logs()
    refuse_output(output, html)
    folder = runs(runs_dir)
    measured = store.find(folder, run).path
    if is_bandwidth(measured):
        raise typer.Exit(paths.render(measured, form, output, page=html, anew=True, lang=lang))
    found = store.find(folder, run)
    if is_fabric(found.path):
        surveying.refuse(found.id, playbook, html, form)
        surveyed = surveying.again(found, folder)
        raise typer.Exit(surveying.show(surveyed, form, output, None, verbose=verbose))
    judged = again(found, folder, playbook)
    code = render(judged, form, output, verbose=verbose, page=html, lang=lang, folder=found.path)
    raise typer.Exit(code)

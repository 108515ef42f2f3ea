"""clusterctl sweep: look at every node, touch nothing."""

from __future__ import annotations

import typer

from clusterctl.cli import options
from clusterctl.cli.language import Lang


def sweep(
    *,
    inventory: options.Inventory = None,
    playbook: options.PlaybookName = "nightly",
    nodes: options.Nodes = "",
    select: options.Select = "",
    form: options.OutputFormat = options.Format.TABLE,
    output: options.Output = None,
    html: options.Page = None,
    runs_dir: options.RunsDir = None,
    at_once: options.AtOnce = None,
    accept_new: options.AcceptNew = False,
    ssh_config: options.SshConfig = None,
    verbose: options.Verbose = False,
    lang: Lang = None,
) -> None:
    """Look at every node and judge it; passive probes only, so jobs are not disturbed."""
    from clusterctl.cli.finish import refuse_output, render
    from clusterctl.cli.start import carry_out
    from clusterctl.cli.world import Flags

    refuse_output(output, html)
    flags = Flags(
        inventory,
        nodes,
        select,
        at_once,
        accept_new,
        runs_dir=runs_dir,
        ssh_config=ssh_config,
    )
    run = carry_out("sweep", playbook or "nightly", flags)
    raise typer.Exit(render(run, form, output, verbose=verbose, page=html, lang=lang))

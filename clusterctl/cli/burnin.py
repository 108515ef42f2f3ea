"""clusterctl burnin: load every node and say whether it may be accepted."""

from __future__ import annotations

from typing import Annotated

import typer

from clusterctl.cli import options


def burnin(
    *,
    inventory: options.Inventory = None,
    playbook: options.PlaybookName = "burnin-quick",
    nodes: options.Nodes = "",
    select: options.Select = "",
    form: options.OutputFormat = options.Format.TABLE,
    output: options.Output = None,
    html: options.Page = None,
    runs_dir: options.RunsDir = None,
    at_once: options.AtOnce = None,
    accept_new: options.AcceptNew = False,
    ssh_config: options.SshConfig = None,
    force: Annotated[
        bool, typer.Option("--force", help="Load nodes whose accelerators are in use, too.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same seed gives the same pairs and data.")
    ] = None,
    verbose: options.Verbose = False,
) -> None:
    """Load every node in stages; read counters before and after; one verdict a node."""
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
        force=force,
        seed=seed,
    )
    run = carry_out("burnin", playbook or "burnin-quick", flags)
    raise typer.Exit(render(run, form, output, verbose=verbose, page=html))

"""clusterctl switches: the far ends of the links."""

from __future__ import annotations

from typing import Annotated

import typer

from clusterctl.cli import options
from clusterctl.cli.language import Lang

Ends = Annotated[
    str,
    typer.Option("--ends", help="Ask these nodes for their ends of the links, too: n[001-016]."),
]


def switches(
    *,
    inventory: options.Inventory = None,
    select: options.Select = "",
    ends: Ends = "",
    form: options.RunFormat = options.Format.TABLE,
    output: options.Output = None,
    runs_dir: options.RunsDir = None,
    at_once: options.AtOnce = None,
    accept_new: options.AcceptNew = False,
    ssh_config: options.SshConfig = None,
    verbose: options.Verbose = False,
    _lang: Lang = None,
) -> None:
    """Look at the inventory's switches (role: switch): ports, errors, light, neighbours."""
    from clusterctl.cli.finish import refuse_output, render
    from clusterctl.cli.switching import ask
    from clusterctl.cli.world import Flags

    refuse_output(output)
    flags = Flags(
        inventory, "", select, at_once, accept_new, runs_dir=runs_dir, ssh_config=ssh_config
    )
    run = ask(flags, ends)
    raise typer.Exit(render(run, form, output, verbose=verbose))

"""clusterctl fabric: what hangs where, and what of it is not as it should be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clusterctl.cli import options
from clusterctl.cli.language import Lang

PlanFile = Annotated[
    Path | None, typer.Option("--plan", help="How it should be cabled; see knowledge/fabric.md.")
]
From = Annotated[
    list[Path] | None,
    typer.Option(
        "--from",
        help="Saved output of ibnetdiscover, iblinkinfo or ibqueryerrors; asks no node.  "
        "May be given again.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--topology", help="Write what was found for `localise --topology`, too."),
]
Ask = Annotated[
    str, typer.Option("--ask", help="Walk InfiniBand from these nodes, not from the first able.")
]


def fabric(
    *,
    inventory: options.Inventory = None,
    nodes: options.Nodes = "",
    select: options.Select = "",
    plan: PlanFile = None,
    saved: From = None,
    ask: Ask = "",
    topology: Out = None,
    form: options.OutputFormat = options.Format.TABLE,
    output: options.Output = None,
    runs_dir: options.RunsDir = None,
    at_once: options.AtOnce = None,
    accept_new: options.AcceptNew = False,
    ssh_config: options.SshConfig = None,
    verbose: options.Verbose = False,
    _lang: Lang = None,
) -> None:
    """Discover rails, leaves and spines; judge cables, links, counters and shared settings."""
    from clusterctl.cli.finish import refuse_output
    from clusterctl.cli.surveying import Surveyed, ask_nodes, read_files, show
    from clusterctl.cli.world import Flags

    refuse_output(output, topology, also="--topology")
    flags = Flags(
        inventory, nodes, select, at_once, accept_new, runs_dir=runs_dir, ssh_config=ssh_config
    )
    found: Surveyed = read_files(saved, flags, plan) if saved else ask_nodes(flags, plan, ask)
    raise typer.Exit(show(found, form, output, topology, verbose=verbose))

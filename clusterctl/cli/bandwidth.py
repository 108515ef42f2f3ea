"""clusterctl bandwidth: which part of the network is slow, which way, how sure, and why."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clusterctl.cli import options
from clusterctl.cli.language import Lang
from clusterctl.cli.localise import Floor, Mode


class Engine(StrEnum):
    AUTO = "auto"
    PERFTEST = "perftest"
    IPERF3 = "iperf3"
    BUILT_IN = "built-in"


def bandwidth(
    *,
    inventory: options.Inventory = None,
    nodes: options.Nodes = "",
    select: options.Select = "",
    topology: Annotated[
        Path | None,
        typer.Option("--topology", help="Who hangs on which leaf; else the labels `leaf` say it."),
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(
            "--mode", help="2 rounds, 4 (6 without leaves or above 512 nodes), or all pairs."
        ),
    ] = Mode.DEFAULT,
    rounds: Annotated[
        int, typer.Option("--rounds", min=0, max=100_000, help="Instead of the mode's.")
    ] = 0,
    budget: Annotated[
        str, typer.Option("--budget", help="As many rounds as fit, e.g. 90s or 3m.")
    ] = "",
    only: Annotated[
        str, typer.Option("--only", help='Just these paths, e.g. "n03>n07/1@0 n04>n03/1".')
    ] = "",
    confirm: Annotated[
        int, typer.Option("--confirm", min=0, help="Rounds that may follow to make sure.")
    ] = 3,
    engine: Annotated[Engine, typer.Option("--engine", help="What carries it.")] = Engine.AUTO,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.2, max=86_400, help="Each way.")
    ] = 3.0,
    streams: Annotated[int, typer.Option("--streams", min=1, help="TCP streams a path.")] = 4,
    floor: Floor = None,
    form: options.OutputFormat = options.Format.TABLE,
    output: options.Output = None,
    html: options.Page = None,
    runs_dir: options.RunsDir = None,
    accept_new: options.AcceptNew = False,
    ssh_config: options.SshConfig = None,
    force: Annotated[
        bool, typer.Option("--force", help="Load nodes whose accelerators are in use, too.")
    ] = False,
    resume: Annotated[
        str | None, typer.Option("--resume", help="Go on with this run after its last whole round.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="The same seed, the same plan.")
    ] = None,
    lang: Lang = None,
) -> None:
    """Measure paths between nodes and name the slow part: host, NIC, leaf, uplink, spine."""
    from clusterctl.bandwidth import folder
    from clusterctl.cli.finish import refuse_output
    from clusterctl.cli.paths import render
    from clusterctl.cli.rounds import lead
    from clusterctl.cli.rounds_begun import Order, begun, resumed
    from clusterctl.cli.world import Flags

    refuse_output(output, html)
    flags = Flags(
        inventory,
        nodes,
        select,
        None,
        accept_new,
        runs_dir=runs_dir,
        ssh_config=ssh_config,
        force=force,
        seed=seed,
    )
    if resume:
        under_way = resumed(resume, flags)
    else:
        params = {"seconds": seconds, "streams": streams, "engine": str(engine)}
        wanted = folder.Settings(str(mode), rounds, confirm, floor)
        order = Order(params, wanted, topology, budget, only)
        under_way = begun(order, flags)
    path = lead(under_way, flags)
    raise typer.Exit(render(path, form, output, page=html, lang=lang))

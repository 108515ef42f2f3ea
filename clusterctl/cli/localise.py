"""clusterctl localise and plan-rounds: anyone's measurements judged, and what to measure."""

from __future__ import annotations

import re
import secrets
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterctl.cli import options
from clusterctl.cli.language import Lang
from clusterctl.cli.screen import show, tell
from clusterctl.model import UserError

if TYPE_CHECKING:
    from clusterctl.localise.columns import Topology
    from clusterctl.localise.located import Located

BUDGET = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(s|m|h|)")
UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600}


class Mode(StrEnum):
    QUICK = "quick"
    DEFAULT = "default"
    EXHAUSTIVE = "exhaustive"


def one_count(rounds: int, budget: str, mode: str) -> None:
    """Raises UserError."""
    if sum((bool(rounds), bool(budget), mode != Mode.DEFAULT)) > 1:
        raise UserError("--rounds, --budget and --mode each say how many rounds; give one")


Floor = Annotated[
    float | None,
    typer.Option(  # a petabit a second is a slip of the unit, as in the rates themselves
        "--floor", min=0, max=1e6, help="Gbit/s that a healthy path carries; else peers alone."
    ),
]
TopologyFile = Annotated[
    Path | None,
    typer.Option("--topology", help="leaf_size, uplinks, rails, nodes; or each node's leaf."),
]


def localise(
    measured: Annotated[
        Path, typer.Argument(help="round,src,dst,rail,gbit_s[,via][,status]; - is standard input.")
    ],
    *,
    topology: TopologyFile = None,
    floor: Floor = None,
    form: options.OutputFormat = options.Format.TABLE,
    _lang: Lang = None,
) -> None:
    """Name the slow part in measured paths: host, NIC, leaf, uplink, spine, and how sure."""
    from clusterctl.bandwidth import measurements
    from clusterctl.cli.texts import read_text
    from clusterctl.localise.classes import by_rates
    from clusterctl.localise.located import Floor
    from clusterctl.localise.muddle import with_muddle
    from clusterctl.localise.suspects import locate
    from clusterctl.report.located import exit_code

    fabric, rows = measurements.read(read_text(measured), str(measured), given(topology))
    said, fabric = fabric, by_rates(fabric, rows)
    if fabric is not said:
        tell(f"clusterctl: {fabric.origin}\n")
    floors = [Floor(floor, "--floor")] if floor is not None else []
    located = with_muddle(locate(fabric, rows, floors=floors), fabric, rows)
    write(located, form)
    under = any(one.source == "--floor" for one in located.population)
    raise typer.Exit(exit_code(located, under_floor=under))


def write(located: Located, form: options.Format) -> None:
    from clusterctl.report import located as report

    if form is options.Format.JSON:
        sys.stdout.write(report.as_json(located))
    elif form is options.Format.CSV:
        sys.stdout.write(report.as_csv(located))
    else:
        show(report.as_table(located))


def given(path: Path | None) -> Topology | None:
    """The fabric that a file describes.  Raises UserError."""
    if path is None:
        return None
    from clusterctl.localise.topology import parse
    from clusterctl.yaml_files import read_mapping

    return parse(read_mapping(path), str(path))


def plan_rounds(
    *,
    topology: TopologyFile = None,
    nodes: Annotated[
        str, typer.Option("--nodes", help="Without a topology: these, on one rail.")
    ] = "",
    rounds: Annotated[
        int, typer.Option("--rounds", min=0, max=100_000, help="Instead of the mode's.")
    ] = 0,
    budget: Annotated[
        str, typer.Option("--budget", help="As many rounds as fit, e.g. 90s or 3m.")
    ] = "",
    round_seconds: Annotated[
        float, typer.Option("--round-seconds", help="What one round takes.")
    ] = 10.0,
    mode: Annotated[
        Mode,
        typer.Option(
            "--mode", help="2 rounds, 4 (6 without leaves or above 512 nodes), or all pairs."
        ),
    ] = Mode.DEFAULT,
    single_rail: Annotated[
        bool, typer.Option("--single-rail", help="One round more with one rail a node.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="The same seed, the same plan.")
    ] = None,
    _lang: Lang = None,
) -> None:
    """Print which pairs to measure, round by round, so that no test slows another."""
    import numpy as np

    from clusterctl.bandwidth import measurements
    from clusterctl.localise import schedule
    from clusterctl.localise.topology import parse

    fabric = given(topology) or parse({"nodes": nodes}, "--nodes")
    one_count(rounds, budget, mode)
    if len(fabric.nodes) < 2:
        raise UserError(f"{fabric.origin}: nodes: a pair needs two, found {len(fabric.nodes)}")
    count = schedule.rounds_for(fabric, seconds(budget), round_seconds) if budget else rounds
    rng = np.random.default_rng(secrets.randbits(32) if seed is None else seed)
    sys.stdout.write(",".join(measurements.COLUMNS) + "\n")
    number, alone = 0, set(range(len(fabric.nodes)))
    for made in schedule.each_round(fabric, rounds=count, mode=mode.value, rng=rng):
        sys.stdout.write(measurements.lines(fabric, made))
        number += 1
        alone -= set(made.src.tolist())
    if alone:
        few = ", ".join(fabric.nodes[at] for at in sorted(alone)[:8])
        tell(
            f"clusterctl: {len(alone)} of {len(fabric.nodes)} nodes are in no round: {few}; "
            "give more rounds\n"
        )
    if single_rail:
        last = schedule.single_rail_round(fabric, number, rng)
        sys.stdout.write(measurements.lines(fabric, last))


def seconds(text: str) -> float:
    """Of "90s", "3m", "1h".  Raises UserError."""
    found = BUDGET.fullmatch(text.strip())
    if found is None:
        raise UserError(f"--budget {text}: expected a time such as 90s, 3m or 1h")
    return float(found[1]) * UNITS_S[found[2]]

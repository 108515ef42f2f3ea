"""clusterctl trend: one number of every part over the nights, and which way it goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterctl.cli import options, remembered
from clusterctl.cli.language import Lang
from clusterctl.cli.screen import tell
from clusterctl.model import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST = 40  # lines of a table that a person reads


def trend(
    number: Annotated[
        str, typer.Argument(help="gpu_temperature, h2d, …, or any Kind.field: Drive.temp_c.")
    ],
    which: Annotated[str, typer.Argument(help='Nodes, n[001-016], or labels, "rack=r7".')] = "",
    *,
    by: Annotated[
        str, typer.Option("--by", help="A line a part, a node, or a label such as rack.")
    ] = "",
    since: remembered.Since = "",
    until: remembered.Until = "",
    png: Annotated[Path | None, typer.Option("--png", help="Draw it, too.")] = None,
    form: options.OutputFormat = options.Format.TABLE,
    runs_dir: remembered.RunsAt = None,
    _lang: Lang = None,
) -> None:
    """Show how a number of every part went over the nights, the fastest decay first."""
    from clusterctl.memory import dataset
    from clusterctl.memory.quantities import named
    from clusterctl.memory.series import series
    from clusterctl.memory.trend import finest, lines
    from clusterctl.report import trends

    quantity = named(number, known())
    nights = remembered.remember(runs_dir, since, until)
    labels = dataset.labels(nights)
    told = series(nights, quantity, nodes=chosen(which, labels))
    if not len(told.parts):
        where = f" on {which}" if which else ""
        raise UserError(f"{number}: nobody told it{where} in {len(nights.nights)} runs")
    keys = {key for one in labels.values() for key in one}
    group = by or finest(told, keys, MOST)
    if group not in {"part", "node", *keys}:
        raise UserError(f"--by {by}: part, node or a label: {', '.join(sorted(keys))}")
    found = lines(told, group, labels)
    most = MOST if form is options.Format.TABLE else None
    sheets = [trends.sheet(told, found, most)]
    if form is options.Format.JSON:
        sheets.append(trends.nights(told))
    remembered.show(sheets, form, notes=[trends.note(told, found, most)])
    if png:
        from clusterctl.report.drawn import draw

        draw(png, told, found[:MOST])
        tell(f"drawn: {png}\n")


def known() -> list[tuple[str, str]]:
    from clusterctl.memory.digest import SERIES
    from clusterctl.memory.quantities import quantities

    fields = [(kind, field) for kind, names in SERIES.items() for field in names]
    return fields + [(one.kind, one.field) for one in quantities()]


def chosen(which: str, labels: Mapping[str, Mapping[str, str]]) -> list[str] | None:
    """Names of nodes; None: all.  Raises UserError."""
    from clusterctl.inventory import names_of
    from clusterctl.inventory.select import select
    from clusterctl.model import Node

    if not which:
        return None
    if "=" in which or "!" in which:
        nodes = [Node(name, labels=one) for name, one in labels.items()]
        found = [node.name for node in select(nodes, which)]
    else:
        found = [name for name in names_of(which) if name in labels]
    if not found:
        raise UserError(f"{which}: no such node in these runs")
    return found

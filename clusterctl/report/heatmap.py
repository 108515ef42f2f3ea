"""Rates of many paths as a map that fits the page: node by node, and port by node.

Cells are shares of the healthy rate of their like.  Where there are more nodes than cells, leaves
(or runs of nodes) share one, and it shows the slowest of them: what is folded is never hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median_high

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clusterctl.bandwidth.paths import Row, measured
from clusterctl.inventory.ranges import fold
from clusterctl.localise.columns import FAILED, OK, Topology
from clusterctl.localise.muddle import shares
from clusterctl.report.tables import cell, theirs

Floats = NDArray[np.float64]

# From which share, terminal style, colour of the page (ColorBrewer RdYlGn, which greys tell, too).
SCALE = (
    (0.97, "green", "#1a9850"),
    (0.90, "black on yellow", "#d9ef8b"),
    (0.80, "black on yellow", "#fee08b"),
    (0.65, "black on dark_orange", "#fdae61"),
    (0.50, "black on dark_orange", "#f46d43"),
    (0.30, "white on red", "#d73027"),
    (0.00, "bold white on red", "#a50026"),
)
FAILED_AS = ("x", "bold white on magenta", "#762a83")
NOTHING = (" ", "", "#f4f4f4")
LABEL = 18  # characters of a row's name
CELL_PX, LABEL_PX, MOST_PX = 14, 110, 64


@dataclass(frozen=True, slots=True)
class Heat:
    """`share[row, column]` nan: nothing measured, below 0: a test there failed."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    share: Floats
    note: str = ""  # how it was folded


def shades(share: float) -> tuple[str, str, str]:
    """(glyph, terminal style, colour); the glyph is the share in tenths."""
    if np.isnan(share):
        return NOTHING
    if share < 0:
        return FAILED_AS
    healthy = SCALE[0][0]
    glyph = "·" if share >= healthy else str(int(share * 10 + 0.05))
    _, style, colour = next(one for one in SCALE if share >= one[0])
    return glyph, style, colour


# ----------------------------------------------------------------------------- making them


def groups(topology: Topology, most: int) -> tuple[list[int], list[str], str]:
    """(cell of each node, names of the cells, how it was folded), neighbours on a leaf together."""
    count = len(topology.nodes)
    column = topology.leaf[:, 0]
    order = np.lexsort((np.arange(count), column))
    if count <= most:
        cells = np.empty(count, dtype=int)
        cells[order] = np.arange(count)
        return cells.tolist(), [topology.nodes[at] for at in order], ""
    leaves = np.unique(column)
    same = bool((topology.leaf == column[:, None]).all())
    if same and 1 < len(leaves) <= most:
        cells = np.searchsorted(leaves, column)
        note = "a cell is a leaf and shows the slowest in it"
    else:
        size = -(-count // most)
        cells = np.empty(count, dtype=int)
        cells[order] = np.arange(count) // size
        note = f"a cell is {size} nodes and shows the slowest in it"
    members = [
        [topology.nodes[at] for at in np.flatnonzero(cells == one)] for one in np.unique(cells)
    ]
    return cells.tolist(), [fold(few) for few in members], note


def pairs(rows: Sequence[Row], topology: Topology, most: int) -> Heat:
    """Who sends (down) to whom (across); the slowest of all rails."""
    cells, names, note = groups(topology, most)
    share = np.full((len(names), len(names)), np.nan)
    for row, value in zip(rows, shares(topology, measured(rows)).tolist(), strict=True):
        least(share, cells[row.src], cells[row.dst], value)
    return Heat("from (down) to (across), slowest rail", tuple(names), tuple(names), share, note)


def ports(rows: Sequence[Row], topology: Topology, most: int) -> Heat:
    """Each rail's ports (down) of each node (across), sending and receiving; the median test."""
    cells, names, note = groups(topology, most)
    values = shares(topology, measured(rows)).tolist()
    heard: dict[tuple[int, int], list[float]] = {}
    for row, value in zip(rows, values, strict=True):
        if row.status in {OK, FAILED}:
            heard.setdefault((2 * row.rail, row.src), []).append(value)
            heard.setdefault((2 * row.rail + 1, row.dst), []).append(value)
    rails = topology.leaf.shape[1]
    share = np.full((2 * rails, len(names)), np.nan)
    for (line, node), few in heard.items():
        least(share, line, cells[node], median_high(few))
    lines = tuple(f"rail {rail} {way}" for rail in range(rails) for way in ("sends", "receives"))
    return Heat("ports (down) of nodes (across), median test", lines, tuple(names), share, note)


def least(share: Floats, row: int, column: int, value: float) -> None:
    old = share[row, column]
    share[row, column] = value if np.isnan(old) else np.fmin(old, value)


# ----------------------------------------------------------------------------- drawing them


def drawn(heat: Heat, width: int) -> RenderableType:
    """For a terminal: a character a cell, which also reads without colour."""
    wide = min(LABEL, max(map(len, heat.rows), default=0), width // 4)
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(justify="right", no_wrap=True, max_width=wide)
    grid.add_column(no_wrap=True)
    if heat.note:
        grid.add_row("", Text(heat.note, style="dim"))
    grid.add_row("", Text(ruler(len(heat.columns)), style="dim"))
    for name, values in zip(heat.rows, heat.share.tolist(), strict=True):
        label = cell(name[:wide], "dim") if " " in name else theirs(name[:wide], "dim")
        grid.add_row(label, Text.assemble(*(shades(value)[:2] for value in values)))
    title, foot = Text(heat.title, style="bold"), Text(across(heat.columns), style="dim")
    return Group(title, grid, foot)


def ruler(count: int) -> str:
    """Every tenth column counted, for the eye."""
    return "".join("|" if at % 10 == 0 else "·" if at % 5 == 0 else " " for at in range(count))


def across(names: Sequence[str]) -> str:
    """What stands over a map as wide as the screen must not be wider."""
    ends = " … ".join(dict.fromkeys((names[0], names[-1]))) if names else ""
    return f"across: {ends}; | every tenth"


def legend() -> Text:
    """What the glyphs stand for."""
    text = Text("of the healthy rate: ", style="dim")
    for share, words in ((1.0, "≥ 97 %"), (0.9, "90 %"), (0.5, "50 %")):
        glyph, style, _ = shades(share)
        text.append(glyph, style=style)
        text.append(f" {words} ", style="dim")
    text.append(FAILED_AS[0], style=FAILED_AS[1])
    text.append(" failed  (blank: no test)", style="dim")
    return text


def svg(heat: Heat) -> Markup:
    """For a page: every cell names its ends and its share when pointed at."""
    cell = CELL_PX if len(heat.columns) <= MOST_PX else CELL_PX // 2
    width = LABEL_PX + cell * len(heat.columns)
    height = cell * len(heat.rows) + 4
    parts = [
        Markup('<svg class="heat" role="img" viewBox="0 0 {} {}" width="{}" height="{}">').format(
            width, height, width, height
        ),
        Markup("<title>{}</title>").format(heat.title),
        *squares(heat, cell),
        Markup("</svg>"),
    ]
    return Markup("").join(parts)


def squares(heat: Heat, cell: int) -> Iterator[Markup]:
    for at, (name, values) in enumerate(zip(heat.rows, heat.share.tolist(), strict=True)):
        if cell == CELL_PX or at % 2 == 0:
            yield Markup('<text x="{}" y="{}" text-anchor="end" font-size="10">{}</text>').format(
                LABEL_PX - 5, at * cell + 11, name[:24]
            )
        for place, value in enumerate(values):
            if np.isnan(value):
                continue
            said = "failed" if value < 0 else f"{value:.0%}"
            yield Markup(
                '<rect x="{}" y="{}" width="{}" height="{}" fill="{}"><title>{}</title></rect>'
            ).format(
                LABEL_PX + place * cell,
                at * cell,
                cell - 1,
                cell - 1,
                shades(value)[2],
                escape(f"{name} · {heat.columns[place]}: {said}"),
            )

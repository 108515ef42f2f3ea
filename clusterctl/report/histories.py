"""Time plots for the nodes that did not pass: what their parts did while they burnt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from clusterctl.report.folding import spread
from clusterctl.report.standings import GRAVEST_FIRST, Standing
from clusterctl.report.timeplots import Line, Moment, Samples, over_time

# (node, part, quantity) -> (seconds since the run began, value), in order of time.  A quantity
# ends in its unit: temp_c, power_w, clock_sm_mhz, xid_per_h.
Series = Mapping[tuple[str, str, str], Samples]
NO_SERIES: Series = {}
Moments = Mapping[str, Sequence[Moment]]  # by node
NO_MOMENTS: Moments = {}

UNITS = {
    "_c": "°C",
    "_w": "W",
    "_mhz": "MHz",
    "_percent": "%",
    "_s": "s",
    "_us": "µs",
    "_bytes": "bytes",
    "_gbit_s": "Gbit/s",
    "_gbyte_s": "GB/s",
    "_tflop_s": "TFLOP/s",
    "_rpm": "/min",
    "_per_h": "/h",
    "_v": "V",
}
FIRST = ("temp", "power", "clock")
MOST_NODES = 24
MOST_POINTS = 60_000  # some 11 bytes each: the page must stay one that opens at once
LEAST_COLUMNS, MOST_COLUMNS = 40, 200


@dataclass(frozen=True, slots=True)
class History:
    """`plots`: (what it shows, SVG), one a quantity."""

    standing: Standing
    plots: tuple[tuple[str, Markup], ...]


def histories(
    series: Series, standings: Sequence[Standing], moments: Moments = NO_MOMENTS
) -> tuple[list[History], list[str]]:
    """Plots of the gravest nodes, and the names of those with samples left out for size."""
    by_node: defaultdict[str, dict[str, list[Line]]] = defaultdict(dict)
    suspects = {one.node: accused(one) for one in standings if not one.good}
    for (node, part, quantity), samples in series.items():
        if node in suspects:
            line = Line(part, samples, part in suspects[node])
            by_node[node].setdefault(quantity, []).append(line)
    ranked = sorted(
        (one for one in standings if one.node in by_node),
        key=lambda one: GRAVEST_FIRST.index(one.kind),
    )
    shown = ranked[:MOST_NODES]
    drawn = [drawn_traces(lines) for one in shown for lines in by_node[one.node].values()]
    columns = min(MOST_COLUMNS, max(LEAST_COLUMNS, MOST_POINTS // (3 * max(sum(drawn), 1))))
    found = [
        History(
            one,
            tuple(
                (
                    spelt(quantity),
                    plotted(one.node, quantity, by_node[one.node][quantity], columns, moments),
                )
                for quantity in sorted(by_node[one.node], key=rank)
            ),
        )
        for one in shown
    ]
    return found, [one.node for one in ranked[MOST_NODES:]]


def plotted(
    node: str, quantity: str, lines: Sequence[Line], columns: int, moments: Moments
) -> Markup:
    plot = over_time(
        lines,
        title=f"{node}: {spelt(quantity)}",
        unit=unit(quantity),
        points=columns,
        moments=moments.get(node, ()),
    )
    return Markup(plot)  # noqa: S704 - charts escape their labels


def gravest(standings: Sequence[Standing]) -> list[str]:
    """The nodes that did not pass, those first whose plots are shown."""
    bad = [one for one in standings if not one.good]
    return [one.node for one in sorted(bad, key=lambda one: GRAVEST_FIRST.index(one.kind))]


def drawn_traces(lines: Sequence[Line]) -> int:
    return 1 + sum(line.marked for line in lines)


def accused(standing: Standing) -> set[str]:
    """The parts that the evidence names."""
    return {part for one in standing.evidence for part in spread(one.verdict.part)}


def rank(quantity: str) -> tuple[int, str]:
    order = (at for at, word in enumerate(FIRST) if quantity.startswith(word))
    return next(order, len(FIRST)), quantity


def unit(quantity: str) -> str:
    ends = sorted((end for end in UNITS if quantity.endswith(end)), key=len)
    return UNITS[ends[-1]] if ends else ""


def spelt(quantity: str) -> str:
    ends = sorted((end for end in UNITS if quantity.endswith(end)), key=len)
    return (quantity.removesuffix(ends[-1]) if ends else quantity).replace("_", " ")

"""A run of `bandwidth` as one self-contained page: no network, no scripts, all text escaped."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from clusterctl.bandwidth.findings import sure
from clusterctl.report import heatmap
from clusterctl.report.html import POLICY
from clusterctl.report.paths import (
    Answer,
    accounts,
    evidence,
    failures,
    population,
    reproduce,
    verdict,
)
from clusterctl.spelling import visible

MOST_NODES = 128  # of a map; more are folded
MOST_ROWS = 300


def page(answer: Answer) -> str:
    """Well-formed XML, as every page of ours."""
    environment = Environment(
        loader=PackageLoader("clusterctl.report"), autoescape=True, undefined=StrictUndefined
    )
    located = answer.located
    maps = [
        made(answer.rows, answer.topology, MOST_NODES) for made in (heatmap.ports, heatmap.pairs)
    ]
    return environment.get_template("paths.html.j2").render(
        policy=POLICY,
        run=answer.run.id,
        verdict=verdict(answer).plain,
        bad=answer.exit_code != 0,
        suspects=[
            {
                "component": visible(one.component, 200),
                "rate": f"{one.rate:.0%} ({one.low:.0%} to {one.high:.0%})",
                "posterior": sure(one.posterior),
                "evidence": evidence(one, 6),
                "advice": one.advice,
                "reproduce": reproduce(answer, one),
            }
            for one in located.suspects[:MOST_ROWS]
        ],
        population=[visible(line, 1000) for line in population(located)],
        doubts=located.inconclusive[:MOST_ROWS],
        maps=[{"title": one.title, "note": one.note, "svg": heatmap.svg(one)} for one in maps],
        legend=legend(),
        failures=[visible(line, 500) for line in failures(answer)],
        accounts=accounts(answer),
    )


def legend() -> Markup:
    """Each colour with what it stands for."""
    told = [(f"≥ {least:.0%}" if least else "less", colour) for least, _, colour in heatmap.SCALE]
    told.append(("failed", heatmap.FAILED_AS[2]))
    return Markup(" ").join(
        Markup('<span class="key"><b style="background:{}"></b> {}</span>').format(colour, words)
        for words, colour in told
    )

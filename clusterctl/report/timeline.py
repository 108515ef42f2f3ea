"""What a replay of a job's steps showed: a map of its workers, figures, and a page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.console import Group, RenderableType
from rich.text import Text

from clusterctl.report import heatmap, triage
from clusterctl.report.html import POLICY
from clusterctl.spelling import visible
from clusterctl.triage.timeline.whatif import Study
from clusterctl.triage.verdict import Cause, Triage

MOST_COLUMNS = 128  # of the page's map; more are folded
MOST_ROWS = 64
OPERATIONS = 8
MATTERS = 1.005  # S of an operation that is worth a line


def figures(done: Study | None) -> dict[str, object]:
    """For JSON; by the names of the published analysis, seconds and ratios."""
    if done is None:
        return {}
    line = done.line
    return {
        "what_if": {
            "slowdown": round(done.slowdown, 6),
            "step_s": round(float(done.step_s.mean()), 6),
            "ideal_step_s": round(float(done.ideal_step_s.mean()), 6),
            "m_w": round(done.m_w, 6),
            "m_s": round(done.m_s, 6),
            "by_operation": {name: round(one, 6) for name, one in done.by_operation.items()},
            "by_dp": named(line.dps, done.by_dp.tolist()),
            "by_stage": named(line.stages, done.by_stage.tolist()),
            "steps": len(line.steps),
        }
    }


def named(names: Sequence[int], values: Sequence[float]) -> dict[str, float]:
    return {str(name): round(value, 6) for name, value in zip(names, values, strict=True)}


def as_table(done: Study, width: int) -> RenderableType:
    heat = workers(done, max(8, min(MOST_COLUMNS, width - 24)))
    lines = [Text(visible(one)) for one in told(done)]
    return Group(Text(), *lines, Text(), heatmap.drawn(heat, width), legend())


def told(done: Study) -> list[str]:
    """The figures in words."""
    ops = sorted(done.by_operation.items(), key=lambda one: -one[1])
    heavy = [f"{name} {one:.2f}" for name, one in ops[:OPERATIONS] if one >= MATTERS]
    last = max(done.m_s, 0.0)
    return [
        (
            f"replayed {len(done.line.steps)} steps: {done.step_s.mean():.4g} s, evenly shared and "
            f"undisturbed {done.ideal_step_s.mean():.4g} s; S {done.slowdown:.3f}"
        ),
        f"the slowest 3 % of workers explain {done.m_w:.1%} of it, the last stage {last:.1%}",
        f"S with only these operations as they were: {', '.join(heavy) or 'none above 1.005'}",
    ]


def workers(done: Study, most: int) -> heatmap.Heat:
    """Stages down, DP ranks across; where they are more than fit, a cell shows its slowest."""
    speed = 1 / np.maximum(done.by_worker.T, 1.0)  # [stage, DP rank]
    rows, down = folded(speed, [f"stage {one}" for one in done.line.stages], MOST_ROWS)
    cells, across = folded(rows.T, [f"dp {one}" for one in done.line.dps], most)
    size = -(-speed.shape[1] // len(across))
    return heatmap.Heat(
        "workers: speed of the job if only this one were as it is",
        tuple(down),
        tuple(across),
        cells.T,
        f"a cell is {size} DP ranks and shows the slowest" if size > 1 else "",
    )


def folded(speed: heatmap.Floats, names: list[str], most: int) -> tuple[heatmap.Floats, list[str]]:
    """Of the first axis."""
    if len(names) <= most:
        return speed, names
    size = -(-len(names) // most)
    starts = range(0, len(names), size)
    cells = np.stack([speed[at : at + size].min(axis=0) for at in starts])
    ends = [names[min(at + size, len(names)) - 1].rpartition(" ")[2] for at in starts]
    return cells, [
        names[at] if names[at].endswith(f" {end}") else f"{names[at]}-{end}"
        for at, end in zip(starts, ends, strict=True)
    ]


def legend() -> Text:
    text = Text("of the undisturbed speed: ", style="dim")
    for share in (1.0, 0.9, 0.7, 0.5):
        glyph, style, _ = heatmap.shades(share)
        text.append(glyph, style=style)
        text.append(f" {'≥ 97' if share == 1 else f'{share * 100:.0f}'} %  ", style="dim")
    return text


def page(found: Triage, done: Study | None, then: Sequence[str] = ()) -> str:
    """Well-formed XML, as every page of ours.  `then`: what earlier runs know, a line each."""
    environment = Environment(
        loader=PackageLoader("clusterctl.report"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("triage.html.j2").render(
        policy=POLICY,
        verdict=triage.verdict(found).plain,
        bad=found.cause is not Cause.HEALTHY,
        evidence=[visible(one, 1000) for one in found.evidence],
        suspects=[
            {
                "what": visible(one.what, 200),
                "node": visible(one.node, 200),
                "ranks": visible(triage.ranks(one.ranks), 200),
                "slower": triage.slower(one),
                "sure": f"{one.confidence:.0%}",
                "why": [visible(why, 500) for why in one.why],
            }
            for one in found.suspects[: triage.SHOWN]
        ],
        ruled_out=[
            (str(one.cause), triage.percent(one.share), visible(one.why, 500))
            for one in found.ruled_out
        ],
        advice=visible(found.advice, 500),
        unseen=[visible(one, 500) for one in found.unseen],
        then=[visible(one, 500) for one in then],
        figures=told(done) if done else [],
        heat=drawn(done) if done else None,
        keys=keys(),
    )


def drawn(done: Study) -> dict[str, object]:
    heat = workers(done, MOST_COLUMNS)
    return {"title": heat.title, "note": heat.note, "svg": heatmap.svg(heat)}


def keys() -> Markup:
    """Each colour with what it stands for."""
    return Markup(" ").join(
        Markup('<span class="key"><b style="background:{}"></b> {}</span>').format(
            colour, f"≥ {least:.0%}" if least else "less"
        )
        for least, _, colour in heatmap.SCALE
    )

"""What localisation found in somebody's measurements, for a terminal, a program, a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from math import isfinite

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clusterctl.localise.located import Located, Suspect, Test
from clusterctl.report.accounts import EXIT_FAIL, EXIT_UNKNOWN
from clusterctl.spelling import visible

SHOWN = 40
QUOTED = 3


def exit_code(located: Located, *, under_floor: bool = False) -> int:
    """0 nothing, 1 suspects or all under the floor, 4 something that nobody can vouch for."""
    if located.suspects or (under_floor and located.population):
        return EXIT_FAIL
    return EXIT_UNKNOWN if located.inconclusive or located.population else 0


def as_json(located: Located) -> str:
    told = {
        "schema": 1,
        "suspects": [suspect(one) for one in located.suspects],
        "inconclusive": [
            {"component": one.component, "posterior": one.posterior, "why": one.why}
            for one in located.inconclusive
        ],
        "population": [
            {
                "where": one.where,
                "gbit_s": finite(one.gbit_s),
                "expected_gbit_s": finite(one.expected_gbit_s),
                "why": one.why,
                "source": one.source,
            }
            for one in located.population
        ],
        "confirm": [
            {"src": one.src, "dst": one.dst, "rail": one.rail, "via": one.via}
            for one in located.confirm
        ],
        "measured": located.measured,
        "failed": located.failed,
        "missing": located.missing,
    }
    return json.dumps(told, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def suspect(one: Suspect) -> dict[str, object]:
    return {
        "component": one.component,
        "rate": round(one.rate, 4),
        "low": round(one.low, 4),
        "high": round(one.high, 4),
        "posterior": round(one.posterior, 4),
        "rivals": [rival.component for rival in one.rivals],
        "rival_posteriors": {rival.component: rival.posterior for rival in one.rivals},
        "for": [test(each) for each in one.evidence_for],
        "against": [test(each) for each in one.evidence_against],
        "paths": one.paths,
        "rounds": one.rounds,
        "advice": one.advice,
    }


def test(one: Test) -> dict[str, object]:
    return {
        "round": one.round,
        "src": one.src,
        "dst": one.dst,
        "rail": one.rail,
        "via": one.via,
        "rate": one.rate,
    }


def finite(value: float | None) -> float | None:
    return None if value is None or not isfinite(value) else round(value, 4)


def as_csv(located: Located) -> str:
    """One suspect a line."""
    text = io.StringIO()
    made = csv.writer(text, lineterminator="\n")
    made.writerow(("component", "rate", "low", "high", "posterior", "rivals", "advice"))
    for one in located.suspects:
        rivals = " ".join(rival.component for rival in one.rivals)
        numbers = (f"{value:.4f}" for value in (one.rate, one.low, one.high, one.posterior))
        made.writerow((visible(one.component), *numbers, visible(rivals), one.advice))
    return text.getvalue()


def as_table(located: Located) -> RenderableType:
    parts: list[RenderableType] = []
    if located.suspects:
        parts.append(suspects(located.suspects))
    if located.population:
        made = table("shared by", "Gbit/s", "expected", "why")
        for group in located.population:
            numbers = (finite(group.gbit_s), finite(group.expected_gbit_s))
            made.add_row(
                cell(group.where),
                *(cell("" if one is None else f"{one:.4g}") for one in numbers),
                cell(group.why),
            )
        parts.append(made)
    if located.inconclusive:
        made = table("not clear", "posterior", "why")
        for doubt in located.inconclusive[:SHOWN]:
            chance = "" if doubt.posterior is None else f"{doubt.posterior:.2f}"
            made.add_row(cell(doubt.component), cell(chance), cell(doubt.why))
        parts.append(made)
    parts += [cell(line) for line in next_steps(located)]
    parts.append(cell(account(located), "bold"))
    return Group(*parts)


def suspects(found: Sequence[Suspect]) -> Table:
    made = table("slow", "rate (95 %)", "posterior", "slow tests", "or", "what to touch next")
    for one in found[:SHOWN]:
        rate = f"{one.rate:.0%} ({one.low:.0%} to {one.high:.0%})"
        made.add_row(
            cell(one.component, "red"),
            cell(rate),
            cell(sure(one.posterior)),
            cell(f"{one.paths} cross it, slow in {one.rounds} rounds: {quote(one.evidence_for)}"),
            cell(" ".join(rival.component for rival in one.rivals[:QUOTED])),
            cell(one.advice),
        )
    return made


def sure(posterior: float) -> str:
    return ">0.999" if posterior > 0.999 else f"{posterior:.3f}"


def quote(tests: Sequence[Test]) -> str:
    return ", ".join(f"{one.src}>{one.dst}/{one.rail} {one.rate:.0%}" for one in tests[:QUOTED])


def next_steps(located: Located) -> Iterator[str]:
    more = len(located.suspects) - SHOWN
    if more > 0:
        yield f"… and {more} more suspects: --format csv"
    more = len(located.inconclusive) - SHOWN
    if more > 0:
        yield f"… and {more} more not clear: --format json"
    if located.confirm:
        count = len(located.confirm)
        first = ", ".join(f"{one.src}>{one.dst}/{one.rail}" for one in located.confirm[:QUOTED])
        yield (
            f"to make sure, measure {count} more (--format json lists them: {first}"
            f"{', …' if count > QUOTED else ''}), append them with the next round number, ask again"
        )


def account(located: Located) -> str:
    """Accounts for every row that was given."""
    return (
        f"{len(located.suspects)} slow · {len(located.inconclusive)} not clear · "
        f"{len(located.population)} shared; of "
        f"{located.measured + located.failed + located.missing} tests {located.measured} gave a "
        f"rate, {located.failed} failed, {located.missing} did not run"
    )


def table(*heads: str) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        made.add_column(head, overflow="fold")
    return made


def cell(text: str, style: str = "") -> Text:
    return Text(visible(text, 1000), style=style)

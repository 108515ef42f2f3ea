"""Why a job is slow, for a terminal, a program, a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from math import isfinite

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clusterctl.inventory.ranges import fold
from clusterctl.report.accounts import EXIT_FAIL, EXIT_PASS, EXIT_UNKNOWN
from clusterctl.report.tables import theirs
from clusterctl.spelling import visible
from clusterctl.triage.verdict import NO_CULPRIT, Cause, Suspect, Triage

SHOWN = 20
REASONS = 4
LONGEST = 2000  # characters of one text for a program
# Of a share, as the published analyses of job traces call it.
SHARE_KEYS = {Cause.STAGE: "stage"}
SLOW_BECAUSE = {
    Cause.WORKER: "one worker is slow",
    Cause.HOST: "one node is slow",
    Cause.STAGE: "pipeline stages are unequal",
    Cause.SEQUENCE: "microbatches differ in work (sequence lengths)",
    Cause.DATA: "input arrives late",
    Cause.GC: "the interpreter's garbage collection pauses ranks",
    Cause.CHECKPOINT: "checkpoints stop every rank",
    Cause.NETWORK: "one group's transfers are slow",
    Cause.CONGESTION: "everyone's transfers are slow at once",
}


def exit_code(found: Triage) -> int:
    """0 nothing wrong, 1 a cause, 4 nobody can say."""
    return {Cause.HEALTHY: EXIT_PASS, Cause.UNKNOWN: EXIT_UNKNOWN}.get(found.cause, EXIT_FAIL)


def as_json(found: Triage, more: Mapping[str, object] | None = None) -> str:
    """`schema` 1; a slowdown of null: does not move, or (class unknown) nobody can say.

    `more`: what only one way of looking has.
    """
    told: dict[str, object] = {
        "schema": 1,
        "class": str(found.cause),
        "slowdown": finite(found.slowdown),
        "confidence": finite(found.confidence),
        "share": {
            SHARE_KEYS.get(cause, str(cause)): finite(value) for cause, value in found.share.items()
        },
        "suspects": [
            {
                "what": one.what,
                "ranks": list(one.ranks),
                "node": one.node or None,
                "slowdown": finite(one.slowdown),
                "confidence": finite(one.confidence),
                "why": list(one.why),
            }
            for one in found.suspects
        ],
        "ruled_out": [
            {"class": str(one.cause), "share": finite(one.share), "why": one.why}
            for one in found.ruled_out
        ],
        "evidence": list(found.evidence),
        "next": found.advice,
        "unseen": list(found.unseen),
        **(more or {}),
    }
    return json.dumps(readable(told), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def readable(told: object) -> object:
    """Every text made visible: nodes and traces name things, and a terminal may read this, too."""
    match told:
        case str():
            return visible(told, LONGEST)
        case dict():
            return {visible(str(key)): readable(value) for key, value in told.items()}
        case list() | tuple():
            return [readable(one) for one in told]
        case _:
            return told


def finite(value: float | None) -> float | None:
    return None if value is None or not isfinite(value) else round(value, 4)


def as_csv(found: Triage) -> str:
    """One suspect a line; a class without any has one line with its own figures."""
    text = io.StringIO()
    made = csv.writer(text, lineterminator="\n")
    made.writerow(("class", "what", "ranks", "node", "slowdown", "confidence", "why"))
    alone = Suspect("", (), "", found.slowdown, found.confidence, found.evidence)
    for one in found.suspects or (alone,):
        slow = finite(one.slowdown)
        made.writerow(
            (
                found.cause,
                visible(one.what),
                " ".join(map(str, one.ranks)),
                visible(one.node),
                "" if slow is None else slow,
                finite(one.confidence),
                visible("; ".join(one.why), LONGEST),
            )
        )
    return text.getvalue()


def as_table(found: Triage) -> RenderableType:
    """The verdict line first, then who, what it is not, what to do."""
    parts: list[RenderableType] = [verdict(found)]
    parts += [cell(f"  {line}") for line in found.evidence]
    if found.suspects:
        parts.append(suspects(found))
    if found.ruled_out:
        parts.append(ruled_out(found))
    parts += [cell(f"not seen: {line}", "yellow") for line in found.unseen[:SHOWN]]
    if len(found.unseen) > SHOWN:
        more = f"not seen: … and {len(found.unseen) - SHOWN} more: --format json"
        parts.append(cell(more, "yellow"))
    parts.append(Text.assemble(("next: ", "bold"), cell(found.advice)))
    return Group(*parts)


def verdict(found: Triage) -> Text:
    """`worker: one worker is slow: dp 0 stage 0 · the job takes 1.97 times as long …`"""
    if found.cause is Cause.HEALTHY:
        lost = f" (at most {(found.slowdown or 1) - 1:.1%} lost)" if found.slowdown else ""
        return cell(f"healthy: nothing wrong here{lost}", "bold green")
    if found.cause is Cause.UNKNOWN:
        return cell("unknown: too little was seen to say why this job is slow", "bold yellow")
    who = f": {found.suspects[0].what}" if found.suspects else ""
    culprit = " · no node is at fault" if found.cause in NO_CULPRIT else ""
    return cell(
        f"{found.cause}: {SLOW_BECAUSE[found.cause]}{who} · {' · '.join(figures(found))}{culprit}",
        "bold red",
    )


def figures(found: Triage) -> Iterator[str]:
    if found.slowdown is not None and not isfinite(found.slowdown):
        yield "the job goes on; what it loses cannot be told from this"
    elif found.slowdown is None:
        yield "the job does not move"
    else:
        yield f"the job takes {found.slowdown:.2f} times as long as without its stragglers"
    share = found.share.get(found.cause)
    if share is not None:
        yield f"this is {share:.0%} of what is lost"
    yield f"confidence {found.confidence:.0%}"


def suspects(found: Triage) -> Table:
    made = table("suspect", "node", "ranks", "slower", "sure", "why")
    for one in found.suspects[:SHOWN]:
        made.add_row(
            cell(one.what, "red") if " " in one.what else theirs(one.what, "red"),
            cell(one.node),
            cell(ranks(one.ranks)),
            cell(slower(one)),
            cell(f"{one.confidence:.0%}"),
            cell("; ".join(one.why[:REASONS])),
        )
    if len(found.suspects) > SHOWN:
        made.caption = f"… and {len(found.suspects) - SHOWN} more: --format csv"
    return made


def percent(share: float | None) -> str:
    """Empty where nobody measured it; a repair that gives nothing is 0 %, not -0 %."""
    return "" if share is None else f"{max(share, 0.0):.0%}"


def slower(one: Suspect) -> str:
    if one.slowdown is None:
        return "stands still"
    return f"{one.slowdown:.2f} x" if isfinite(one.slowdown) else "not told"


def ranks(numbers: tuple[int, ...]) -> str:
    """`0-3,17`"""
    return fold(map(str, numbers)).strip("[]")


def ruled_out(found: Triage) -> Table:
    made = table("ruled out", "would give back", "why")
    for one in found.ruled_out:
        share = percent(one.share)
        made.add_row(cell(str(one.cause)), cell(share), cell(one.why))
    return made


def table(*heads: str) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        made.add_column(head, overflow="fold")
    return made


def cell(text: str, style: str = "") -> Text:
    return Text(visible(text, 1000), style=style)

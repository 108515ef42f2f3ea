"""Then and now, of a triage: what earlier runs know of its suspects' nodes."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from clusterctl.inventory.ranges import fold
from clusterctl.memory.story import Trace
from clusterctl.report.triage import cell
from clusterctl.triage.past.known import NodePast, Past, Shared

FINDINGS, CHANGES, ILL = 3, 5, 4  # of a node, that a table shows


def as_lines(past: Past) -> RenderableType:
    """Evidence, after the verdict."""
    head = f"{past.nights} nights in {past.where}"
    if past.first is not None:
        head += f" since {past.first:%Y-%m-%d}"
    if not past.nights:
        head = "; ".join(past.notes)
    parts: list[RenderableType] = [Text.assemble(("then and now: ", "bold"), cell(head))]
    for one in past.nodes:
        first, *rest = of_node(one)
        parts += [indented(first, 2), *(indented(line, 4) for line in rest)]
    parts += [indented(line, 2, "bold") for line in (past.prior,) if line]
    parts += [indented(line, 2, "yellow") for line in past.notes if past.nights]
    return Group(*parts)


def indented(line: str, by: int, style: str = "") -> Padding:
    return Padding(cell(line, style), (0, 0, 0, by))


def as_text(past: Past) -> list[str]:
    """A line each, for a page."""
    told = [line for one in past.nodes for line in of_node(one)]
    return [*told, *filter(None, (past.prior,)), *past.notes]


def of_node(one: NodePast) -> Iterator[str]:
    yield f"{one.node}: {'; '.join((healthy(one), *since(one)))}"
    known = dict(one.acked)
    for trace in one.findings[:FINDINGS]:
        acked = f" (acked: {known[trace]})" if trace in known else ""
        yield f"{finding(trace)}{acked}"
    if len(one.findings) > FINDINGS:
        more = len(one.findings) - FINDINGS
        yield f"{more} more findings: clusterctl history {one.node}"
    yield from one.done
    if one.lemon is not None:
        yield lemon(one)
    yield from map(mates, one.shares)


def healthy(one: NodePast) -> str:
    if one.healthy is None:
        return f"healthy on none of the {one.nights} nights that looked at it"
    if not one.since:
        return f"healthy when it was last looked at, on {one.healthy:%Y-%m-%d}"
    return f"last healthy on {one.healthy:%Y-%m-%d}, {one.since} nights ago"


def since(one: NodePast) -> Iterator[str]:
    if one.changed is None or not one.since:
        return
    if not one.changed:
        yield "no version and no part changed since"
        return
    more = f" and {len(one.changed) - CHANGES} more" if len(one.changed) > CHANGES else ""
    yield f"since then {', '.join(one.changed[:CHANGES])}{more}"


def finding(one: Trace) -> str:
    when = f"since {one.first:%Y-%m-%d}" if one.episodes == 1 else f"{one.episodes} times"
    state = one.now.upper() if one.now not in {"pass", "skip"} else f"over: {one.worst.upper()}"
    nights = f"{one.bad} of {one.judged} nights, last {one.last:%Y-%m-%d}"
    return f"{state} {one.check} {one.part} {when} ({nights}): {one.said}"


def lemon(one: NodePast) -> str:
    told = one.lemon
    if told is None or told.score is None:
        return f"no lemon: no fault of its own and no repair in {one.nights} nights"
    word = "a lemon: " if told.score.lemon else ""
    why = "; ".join(told.score.signals) or "nothing that other nodes have not as well"
    return f"{word}lemon score {told.score.score}, place {told.place} of {told.of}: {why}"


def mates(group: Shared) -> str:
    if not group.others:
        return f"{group.what}: nobody else is there"
    told = [f"suspected, too: {fold(group.suspects)}"] if group.suspects else []
    told += [f"{node} fails {what}" for node, what in group.ill[:ILL]]
    if len(group.ill) > ILL:
        told.append(f"{len(group.ill) - ILL} more fail something")
    shown = fold(group.others) if len(group.others) > 1 else group.others[0]
    told = told or ["no other suspect there, none of them failed anything on the newest night"]
    return f"shares {group.what} with {shown}: {'; '.join(told)}"


def as_data(past: Past) -> dict[str, object]:
    """JSON's key `past`."""
    return {
        "runs": past.where,
        "nights": past.nights,
        "first": past.first.isoformat() if past.first else None,
        "prior": past.prior or None,
        "notes": list(past.notes),
        "nodes": [node_data(one) for one in past.nodes],
    }


def node_data(one: NodePast) -> dict[str, object]:
    known = dict(one.acked)
    return {
        "node": one.node,
        "nights": one.nights,
        "newest": one.newest.isoformat(),
        "newest_run": one.run,
        "healthy": one.healthy.isoformat() if one.healthy else None,
        "healthy_run": one.healthy_run or None,
        "nights_since": one.since,
        "changed": None if one.changed is None else list(one.changed),
        "findings": [
            {
                "check": trace.check,
                "part": trace.part,
                "now": trace.now,
                "worst": trace.worst,
                "first": trace.first.isoformat(),
                "last": trace.last.isoformat(),
                "bad_nights": trace.bad,
                "judged_nights": trace.judged,
                "said": trace.said,
                "acked": known.get(trace),
            }
            for trace in one.findings
        ],
        "done": list(one.done),
        "lemon": lemon_data(one),
        "shares": [
            {
                "what": group.what,
                "others": list(group.others),
                "suspects": list(group.suspects),
                "failing": dict(group.ill),
            }
            for group in one.shares
        ],
    }


def lemon_data(one: NodePast) -> dict[str, object] | None:
    if one.lemon is None:
        return None
    score = one.lemon.score
    return {
        "score": score.score if score else 0,
        "lemon": bool(score and score.lemon),
        "place": one.lemon.place or None,
        "of": one.lemon.of,
        "signals": list(score.signals) if score else [],
    }

"""What is done to nodes, what is not and why, and what was done before: as tables and as JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from clusterctl.act.agenda import UNSURE, Deed, Ended
from clusterctl.act.breaker import Do, Gauge, Step, held_already
from clusterctl.act.deed import PREFIX, Action, Hands, Outcome, Picture, State
from clusterctl.act.journal import Log
from clusterctl.act.release import Release
from clusterctl.act.whom import Spared
from clusterctl.inventory.ranges import fold
from clusterctl.report.accounts import EXIT_FAIL, EXIT_PASS, EXIT_UNKNOWN
from clusterctl.report.tables import cell, table, theirs

SAID = {Do.ALREADY: "already drained", Do.LEFT: "left alone", Do.HELD: "held in service"}
STYLES = {
    "drain": "bold",
    "undrain": "bold",
    "already drained": "green",
    "held in service": "red",
}
DRY = "dry run: nothing was changed; the same command with --yes does it"
NOTHING = "nothing to do: nothing was changed"


@dataclass(frozen=True, slots=True)
class Line:
    """One row: what, whom, which check, the rest in words, and what is run, word for word."""

    what: str
    node: str
    check: str
    words: str
    command: str = ""


def rows(lines: Iterable[Line], heading: str) -> Table:
    """Equal lines of many nodes are one."""
    alike: defaultdict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for one in lines:
        alike[one.what, one.check, one.command, one.words].append(one.node)
    made = table("what", "node", "check", heading)
    for (what, check, command, words), nodes in alike.items():
        many = f" ({len(nodes)})" if len(nodes) > 1 else ""
        told = [cell(words, limit=1000)] if not command else [theirs(command, limit=1000)]
        told += [cell(f"  ({words})", " ", 1000)] if command and words else []
        shown = (cell(fold(nodes) + many, limit=2000), cell(check), Text.assemble(*told))
        made.add_row(cell(what, STYLES.get(what, "")), *shown)
    return made


def planned(
    steps: Sequence[Step], spared: Sequence[Spared], deeds: Sequence[Deed], hands: Hands
) -> Iterator[RenderableType]:
    """A drain not done yet: what would be run, word for word, and why not for the others."""
    lines = [would(one, hands) for one in deeds]
    lines += [
        Line(SAID[one.do], one.wanted.node, one.wanted.check, one.why)
        for one in steps if one.do is not Do.DRAIN
    ]  # fmt: skip
    lines += [Line("stays", one.node, one.check, one.why) for one in spared]
    if lines:
        yield rows(lines, "what is run, or why not")


def would(deed: Deed, hands: Hands) -> Line:
    said = hands.says(deed.verb, deed.state, deed.reason)
    return Line(deed.verb, deed.node, deed.check, "", said)


def released(found: Sequence[Release], hands: Hands) -> Iterator[RenderableType]:
    """An undrain that is not done yet."""
    lines = [
        replace(would(one.deed, hands), node=one.node, words=one.why)
        if one.deed
        else Line("left alone", one.node, "", one.why)
        for one in found
    ]
    yield rows(lines, "what is run, or why not")


def ended(done: Iterable[Ended]) -> Iterator[RenderableType]:
    lines = [
        Line(
            f"{one.deed.verb}: {one.told.outcome}",
            one.deed.node,
            one.deed.check,
            " · ".join(filter(None, (one.told.detail, how_to_undo(one)))),
        )
        for one in done
    ]
    if lines:
        yield rows(lines, "what came of it")


def how_to_undo(one: Ended) -> str:
    return f"undo: {one.action.undo}" if one.action and one.told.outcome is Outcome.DONE else ""


def breaker_lines(found: Gauge, held: Iterable[Step] = ()) -> Iterator[Text]:
    reasons = list(dict.fromkeys(one.why for one in held if one.do is Do.HELD))
    for why in reasons:
        yield Text.assemble(cell("breaker: ", "red"), cell(why, "red", 1000))
    damaged = f" ({found.damaged} lines of the journal are damaged)" if found.damaged else ""
    yield cell(
        f"breaker: {len(found.used) + found.damaged} of at most {found.allowed} nodes went in "
        f"{found.window_h:g} h{damaged}; {found.left} more may go"
    )
    low = [name for name, pool in found.pools.items() if pool.usable <= pool.least]
    if low:
        shown = ", ".join(
            f"{name} ({found.pools[name].usable} of {found.pools[name].total} usable, "
            f"{found.pools[name].least} must stay)"
            for name in low[:8]
        )
        yield cell(f"breaker: nothing may go from {shown}", "yellow", 1000)


def troubles(picture: Picture) -> Iterator[Text]:
    for trouble in picture.troubles[:8]:
        yield cell(f"the scheduler's list: {trouble}; that node is not touched", "yellow")
    if len(picture.troubles) > 8:
        yield cell(f"the scheduler's list: {len(picture.troubles) - 8} more lines", "yellow")


# --------------------------------------------------------------------------- exit codes


def exit_code(
    steps: Iterable[Step],
    done: Iterable[Ended],
    picture: Picture | None,
    *,
    refused: bool = False,
) -> int:
    """1: the breaker holds a node or a change was refused; 4: something is not known."""
    done = list(done)
    held = any(one.do is Do.HELD for one in steps)
    if refused or held or any(was_refused(one) for one in done):
        return EXIT_FAIL
    silent = any(one.told.outcome is Outcome.UNKNOWN or one.told.silent for one in done)
    untried = any(one.action is None for one in done)
    return EXIT_UNKNOWN if silent or untried or picture is None or picture.troubles else EXIT_PASS


def was_refused(one: Ended) -> bool:
    return one.action is not None and one.told.outcome is Outcome.REFUSED and not one.told.silent


# --------------------------------------------------------------------------- status


def standing(
    picture: Picture | None, every: Sequence[Action], drains: Mapping[str, Action]
) -> list[Line]:
    """What is out of service, by whom; what we drained and is not, too."""
    states = picture.states if picture else {}
    lines = [ours(one, states.get(called), blind=picture is None)
             for called, one in drains.items()]  # fmt: skip
    for state in states.values():
        if not state.held or state.called in drains:
            continue
        stray = " (our prefix, not this journal)" if state.reason.startswith(PREFIX) else ""
        lines.append(Line("by others", state.called, "", held_already(state) + stray))
    unheard = [one for one in every if one.outcome in UNSURE]
    lines += [
        Line("unknown", one.node, one.check, f"{one.verb} {one.id}: {one.outcome}")
        for one in unheard if one.called not in drains
    ]  # fmt: skip
    return lines


def ours(action: Action, state: State | None, *, blind: bool) -> Line:
    if blind:
        now = "now: not known"
    elif state is None:
        now = "now: the scheduler shows no such node"
    elif state.held and state.reason == action.reason:
        now = f"now: {state.words}"
    else:
        now = f"now: {state.words}, {state.reason or 'no reason'}: somebody changed it"
    since = f"since {action.at:%Y-%m-%d %H:%M} by {action.who}, {action.id}"
    end = "" if action.outcome is Outcome.DONE else f" · its end was not heard: {action.outcome}"
    words = f"{action.reason.removeprefix(PREFIX)} · {since} · {now}{end}"
    return Line("by us", action.node, action.check, words)


def status_lines(lines: Sequence[Line], log: Log) -> Iterator[RenderableType]:
    yield rows(lines, "why, since when, and how it stands") if lines else Text("nothing is drained")
    for record in log.tripped[-3:]:
        why = "; ".join(map(str, record.get("why", ())))
        nodes = fold(map(str, record.get("nodes", ())))
        yield cell(f"breaker: {record['at']:%Y-%m-%d %H:%M} held {nodes}: {why}", "red", 1000)
    if log.damaged:
        shown = ", ".join(map(str, sorted(log.damaged)[:8]))
        yield cell(f"{log.path}: cannot read line {shown}: each counts as a node drained", "red")


def as_records(
    lines: Sequence[Line], found: Gauge | None, log: Log, trouble: str
) -> dict[str, Any]:
    """`status --format json`."""
    breaker = None
    if found is not None:
        pools = {
            name: {"usable": pool.usable, "total": pool.total, "least": pool.least}
            for name, pool in found.pools.items()
        }
        breaker = {
            "used": sorted(found.used), "allowed": found.allowed, "left": found.left,
            "window_h": found.window_h, "damaged_lines": sorted(log.damaged), "pools": pools,
        }  # fmt: skip
    said = [
        {"what": one.what, "node": one.node, "check": one.check, "words": one.words}
        for one in lines
    ]
    return {"schema": 1, "nodes": said, "breaker": breaker, "trouble": trouble}

"""A sweep for whoever read yesterday's: what changed first, what is known in a line a check."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Group, RenderableType
from rich.text import Text

from clusterctl.inventory.ranges import fold
from clusterctl.memory.acks import Ack, Page
from clusterctl.memory.life import CHANGES, Stage, Told, changes
from clusterctl.memory.nights import findings_of
from clusterctl.model import Run
from clusterctl.report.accounts import Accounts
from clusterctl.report.folding import Row, fold_parts, rows
from clusterctl.report.tables import (
    STYLE,
    accounted,
    actual,
    cell,
    plural,
    skips,
    table,
    theirs,
    to_do,
)

URGENT = {
    Stage.NEW: "bold red",
    Stage.WORSE: "bold red",
    Stage.BACK: "bold red",
    Stage.FLAPPING: "yellow",
    Stage.UNCOVERED: "yellow",
    Stage.CLEARED: "green",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One line of what changed.  `since`: the day on which this spell began."""

    stage: Stage
    why: str
    since: str
    row: Row


def changed_rows(told: Iterable[Told]) -> list[Change]:
    """In the order of `changes`; what is alike in all but node and part stands on one line."""
    alike: defaultdict[tuple[Stage, str, str], list[Told]] = defaultdict(list)
    for one in changes(told):
        alike[one.stage, one.why, f"{one.life.since:%Y-%m-%d}"].append(one)
    return [
        Change(stage, why, since, row)
        for stage in CHANGES
        for (this, why, since), few in alike.items()
        if this is stage
        for row in rows(findings_of(few))
    ]


@dataclass(frozen=True, slots=True)
class Known:
    """What a check says for another night.  `notes`: how many of them flap, rest, hide."""

    check: str
    count: int
    nodes: str
    parts: str
    since: str
    notes: str


def known(told: Iterable[Told]) -> list[Known]:
    """A line a check, most findings first."""
    by_check: defaultdict[str, list[Told]] = defaultdict(list)
    for one in told:
        if one.stage not in CHANGES:
            by_check[one.life.check].append(one)
    found = []
    for check, few in by_check.items():
        names = {name for one in few for name in one.life.verdict.node.split(",")}
        parts = sorted({one.life.verdict.part for one in few})
        notes = Counter(str(one.stage) for one in few if one.stage is not Stage.KNOWN)
        notes.update("flapping" for one in few if one.life.flapping)
        found.append(
            Known(
                check,
                len(few),
                fold(names),
                fold_parts(part for joined in parts for part in joined.split(" ")),
                f"{min(one.life.since for one in few):%Y-%m-%d}",
                ", ".join(f"{count} {word}" for word, count in notes.most_common()),
            )
        )
    return sorted(found, key=lambda one: (-one.count, one.check))


def acked_words(acked: Sequence[tuple[Told, Ack]]) -> str:
    """`3 acked: ecc 2, port_state 1; the next until 2026-12-24`; empty where nothing is."""
    if not acked:
        return ""
    counted = Counter(one.life.check for one, _ in acked)
    checks = ", ".join(f"{check} {count}" for check, count in counted.most_common())
    last = min(ack.until for _, ack in acked) - timedelta(seconds=1)
    return f"{len(acked)} acked: {checks}; the next until {last:%Y-%m-%d}"


def summary(run: Run, page: Page, accounts: Accounts, *, verbose: bool = False) -> RenderableType:
    """What changed, what is known, what was skipped, and the line that accounts for every node."""
    parts: list[RenderableType] = []
    changed = changed_rows(page.told)
    if changed:
        parts.append(changes_table(changed, page.before))
    else:
        parts.append(cell(f"nothing changed since {page.before}", "green"))
    parts += list(known_lines(known(page.told)))
    if words := acked_words(page.acked):
        parts.append(cell(words, "dim", 1000))
    if verbose:
        parts += [Text.assemble((line.plain, "dim")) for line in skips(run.findings)]
    if any(one.stage not in CHANGES for one in page.told):
        parts.append(cell(f"each of them: clusterctl show {run.id}", "dim"))
    parts.append(accounted(run, accounts))
    return Group(*parts)


def changes_table(changed: Sequence[Change], before: str) -> RenderableType:
    headings = ("change", "status", "node", "check", "part", "expected", "actual", "what to do")
    made = table(*headings, title=f"changed since {before}")
    for one in changed:
        verdict, row = one.row.verdict, one.row
        cleared = one.stage is Stage.CLEARED
        status = verdict.status.upper()
        change = [f"{one.stage}", ": ", cell(one.why)] if one.why else [f"{one.stage}"]
        made.add_row(
            Text.assemble(*change, style=URGENT[one.stage]),
            cell(f"({status})", "dim") if cleared else cell(status, STYLE[verdict.status]),
            cell(row.nodes + (f" ({row.count})" if row.count > 1 else "")),
            cell(row.check),
            cell(row.parts),
            cell(verdict.expected),
            Text.assemble(f"since {one.since}: " if cleared else "", actual(verdict)),
            cell("" if cleared else to_do(verdict)),
        )
    return made


def known_lines(lines: Iterable[Known]) -> Iterator[Text]:
    for one in lines:
        notes = f" ({one.notes})" if one.notes else ""
        words = f"known: {one.check}: {plural(one.count, 'finding')}{notes} since {one.since}"
        where = theirs(f"{one.nodes} {one.parts}", limit=400)
        yield Text.assemble(words, ": ", where, style="dim")

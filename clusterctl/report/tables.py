"""Findings as tables for a terminal.

Cells are `Text`, never markup: node output in a markup cell could vanish ([gpu0]) or raise.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clusterctl.acceptance import Decision, decide, shipped_rules
from clusterctl.inventory.ranges import fold
from clusterctl.model import Finding, Run, Status
from clusterctl.report.accounts import Accounts
from clusterctl.report.folding import Row, reasons, rows, to_act_on
from clusterctl.spelling import visible

Say = Callable[[str], str]  # a sentence of ours in the reader's language
ENGLISH: Say = str

STYLE = {
    Status.PASS: "green",
    Status.WARN: "yellow",
    Status.FAIL: "bold red",
    Status.UNKNOWN: "magenta",
    Status.SKIP: "dim",
}


def cell(text: str, style: str = "", limit: int = 300) -> Text:
    """Any text, made safe to show."""
    return Text(visible(text, limit), style=style)


def table(*headings: str, title: str = "", say: Say = ENGLISH) -> Table:
    made = Table(title=title or None, title_justify="left", header_style="bold", expand=False)
    for heading in headings:
        made.add_column(say(heading), overflow="fold", no_wrap=heading == "status")
    return made


def findings_table(findings: Iterable[Finding], say: Say = ENGLISH) -> Table:
    """What a person must act on, worst first, equal findings folded over nodes and parts."""
    made = table("status", "node", "check", "part", "expected", "actual", "what to do", say=say)
    for row in rows(to_act_on(findings)):
        add(made, row, say)
    return made


def add(made: Table, row: Row, say: Say) -> None:
    """`actual` is mostly the tool's own word, and stays as it is."""
    verdict = row.verdict
    actual = verdict.actual if not verdict.why else f"{verdict.actual}: {say(verdict.why)}"
    grave = f" [{say(verdict.severity)}]" if verdict.severity != "none" else ""
    made.add_row(
        cell(say(verdict.status).upper(), STYLE[verdict.status]),
        cell(row.nodes + (f" ({row.count})" if row.count > 1 else "")),
        cell(row.check),
        cell(row.parts),
        cell(say(verdict.expected)),
        cell(actual.removeprefix(": ")),
        cell(say(verdict.remedy) + grave),
    )


def skips(findings: Sequence[Finding], say: Say = ENGLISH) -> list[Text]:
    """Why something was not asked, once for each reason and not once for each node."""
    return [
        cell(say(f"skipped on {plural(len(one.nodes), 'node')}: {one.checks}: {one.why}"))
        for one in reasons(findings)
    ]


def plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def implied(findings: Iterable[Finding], say: Say = ENGLISH) -> list[Text]:
    """How many findings another line explains."""
    counted = Counter(
        one.shared
        for one in findings
        if one.shared and one.verdict.status not in {Status.PASS, Status.SKIP}
    )
    return [
        cell(say(f"{plural(count, 'more finding')} explained by: {cause}"), "dim")
        for cause, count in counted.most_common()
    ]


DECISION_STYLE = {
    Decision.ACCEPT: STYLE[Status.PASS],
    Decision.INCOMPLETE: STYLE[Status.UNKNOWN],
    Decision.QUARANTINE: STYLE[Status.FAIL],
    Decision.RETURN: STYLE[Status.FAIL],
}


def acceptance(run: Run) -> list[Text]:
    """What becomes of each node and by which rule, folded."""
    alike: defaultdict[tuple[Decision, str, str], list[str]] = defaultdict(list)
    for one in decide(run, shipped_rules()):
        alike[one.decision, one.rule, one.source].append(one.node)
    order = list(Decision)
    return [
        cell(
            f"{decision}: {fold(names)} ({plural(len(names), 'node')}): {rule}: {source}",
            DECISION_STYLE[decision],
            limit=2000,
        )
        for (decision, rule, source), names in sorted(
            alike.items(), key=lambda item: order.index(item[0][0])
        )
    ]


def summary(
    run: Run, accounts: Accounts, *, verbose: bool = False, say: Say = ENGLISH
) -> RenderableType:
    """The table, what was skipped and why, and the line that accounts for every node and part."""
    parts: list[RenderableType] = []
    if any(True for _ in to_act_on(run.findings)):
        parts.append(findings_table(run.findings, say))
        parts += implied(run.findings, say)
    else:
        parts.append(Text(say("nothing to act on"), style="green"))
    skipped = skips(run.findings, say)
    shown = skipped if verbose else skipped[:6]
    parts += [Text.assemble((line.plain, "dim")) for line in shown]
    if len(skipped) > len(shown):
        more = f"… and {len(skipped) - len(shown)} more reasons: --verbose"
        parts.append(Text(say(more), "dim"))
    if run.verb == "burnin":
        parts += acceptance(run)
    line = f"{run.playbook.name} {run.id}: {say(accounts.line)}"
    parts.append(Text(visible(line, 1000), style="bold"))
    return Group(*parts)

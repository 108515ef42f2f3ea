"""Findings as tables for a terminal.

Cells are `Text`, never markup: node output in a markup cell could vanish ([gpu0]) or raise.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from clusterctl.acceptance import Decision, decide, shipped_rules
from clusterctl.inventory.ranges import fold
from clusterctl.model import Finding, Run, Status, Verdict
from clusterctl.report.accounts import Accounts
from clusterctl.report.folding import Row, reasons, rows, to_act_on
from clusterctl.spelling import visible

STYLE = {
    Status.PASS: "green",
    Status.WARN: "yellow",
    Status.FAIL: "bold red",
    Status.UNKNOWN: "magenta",
    Status.SKIP: "dim",
}


# Of what nodes, tools and people said: it is the same in every language.
THEIRS = Style(meta={"theirs": True})
# What was seen, where no tool has a word for it.
OURS = re.compile(
    r"\d+ answers|not (synchronised|reported|seen|there|checked|said|mounted|loaded|known)"
    r"|no (such port|amount|cable|records)|none (seen|reported)|a repair is pending"
    r"|a row could not be remapped|another node's|half duplex|fabric in progress"
)
# Columns that hold names and numbers alone.
NAMES = frozenset({"node", "nodes", "part", "parts", "check", "component", "leaf", "rank", "ranks"})


def cell(text: str, style: str = "", limit: int = 300) -> Text:
    """Any text, made safe to show."""
    return Text(visible(text, limit), style=style)


def theirs(text: str, style: str = "", limit: int = 300) -> Text:
    """As `cell`, of words that are not ours."""
    return Text(visible(text, limit), style=Style.parse(style) + THEIRS)


def table(*headings: str, title: str = "") -> Table:
    made = Table(title=title or None, title_justify="left", header_style="bold", expand=False)
    for heading in headings:
        made.add_column(heading, overflow="fold", no_wrap=heading == "status")
    return made


def findings_table(findings: Iterable[Finding]) -> Table:
    """What a person must act on, worst first, equal findings folded over nodes and parts."""
    made = table("status", "node", "check", "part", "expected", "actual", "what to do")
    for row in rows(to_act_on(findings)):
        add(made, row)
    return made


def add(made: Table, row: Row) -> None:
    verdict = row.verdict
    made.add_row(
        cell(verdict.status.upper(), STYLE[verdict.status]),
        cell(row.nodes + (f" ({row.count})" if row.count > 1 else "")),
        cell(row.check),
        cell(row.parts),
        cell(verdict.expected),
        actual(verdict),
        cell(to_do(verdict)),
    )


def actual(verdict: Verdict) -> Text:
    """What was seen is mostly the tool's own word; why it is wrong is ours."""
    ours = OURS.fullmatch(verdict.actual)
    seen, why = (cell if ours else theirs)(verdict.actual), cell(verdict.why)
    return Text.assemble(seen, ": ", why) if verdict.actual and verdict.why else seen + why


def to_do(verdict: Verdict) -> str:
    grave = f" [{verdict.severity}]" if verdict.severity != "none" else ""
    return verdict.remedy + grave


def skips(findings: Sequence[Finding]) -> list[Text]:
    """Why something was not asked, once for each reason and not once for each node."""
    return [
        cell(f"skipped on {plural(len(one.nodes), 'node')}: {one.checks}: {one.why}")
        for one in reasons(findings)
    ]


def plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def implied(findings: Iterable[Finding]) -> list[Text]:
    """How many findings another line explains."""
    counted = Counter(
        one.shared
        for one in findings
        if one.shared and one.verdict.status not in {Status.PASS, Status.SKIP}
    )
    return [
        cell(f"{plural(count, 'more finding')} explained by: {cause}", "dim")
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
        Text.assemble(
            cell(f"{decision}"),
            ": ",
            theirs(fold(names), limit=1500),
            f" ({plural(len(names), 'node')}): ",
            cell(rule),
            ": ",
            cell(source),
            style=DECISION_STYLE[decision],
        )
        for (decision, rule, source), names in sorted(
            alike.items(), key=lambda item: order.index(item[0][0])
        )
    ]


def summary(run: Run, accounts: Accounts, *, verbose: bool = False) -> RenderableType:
    """The table, what was skipped and why, and the line that accounts for every node and part."""
    parts: list[RenderableType] = []
    if any(True for _ in to_act_on(run.findings)):
        parts.append(findings_table(run.findings))
        parts += implied(run.findings)
    else:
        parts.append(Text("nothing to act on", style="green"))
    skipped = skips(run.findings)
    shown = skipped if verbose else skipped[:6]
    parts += [Text.assemble((line.plain, "dim")) for line in shown]
    if len(skipped) > len(shown):
        parts.append(Text(f"… and {len(skipped) - len(shown)} more reasons: --verbose", "dim"))
    if run.verb == "burnin":
        parts += acceptance(run)
    parts.append(accounted(run, accounts))
    return Group(*parts)


def accounted(run: Run, accounts: Accounts) -> Text:
    name = theirs(f"{run.playbook.name} {run.id}")
    return Text.assemble(name, ": ", cell(accounts.line, limit=1000), style="bold")

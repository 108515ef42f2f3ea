"""What a message about a run says; see notify_send.py for how it goes out.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from clusterctl.memory.life import Stage
from clusterctl.model import Finding, Severity
from clusterctl.report.folding import Row, rows, to_act_on
from clusterctl.report.morning import Change
from clusterctl.spelling import visible

GRAVITY = {severity: place for place, severity in enumerate(Severity)}
LINE_CHARACTERS = 300
# A node must not ring everybody, nor make a link, in a chat that reads "@" and "](" as its own.
HARMLESS = str.maketrans({"@": "\uff20", "<": "\uff1c", ">": "\uff1e"})

Say = Callable[[str], str]  # a sentence of ours in the reader's language


@dataclass(frozen=True, slots=True)
class Message:
    title: str
    body: str

    def __str__(self) -> str:
        return f"{self.title}\n\n{self.body}"


@dataclass(frozen=True, slots=True)
class About:
    """`line` accounts for every node.  `where`: host and directory of the run.

    `changes`: what is not as it was.  `notes`: what became of earlier messages.
    """

    run: str
    playbook: str
    line: str
    where: str
    changes: Sequence[Change] = ()
    notes: Sequence[str] = ()


def grave_enough(findings: Iterable[Finding], least: Severity) -> list[Finding]:
    """Those to act on that ask at least so much of a person."""
    return [one for one in to_act_on(findings) if GRAVITY[one.verdict.severity] >= GRAVITY[least]]


def message(
    about: About, findings: Iterable[Finding], *, least: Severity, top: int, say: Say
) -> Message:
    """One message, however much was found: changes, the worst, where all of it is.

    The title accounts for every node; who has no titles puts it first.
    """
    line = say(about.line)
    said = {place(one.row) for one in about.changes}
    found = [row for row in rows(grave_enough(findings, least)) if place(row) not in said]
    lines: list[str] = []
    if about.changes:
        lines += ["", f"{say('what changed')}:"]
        lines += [f"- {of_change(one, say)}" for one in about.changes[:top]]
        lines += more(len(about.changes) - top, say)
    if found:
        heading = "as before, worst first" if about.changes else "to act on, worst first"
        lines += ["", f"{say(heading)}:"]
        lines += [f"- {of_row(row, say)}" for row in found[:top]]
        lines += more(len(found) - top, say)
    lines += ["", *(shown(say(one)) for one in about.notes)]
    lines += [shown(about.where), f"clusterctl show {about.run}"]
    body = "\n".join(lines).strip()
    return Message(shown(f"clusterctl {about.playbook}: {line}"), body)


def place(row: Row) -> tuple[str, str, str]:
    return row.check, row.nodes, row.parts


def of_change(change: Change, say: Say) -> str:
    why = f" ({shown(say(change.why))})" if change.why else ""
    if change.stage is Stage.CLEARED:
        return f"{say(change.stage)}: {head(change.row, say)}{why}"
    return f"{say(change.stage)}: {head(change.row, say)}{why}{remedy(change.row, say)}"


def more(count: int, say: Say) -> list[str]:
    return [say(f"and {count} more")] if count > 0 else []


def of_row(row: Row, say: Say) -> str:
    return head(row, say) + remedy(row, say)


def remedy(row: Row, say: Say) -> str:
    told = row.verdict.remedy
    return f"\n  {shown(say(told))}" if told else ""


def head(row: Row, say: Say) -> str:
    verdict = row.verdict
    told = ": ".join(filter(None, (verdict.actual, say(verdict.why))))
    expected = f" ({say('expected')} {verdict.expected})" if verdict.expected else ""
    where = f"{say(verdict.status).upper()} {row.nodes} {row.check} {row.parts}"
    return shown(f"{where}: {told}{expected}")


def shown(text: str) -> str:
    """One line that no chat takes for anything else."""
    return visible(text.replace("](", "] (").translate(HARMLESS), LINE_CHARACTERS)

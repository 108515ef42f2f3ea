"""A run as JSON and CSV: the stored records unchanged.  The form is described in README."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from clusterctl.acceptance import Decision
from clusterctl.model import Finding, Run, Status, Verdict
from clusterctl.report.accounts import Accounts
from clusterctl.report.standings import Standing, burnt_h
from clusterctl.store import COLUMNS, SCHEMA


def document(run: Run, accounts: Accounts, standings: Sequence[Standing]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "run": run.id,
        "playbook": run.playbook.name,
        "started": run.started.isoformat(),
        "finished": run.finished.isoformat(),
        "complete": run.complete,
        "exit_code": accounts.exit_code,
        **({"acked": accounts.acked} if accounts.acked else {}),
        "nodes": {
            "selected": len(accounts.nodes),
            "answered": accounts.answered,
            **{str(status): accounts.count(status) for status in Status if status != "skip"},
        },
        "parts": {
            part.name: {"seen": part.seen, "expected": part.expected} for part in accounts.parts
        },
        "counts": {str(status): accounts.findings[status] for status in Status},
        "statuses": {name: str(status) for name, status in accounts.nodes.items()},
        **({"verdicts": verdicts(run, standings)} if standings else {}),
        "findings": [record(finding) for finding in run.findings],
    }


def record(finding: Finding) -> dict[str, str]:
    """One finding, every field a string; `shared` names the finding that explains it."""
    return {
        "check": finding.check,
        **{name: str(getattr(finding.verdict, name)) for name in COLUMNS},
        "shared": finding.shared,
    }


def verdicts(run: Run, standings: Sequence[Standing]) -> list[dict[str, Any]]:
    """After a burn: what becomes of each node and by which rule; `evidence` are findings."""
    hours = burnt_h(run)
    return [
        {
            "node": one.node,
            "verdict": one.word,
            "rule": one.rule,
            "source": one.source,
            "burnt_h": hours.get(one.node),
            "evidence": [record(finding) for finding in one.evidence],
        }
        for one in standings
    ]


def as_json(run: Run, accounts: Accounts, standings: Sequence[Standing] = ()) -> str:
    """`standings`: after a burn."""
    return json.dumps(document(run, accounts, standings), ensure_ascii=False, indent=1) + "\n"


def as_csv(run: Run, standings: Sequence[Standing] = ()) -> str:
    """Every finding, one a row.  A cell that a spreadsheet would run as a formula is quoted.

    After a burn a row `verdict` for each node comes first.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, ["check", *COLUMNS, "shared"], lineterminator="\n")
    writer.writeheader()
    for finding in (*decisions(run, standings), *run.findings):
        writer.writerow({name: inert(value) for name, value in record(finding).items()})
    return text.getvalue()


def decisions(run: Run, standings: Sequence[Standing]) -> Iterator[Finding]:
    """What became of each node, as if a check had said it."""
    hours = burnt_h(run)
    statuses = {"pass": Status.PASS, "warn": Status.WARN, "unknown": Status.UNKNOWN}
    for one in standings:
        parts = [f"{found.check} {found.verdict.part}" for found in one.evidence]
        burnt = [f"{hours[one.node]:.6g} h burnt"] if one.node in hours else []
        yield Finding(
            "verdict",
            Verdict(
                one.node,
                "node",
                statuses.get(one.kind, Status.FAIL),
                expected=str(Decision.ACCEPT),
                actual=one.word,
                why="; ".join([f"rule {one.rule}", *burnt, *dict.fromkeys(parts)]),
                source=one.source,
            ),
        )


def inert(value: str) -> str:
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value

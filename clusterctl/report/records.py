"""A run as JSON and CSV: the stored records unchanged.  The form is described in README."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from clusterctl.model import Finding, Run, Status
from clusterctl.report.accounts import Accounts
from clusterctl.store import COLUMNS, SCHEMA


def document(run: Run, accounts: Accounts) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "run": run.id,
        "playbook": run.playbook.name,
        "started": run.started.isoformat(),
        "finished": run.finished.isoformat(),
        "complete": run.complete,
        "exit_code": accounts.exit_code,
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
        "findings": [record(finding) for finding in run.findings],
    }


def record(finding: Finding) -> dict[str, str]:
    """One finding, every field a string; `shared` names the finding that explains it."""
    return {
        "check": finding.check,
        **{name: str(getattr(finding.verdict, name)) for name in COLUMNS},
        "shared": finding.shared,
    }


def as_json(run: Run, accounts: Accounts) -> str:
    return json.dumps(document(run, accounts), ensure_ascii=False, indent=1) + "\n"


def as_csv(run: Run) -> str:
    """Every finding, one a row.  A cell that a spreadsheet would run as a formula is quoted."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["check", *COLUMNS, "shared"], lineterminator="\n")
    writer.writeheader()
    for finding in run.findings:
        writer.writerow({name: inert(value) for name, value in record(finding).items()})
    return text.getvalue()


def inert(value: str) -> str:
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value

"""A run as JSON lines: one finding a line, each line whole by itself.  README has the schema."""

from __future__ import annotations

import json
from collections.abc import Iterator

from clusterctl.model import Run
from clusterctl.report.records import record
from clusterctl.store import SCHEMA


def lines(run: Run) -> Iterator[str]:
    """Every finding, PASS too.  `labels` are the node's; all else is as in `--format json`."""
    labels = {node.name: dict(node.labels) for node in run.nodes}
    head = {
        "schema": SCHEMA,
        "run": run.id,
        "playbook": run.playbook.name,
        "at": run.finished.isoformat(),
    }
    for finding in run.findings:
        where = {"labels": labels.get(finding.verdict.node, {})}
        yield json.dumps({**head, **record(finding), **where}, ensure_ascii=False) + "\n"

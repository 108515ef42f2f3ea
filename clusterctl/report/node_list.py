"""Nodes as a table, JSON, CSV, or names."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

from rich.table import Table

from clusterctl.inventory.ranges import fold
from clusterctl.model import Node
from clusterctl.report.tables import cell, table
from clusterctl.spelling import visible

COLUMNS = ("name", "address", "user", "port", "via", "become", "identity", "origin")


def node_table(nodes: Sequence[Node]) -> Table:
    """A row a node; labels that all nodes share stand above, said once."""
    shared = shared_labels(nodes)
    above = f"all: {visible(spelt(shared))}" if shared else ""
    made = table("node", "reached at", "labels", "origin", title=above)
    for node in nodes:
        own = {key: value for key, value in node.labels.items() if key not in shared}
        made.add_row(*map(cell, (node.name, reached(node), spelt(own), node.origin)))
    return made


def shared_labels(nodes: Sequence[Node]) -> dict[str, str]:
    counts = Counter(pair for node in nodes for pair in node.labels.items())
    every = len(nodes) if len(nodes) > 1 else 0
    return {key: value for (key, value), count in counts.items() if count == every}


def reached(node: Node) -> str:
    """How a person would write it: sudo ops@10.0.0.1:2222 via bastion."""
    if node.labels.get("transport") == "local":
        return "this machine" + (" with sudo" if node.become else "")
    host = f"[{node.host}]" if ":" in node.host and node.port else node.host
    return (
        (f"{node.user}@" if node.user else "")
        + host
        + (f":{node.port}" if node.port else "")
        + (f" via {node.via}" if node.via else "")
        + (" with sudo" if node.become else "")
    )


def spelt(labels: dict[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in labels.items())


def as_json(nodes: Sequence[Node]) -> str:
    records = [{**asdict(node), "labels": dict(node.labels)} for node in nodes]
    return json.dumps({"schema": 1, "nodes": records}, ensure_ascii=False, indent=1) + "\n"


def as_csv(nodes: Sequence[Node]) -> str:
    """A header, a row a node, a column a label: a rack sheet that `-i` reads again."""
    labels = list(dict.fromkeys(label for node in nodes for label in node.labels))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*COLUMNS, *labels))
    for node in nodes:
        own = [getattr(node, column) for column in COLUMNS]
        shown = [value or "" for value in own]
        writer.writerow((*shown, *(node.labels.get(label, "") for label in labels)))
    return out.getvalue()


def as_names(nodes: Iterable[Node]) -> str:
    return "".join(f"{node.name}\n" for node in nodes)


def as_fold(nodes: Iterable[Node]) -> str:
    return f"{fold(node.name for node in nodes)}\n"


WRITERS: dict[str, Callable[[Sequence[Node]], str]] = {
    "json": as_json,
    "csv": as_csv,
    "names": as_names,
    "fold": as_fold,
}

"""What there is to ask, judge, load and run, as rows."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Callable, Sequence

from rich.table import Table

from clusterctl import catalog, playbook
from clusterctl.model import Fact, Probe, Question
from clusterctl.report.tables import cell, table

Row = dict[str, object]


def rows(what: str) -> list[Row]:
    """One row a thing, the same keys in each."""
    sections: dict[str, Callable[[], list[Row]]] = {
        "probes": probes,
        "checks": checks,
        "trials": trials,
        "playbooks": playbooks,
    }
    return sections[what]()


def kinds(types: Sequence[type[Fact]]) -> str:
    return " ".join(kind.__name__ for kind in types)


def probes() -> list[Row]:
    swept = catalog.all_probes()
    return [
        {
            "name": name,
            "about": probe.about,
            "asks": asks(probe.question),
            "yields": kinds(probe.yields),
            "applies": where(probe) + ("" if name in swept else ", asked by name only"),
            "proven": probe.proven,
        }
        for name, probe in {**swept, **catalog.named_probes()}.items()
    ]


def where(probe: Probe) -> str:
    return probe.applies.why_not.replace("no ", "needs a ", 1) or "everywhere"


def asks(question: Question) -> str:
    if question.script == "read_files":
        return "files " + " ".join(question.command)
    head = f"{question.script}.py " if question.script else ""
    return head + shlex.join(question.command)


def checks() -> list[Row]:
    return [
        {
            "name": name,
            "asks": check.asks,
            "wants": kinds(check.wants),
            "scope": check.scope,
            "limits": "; ".join(
                f"{key} = {limit.value} ({limit.source})" for key, limit in check.limits.items()
            ),
            "options": " ".join(check.options),
        }
        for name, check in catalog.all_checks().items()
    ]


def trials() -> list[Row]:
    return [
        {
            "name": name,
            "about": trial.about,
            "yields": kinds(trial.yields),
            "partners": trial.partners,
            "params": " ".join(f"{key}={value}" for key, value in trial.params.items()),
        }
        for name, trial in catalog.all_trials().items()
    ]


def playbooks() -> list[Row]:
    found = [(name, playbook.load(name)) for name in playbook.shipped()]
    return [
        {
            "name": name,
            "about": book.about,
            "probes": len(book.probes),
            "stages": " ".join(stage.trial.name for stage in book.stages),
            "checks": len(book.checks),
        }
        for name, book in found
    ]


def as_table(found: Sequence[Row]) -> Table:
    made = table(*(found[0] if found else ("nothing",)))
    for row in found:
        made.add_row(*(cell(str(value), limit=220) for value in row.values()))
    return made


def as_csv(found: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(found[0]) if found else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()

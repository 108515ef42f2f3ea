"""What there is to ask, judge, load and run, as rows."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import yaml
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
        "vendors": vendors,
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
    what = probe.applies.why_not.removeprefix("no ")
    article = "an" if what.startswith(("A", "E", "I", "NV")) else "a"
    return f"needs {article} {what}" if what else "everywhere"


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


SUREST_FIRST = ("hardware", "captured", "documentation")


def vendors() -> list[Row]:
    """How sure we are of each vendor's accelerators: proven on hardware, on captured output, …"""
    text = files("clusterctl.knowledge").joinpath("vendors.yml").read_text(encoding="utf-8")
    return [vendor(name, told) for name, told in yaml.safe_load(text).items()]


def vendor(name: str, told: Mapping[str, Any]) -> Row:
    """`health` is as sure as what sees the cards; the PCI bus tells nothing of it."""
    known = catalog.all_probes()
    seen = min((known[one].proven for one in told["probes"]), key=SUREST_FIRST.index)
    return {
        "vendor": name,
        "seen": f"{seen} ({', '.join(told['probes'])})",
        "health": "no" if told["probes"] == ["pci"] else seen,
        "link": known[told["link"]].proven if "link" in told else "no",
        "burn": tried(told.get("burn")),
        "bandwidth": tried(told.get("bandwidth")),
    }


def tried(how: Sequence[str] | None) -> str:
    return f"{how[0]} ({how[1]})" if how else "no"


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

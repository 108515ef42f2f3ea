"""clusterctl list: what there is."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated

import typer

from clusterctl.cli import options
from clusterctl.cli.language import Lang
from clusterctl.cli.screen import show
from clusterctl.model import UserError


class What(StrEnum):
    PROBES = "probes"
    CHECKS = "checks"
    TRIALS = "trials"
    PLAYBOOKS = "playbooks"
    VENDORS = "vendors"
    RULES = "rules"


def listing(
    what: Annotated[What, typer.Argument(help="What to list.")],
    form: options.OutputFormat = options.Format.TABLE,
    _lang: Lang = None,
) -> None:
    """List probes, checks, trials, playbooks, vendors of accelerators, or rules for Prometheus."""
    from clusterctl.report.catalogue import as_table, rows

    if what is What.RULES:
        from importlib.resources import files

        if form is not options.Format.TABLE:
            raise UserError(f"list rules --format {form}: rules are YAML, as Prometheus reads them")
        rules = files("clusterctl.knowledge").joinpath("prometheus.yml")
        sys.stdout.write(rules.read_text(encoding="utf-8"))
        return
    found = rows(what)
    if form is options.Format.JSON:
        sys.stdout.write(json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    elif form is options.Format.CSV:
        from clusterctl.report.catalogue import as_csv

        sys.stdout.write(as_csv(found))
    else:
        show(as_table(found))

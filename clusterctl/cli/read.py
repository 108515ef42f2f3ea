"""clusterctl read: what a probe sees in a captured text."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from clusterctl.cli.language import Lang


def read(
    probe: Annotated[
        str, typer.Argument(help="A probe, from `list probes`, or a tool: ibstat, nccl-tests, …")
    ],
    file: Annotated[
        Path | None, typer.Argument(help="The captured text; none or -: standard input.")
    ] = None,
    _lang: Lang = None,
) -> None:
    """What a probe sees in a captured text, as JSON; exit 0 even for rubbish."""
    from clusterctl.catalog import readers
    from clusterctl.cli.texts import read_text, spell
    from clusterctl.observe import attempt
    from clusterctl.yaml_files import pick

    known = readers()
    name = probe if probe in known else probe.replace("-", "_")
    found = attempt(pick("probe", name, known)(read_text(file)))
    sys.stdout.write(json.dumps(spell(found), ensure_ascii=False, indent=1) + "\n")

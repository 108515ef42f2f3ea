"""clusterctl read: what a probe sees in a captured text."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def read(
    probe: Annotated[str, typer.Argument(help="A probe's name, from `list probes`.")],
    file: Annotated[
        Path | None, typer.Argument(help="The captured text; none or -: standard input.")
    ] = None,
) -> None:
    """What a probe sees in a captured text, as JSON; exit 0 even for rubbish."""
    from clusterctl.catalog import all_probes, fabric_probes
    from clusterctl.cli.texts import read_text, spell
    from clusterctl.observe import attempt
    from clusterctl.yaml_files import pick

    found = attempt(
        pick("probe", probe, {**all_probes(), **fabric_probes()}).parse(read_text(file))
    )
    sys.stdout.write(json.dumps(spell(found), ensure_ascii=False, indent=1) + "\n")

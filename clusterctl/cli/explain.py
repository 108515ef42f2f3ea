"""clusterctl explain: what a code, a check, a word or a line of a log means and asks."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from clusterctl.cli import options
from clusterctl.cli.language import Lang, spoken


def explain(
    words: Annotated[
        list[str],
        typer.Argument(help='"XID 79", 80E18402, "mlx5", a check, a status, a line of dmesg, …'),
    ],
    form: options.TableOrJson = options.Format.TABLE,
    lang: Lang = None,
) -> None:
    """What a code, a check, a word or a line of a log means, and what to do."""
    from clusterctl.explain import explain, spelled

    found = explain(words)
    if form is options.Format.JSON:
        told = [spelled(one) for one in found]
        sys.stdout.write(json.dumps(told, ensure_ascii=False, indent=1) + "\n")
    else:
        from rich.console import Console

        from clusterctl.report.topics import shown

        tongue = spoken(lang)
        Console(width=options.width(sys.stdout)).print(shown(found, tongue.value))

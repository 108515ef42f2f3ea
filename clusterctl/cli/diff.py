"""clusterctl diff: two runs side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from clusterctl.cli import options, remembered
from clusterctl.cli.language import Lang

Reference = Annotated[str, typer.Argument(help='Id, start of an id, "last", or "last~1".')]


def diff(
    before: Reference = "last~1",
    after: Reference = "last",
    *,
    form: options.OutputFormat = options.Format.TABLE,
    runs_dir: remembered.RunsAt = None,
    _lang: Lang = None,
) -> None:
    """Show what became bad, unknown or better between two runs, what changed, who came and went."""
    from clusterctl.memory.compare import BECAME, changes, pick
    from clusterctl.memory.dataset import labels
    from clusterctl.report.folding import fold_parts, spread
    from clusterctl.report.sheets import Sheet

    known = remembered.remember(runs_dir)
    first, second = pick(known, before), pick(known, after)
    found = changes(known, first, second, labels(known.only([first.id, second.id])))
    full = form is not options.Format.TABLE
    rows = [
        (
            one.became,
            ",".join(one.nodes) if full else one.where,
            one.what,
            fold_parts(p for part in one.parts for p in spread(part)),
            one.before,
            one.after,
        )
        for one in found
    ]
    title = f"{first.id} ({first.verb}) and {second.id} ({second.verb})"
    columns = ("became", "where", "what", "part", "before", "after")
    counts = [(word, sum(one.became == word for one in found)) for word in BECAME]
    note = " · ".join(f"{count} {word}" for word, count in counts if count) or "nothing changed"
    remembered.show([Sheet("changes", title, columns, rows)], form, notes=[note])

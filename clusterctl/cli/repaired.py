"""`burnin --again`: nodes that come back from repair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from clusterctl.cli.screen import tell
from clusterctl.cli.world import Flags
from clusterctl.model import Node, Observation, Playbook

if TYPE_CHECKING:
    from clusterctl.store import Stored


def once_more(flags: Flags) -> tuple[Flags, list[str]]:
    """Whom to burn, and who of them comes back.  Raises UserError."""
    from clusterctl.inventory import names_of

    if not flags.again:
        return flags, []
    nodes = ",".join(filter(None, (flags.nodes, flags.again)))
    return replace(flags, nodes=nodes), list(names_of(flags.again))


def warn_of_lonely(playbook: Playbook, chosen: Sequence[Node], repaired: Sequence[str]) -> None:
    for stage in playbook.stages:
        if repaired and stage.trial.partners > len(chosen):
            tell(
                f"clusterctl: {stage.trial.name} needs {stage.trial.partners} nodes: without a "
                "partner the node stays INCOMPLETE; add one with --nodes\n"
            )


def demands(
    found: Stored, book: Playbook
) -> Callable[[str, Sequence[Observation]], dict[str, Any] | None]:
    """See lead.Leader; the history is read once, and only where somebody comes back."""
    from clusterctl.history import history, marks_seen

    repaired = frozenset(found.about.get("campaign", {}).get("again", ()))
    past = history(found.path.absolute().parent, found.id) if repaired else None

    def of_node(name: str, seen: Sequence[Observation]) -> dict[str, Any] | None:
        if past is None or name not in repaired:
            return None
        return past.demands(book, name, marks_seen(seen))

    return of_node

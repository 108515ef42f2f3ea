"""Whether a node may be loaded, by its reading before the load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from clusterctl.campaign.decisions import Case, Decision
from clusterctl.campaign.early import Bench
from clusterctl.campaign.verdict import failing
from clusterctl.model import Observation
from clusterctl.run import admit, holders

# The cells of a `bar` decision, for a node that is burnt again, by its first reading.
Demands = Callable[[str, Sequence[Observation]], Decision | None]


def admission(
    case: Case, seen: Sequence[Observation], by: Bench, *, force: str, demands: Demands
) -> Iterator[Decision]:
    """`force`: why nodes that somebody holds are loaded, too; empty: they are not."""
    _, refused = admit([case.node], seen, force=bool(force))
    for one in refused.values():
        yield {"do": "refuse", "why": one.why}
        return
    if (bar := demands(case.node.name, seen)) is not None:
        yield {"do": "bar", **bar}
    held = holders(seen)
    yield {"do": "gate", "forced": force if held else "", "held": held}
    why = failing(case.node, by.book, seen, by.skus)
    if why and not by.book.keep_going:
        yield {"do": "end", "why": f"gate: {why}", "failed": True}

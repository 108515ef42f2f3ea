"""Rolling entry: nodes that appear in the inventory join a campaign that goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace

from clusterctl.campaign.decisions import Case, Decision
from clusterctl.model import Node, UserError

WAYS = ("address", "user", "port", "via", "become", "identity")  # to reach a node


def by_way_of(node: Node, other: Node) -> Node:
    """The same node, reached as `other` is."""
    return replace(node, **{name: getattr(other, name) for name in WAYS})


def looks(
    load: Callable[[], tuple[Node, ...]], tell: Callable[[str], None]
) -> Iterator[tuple[Node, ...] | None]:
    """What the inventory says, once each time that it has changed; else None.

    A change counts when two looks in a row find it: the first may meet an editor in the middle of
    writing.  A file that cannot be read is told once, and the last good list holds.
    """
    good: tuple[Node, ...] | None = None
    fresh: tuple[Node, ...] | None = None
    told = ""
    while True:
        now: tuple[Node, ...] | None = None
        try:
            now, trouble = load(), ""
        except UserError as error:
            trouble = str(error)
        if trouble not in {"", told}:
            tell(f"{trouble}; the list of nodes stays as it was")
        told = trouble
        settled = now is not None and now == fresh and now != good
        fresh, good = now, now if settled else good
        yield good if settled else None


def news(cases: Mapping[str, Case], listed: Sequence[Node]) -> Iterator[tuple[Decision, str]]:
    """What changes by a new list, as campaign/decisions.py has them, and what to tell of each."""
    names = {node.name for node in listed}
    for node in listed:
        case = cases.get(node.name)
        if case is None:
            whole = asdict(replace(node, labels=dict(node.labels)))
            yield {"do": "join", "node": node.name, "as": whole}, f"{node.name} joins"
            continue
        if not case.listed:
            back = f"{node.name} is in the inventory again"
            again = f"; its verdict stands: burn it again with --again {node.name}"
            yield {"do": "relist", "node": node.name}, back + again * (case.phase == "done")
        ways = {name: getattr(node, name) for name in WAYS}
        if case.phase != "done" and by_way_of(case.node, node) != case.node:
            yield {"do": "move", "node": node.name, "ways": ways}, moved(case.node, node)
    for name, case in cases.items():
        if case.listed and name not in names:
            stays = "it keeps its verdict" if case.phase == "done" else "it burns on to its verdict"
            yield {"do": "unlist", "node": name}, f"{name} is no longer in the inventory: {stays}"


def moved(before: Node, after: Node) -> str:
    """What is otherwise now; its host key has to be known at the new address."""
    changes = (
        f"{name} {getattr(after, name) or '-'} instead of {getattr(before, name) or '-'}"
        for name in WAYS
        if getattr(after, name) != getattr(before, name)
    )
    return f"{before.name} is reached otherwise from now on: {', '.join(changes)}"

"""One line about many nodes, spread over them: n[1-4] beside 10.0.0.[1-4]."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from clusterctl.inventory.draft import Draft, Said, refuse
from clusterctl.inventory.ranges import BadRange, expand, matches_range


def names_of(pattern: str, origin: str) -> tuple[str, ...]:
    """The names in the order written.  Raises UserError."""
    if re.search(r"[^\s,]\s+[^\s,]", pattern):  # "all nodes" is not two nodes
        raise refuse(origin, f"{pattern!r}: a name holds no blank; put commas between names")
    try:
        return expand(pattern)
    except BadRange as error:
        raise refuse(origin, str(error)) from None


def along(key: str, text: str, origin: str, count: int) -> list[Said]:
    """What is said of `count` nodes at once: one value for all, or a range of as many.

    Of a single node the text is meant as it stands: its label may hold brackets.
    """
    if not matches_range(text) or (count == 1 and key != "address"):
        return [Said(text, origin)]
    try:
        each = expand(text)
    except BadRange as error:
        raise refuse(origin, f"{key}: {error}") from None
    if len(each) != count:
        raise refuse(origin, f"{key}: {text!r} is {len(each)} for {count} nodes; make them as many")
    return [Said(one, origin) for one in each]


def spread(names: tuple[str, ...], origin: str, said: Mapping[str, list[Said]]) -> Iterator[Draft]:
    """One draft a name; what was said as a range goes along with the names one by one."""
    for index, name in enumerate(names):
        own = {key: many[index] if len(many) > 1 else many[0] for key, many in said.items()}
        yield Draft(name, origin, own)

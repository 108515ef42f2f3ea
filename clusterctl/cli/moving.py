"""A campaign led from another host than it began on: what has to be here, by name.

No key is in a run's directory, only where it lay; host keys are those that this host knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterctl.cli.world import Flags
from clusterctl.model import Node, UserError

if TYPE_CHECKING:
    from clusterctl.store import Stored


def connecting(found: Stored, flags: Flags) -> Flags:
    """The ways to reach nodes that it began with, where this call says nothing else.

    Raises UserError.
    """
    told: dict[str, Any] = found.about.get("campaign", {})
    config = told.get("ssh_config")
    if flags.ssh_config is None and config:
        if not Path(config).is_file():
            raise UserError(
                f"{found.path}: began with the ssh configuration {config}, which is not on this "
                "host: name one that knows its nodes with -F FILE"
            )
        flags = replace(flags, ssh_config=Path(config))
    return replace(flags, accept_new=flags.accept_new or bool(told.get("accept_new")))


def reachable(found: Stored, nodes: Sequence[Node], flags: Flags) -> tuple[Node, ...]:
    """The nodes, by the ways of the inventory that this call names.  Raises UserError."""
    from clusterctl.campaign.rolling import by_way_of
    from clusterctl.inventory import load
    from clusterctl.inventory.ranges import fold

    if flags.inventory:
        known = {node.name: node for node in load(flags.inventory)}
        absent = [node.name for node in nodes if node.name not in known]
        if absent and not (flags.watch or found.about.get("campaign", {}).get("watch")):
            raise UserError(
                f"{', '.join(map(str, flags.inventory))}: has no {fold(absent)}, which "
                f"{found.id} burns: add them, or leave -i out"
            )
        nodes = [by_way_of(node, known.get(node.name, node)) for node in nodes]
    for node in nodes:
        if (
            node.identity
            and "%" not in node.identity
            and not Path(node.identity).expanduser().exists()
        ):
            raise UserError(
                f"{found.path}: {node.name}: its key {node.identity} is not on this host: put one "
                "there, or name an inventory that knows another: --resume RUN -i FILE"
            )
    return tuple(nodes)

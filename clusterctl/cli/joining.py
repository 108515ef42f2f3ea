"""The inventory of a campaign that nodes may join, read again and again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterctl.cli.world import Flags
from clusterctl.model import Node, UserError

if TYPE_CHECKING:
    from clusterctl.store import Stored

log = logging.getLogger(__name__)


def lists(found: Stored, flags: Flags) -> Iterator[tuple[Node, ...] | None] | None:
    """See rolling.looks; None: nobody joins.  Raises UserError."""
    from clusterctl.campaign.rolling import looks
    from clusterctl.cli.bmc import access_to
    from clusterctl.inventory import load
    from clusterctl.inventory.select import select
    from clusterctl.limits import check_labels
    from clusterctl.playbook import skus

    told: dict[str, Any] = found.about.get("campaign", {})
    if not (flags.watch or told.get("watch")):
        return None
    files = tuple(flags.inventory or map(Path, told.get("inventory", ())))
    if not files:
        raise UserError(f"{found.path}: --watch: needs a file to watch: -i INVENTORY")

    def listed() -> tuple[Node, ...]:
        chosen = select(load(files, nodes=told.get("nodes", "")), told.get("select", ""))
        check_labels(chosen, skus())
        for node in chosen:
            access_to(node, "")  # raises where what it says of a BMC cannot be meant
        return chosen

    return looks(listed, log.warning)

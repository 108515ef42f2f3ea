"""Which limit holds where: the check's own, the SKU's, the inventory's, the playbook's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clusterctl.model import Check, Limit, Limits, Node, Playbook

# Inventory labels that say what a node should have; anything else belongs in a playbook.
LABELS = {
    "accelerators": ("accelerator_count", "accelerators"),
    "port_gbit_s": ("port_rate", "port_gbit_s"),
}


@dataclass(frozen=True, slots=True)
class Sku:
    """One file of `expected/`: `match` lists the model names that its devices report."""

    name: str
    models: tuple[str, ...] = ()
    limits: Mapping[str, Limits] = field(default_factory=dict)


def resolve(
    check: Check, playbook: Playbook, skus: Sequence[Sku], node: Node, model: str
) -> dict[str, Limit]:
    """The limits of a check on a node; later ones win: check, SKU, inventory, playbook."""
    found = dict(check.limits)
    for sku in skus:
        if node.labels.get("sku") == sku.name or (model and model in sku.models):
            found.update(sku.limits.get(check.name, {}))
    for label, (name, limit) in LABELS.items():
        if name == check.name and label in node.labels:
            found[limit] = Limit(amount(node.labels[label]), f"inventory {node.origin}")
    found.update(playbook.expect.get(check.name, {}))
    return found


def amount(text: str) -> float | str:
    """An inventory label as the number it spells, if it spells one."""
    try:
        return float(text)
    except ValueError:
        return text

"""Which limit holds where: the check's own, the SKU's, the inventory's, the playbook's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import inf

from clusterctl.model import Check, Limit, Limits, Node, Playbook, UserError

# Inventory labels that say what a node should have; anything else belongs in a playbook.
LABELS = {
    "accelerators": ("accelerator_count", "accelerators"),
    "port_gbit_s": ("port_rate", "port_gbit_s"),
    "rack_power_w": ("rack_power", "budget_w"),
}


@dataclass(frozen=True, slots=True)
class Sku:
    """One file of `expected/`: `models` are the names that its devices report.

    `only_when_named` ("check.limit"): hold only where the inventory's `sku` label names this file.
    """

    name: str
    models: tuple[str, ...] = ()
    limits: Mapping[str, Limits] = field(default_factory=dict)
    only_when_named: tuple[str, ...] = ()


def resolve(
    check: Check, playbook: Playbook, skus: Sequence[Sku], node: Node, model: str
) -> dict[str, Limit]:
    """The limits of a check on a node; later ones win: check, SKU, inventory, playbook."""
    found = dict(check.limits)
    for sku in skus:
        limits = sku.limits.get(check.name, {})
        if node.labels.get("sku") == sku.name:
            found.update(limits)
        elif model and model in sku.models:
            kept = sku.only_when_named
            found.update({k: v for k, v in limits.items() if f"{check.name}.{k}" not in kept})
    for label, (name, limit) in LABELS.items():
        if name == check.name and label in node.labels:
            found[limit] = Limit(amount(node.labels[label]), f"inventory {node.origin}")
    found.update(playbook.expect.get(check.name, {}))
    return found


def check_labels(nodes: Iterable[Node]) -> None:
    """Raises UserError where a label that is a limit spells no number."""
    for node in nodes:
        for label in LABELS.keys() & node.labels.keys():
            value = amount(node.labels[label])
            if isinstance(value, str) or not 0 <= value < inf:  # nan is refused here, too
                given = node.labels[label]
                raise UserError(f"{node.origin}: {label}: expected a number, found {given!r}")


def unknown_skus(nodes: Iterable[Node], skus: Sequence[Sku]) -> list[str]:
    """A line for each `sku` label that nearly names a file of `expected/`: likely a slip.

    Any other word is fine: it groups peers and promises nothing.
    """
    names = {sku.name for sku in skus}
    given = {node.labels.get("sku", ""): node.origin for node in nodes}
    return [
        f"{origin}: no expected values for sku {label!r}; did you mean {close[0]!r}?"
        for label, origin in given.items()
        if label and label not in names and (close := get_close_matches(label, names, 1, 0.85))
    ]


def amount(text: str) -> float | str:
    """An inventory label as the number it spells, if it spells one."""
    try:
        return float(text)
    except ValueError:
        return text

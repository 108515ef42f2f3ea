"""Which limit holds where: the check's own, the SKU's, the inventory's, the playbook's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite

from clusterctl.model import Check, Limit, Limits, Node, Playbook, UserError
from clusterctl.yaml_files import kind, refuse_unknown

# Inventory labels that say what a node should have; anything else belongs in a playbook.
LABELS = {
    "accelerators": ("accelerator_count", "accelerators"),
    "port_gbit_s": ("port_rate", "port_gbit_s"),
    "rack_power_w": ("rack_power", "budget_w"),
}
# Nobody has half of one.
WHOLE = frozenset({"accelerators", "drives", "links_up", "rdma_ports_active", "threads"})


@dataclass(frozen=True, slots=True)
class Expected:
    """One number of a card: what was measured, the least and the most that it may be."""

    value: float | None
    floor: float | None
    ceiling: float | None
    source: str
    conditions: str


@dataclass(frozen=True, slots=True)
class Sku:
    """One file of `expected/`: `models` are the names that its devices report.

    `only_when_named` ("check.limit"): hold only where the inventory's `sku` label names this file.
    `reference`: what its cards can do that no check compares with.
    """

    name: str
    models: tuple[str, ...] = ()
    limits: Mapping[str, Limits] = field(default_factory=dict)
    only_when_named: tuple[str, ...] = ()
    reference: Mapping[str, Expected] = field(default_factory=dict)


def resolve(
    check: Check, playbook: Playbook, skus: Sequence[Sku], node: Node, model: str
) -> dict[str, Limit]:
    """The limits of a check on a node; later ones win: check, SKU, inventory, playbook."""
    return {**check.limits, **told(check.name, playbook, skus, node, model)}


def told(
    check: str, playbook: Playbook, skus: Sequence[Sku], node: Node, model: str
) -> dict[str, Limit]:
    """What SKU, inventory and playbook, later ones winning, say for a check by this name."""
    found: dict[str, Limit] = {}
    for sku in skus:
        limits = sku.limits.get(check, {})
        if node.labels.get("sku") == sku.name:
            found.update(limits)
        elif model and model in sku.models:
            kept = sku.only_when_named
            found.update({k: v for k, v in limits.items() if f"{check}.{k}" not in kept})
    for label, (name, limit) in LABELS.items():
        if name == check and label in node.labels:
            found[limit] = Limit(amount(node.labels[label]), f"inventory {node.origin}")
    found.update(playbook.expect.get(check, {}))
    return found


def check_labels(nodes: Iterable[Node], skus: Sequence[Sku]) -> None:
    """Raises UserError where a label that is a limit spells none, or `sku` is likely a slip.

    A `sku` that is no file of `expected/` groups peers and promises nothing, so one that nearly
    is needs the label that says what is promised: a slip would take the promise away unseen.
    """
    names = {sku.name for sku in skus}
    for node in nodes:
        for label in sorted(LABELS.keys() & node.labels.keys()):
            refuse_amount(f"{node.origin}: {label}", label, amount(node.labels[label]))
        sku = node.labels.get("sku", "")
        if not sku or sku in names or "accelerators" in node.labels:
            continue
        if close := [name for name in sorted(names) if bare(name) == bare(sku)]:
            raise UserError(
                f"{node.origin}: sku: no expected values for {sku!r}; did you mean {close[0]!r}? "
                f"If it is another card, say how many: accelerators: 8"
            )


def bare(sku: str) -> str:
    """Without case and signs.  A letter or a digit more is another card: H20 is no slip of H200."""
    return "".join(filter(str.isalnum, sku.casefold()))


def refuse_amount(where: str, limit: str, value: object) -> None:
    """Raises UserError for what no limit can be: a word, nan, less than nothing, half a card."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -inf < value < inf:
        raise UserError(f"{where}: expected a number, found {value!r}")
    if value < 0:
        raise UserError(f"{where}: expected a number from 0 up, found {value!r}")
    if limit in WHOLE and value % 1:
        raise UserError(f"{where}: expected a whole number, found {value!r}")


def amount(text: str) -> float | str:
    """An inventory label as the number it spells, if it spells one."""
    try:
        return float(text)
    except ValueError:
        return text


def expected(where: str, given: object) -> Expected:
    """One number of a card.  Raises UserError where it says too little to be believed."""
    if not isinstance(given, dict):
        raise UserError(f"{where}: expected keys and values, found {kind(given)}")
    refuse_unknown(where, given, ("value", "floor", "ceiling", "source", "conditions"))
    for key in ("source", "conditions"):
        if not given.get(key):
            raise UserError(f"{where}: has no {key}")
    ends = [given[key] for key in ("floor", "value", "ceiling") if key in given]
    if not ends:
        raise UserError(f"{where}: has no value, floor or ceiling")
    for one in ends:
        if isinstance(one, bool) or not isinstance(one, int | float) or not isfinite(one):
            raise UserError(f"{where}: expected a number, found {one!r}")
    if ends != sorted(ends):
        raise UserError(f"{where}: floor, value and ceiling do not follow each other")
    return Expected(
        given.get("value"),
        given.get("floor"),
        given.get("ceiling"),
        str(given["source"]),
        str(given["conditions"]),
    )


def compares(name: str, one: Expected) -> Iterator[tuple[str, dict[str, object]]]:
    """What a check compares with: the floor, and the ceiling beyond which a test is broken.

    Raises UserError where a rate has only one of them: half a limit passes what is absurd.
    """
    told: dict[str, object] = {"source": one.source, "conditions": one.conditions}
    if name.endswith("_s") and (one.floor is None or one.ceiling is None):
        raise UserError(f"{name}: a rate needs a floor and a ceiling ({one.source})")
    yield name, {"value": one.value if one.floor is None else one.floor, **told}
    if one.ceiling is not None:
        yield f"ceiling_{name.replace('nvls_', '')}", {"value": one.ceiling, **told}

"""By what a run was judged: every limit in force with its source, and what the nodes run."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clusterctl.inventory.ranges import fold
from clusterctl.judge import by_node
from clusterctl.knowledge import checks
from clusterctl.limits import LABELS, Sku, resolve
from clusterctl.model import Accelerator, Limit, Node, Run, Status, Version
from clusterctl.report.folding import ORDER, fold_parts
from clusterctl.sources import believe


@dataclass(frozen=True, slots=True)
class InForce:
    """One limit where it held.  `nodes` empty: everywhere."""

    name: str
    value: str
    source: str
    conditions: str
    nodes: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """One check: what it asks, how often it said what, and by which limits."""

    name: str
    asks: str
    counts: tuple[tuple[Status, int], ...]
    limits: tuple[InForce, ...]


@dataclass(frozen=True, slots=True)
class Software:
    """`values`: (value, how many nodes, those nodes where it is not what most have)."""

    part: str
    values: tuple[tuple[str, int, str], ...]


def asked(run: Run, skus: Sequence[Sku]) -> list[Asked]:
    said: defaultdict[str, Counter[Status]] = defaultdict(Counter)
    for one in run.findings:
        said[one.check][one.verdict.status] += 1
    kinds = alike(run)
    known = {check.name: check for check in run.playbook.checks}
    found = []
    for name in [*(name for name in said if name not in known), *known]:
        limits = in_force(run, skus, name, kinds) if name in known else ()
        counts = tuple((status, said[name][status]) for status in ORDER if said[name][status])
        asks = known[name].asks if name in known else checks.asks(name)
        found.append(Asked(name, asks, counts, limits))
    return found


def alike(run: Run) -> list[tuple[Node, str, list[str]]]:
    """(one of them, its model, their names): nodes for which every limit is the same."""
    models = accelerator_models(run)
    groups: defaultdict[tuple[str, ...], list[Node]] = defaultdict(list)
    for node in run.nodes:
        labels = (node.labels.get(name, "") for name in ("sku", *LABELS))
        groups[models[node.name], *labels].append(node)
    return [(nodes[0], key[0], [node.name for node in nodes]) for key, nodes in groups.items()]


def accelerator_models(run: Run) -> dict[str, str]:
    """The first accelerator's model, as limits are chosen by it; empty where none was seen."""
    probes = {probe.name: probe for probe in run.playbook.probes}
    seen = by_node(one for one in run.observations if one.probe in probes)
    return {
        node.name: next(
            (
                fact.model
                for fact in believe(seen.get(node.name, ()), probes).facts((Accelerator,))
                if isinstance(fact, Accelerator)
            ),
            "",
        )
        for node in run.nodes
    }


def in_force(
    run: Run, skus: Sequence[Sku], name: str, kinds: Sequence[tuple[Node, str, list[str]]]
) -> tuple[InForce, ...]:
    check = next(check for check in run.playbook.checks if check.name == name)
    held: defaultdict[tuple[str, str], tuple[Limit, list[str]]]
    held = defaultdict(lambda: (Limit("", ""), []))
    for node, model, names in kinds:
        for limit_name, limit in resolve(check, run.playbook, skus, node, model).items():
            _, so_far = held[limit_name, spelt(limit)]
            held[limit_name, spelt(limit)] = (limit, so_far + names)
    return tuple(
        InForce(
            limit_name,
            value,
            limit.source,
            limit.conditions,
            "" if len(names) == len(run.nodes) else fold(names),
        )
        for (limit_name, value), (limit, names) in held.items()
    )


def spelt(limit: Limit) -> str:
    if isinstance(limit.value, tuple):
        return ", ".join(limit.value)
    return f"{limit.value:g}" if isinstance(limit.value, float) else str(limit.value)


def software(run: Run) -> list[Software]:
    """Versions and settings by part, like parts together; the usual value first."""
    probes = {probe.name: probe for probe in run.playbook.probes}
    seen = by_node(one for one in run.observations if one.probe in probes)
    said: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for node in run.nodes:
        for fact in believe(seen.get(node.name, ()), probes).facts((Version,)):
            if isinstance(fact, Version):
                said[fact.part, fact.value].add(node.name)
    by_part: defaultdict[str, list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
    for (part, value), nodes in said.items():
        by_part[part].append((value, tuple(sorted(nodes))))
    same: defaultdict[tuple[str, tuple[tuple[str, tuple[str, ...]], ...]], list[str]]
    same = defaultdict(list)
    for part, values in by_part.items():
        same[stem(part), tuple(sorted(values, key=lambda one: -len(one[1])))].append(part)
    return [
        Software(
            joined(parts),
            tuple(
                (value, len(nodes), fold(nodes) if number or len(nodes) < len(run.nodes) else "")
                for number, (value, nodes) in enumerate(values)
            ),
        )
        for (_, values), parts in sorted(same.items())
    ]


def stem(part: str) -> str:
    return re.sub(r"\d+", "#", part)


def joined(parts: Iterable[str]) -> str:
    """firmware/mlx5_0, firmware/mlx5_1 as firmware/mlx5_[0-1]."""
    heads: defaultdict[str, list[str]] = defaultdict(list)
    for part in parts:
        head, slash, tail = part.rpartition("/")
        heads[head + slash].append(tail)
    return ", ".join(head + fold_parts(tails) for head, tails in heads.items())

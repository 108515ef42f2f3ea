"""Which source says what hangs where: a walk of the subnet, LLDP, labels, or nothing but rails."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from clusterctl.fabric.tree import BY_INDEX, BY_LABELS, BY_LLDP, Cable, End, Fabric, built, natural
from clusterctl.fabric.walk import walked
from clusterctl.model import Evidence, FabricCounters, FabricLink, Neighbour, Node, Port

LEAF_OF_RAIL = re.compile(r"leaf([0-9]{1,3})")


def discover(
    evidence: Sequence[Evidence],
    *,
    nodes: tuple[str, ...],
    walk: str = "",
    rails: tuple[str, ...] = (),
) -> Fabric:
    """From the best that there is.

    `evidence`: what every node said of itself, and what somebody said of the whole, as `walk` says.
    `nodes` empty: whoever is found.  `rails`: devices in the plan's order.
    """
    links = [fact for one in evidence for fact in one.facts if isinstance(fact, FabricLink)]
    names = nodes or tuple(one.node.name for one in evidence)
    if links:
        counters = [f for one in evidence for f in one.facts if isinstance(f, FabricCounters)]
        known = [one for one in evidence if one.node.name in nodes]
        return walked(links, counters, known, walk, rails)
    heard = {one.node.name: list(neighbours(one)) for one in evidence}
    cables = [cable for many in heard.values() for cable in many]
    if cables:
        hearing = sum(map(bool, heard.values()))
        why = f"LLDP on {hearing} of {len(names)} nodes; what is behind the leaves is not heard"
        return built(BY_LLDP, why, names, cables, rails)
    said = [cable for one in evidence for cable in labelled(one.node)]
    if said:
        return built(BY_LABELS, "leaf labels of the inventory", names, said)
    why = (
        "rails by index and leaves not known: no subnet was walked, no LLDP heard and no leaf "
        "label found; `clusterctl bandwidth --mode exhaustive` may tell leaves by their rates"
    )
    return built(BY_INDEX, why, names, [c for one in evidence for c in guessed(one)], rails)


def neighbours(evidence: Evidence) -> Iterator[Cable]:
    """Of RDMA devices where there are any, under their names; else of every port that hears one."""
    ports = [fact for fact in evidence.facts if isinstance(fact, Port)]
    rdma = {port.netdev: port.device for port in ports if port.netdev and "/" in port.part}
    for fact in evidence.facts:
        if isinstance(fact, Neighbour) and (fact.part in rdma or not rdma):
            near = End(evidence.node.name, "", "node", rdma.get(fact.part, fact.part))
            yield Cable(near, End(fact.system, fact.system_port, "switch"))


def labelled(node: Node) -> Iterator[Cable]:
    """`leaf0`, `leaf1`, … or `leaf: a,b`: one a rail."""
    for rail, leaf in leaf_labels(node).items():
        yield Cable(End(node.name, "", "node", f"rail{rail}"), End(leaf, "", "switch"))


def leaf_labels(node: Node) -> dict[int, str]:
    own = {
        int(found[1]): text.strip()
        for name, text in node.labels.items()
        if (found := LEAF_OF_RAIL.fullmatch(name)) and text.strip()
    }
    if own:
        return own
    listed = [word.strip() for word in node.labels.get("leaf", "").split(",")]
    return {rail: leaf for rail, leaf in enumerate(listed) if leaf}


def guessed(evidence: Evidence) -> Iterator[Cable]:
    """RDMA ports that are up, each a rail."""
    ports = [
        fact
        for fact in evidence.facts
        if isinstance(fact, Port) and "/" in fact.part and fact.state == "active"
    ]
    for port in sorted(ports, key=lambda port: natural(port.part)):
        number = port.part.rpartition("/")[2]
        near = End(evidence.node.name, number, "node", port.device)
        yield Cable(near, End("", "", "switch"))

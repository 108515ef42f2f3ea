"""Cables out of what ibnetdiscover, iblinkinfo and ibqueryerrors say of a subnet."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from clusterctl.fabric.tree import BY_TOOL, Cable, End, Fabric, built, natural
from clusterctl.model import Evidence, FabricCounters, FabricLink, Port

T = TypeVar("T")
Place = tuple[str, int]  # GUID and number of a port
# What a box that was never named says of itself: no host name is in it.
UNNAMED = re.compile(r"Mellanox|Infiniband|MT[0-9]|ConnectX|HCA|mlx[45]_", re.IGNORECASE)
AGGREGATION = "Aggregation Node"  # SHARP's own end in a switch; no host
STATES = ("down", "init", "armed", "active", "")  # worst first


def walked(
    links: Iterable[FabricLink],
    counters: Iterable[FabricCounters],
    evidence: Sequence[Evidence],
    origin: str,
    rails: tuple[str, ...] = (),
) -> Fabric:
    """`evidence` empty: every host that the tool names is a node."""
    seen = told_apart(merged(links))
    errors: dict[Place, dict[str, int]] = defaultdict(dict)
    for one in counters:
        errors[one.near_guid, one.near_port].update(one.counters)
    hosts = Hosts(evidence)
    ends = {place: end(link, hosts, errors.get(place, {})) for place, link in seen.items()}
    cables = []
    for place, link in seen.items():
        other = (link.far_guid, link.far_port or 0)
        if not link.far or AGGREGATION in link.near or AGGREGATION in link.far:
            continue
        mirrored = seen.get(other)
        if mirrored is not None and mirrored.far and other < place:
            continue  # told from its other end
        far = ends.get(other) or end(mirror(link), hosts, errors.get(other, {}))
        cables.append(cable(link, mirrored, ends[place], far))
    nodes = hosts.nodes or tuple(
        sorted({one.box for each in cables for one in (each.near, each.far)
                if one.kind == "node"}, key=natural)
    )  # fmt: skip
    return built(BY_TOOL, origin, nodes, cables, rails)


def merged(links: Iterable[FabricLink]) -> dict[Place, FabricLink]:
    """Each port once: what one tool leaves empty, the other fills in."""
    seen: dict[Place, FabricLink] = {}
    for link in links:
        place = (link.near_guid, link.near_port)
        seen[place] = fill(seen[place], link) if place in seen else link
    return seen


def fill(one: FabricLink, other: FabricLink) -> FabricLink:
    gaps = {
        name: getattr(other, name)
        for name in FabricLink.__slots__
        if getattr(one, name) in ("", None) and getattr(other, name) not in ("", None)
    }
    return replace(one, **gaps) if gaps else one


def told_apart(seen: dict[Place, FabricLink]) -> dict[Place, FabricLink]:
    """Switches that bear one name, as those never named do, get their GUIDs beside it."""
    bearers: defaultdict[str, set[str]] = defaultdict(set)
    for link in seen.values():
        if link.near_kind == "switch":
            bearers[link.near].add(link.near_guid)
    shared = {name for name, guids in bearers.items() if len(guids) > 1}
    return {
        place: replace(link, near=f"{link.near} {link.near_guid}")
        if link.near_kind == "switch" and link.near in shared
        else link
        for place, link in seen.items()
    }


def mirror(link: FabricLink) -> FabricLink:
    """The far end, of which its own line says nothing."""
    return FabricLink(
        f"{link.far}/{link.far_port}",
        link.far,
        link.far_guid,
        link.far_port or 0,
        near_kind=link.far_kind,
    )


class Hosts:
    """Whose adapter it is: by GUID where a node told its own, else by the name it goes under."""

    def __init__(self, evidence: Sequence[Evidence]) -> None:
        self.nodes = tuple(one.node.name for one in evidence)
        self.short = {name.partition(".")[0].lower(): name for name in self.nodes}
        self.adapters: dict[str, tuple[str, str]] = {}
        for one in evidence:
            for fact in one.facts:
                if isinstance(fact, Port) and fact.guid and fact.device:
                    self.adapters[fact.guid] = (one.node.name, fact.device)

    def of(self, link: FabricLink) -> tuple[str, str, str]:
        """(box, device, kind): ("n01", "mlx5_0", "node"), or a host that is none of ours."""
        if link.near_device in self.adapters:
            return (*self.adapters[link.near_device], "node")
        first, _, rest = link.near.partition(" ")
        device = rest.partition(" ")[0] or "HCA"
        name = self.short.get(first.partition(".")[0].lower())
        if name is not None:
            return name, device, "node"
        if not link.near or UNNAMED.search(first):
            return link.near_guid, device, "host"
        return first, device, "host" if self.nodes else "node"


def end(link: FabricLink, hosts: Hosts, counters: Mapping[str, int]) -> End:
    number = str(link.near_port)
    if link.near_kind == "switch":
        return End(link.near or link.near_guid, number, "switch", "", link.near_guid, counters)
    box, device, kind = hosts.of(link)
    return End(box, number, kind, device, link.near_guid, counters)


def cable(link: FabricLink, back: FabricLink | None, near: End, far: End) -> Cable:
    both = [link] if back is None else [link, back]
    state = min((one.state for one in both), key=lambda s: STATES.index(s) if s in STATES else 0)
    return Cable(
        near,
        far,
        width=link.width,
        speed_gbit_s=link.speed_gbit_s,
        width_could=first(one.width_could for one in both),
        speed_could_gbit_s=first(one.speed_could_gbit_s for one in both),
        state=state,
    )


def first(values: Iterable[T | None]) -> T | None:
    return next((value for value in values if value is not None), None)

"""Asking what hangs where: every node about itself, and one node for each subnet about the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from clusterctl import catalog
from clusterctl.judge import by_node
from clusterctl.model import (
    WHOLE_NODE,
    Evidence,
    FabricCounters,
    FabricLink,
    Fact,
    Node,
    Observation,
    Playbook,
    Port,
    Probe,
    Trouble,
)
from clusterctl.observe import attempt
from clusterctl.probes.ibnetdiscover import question
from clusterctl.run import World, look, together

WALKS = ("ibnetdiscover", "iblinkinfo", "ibqueryerrors")
JUDGED = ("drift", "stale_addresses", "rail_settings")
MOST_FAILURES = 3  # nodes that could not walk, one after the other, until it is given up
MOST_SUBNETS = 16


@dataclass(frozen=True, slots=True)
class Door:
    """A port that is active on an InfiniBand subnet; `device` empty: the tools' own choice."""

    node: Node
    device: str = ""
    port: str = ""
    guid: str = ""


def playbook() -> Playbook:
    """What every node is asked.  The walks are put to a few of them, see `walk`."""
    fabric = catalog.fabric_probes()
    of_nodes = [probe for name, probe in fabric.items() if name not in WALKS]
    checks = [catalog.all_checks()[name] for name in JUDGED]
    return Playbook(
        "fabric",
        about="what hangs where, and the settings that must agree",
        probes=(catalog.all_probes()["sysfs_rdma"], *of_nodes),
        checks=tuple(checks),
        origin="clusterctl fabric",
    )


def walk(
    nodes: Sequence[Node],
    seen: Sequence[Observation],
    book: Playbook,
    world: World,
    chosen: Sequence[Node] = (),
) -> tuple[list[Observation], list[str]]:
    """Observations of the walks, and the nodes that walked.

    From the first node with an active port on a subnet that was not walked yet; where that fails,
    from the next.  `chosen`: from these alone.
    """
    probes = [catalog.fabric_probes()[name] for name in WALKS]
    told: dict[tuple[str, str], Observation] = {}
    failed: list[Observation] = []
    walkers: list[str] = []
    covered: set[tuple[str, str]] = set()
    known: set[tuple[str, int]] = set()
    unable: set[str] = set()
    failures = subnets = 0
    for door in doors(chosen or nodes, seen, any_node=bool(chosen)):
        if (door.guid, door.port) in covered or (door.guid == "" and walkers):
            continue
        if door.node.name in unable:  # its other ports would have the same tools and rights
            continue
        if failures == MOST_FAILURES or subnets == MOST_SUBNETS:
            break
        asked = [(door.node, [through(probe, door) for probe in probes])]
        found = look(
            f"subnet-{len(unable) + len(walkers)}", asked, book, book.pace.node_s * 3, world
        )
        links = [fact for one in found for fact in one.facts if isinstance(fact, FabricLink)]
        if not links:
            failures += 1
            unable.add(door.node.name)
            failed += found
            continue
        places = {(link.near_guid, link.near_port) for link in links}
        if places <= known:  # a subnet walked already, whose ports we cannot tell: enough of it
            break
        known |= places
        failures, subnets = 0, subnets + 1
        walkers.append(door.node.name)
        covered |= {(link.near_device, str(link.near_port)) for link in links}
        for one in found:
            old = told.get((one.node, one.probe))
            told[one.node, one.probe] = one if old is None else together(old, one)
    return [*settled(failed, walkers, told), *told.values()], list(dict.fromkeys(walkers))


def doors(nodes: Sequence[Node], seen: Sequence[Observation], *, any_node: bool) -> Iterator[Door]:
    """`any_node`: one that shows no such port is tried too; somebody named it."""
    said = by_node(seen)
    for node in nodes:
        ports = [
            fact
            for one in said.get(node.name, ())
            for fact in one.facts
            if isinstance(fact, Port) and fact.link_layer == "infiniband" and fact.state == "active"
        ]
        for fact in ports:
            device, _, port = fact.part.partition("/")
            yield Door(node, device, port, fact.guid or "")
        if any_node and not ports:
            yield Door(node)


def through(probe: Probe, door: Door) -> Probe:
    if not door.device:
        return probe
    tool, *options = probe.question.command
    asked = question(tool, *options, device=door.device, port=door.port)
    return replace(probe, question=asked)


def settled(
    failed: Sequence[Observation],
    walkers: Sequence[str],
    told: dict[tuple[str, str], Observation],
) -> Iterator[Observation]:
    """What failed on one node and was told by another is no gap."""
    once: dict[tuple[str, str], Observation] = {}
    for one in failed:
        once.setdefault((one.node, one.probe), one)
    for key, one in once.items():
        if key in told:
            continue
        if walkers and one.troubles:
            why = f"{one.troubles[0]}; {walkers[0]} was asked instead"
            yield Observation(one.node, one.probe, one.at, skip=why)
        else:
            yield one


def survey(
    nodes: Sequence[Node], book: Playbook, world: World, chosen: Sequence[Node] = ()
) -> tuple[list[Observation], list[str]]:
    """Everything that every node said and that the walkers said, and who walked."""
    asked = [(node, book.probes) for node in nodes]
    seen = look("now", asked, book, book.pace.node_s, world)
    walked, walkers = walk(nodes, seen, book, world, chosen)
    if walkers:
        seen = [unneeded(one, walkers[0]) for one in seen]
    return [*seen, *walked], walkers


def unneeded(one: Observation, walker: str) -> Observation:
    """LLDP that does not work is no gap where the subnet was walked."""
    broken = one.probe == "lldp" and one.troubles and not one.facts
    if not broken or any(trouble.part == WHOLE_NODE for trouble in one.troubles):
        return one
    why = f"{one.troubles[0]}; the subnet was walked from {walker}"
    return Observation(one.node, one.probe, one.at, skip=why)


def probes(book: Playbook) -> dict[str, Probe]:
    fabric = catalog.fabric_probes()
    return {probe.name: probe for probe in book.probes} | {name: fabric[name] for name in WALKS}


def evidence(nodes: Sequence[Node], seen: Sequence[Observation]) -> list[Evidence]:
    """All facts of each node; those of no node, read from files, under a name that no node has."""
    said = by_node(seen)
    known = {node.name for node in nodes}
    others = [Node(name) for name in said if name not in known]
    return [
        Evidence(node, tuple(fact for one in said.get(node.name, ()) for fact in one.facts))
        for node in (*nodes, *others)
    ]


def counted(seen: Sequence[Observation]) -> bool:
    """Error counters came, if only to say that none is high."""
    return any(one.probe == "ibqueryerrors" and not one.troubles and not one.skip for one in seen)


def counters(seen: Sequence[Observation]) -> dict[tuple[str, str], Mapping[str, int]]:
    """By GUID and number of the port; those that are zero are not in it."""
    facts = [fact for one in seen for fact in one.facts if isinstance(fact, FabricCounters)]
    return {(fact.near_guid, str(fact.near_port)): fact.counters for fact in facts}


def understood(name: str, text: str, at: datetime) -> Observation:
    """A saved output, read by whichever of the tools' readers makes most of it."""
    known = catalog.fabric_probes()
    tried = [(tool, attempt(known[tool].parse(text))) for tool in WALKS]

    def worth(read: tuple[str, list[Fact | Trouble]]) -> tuple[int, int]:
        troubles = sum(isinstance(item, Trouble) for item in read[1])
        return len(read[1]) - troubles, -troubles

    tool, found = max(tried, key=worth)
    facts = tuple(item for item in found if not isinstance(item, Trouble))
    troubles = tuple(item for item in found if isinstance(item, Trouble))
    return Observation(name, tool, at, facts, troubles)

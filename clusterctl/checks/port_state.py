"""Is every network port there and up, as on its peers?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from clusterctl.model import Accelerator, Check, Cpu, Evidence, Port, Severity, Verdict
from clusterctl.peers import majority
from clusterctl.verdicts import (
    SEE_WHY,
    facts_of,
    failing,
    hidden,
    make,
    number_in,
    passing,
    skipping,
    unknown,
    warning,
)

PEERS = "the same port on most nodes of this kind"
REMEDY = "look at cable, module and switch port; swap the cable first"
ABSENT = "absent"
# What a port waits for in each half-way state (InfiniBand: init and armed).
WAITING = {
    "init": ("no subnet manager has seen it", "see that a subnet manager runs; sweep again"),
    "armed": ("the subnet manager has not finished it", "see the subnet manager's log"),
}
Usual = Mapping[tuple[str, str], str | None]


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    usual = usual_states(fleet)
    for evidence in fleet:
        ports = facts_of(evidence, Port)
        for port in ports:
            yield state(evidence, port, usual.get((make(evidence), port.part)))
        yield from missing(evidence, {port.part for port in ports}, usual)
        yield from enough(evidence, ports)


def real(port: Port) -> bool:
    """A port of hardware: RDMA, or a network device that sits on a bus."""
    return "/" in port.part or port.pci is not None or port.link_layer == "infiniband"


def usual_states(fleet: Sequence[Evidence]) -> Usual:
    """Whoever could not see a port does not vote on it."""
    kinds: defaultdict[str, list[tuple[Evidence, dict[str, str]]]] = defaultdict(list)
    for evidence in fleet:
        states = {port.part: port.state for port in facts_of(evidence, Port) if real(port)}
        kinds[make(evidence)].append((evidence, states))
    return {
        (kind, part): majority(
            states.get(part, ABSENT)
            for evidence, states in nodes
            if part in states or not hidden(evidence, Port, part)
        )
        for kind, nodes in kinds.items()
        for part in {part for _, states in nodes for part in states}
    }


def state(evidence: Evidence, port: Port, usual: str | None) -> Verdict:
    if not real(port):
        return skipping(evidence, port.part, "not a port of hardware")
    if port.state == "active":
        yardstick = "peers" if usual else ""
        return passing(evidence, port.part, "active", expected="active", yardstick=yardstick)
    if usual == "active" and port.state != "unknown":
        return failing(
            evidence,
            port.part,
            expected="active",
            actual=described(port),
            why=WAITING[port.state][0] if port.state in WAITING else "up on its peers, not here",
            remedy=WAITING[port.state][1] if port.state in WAITING else REMEDY,
            severity=Severity.ISOLATE,
            source=PEERS,
            yardstick="peers",
        )
    if usual == port.state == "down":
        return skipping(evidence, port.part, "down on all peers: not in use")
    if port.state == "unknown":
        return unknown(
            evidence,
            port.part,
            "the port does not say whether it is up",
            expected="active",
            actual=described(port),
            remedy="ask ethtool or ibstat by hand",
        )
    return lonely(evidence, port)


def lonely(evidence: Evidence, port: Port) -> Verdict:
    """Not up, and no peers to tell whether it should be."""
    why, remedy = WAITING.get(
        port.state, ("nothing says whether it should be up", "if it is in use: " + REMEDY)
    )
    if port.enabled is False:
        remedy = "if it is in use, switch it on (ip link set … up)"
    return warning(
        evidence,
        port.part,
        expected="active",
        actual=described(port),
        why=why,
        remedy=remedy,
        source="the port's own word",
    )


def described(port: Port) -> str:
    words = [port.state, port.phys_state or "", "switched off" if port.enabled is False else ""]
    return ", ".join(filter(None, dict.fromkeys(words)))


def missing(evidence: Evidence, here: set[str], usual: Usual) -> Iterator[Verdict]:
    kind = make(evidence)
    for (other, part), wanted in sorted(usual.items()):
        if other != kind or part in here or wanted in {None, ABSENT}:
            continue
        if blind := hidden(evidence, Port, part):
            yield unknown(
                evidence,
                part,
                f"peers have this port, and here it was not seen: {blind}",
                expected=wanted or "",
                actual="not seen",
                remedy=SEE_WHY,
                source=PEERS,
            )
        else:
            yield failing(
                evidence,
                part,
                expected=wanted or "",
                actual="not there",
                why="peers have this port, this node does not",
                remedy="see the PCI bus and the kernel log for the card; reseat it",
                severity=Severity.ISOLATE,
                source=PEERS,
                yardstick="peers",
            )


def enough(evidence: Evidence, ports: Sequence[Port]) -> Iterator[Verdict]:
    limit = evidence.limits.get("rdma_ports_active")
    if limit is None:
        return
    wanted = int(number_in(limit))
    active = sum(port.state == "active" for port in ports if "/" in port.part)
    if active >= wanted:
        yield passing(
            evidence, "rdma ports", str(active), expected=f"≥ {wanted}", source=limit.source
        )
        return
    if blind := unseen_rdma(evidence):
        yield unknown(
            evidence,
            "rdma ports",
            f"others may be up and were not seen: {blind}",
            expected=f"≥ {wanted} active",
            actual=f"{active} seen",
            remedy=SEE_WHY,
            source=limit.source,
        )
        return
    yield failing(
        evidence,
        "rdma ports",
        expected=f"≥ {wanted} active",
        actual=str(active),
        why="fewer RDMA ports are up than this kind of node has",
        remedy=REMEDY,
        severity=Severity.ISOLATE,
        source=limit.source,
    )


def unseen_rdma(evidence: Evidence) -> str:
    """Why an RDMA port may not have been seen; a source that only tells of others hides none."""
    gaps = evidence.gaps.get(Port, ())
    return next(
        (gap.why for gap in gaps if not gap.elsewhere or any("/" in one for one in gap.elsewhere)),
        "",
    )


CHECKS = (
    Check(
        name="port_state",
        asks="Is every network port there and up, as on its peers?",
        wants=(Port,),
        uses=(Accelerator, Cpu),
        judge=judge,
        options=("rdma_ports_active",),
        scope="fleet",
    ),
)

"""Of a link between a node and a switch, or two switches: which end is the bad one?

The two ends know each other by LLDP.  What one end sends arrives at the other: an end that sends
well and is not heard well has a bad fibre behind it; one that sends badly is the bad one itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log10

from clusterctl.model import (
    Check,
    Evidence,
    Limit,
    Neighbour,
    Optic,
    Port,
    Severity,
    Verdict,
    Version,
)
from clusterctl.verdicts import (
    before,
    facts_of,
    failing,
    passing,
    skipping,
    source_of,
    threshold,
    unknown,
    warning,
)

BROKEN = ("rx_crc_errors_phy", "rx_symbol_err_phy", "rx_fcs_errors", "port_rcv_errors")


@dataclass(frozen=True, slots=True)
class End:
    evidence: Evidence
    port: Port | None
    optic: Optic | None
    name: str  # node and port, leaf-1 400GE1/0/3
    lossless: str | None = None  # its priorities, 3,4 or off; None: not known

    @property
    def is_switch(self) -> bool:
        return self.evidence.node.labels.get("role") == "switch"

    @property
    def broken(self) -> int | None:
        """Packets that arrived broken since the last reading; None: not known."""
        if self.port is None:
            return None
        then = before(self.evidence, Port).get(self.port.part)
        if then is None or not self.evidence.same_boot:
            return None
        rises = [
            now - past
            for name in BROKEN
            if (now := self.port.counters.get(name)) is not None
            and (past := then.counters.get(name)) is not None
            and now >= past
        ]
        return sum(rises) if rises else None


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    """A link is judged once; its other end, and who hears nobody, are told so."""
    known = {short(evidence.node.name): evidence for evidence in fleet}
    told: set[frozenset[tuple[str, str]]] = set()
    judged: set[str] = set()
    for evidence in fleet:
        for heard in facts_of(evidence, Neighbour):
            here = (short(evidence.node.name), heard.part)
            there = (short(heard.system), heard.system_port)
            if frozenset((here, there)) in told:
                continue
            told.add(frozenset((here, there)))
            found = list(link(evidence, heard, known.get(there[0])))
            judged |= {verdict.node for verdict in found}
            yield from found
    for evidence in fleet:
        if evidence.node.name not in judged and facts_of(evidence, Port):
            yield skipping(evidence, "node", "no neighbour was heard here")


def link(evidence: Evidence, heard: Neighbour, far: Evidence | None) -> Iterator[Verdict]:
    name = f"{heard.system or heard.chassis} {heard.system_port}".strip()
    if far is None:
        yield skipping(evidence, heard.part, f"its other end, {name}, was not asked")
        return
    one, other = end(evidence, heard.part), end(far, heard.system_port)
    verdict = between(one, other)
    yield verdict
    for which in (one, other):
        if which.evidence.node.name != verdict.node:
            why = f"this link is judged at {verdict.node} {verdict.part}"
            yield skipping(which.evidence, part_of(which), why)


def short(name: str) -> str:
    return name.partition(".")[0].lower()


def end(evidence: Evidence, part: str) -> End:
    ports = facts_of(evidence, Port)
    port = next((one for one in ports if part in (one.part, one.netdev, one.device)), None)
    names = {part, port.part if port else part, port.netdev if port else part}
    optic = next((one for one in facts_of(evidence, Optic) if one.part in names), None)
    if port:
        names.add(port.device)
    told = {f"rdma/{name}/pfc" for name in names if name}
    known = (one.value for one in facts_of(evidence, Version) if one.part in told)
    return End(evidence, port, optic, f"{evidence.node.name} {part}", next(known, None))


def between(one: End, other: End) -> Verdict:
    """One verdict a link, said of the end that is bad, else of the first."""
    bad = [fault for pair in ((one, other), (other, one)) if (fault := heard(*pair))]
    down = [which for which in (one, other) if which.port and which.port.state == "down"]
    part = f"{one.name} - {other.name}"
    if bad:
        return bad[0]
    if down:
        return failing(
            down[0].evidence,
            part_of(down[0]),
            expected="up at both ends",
            actual=f"down at {' and '.join(which.name for which in down)}",
            why=f"the link {part} was heard by LLDP and is down now",
            remedy=closed(down) or "reseat the module at both ends, then swap the cable",
            severity=Severity.ISOLATE,
            source="both ends' own word",
        )
    if one.port is None or other.port is None:
        lost = one if one.port is None else other
        return unknown(
            lost.evidence, part_of(lost), f"{lost.name} is named by its neighbour and not seen here"
        )
    if unlike(one, other):
        return warning(
            one.evidence,
            part_of(one),
            expected="the same lossless priorities (PFC) at both ends",
            actual=f"{one.name}: {one.lossless}; {other.name}: {other.lossless}",
            why="what one end holds back, the other goes on sending, or never holds back",
            remedy="set PFC for the same priorities at both ends",
            source="IEEE 802.1Qbb: both ends of a link enable PFC for a priority, or none does",
        )
    return passing(
        one.evidence, part_of(one), f"both ends up, no error: {part}", expected="up at both ends"
    )


def unlike(one: End, other: End) -> bool:
    """A node may hold back less than its switch could; two switches must be alike."""
    if one.lossless is None or other.lossless is None:
        return False
    here, there = ({*end.lossless.split(",")} - {"off"} for end in (one, other) if end.lossless)
    if one.is_switch == other.is_switch:
        return here != there
    return bool(there - here if one.is_switch else here - there)


def closed(down: Sequence[End]) -> str:
    for which in down:
        if which.port and which.port.enabled is False:
            return f"{which.name} is shut by configuration: open it if nobody meant that"
        word = which.port.phys_state if which.port else None
        if word and word.startswith("err"):  # EOS: errdisabled, VRP: error down(crc-statistics)
            return (
                f"{which.name} was shut by the switch itself ({word}): find the cause, then open it"
            )
    return ""


def part_of(which: End) -> str:
    return which.port.part if which.port else which.name.partition(" ")[2]


def heard(sender: End, receiver: End) -> Verdict | None:
    """What arrives at the receiver, laid at the sender's module or at the fibre between."""
    sent, got = weakest(sender.optic, "tx_mw"), weakest(receiver.optic, "rx_mw")
    evidence = receiver.evidence
    dark, most = threshold(evidence, "dark_mw"), threshold(evidence, "loss_db")
    if sent is not None and sent <= dark and (got is None or got <= dark):
        return failing(
            sender.evidence,
            part_of(sender),
            expected=f"> {dark:g} mW sent",
            actual=f"{sent:.3g} mW",
            why=f"the module of {sender.name} sends no light; {receiver.name} is not to blame",
            remedy=f"swap the module of {sender.name}",
            severity=Severity.ISOLATE,
            source=source_of(evidence, "dark_mw"),
        )
    lit = sent is not None and got is not None and min(sent, got) > max(dark, 0.0)
    lost = 10 * log10(sent / got) if lit and sent and got else None
    if sent is not None and sent > dark and got is not None and (got <= dark or (lost or 0) > most):
        return failing(
            evidence,
            part_of(receiver),
            expected=f"≤ {most:g} dB lost on the way",
            actual=f"{lost:.1f} dB lost" if lost is not None else "no light arrives",
            why=f"{sender.name} sends {sent:.3g} mW and {receiver.name} receives {got:.3g} mW: "
            "the fibre or a connector between them",
            remedy="clean both ends of the fibre; swap it; then swap the receiver's module",
            severity=Severity.ISOLATE,
            source=source_of(evidence, "loss_db"),
        )
    if receiver.broken:
        return warning(
            evidence,
            part_of(receiver),
            expected="no packet broken on the way",
            actual=f"+{receiver.broken} broken at {receiver.name}",
            why=f"what {sender.name} sends arrives broken"
            + (", and not the other way round" if sender.broken == 0 else ""),
            remedy=f"swap the module of {sender.name}, then the cable; {receiver.name} only counts",
            source="IEEE 802.3: a frame check sequence is made by the sender",
            yardstick="past",
        )
    return None


def weakest(optic: Optic | None, field: str) -> float | None:
    values = getattr(optic, field) if optic else None
    return min(values) if values else None


CHECKS = (
    Check(
        name="link_ends",
        asks="Of a link whose two ends were asked: is one of them bad, and which?",
        wants=(Neighbour, Port),
        uses=(Optic, Version),
        judge=judge,
        limits={
            "dark_mw": Limit(0.0001, "ethtool: -40 dBm means no light"),
            "loss_db": Limit(
                7,
                "IEEE 802.3cu 400GBASE-FR4: 4 dB channel insertion loss, and 3 dB that SFF-8636 "
                "lets a monitor be wrong",
            ),
        },
        scope="fleet",
        sums=True,  # an end that hears nobody itself may be heard by the other
    ),
)

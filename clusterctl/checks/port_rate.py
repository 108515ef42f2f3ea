"""Does every port that is up run at the speed it should?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from clusterctl.model import Accelerator, Check, Cpu, Evidence, Limit, Port, Severity, Verdict
from clusterctl.peers import majority
from clusterctl.verdicts import (
    absent,
    facts_of,
    failing,
    make,
    number_in,
    passing,
    settled,
    skipping,
    unknown,
    warning,
    words_in,
)

REMEDY = "reseat or swap cable and module; compare the speed set on the switch port"
Usual = Mapping[tuple[str, str], float | None]


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    votes: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for evidence in fleet:
        for port in facts_of(evidence, Port):
            if port.state == "active" and port.rate_gbit_s is not None:
                votes[make(evidence), port.part].append(port.rate_gbit_s)
    usual = {key: majority(rates) for key, rates in votes.items()}
    for evidence in fleet:
        for port in facts_of(evidence, Port):
            yield from settled((rate(evidence, port, usual), *duplex(evidence, port)))
        yield from unmatched(evidence)


def rate(evidence: Evidence, port: Port, usual: Usual) -> Verdict:
    if port.state != "active":
        return skipping(evidence, port.part, f"{port.state}: a port that is not up has no speed")
    if port.rate_gbit_s is None:
        return absent(evidence, port, "rate_gbit_s")
    floor, peers = floor_for(evidence, port), usual.get((make(evidence), port.part))
    if floor is not None:
        return against(evidence, port, number_in(floor), source=floor.source, yardstick="floor")
    if peers is not None:
        source = "the same port on most nodes of this kind"
        return against(evidence, port, peers, source=source, yardstick="peers")
    if port.rate_max_gbit_s is None:
        return skipping(
            evidence, port.part, f"{port.rate_gbit_s:g} Gbit/s, and nothing to compare with"
        )
    return against_itself(evidence, port, port.rate_gbit_s, port.rate_max_gbit_s)


def floor_for(evidence: Evidence, port: Port) -> Limit | None:
    """`port_gbit_s` holds for the ports whose name matches `ports`."""
    limit = evidence.limits.get("port_gbit_s")
    named = any(fnmatchcase(port.part, pattern) for pattern in words_in(evidence, "ports"))
    return limit if named else None


def unmatched(evidence: Evidence) -> Iterator[Verdict]:
    """A speed that was asked for and compared with no port must not look as if it were met."""
    limit, ports = evidence.limits.get("port_gbit_s"), facts_of(evidence, Port)
    if limit is not None and not any(floor_for(evidence, port) for port in ports):
        patterns = ", ".join(words_in(evidence, "ports"))
        yield unknown(
            evidence,
            "ports",
            f"no port here is called {patterns}, so this speed was compared with none",
            expected=f"≥ {number_in(limit):g} Gbit/s",
            actual="no such port",
            remedy="set port_rate's `ports` to patterns of the ports that are meant",
            source=limit.source,
        )


def against(
    evidence: Evidence, port: Port, wanted: float, *, source: str, yardstick: str
) -> Verdict:
    now = port.rate_gbit_s or 0.0
    if now >= wanted:
        return passing(
            evidence,
            port.part,
            f"{now:g} Gbit/s",
            expected=f"≥ {wanted:g} Gbit/s",
            source=source,
            yardstick=yardstick,
        )
    return failing(
        evidence,
        port.part,
        expected=f"≥ {wanted:g} Gbit/s",
        actual=f"{now:g} Gbit/s",
        why="the link came up slower than it should",
        remedy=REMEDY,
        severity=Severity.ISOLATE,
        source=source,
        yardstick=yardstick,
    )


def against_itself(evidence: Evidence, port: Port, now: float, most: float) -> Verdict:
    if now >= most:
        return passing(
            evidence, port.part, f"{now:g} Gbit/s", expected=f"{most:g} Gbit/s", yardstick="floor"
        )
    return warning(
        evidence,
        port.part,
        expected=f"{most:g} Gbit/s",
        actual=f"{now:g} Gbit/s",
        why="the port could do more; its module, cable or switch may not",
        remedy="set port_gbit_s for this kind of node if this speed is meant; else " + REMEDY,
        source="the port's own capability",
    )


def duplex(evidence: Evidence, port: Port) -> Iterator[Verdict]:
    """Said only where it is wrong: full duplex alone says nothing of the speed."""
    if port.state != "active" or (port.duplex or "").lower() != "half":
        return
    yield failing(
        evidence,
        port.part,
        expected="full duplex",
        actual="half duplex",
        why="the two ends disagree on auto-negotiation",
        remedy="set auto-negotiation the same on port and switch; then " + REMEDY,
        severity=Severity.ISOLATE,
        source="IEEE 802.3: links of 1 Gbit/s and more are full duplex",
    )


CHECKS = (
    Check(
        name="port_rate",
        asks="Does every port that is up run at the speed it should?",
        wants=(Port,),
        uses=(Accelerator, Cpu),
        judge=judge,
        options=("port_gbit_s",),
        scope="fleet",
        limits={
            "ports": Limit(
                ("*/*",), "clusterctl: an expected speed is that of the RDMA ports", "name patterns"
            )
        },
    ),
)

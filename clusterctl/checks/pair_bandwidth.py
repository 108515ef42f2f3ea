"""Is a path between two nodes slow, or does it garble what it carries?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from clusterctl.model import (
    Accelerator,
    Bandwidth,
    Check,
    Cpu,
    Evidence,
    Limit,
    Severity,
    Status,
    Verdict,
)
from clusterctl.peers import Crowd, crowd, shortfall
from clusterctl.verdicts import (
    facts_of,
    failing,
    make,
    number_in,
    passing,
    settled,
    skipping,
    source_of,
    threshold,
    unknown,
)

APART = "pair each of the two with a node known to be good: the slow one takes it along"
ITSELF = "see the port's PCIe width, generation and errors; then another slot, then return it"
Key = tuple[str, str, int | None, str, bool]


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    rates: defaultdict[Key, list[float]] = defaultdict(list)
    for evidence in fleet:
        for seen in facts_of(evidence, Bandwidth):
            if seen.crossed:
                rates[alike(evidence, seen)].append(seen.gbit_s)
    crowds = {key: crowd(values) for key, values in rates.items()}
    nodes = {evidence.node.name for evidence in fleet}
    for evidence in fleet:
        found = settled(
            verdict
            for seen in facts_of(evidence, Bandwidth)
            for verdict in (*intact(evidence, seen), speed_of(evidence, seen, crowds))
        )
        for verdict in found:
            yield verdict
            yield from of_partner(verdict, nodes)


def of_partner(verdict: Verdict, nodes: Collection[str]) -> Iterator[Verdict]:
    """One end measured it; one pair alone cannot clear the other end."""
    if verdict.status is Status.FAIL:
        for end in verdict.part.split(">"):
            node = end.partition("/")[0]
            if node in nodes and node != verdict.node:
                yield replace(verdict, node=node)


def alike(evidence: Evidence, seen: Bandwidth) -> Key:
    """Paths among themselves, and in loopback the same port of like nodes."""
    part = "" if ">" in seen.part else seen.part
    return make(evidence), seen.engine, seen.size_bytes, part, seen.both_ways


def intact(evidence: Evidence, seen: Bandwidth) -> Iterator[Verdict]:
    """Said only where it is not: right data alone says nothing of the speed."""
    limit = threshold(evidence, "wrong")
    if seen.wrong is not None and seen.wrong > limit:
        yield failing(
            evidence,
            seen.part,
            expected=f"≤ {limit:g} wrong",
            actual=str(seen.wrong),
            why="what arrived is not what was sent",
            remedy="isolate both nodes; " + APART,
            severity=Severity.ISOLATE,
            source=source_of(evidence, "wrong"),
        )


def speed_of(evidence: Evidence, seen: Bandwidth, crowds: Mapping[Key, Crowd | None]) -> Verdict:
    if seen.crossed or seen.gbit_s <= 0:
        return speed(evidence, seen, crowds)
    inside = f"{seen.gbit_s:.4g} Gbit/s within the kernel: the port itself was not used"
    return skipping(evidence, seen.part, inside)


def speed(evidence: Evidence, seen: Bandwidth, crowds: Mapping[Key, Crowd | None]) -> Verdict:
    floor, ceiling = evidence.limits.get("gbit_s"), evidence.limits.get("ceiling_gbit_s")
    actual = f"{seen.gbit_s:.4g} Gbit/s"
    if seen.gbit_s <= 0:
        return slow(evidence, seen, "> 0 Gbit/s", "nothing arrived", "0 is not slow, it is none")
    if ceiling is not None and seen.gbit_s > number_in(ceiling):
        return implausible(evidence, seen, f"≤ {number_in(ceiling):g} Gbit/s", ceiling.source)
    if floor is not None and seen.gbit_s < number_in(floor):
        expected = f"≥ {number_in(floor):g} Gbit/s"
        return slow(evidence, seen, expected, "slow path", floor.source)
    peers = crowds.get(alike(evidence, seen))
    if peers is not None:
        return among_peers(evidence, seen, peers)
    if floor is None:
        return skipping(evidence, seen.part, f"{actual}, no floor and too few peers")
    return passing(
        evidence,
        seen.part,
        actual,
        expected=f"≥ {number_in(floor):g} Gbit/s",
        source=floor.source,
        yardstick="floor",
    )


def among_peers(evidence: Evidence, seen: Bandwidth, peers: Crowd) -> Verdict:
    expected = f"about {peers.middle:.4g} Gbit/s as peers"
    if seen.gbit_s > peers.middle * threshold(evidence, "implausible_times"):
        source = source_of(evidence, "implausible_times")
        return implausible(evidence, seen, expected, source)
    below = shortfall(seen.gbit_s, peers, sigmas=threshold(evidence, "sigmas"))
    if below >= threshold(evidence, "fail_share"):
        return slow(
            evidence,
            seen,
            expected,
            f"{below:.0%} slower than {peers.count} paths",
            source_of(evidence, "fail_share"),
            yardstick="peers",
        )
    actual = f"{seen.gbit_s:.4g} Gbit/s"
    return passing(evidence, seen.part, actual, expected=expected, yardstick="peers")


def slow(
    evidence: Evidence,
    seen: Bandwidth,
    expected: str,
    why: str,
    source: str,
    *,
    yardstick: str = "floor",
) -> Verdict:
    return failing(
        evidence,
        seen.part,
        expected=expected,
        actual=f"{seen.gbit_s:.4g} Gbit/s",
        why=f"{why} ({seen.engine})",
        remedy=APART if ">" in seen.part else ITSELF,
        severity=Severity.ISOLATE,
        source=source,
        yardstick=yardstick,
    )


def implausible(evidence: Evidence, seen: Bandwidth, expected: str, source: str) -> Verdict:
    return unknown(
        evidence,
        seen.part,
        "faster than can be true: the test is broken, not the path",
        expected=expected,
        actual=f"{seen.gbit_s:.4g} Gbit/s",
        remedy="see whether the traffic left the node at all",
        source=source,
    )


CHECKS = (
    Check(
        name="pair_bandwidth",
        asks="Is a path between two nodes slow, or does it garble what it carries?",
        wants=(Bandwidth,),
        uses=(Accelerator, Cpu),
        judge=judge,
        options=("gbit_s", "ceiling_gbit_s"),
        scope="fleet",
        limits={
            "wrong": Limit(0, "ROCm/cvs: #wrong > 0 is corruption"),
            "fail_share": Limit(0.10, "gpu-fryer: more than 10 % below its peers fails"),
            "sigmas": Limit(5, "clusterctl: five robust standard deviations"),
            "implausible_times": Limit(10, "clusterctl: ten times its peers is a broken test"),
        },
    ),
)

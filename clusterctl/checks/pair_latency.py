"""Does a message between two nodes take longer than it should?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from clusterctl.model import (
    Accelerator,
    Check,
    Cpu,
    Evidence,
    Latency,
    Limit,
    Severity,
    Verdict,
)
from clusterctl.peers import Crowd, crowd, excess
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

Key = tuple[str, str, int]
APART = "pair each of the two with a node known to be good: the slow one takes it along"


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    times: defaultdict[Key, list[float]] = defaultdict(list)
    for evidence in fleet:
        for seen in facts_of(evidence, Latency):
            times[alike(evidence, seen)].append(seen.median_us)
    crowds = {key: crowd(values) for key, values in times.items()}
    nodes = {evidence.node.name for evidence in fleet}
    for evidence in fleet:
        for verdict in settled(delay(evidence, seen, crowds) for seen in mine(evidence)):
            yield verdict
            for end in verdict.part.split(">"):
                node = end.partition("/")[0]
                # One end measured it for both; one pair alone cannot clear the other end.
                if node != verdict.node and node in nodes:
                    yield replace(verdict, node=node)


def mine(evidence: Evidence) -> Sequence[Latency]:
    return facts_of(evidence, Latency)


def alike(evidence: Evidence, seen: Latency) -> Key:
    return make(evidence), seen.engine, seen.size_bytes


def delay(evidence: Evidence, seen: Latency, crowds: Mapping[Key, Crowd | None]) -> Verdict:
    limit = evidence.limits.get("p99_us")
    actual = f"median {seen.median_us:.4g} µs, 99 % {seen.p99_us:.4g} µs"
    if seen.count < 1 or seen.median_us <= 0:
        return unknown(
            evidence,
            seen.part,
            "no message takes no time: the test is broken, not the path",
            actual=actual,
            remedy="run it again with another engine",
        )
    if limit is not None and seen.p99_us > number_in(limit):
        expected = f"99 % ≤ {number_in(limit):g} µs"
        return slow(evidence, seen, expected, actual, limit.source, yardstick="floor")
    peers = crowds.get(alike(evidence, seen))
    if peers is None:
        if limit is None:
            return skipping(evidence, seen.part, f"{actual}, no limit and too few peers")
        expected = f"99 % ≤ {number_in(limit):g} µs"
        floor = {"source": limit.source, "yardstick": "floor"}
        return passing(evidence, seen.part, actual, expected=expected, **floor)
    expected = f"about {peers.middle:.4g} µs as peers"
    above = excess(seen.median_us, peers, sigmas=threshold(evidence, "sigmas")) / peers.middle
    if above >= threshold(evidence, "fail_share"):
        source = source_of(evidence, "fail_share")
        return slow(evidence, seen, expected, actual, source, yardstick="peers")
    return passing(evidence, seen.part, actual, expected=expected, yardstick="peers")


def slow(
    evidence: Evidence, seen: Latency, expected: str, actual: str, source: str, *, yardstick: str
) -> Verdict:
    return failing(
        evidence,
        seen.part,
        expected=expected,
        actual=actual,
        why=f"slow to answer ({seen.engine}, {seen.size_bytes} bytes)",
        remedy=APART,
        severity=Severity.ISOLATE,
        source=source,
        yardstick=yardstick,
    )


CHECKS = (
    Check(
        name="pair_latency",
        asks="Does a message between two nodes take longer than it should?",
        wants=(Latency,),
        uses=(Accelerator, Cpu),
        judge=judge,
        options=("p99_us",),
        scope="fleet",
        limits={
            "fail_share": Limit(1.1, "NVIDIA ClusterKit: bad above 2.1 times the best latency"),
            "sigmas": Limit(5, "clusterctl: five robust standard deviations"),
        },
    ),
)

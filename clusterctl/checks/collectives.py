"""Do collective operations among nodes reach what the fabric can, and bring right results?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from clusterctl.model import (
    Accelerator,
    Check,
    Collective,
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
    skipping,
    source_of,
    threshold,
    unknown,
)

OPERATIONS = (
    "all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "send_recv",
)  # fmt: skip
HALVE = "run it per pair, then halve the group with nodes known to be good: what stays slow is it"
CHECK = "run it again with its check on; nccl-tests: -c 1; HCCL: another type or fewer NPUs"
Key = tuple[str, str, str, int, int, str]


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    """Said of every node of the group: one slow member makes the whole group slow."""
    known = {evidence.node.name: evidence for evidence in fleet}
    rates: defaultdict[Key, dict[str, float]] = defaultdict(dict)  # by group, whoever told it
    for evidence in fleet:
        for seen in largest(evidence):
            rates[alike(evidence, seen)][seen.part] = seen.busbw_gbyte_s
    crowds = {key: crowd([*values.values()]) for key, values in rates.items()}
    for evidence in fleet:
        groups = by_group(evidence)
        for seen in largest(evidence):
            verdict = group_verdict(evidence, seen, groups[seen.part, seen.operation], crowds)
            yield verdict
            for name in sorted(set(seen.nodes) & known.keys() - {evidence.node.name}):
                yield replace(verdict, node=name)


def by_group(evidence: Evidence) -> dict[tuple[str, str], list[Collective]]:
    found: defaultdict[tuple[str, str], list[Collective]] = defaultdict(list)
    for seen in facts_of(evidence, Collective):
        found[seen.part, seen.operation].append(seen)
    return found


def largest(evidence: Evidence) -> Iterator[Collective]:
    """Of each group, operation and engine: averages over small sizes say little of a link.

    In place or not: the slower of the two.
    """
    best: dict[tuple[str, ...], Collective] = {}
    for seen in facts_of(evidence, Collective):
        key = seen.part, seen.operation, seen.engine, seen.algorithm
        old = best.get(key)
        if old is None or (seen.size_bytes, -seen.busbw_gbyte_s) > (
            old.size_bytes, -old.busbw_gbyte_s,
        ):  # fmt: skip
            best[key] = seen
    yield from best.values()


def alike(evidence: Evidence, seen: Collective) -> Key:
    how = f"{seen.engine} {seen.algorithm} {seen.offload}"
    return make(evidence), seen.operation, how, seen.size_bytes, seen.ranks, str(len(seen.nodes))


def named(seen: Collective) -> str:
    return f"{seen.part} {seen.operation}"


def group_verdict(
    evidence: Evidence,
    seen: Collective,
    rows: Sequence[Collective],
    crowds: Mapping[Key, Crowd | None],
) -> Verdict:
    wrong = [one for one in rows if one.wrong]
    if wrong:
        return failing(
            evidence,
            named(seen),
            expected=f"≤ {threshold(evidence, 'wrong'):g} wrong",
            actual=f"{sum(one.wrong or 0 for one in wrong)} wrong",
            why=f"results differ from what is due ({seen.engine}, {size_of(wrong[0])})",
            remedy="isolate these nodes; " + HALVE,
            severity=Severity.ISOLATE,
            source=source_of(evidence, "wrong"),
        )
    found = speed(evidence, seen, crowds)
    unchecked = [one for one in rows if one.wrong is None]
    if unchecked and found.status is Status.PASS:
        return unknown(
            evidence,
            named(seen),
            f"fast enough, and nobody compared the results: {unchecked[0].unchecked or 'no check'}",
            actual=found.actual,
            expected="results compared",
            remedy=CHECK,
            source=source_of(evidence, "wrong"),
        )
    return found


def size_of(seen: Collective) -> str:
    return f"{seen.size_bytes / (1 << 20):.4g} MiB"


def speed(evidence: Evidence, seen: Collective, crowds: Mapping[Key, Crowd | None]) -> Verdict:
    ceiling = evidence.limits.get(f"ceiling_{seen.operation}_{scope(seen)}_gbyte_s")
    floor = floor_of(evidence, seen)
    actual = f"busbw {seen.busbw_gbyte_s:.4g} GB/s at {size_of(seen)}"
    if seen.busbw_gbyte_s <= 0:
        return slow(evidence, seen, "> 0 GB/s", actual, "clusterctl: 0 is not slow, it is none")
    if ceiling is not None and seen.busbw_gbyte_s > number_in(ceiling):
        return implausible(evidence, seen, f"≤ {number_in(ceiling):g} GB/s", actual, ceiling.source)
    if floor is not None and seen.busbw_gbyte_s < number_in(floor):
        expected = f"≥ {number_in(floor):g} GB/s"
        return slow(evidence, seen, expected, actual, floor.source)
    peers = crowds.get(alike(evidence, seen))
    if peers is not None:
        return among_peers(evidence, seen, peers, actual)
    if floor is None:
        return skipping(evidence, named(seen), f"{actual}, no floor and too few groups like it")
    limit = {"expected": f"≥ {number_in(floor):g} GB/s", "source": floor.source}
    return passing(evidence, named(seen), actual, **limit, yardstick="floor")


def scope(seen: Collective) -> str:
    """Two nodes reach what many do not: each sends half of it to itself, over NVLink."""
    return {1: "node", 2: "pair"}.get(len(seen.nodes), "nodes")


def floor_of(evidence: Evidence, seen: Collective) -> Limit | None:
    """The floor for this many nodes and with this offload; None at sizes it does not speak of.

    A switch that sums (NVLS) lets busbw exceed the wire: 368 or 482 GB/s on the same 8 H200.
    """
    if seen.size_bytes < threshold(evidence, "floor_from_bytes"):
        return None
    offload = "nvls_" if "NVLS" in seen.offload else ""
    return evidence.limits.get(f"{seen.operation}_{offload}{scope(seen)}_gbyte_s")


def among_peers(evidence: Evidence, seen: Collective, peers: Crowd, actual: str) -> Verdict:
    expected = f"about {peers.middle:.4g} GB/s as {peers.count} groups like it"
    if seen.busbw_gbyte_s > peers.middle * threshold(evidence, "implausible_times"):
        source = source_of(evidence, "implausible_times")
        return implausible(evidence, seen, expected, actual, source)
    below = shortfall(seen.busbw_gbyte_s, peers, sigmas=threshold(evidence, "sigmas"))
    if below >= threshold(evidence, "fail_share"):
        source = source_of(evidence, "fail_share")
        return slow(evidence, seen, expected, actual, source, yardstick="peers")
    return passing(evidence, named(seen), actual, expected=expected, yardstick="peers")


def slow(
    evidence: Evidence,
    seen: Collective,
    expected: str,
    actual: str,
    source: str,
    *,
    yardstick: str = "floor",
) -> Verdict:
    ring = "" if seen.algorithm == "forced" else "; ring: forced shows a slow NIC more plainly"
    return failing(
        evidence,
        named(seen),
        expected=expected,
        actual=actual,
        why=f"slow together ({how(seen)})",
        remedy=HALVE + ring,
        severity=Severity.OBSERVE,
        source=source,
        yardstick=yardstick,
    )


def how(seen: Collective) -> str:
    words = (seen.engine, f"{seen.ranks} ranks", seen.version, seen.offload)
    ring = "ring forced" if seen.algorithm == "forced" else ""
    return ", ".join(word for word in (*words, ring) if word)


def implausible(
    evidence: Evidence, seen: Collective, expected: str, actual: str, source: str
) -> Verdict:
    return unknown(
        evidence,
        named(seen),
        "faster than can be true: the test is broken, not the fabric",
        expected=expected,
        actual=actual,
        remedy="see which ranks and devices took part, and whether they left the node at all",
        source=source,
    )


CHECKS = (
    Check(
        name="collectives",
        asks="Do collective operations reach what the fabric can, with right results?",
        wants=(Collective,),
        uses=(Accelerator, Cpu),
        judge=judge,
        options=tuple(
            f"{before}{operation}_{offload}{where}_gbyte_s"
            for operation in OPERATIONS
            for where in ("node", "pair", "nodes")
            for before, offload in (("", ""), ("", "nvls_"), ("ceiling_", ""))
        ),
        scope="fleet",
        limits={
            "wrong": Limit(0, "ROCm/cvs: #wrong > 0 is corruption"),
            "floor_from_bytes": Limit(0, "clusterctl: a floor holds at every size unless set"),
            "fail_share": Limit(0.07, "NVIDIA ClusterKit: below 93 % of the others is bad"),
            "sigmas": Limit(5, "clusterctl: five robust standard deviations"),
            "implausible_times": Limit(10, "clusterctl: ten times its peers is a broken test"),
        },
    ),
)

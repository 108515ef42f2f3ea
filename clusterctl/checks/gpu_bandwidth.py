"""Is a path of a GPU, to its host or to another GPU, slow, or does it garble what it carries?"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from clusterctl.model import (
    Accelerator,
    Check,
    Copy,
    Cpu,
    Evidence,
    Limit,
    Link,
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

REMEDY = {
    "h2d": "see its PCIe width, generation and errors, and which socket it hangs on; then reseat",
    "d2h": "see its PCIe width, generation and errors, and which socket it hangs on; then reseat",
    "p2p": "see the NVLinks of both, or PCIe and ACS; then reseat the GPU that bad paths share",
    "local": "see clocks, heat and ECC; run it once more alone, then return it",
}
KINDS = tuple(REMEDY)
LEAST_PATHS = 3  # of one GPU, slow in one direction, before it is named instead of each path
Key = tuple[str, str, str, int | None, bool, str]


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    rates: defaultdict[Key, list[float]] = defaultdict(list)
    places: defaultdict[tuple[Key, str], list[float]] = defaultdict(list)
    for evidence in fleet:
        for seen in facts_of(evidence, Copy):
            rates[alike(evidence, seen)].append(seen.gbyte_s)
            places[alike(evidence, seen), seen.part].append(seen.gbyte_s)
    crowds = {key: crowd(values) for key, values in rates.items()}
    same_place = {key: crowd(values) for key, values in places.items()}
    blurred = {key for key, values in rates.items() if two_kinds(values, crowds[key], fleet[0])}
    for evidence in fleet:
        yield from node(evidence, crowds, same_place, blurred)


def node(
    evidence: Evidence,
    crowds: Mapping[Key, Crowd | None],
    same_place: Mapping[tuple[Key, str], Crowd | None],
    blurred: Iterable[Key],
) -> Iterator[Verdict]:
    """Peers are the same path of like nodes; where those are few, like paths of all like nodes."""
    verdicts = []
    for seen in facts_of(evidence, Copy):
        key = alike(evidence, seen)
        near = same_place[key, seen.part]
        peers = near or crowds[key]
        fog = near is None and key in blurred
        verdicts += [*intact(evidence, seen), speed(evidence, seen, peers, fog=fog)]
    yield from named(list(settled(verdicts)))


def kind(part: str) -> str:
    """h2d, d2h, p2p or local, of host>gpu0, gpu0>host, gpu0>gpu1, gpu0>gpu0."""
    source, _, target = part.partition(">")
    if source.startswith("host"):
        return "h2d"
    if target.startswith("host"):
        return "d2h"
    return "p2p" if target and source != target else "local"


def alike(evidence: Evidence, seen: Copy) -> Key:
    way = seen.way
    return make(evidence), kind(seen.part), seen.engine, seen.size_bytes, seen.both_ways, way


def two_kinds(values: Sequence[float], peers: Crowd | None, any_node: Evidence) -> bool:
    """Whether more are slow than one bad GPU explains: some PCIe paths are longer by design."""
    if peers is None:
        return False
    sigmas, least = (threshold(any_node, name) for name in ("sigmas", "fail_share"))
    slow = sum(shortfall(value, peers, sigmas=sigmas) >= least for value in values)
    return slow > threshold(any_node, "odd_share") * len(values)


def intact(evidence: Evidence, seen: Copy) -> Iterator[Verdict]:
    """Said only where it is not: right data alone says nothing of the speed."""
    limit = threshold(evidence, "wrong")
    if seen.wrong is not None and seen.wrong > limit:
        yield failing(
            evidence,
            seen.part,
            expected=f"≤ {limit:g} wrong words",
            actual=str(seen.wrong),
            why=f"what arrived is not what was sent ({seen.engine}) {seen.detail}".strip(),
            remedy="isolate the node; copy once more alone, then return the part",
            severity=Severity.ISOLATE,
            source=source_of(evidence, "wrong"),
        )


def speed(evidence: Evidence, seen: Copy, peers: Crowd | None, *, fog: bool) -> Verdict:
    """Its floor and ceiling decide first; then its peers, if they are of one kind."""
    floor = None if seen.both_ways else evidence.limits.get(f"{kind(seen.part)}_gbyte_s")
    if outside := beyond(evidence, seen, floor):
        return outside
    actual = f"{seen.gbyte_s:.4g} GB/s"
    if peers is not None and not fog:
        return among_peers(evidence, seen, peers)
    if floor is not None:
        expected = f"≥ {number_in(floor):g} GB/s"
        why = notes(evidence, seen)
        return passing(
            evidence,
            seen.part,
            actual,
            expected=expected,
            why=why,
            source=floor.source,
            yardstick="floor",
        )
    if peers is None:
        return skipping(evidence, seen.part, f"{actual}, no floor and too few peers")
    why = f"like paths are of two speeds, about {peers.middle:.4g} GB/s and less: by design?"
    return unknown(
        evidence,
        seen.part,
        why,
        expected="like paths alike, or a floor",
        actual=actual,
        remedy="give this SKU a floor, or judge five like nodes together: path by path then",
        source=source_of(evidence, "odd_share"),
    )


def beyond(evidence: Evidence, seen: Copy, floor: Limit | None) -> Verdict | None:
    """Slower than its floor, or faster than the wire."""
    if seen.gbyte_s <= 0:
        return slow(evidence, seen, "> 0 GB/s", "nothing arrived", "0 is not slow, it is none")
    ceiling = None if seen.both_ways else evidence.limits.get(f"ceiling_{kind(seen.part)}_gbyte_s")
    if ceiling is not None and seen.gbyte_s > number_in(ceiling):
        return implausible(evidence, seen, f"≤ {number_in(ceiling):g} GB/s", ceiling.source)
    if floor is not None and seen.gbyte_s < number_in(floor):
        expected = f"≥ {number_in(floor):g} GB/s"
        return slow(evidence, seen, expected, "below the floor", floor.source)
    return None


def among_peers(evidence: Evidence, seen: Copy, peers: Crowd) -> Verdict:
    expected = f"about {peers.middle:.4g} GB/s as peers"
    actual = f"{seen.gbyte_s:.4g} GB/s"
    if seen.gbyte_s > peers.middle * threshold(evidence, "implausible_times"):
        return implausible(evidence, seen, expected, source_of(evidence, "implausible_times"))
    below = shortfall(seen.gbyte_s, peers, sigmas=threshold(evidence, "sigmas"))
    if below >= threshold(evidence, "fail_share"):
        why = f"{below:.0%} slower than {peers.count} like paths"
        source = source_of(evidence, "fail_share")
        return slow(evidence, seen, expected, why, source, yardstick="peers")
    why = notes(evidence, seen)
    return passing(evidence, seen.part, actual, expected=expected, why=why, yardstick="peers")


def implausible(evidence: Evidence, seen: Copy, expected: str, source: str) -> Verdict:
    return unknown(
        evidence,
        seen.part,
        "faster than can be true: the test is broken, not the path",
        expected=expected,
        actual=f"{seen.gbyte_s:.4g} GB/s",
        remedy="run the engine by hand and look at what it measures",
        source=source,
    )


def slow(
    evidence: Evidence,
    seen: Copy,
    expected: str,
    why: str,
    source: str,
    *,
    yardstick: str = "floor",
) -> Verdict:
    words = "; ".join(filter(None, (f"{why} ({seen.engine})", notes(evidence, seen))))
    return failing(
        evidence,
        seen.part,
        expected=expected,
        actual=f"{seen.gbyte_s:.4g} GB/s",
        why=words,
        remedy=REMEDY[kind(seen.part)],
        severity=Severity.ISOLATE,
        source=source,
        yardstick=yardstick,
    )


def notes(evidence: Evidence, seen: Copy) -> str:
    """By which way it went, and the links of both ends, where those are known."""
    links = facts_of(evidence, Link)
    said = [seen.way] if seen.way else []
    for gpu in dict.fromkeys(re.findall(r"gpu\d+", seen.part)) if kind(seen.part) == "p2p" else ():
        ours = [link for link in links if link.accelerator == gpu]
        if ours:
            up = sum(link.state == "up" for link in ours)
            said.append(f"{gpu}: {up} of {len(ours)} {ours[0].kind}s up")
    return ", ".join(said)


def named(verdicts: Sequence[Verdict]) -> Iterator[Verdict]:
    """A GPU that most of its paths in one direction blame is named instead of each of them."""
    slow_ones = [v for v in verdicts if v.status is Status.FAIL and kind(v.part) == "p2p"]
    pairs = [v for v in verdicts if kind(v.part) == "p2p"]
    for end, word in ((0, "from"), (1, "to")):
        all_of = Counter(v.part.split(">")[end] for v in pairs)
        bad = Counter(v.part.split(">")[end] for v in slow_ones)
        for gpu, count in bad.most_common():
            if count < LEAST_PATHS or 2 * count <= all_of[gpu]:
                continue
            theirs = [v for v in slow_ones if v.part.split(">")[end] == gpu]
            if len(theirs) < LEAST_PATHS:
                continue  # another GPU has explained them
            others = ", ".join(v.part for v in theirs)
            yield replace(
                min(theirs, key=lambda v: v.actual),
                part=gpu,
                why=f"{count} of {all_of[gpu]} paths {word} it fail: {others}; {theirs[0].why}",
            )
            slow_ones = [v for v in slow_ones if v not in theirs]
    explained = {v.part for v in pairs if v.status is Status.FAIL} - {v.part for v in slow_ones}
    yield from (v for v in verdicts if v.part not in explained)


CHECKS = (
    Check(
        name="gpu_bandwidth",
        asks="Is a path of a GPU, to its host or to another GPU, slow, or does it garble?",
        wants=(Copy,),
        uses=(Accelerator, Cpu, Link),
        judge=judge,
        options=tuple(f"{end}{one}_gbyte_s" for one in KINDS for end in ("", "ceiling_")),
        scope="fleet",
        limits={
            "wrong": Limit(0, "a copy is the same as what was copied"),
            "fail_share": Limit(0.10, "gpu-fryer: more than 10 % below its peers fails"),
            "sigmas": Limit(5, "clusterctl: five robust standard deviations"),
            "odd_share": Limit(0.26, "clusterctl: one GPU of eight is in 14 of 56 pairs, 25 %"),
            "implausible_times": Limit(10, "clusterctl: ten times its peers is a broken test"),
        },
    ),
)

"""Are the links between accelerators up, as many as on their peers, and free of errors?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from clusterctl.counters import Rise, rise
from clusterctl.model import Accelerator, Check, Evidence, Limit, Link, Severity, Status, Verdict
from clusterctl.peers import majority
from clusterctl.verdicts import (
    SEE_WHY,
    before,
    facts_of,
    failing,
    hidden,
    make,
    number_in,
    passing,
    settled,
    skipping,
    source_of,
    threshold,
    unknown,
    warning,
)

Links = Mapping[str, Sequence[Link]]
RESEAT = "reset the accelerators of this node together; if links stay down, reseat or return"
# counter name holds → limit; the first that fits decides
ERRORS = (("crc", "crc_per_h"), ("recover", "recovery_rise"))
OTHER_ERRORS = ("replay", "retry", "error", "fail")


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    seen = [by_accelerator(evidence) for evidence in fleet]
    votes: defaultdict[str, list[int]] = defaultdict(list)
    for evidence, links in zip(fleet, seen, strict=True):
        if not hidden(evidence, Link):
            votes[make(evidence)] += [up(group) for group in links.values()]
    usual = {kind: majority(counts) for kind, counts in votes.items()}
    for evidence, links in zip(fleet, seen, strict=True):
        wanted = usual.get(make(evidence))
        yield from settled((*counted(evidence, links, wanted), *errors(evidence)))


def by_accelerator(evidence: Evidence) -> dict[str, list[Link]]:
    # In MIG mode a card tells nothing of its links: neither a fault nor a vote.
    divided = {c.part for c in facts_of(evidence, Accelerator) if c.mig}
    groups: dict[str, list[Link]] = {
        c.part: [] for c in facts_of(evidence, Accelerator) if c.part not in divided
    }
    for link in facts_of(evidence, Link):
        groups.setdefault(link.accelerator, []).append(link)
    return groups if any(groups.values()) else {}


def up(links: Sequence[Link]) -> int:
    return sum(link.state == "up" for link in links)


def counted(evidence: Evidence, links: Links, usual: int | None) -> Iterator[Verdict]:
    floor = evidence.limits.get("links_up")
    for part, group in links.items():
        if floor is not None:
            wanted, source = int(number_in(floor)), floor.source
            yield compared(evidence, part, group, wanted=wanted, source=source, yardstick="floor")
        elif usual is not None:
            source = "most accelerators of this kind"
            yield compared(evidence, part, group, wanted=usual, source=source, yardstick="peers")
        else:
            yield alone(evidence, part, group)
    if floor is not None and not links:
        for card in facts_of(evidence, Accelerator):
            if card.mig:
                yield skipping(evidence, card.part, "in MIG mode: links are not told")
                continue
            yield unknown(
                evidence,
                card.part,
                "this kind of device has links and none was reported",
                expected=f"{number_in(floor):g} up",
                actual="none reported",
                remedy="ask the vendor's tool for its links by hand",
                source=floor.source,
            )


def compared(
    evidence: Evidence,
    part: str,
    links: Sequence[Link],
    *,
    wanted: int,
    source: str,
    yardstick: str,
) -> Verdict:
    if not links and wanted:
        return unknown(
            evidence,
            part,
            "peers report links, this one does not",
            expected=f"{wanted} up",
            actual="none reported",
            remedy="ask the vendor's tool for its links by hand",
            source=source,
        )
    blind = hidden(evidence, Link) if len(links) < wanted else ""
    if up(links) < wanted and blind:
        return unknown(
            evidence,
            part,
            f"not every link was seen: {blind}",
            expected=f"{wanted} links up",
            actual=f"{up(links)} seen up",
            remedy=SEE_WHY,
            source=source,
        )
    if up(links) < wanted:
        missing = [link.part for link in links if link.state != "up"]
        return failing(
            evidence,
            part,
            expected=f"{wanted} links up",
            actual=f"{up(links)} up",
            why=f"not up: {', '.join(missing)}",
            remedy=RESEAT,
            severity=Severity.ISOLATE,
            source=source,
            yardstick=yardstick,
        )
    if not wanted and not up(links):
        return skipping(evidence, part, "no link is up here or on any peer")
    return passing(
        evidence,
        part,
        f"{up(links)} up",
        expected=f"{wanted} up",
        source=source,
        yardstick=yardstick,
    )


def alone(evidence: Evidence, part: str, links: Sequence[Link]) -> Verdict:
    idle = [link.part for link in links if link.state != "up"]
    broken = [link.part for link in links if link.state not in {"up", "inactive"}]
    if broken:
        return warning(
            evidence,
            part,
            expected="links up",
            actual=f"{len(broken)} of {len(links)} down",
            why=f"down, and too few peers to compare with: {', '.join(broken)}",
            remedy="see whether this slot should be bridged; if so " + RESEAT,
            source="the device's own word",
        )
    if idle or not links:
        why = "not in use, and too few peers to tell whether it should be"
        return skipping(evidence, part, f"{len(idle)} links {why}" if links else "no links")
    return passing(evidence, part, f"{len(links)} up", expected="all up")


def errors(evidence: Evidence) -> Iterator[Verdict]:
    """Of links that are up: of the others `counted` speaks."""
    earlier = before(evidence, Link)
    mute: set[tuple[str, str]] = set()  # a thousand counters may have the same to say once
    for link in facts_of(evidence, Link):
        if link.state != "up":
            continue
        then = earlier.get(link.part)
        past = then.counters if then else {}
        for name in link.counters:
            limit = limit_for(name)
            if not limit:
                continue
            rose = rise(evidence, name, link.counters[name], past.get(name))
            if isinstance(rose, Rise):
                yield grown(evidence, link, name, limit, rose)
            elif (link.accelerator, rose.why) not in mute:
                mute.add((link.accelerator, rose.why))
                yield skipping(evidence, link.accelerator, rose.why)


@lru_cache(maxsize=1024)
def limit_for(name: str) -> str:
    """The limit for this counter; empty: it counts traffic, not errors."""
    word = name.lower()
    for part, limit in ERRORS:
        if part in word:
            return limit
    return "error_rise" if any(part in word for part in OTHER_ERRORS) else ""


def grown(evidence: Evidence, link: Link, name: str, limit: str, rose: Rise) -> Verdict:
    part, most = link.accelerator, threshold(evidence, limit)
    hourly = limit.endswith("_per_h") and rose.per_s is not None
    amount = rose.per_s * 3600 if hourly and rose.per_s is not None else float(rose.count)
    if amount <= most:
        return passing(evidence, part, f"{name} +{rose.count}", yardstick="past")
    unit = "/h" if hourly else " more"
    sure = limit != "error_rise"
    return Verdict(
        evidence.node.name,
        part,
        Status.FAIL if sure else Status.WARN,
        expected=f"{name} ≤ {most:g}{unit}",
        actual=f"{amount:.3g}{unit}",
        why=f"{link.part} makes errors",
        remedy=RESEAT if sure else "watch this link",
        severity=Severity.ISOLATE if sure else Severity.OBSERVE,
        source=source_of(evidence, limit),
        yardstick="past",
    )


CHECKS = (
    Check(
        name="accelerator_links",
        asks="Are the links between accelerators up as on their peers, and free of errors?",
        wants=(Link,),
        uses=(Accelerator,),
        judge=judge,
        options=("links_up",),
        scope="fleet",
        limits={
            "crc_per_h": Limit(100, "DCGM diag: CRC 100", "DCGM counts over a diag run"),
            "recovery_rise": Limit(0, "DCGM diag: NVLink recovery 0", "between two readings"),
            "error_rise": Limit(
                0, "nvidia-resiliency-ext: a rise per window is counted", "between two readings"
            ),
        },
    ),
)

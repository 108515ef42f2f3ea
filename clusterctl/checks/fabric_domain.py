"""Are the accelerators of one fabric in one domain, and do its nodes share memory?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from clusterctl.model import (
    Accelerator,
    Check,
    Domain,
    Evidence,
    Limit,
    Severity,
    Verdict,
)
from clusterctl.peers import majority
from clusterctl.verdicts import (
    facts_of,
    failing,
    passing,
    settled,
    skipping,
    source_of,
    unknown,
    warning,
)

PART = "fabric domain"
LABELS = ("domain", "rack")  # of the inventory: nodes that say the same should be of one domain
WELL = frozenset({"up", "ready"})
Place = tuple[str, int | None]


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    votes: defaultdict[tuple[str, str], list[Place]] = defaultdict(list)
    for evidence in fleet:
        votes[home(evidence)] += sorted(places(evidence), key=repr)[:1]
    usual = {key: majority(held) for key, held in votes.items() if key[0]}
    for evidence in fleet:
        yield from settled(
            (agreed(evidence), like_peers(evidence, usual.get(home(evidence))), memory(evidence))
        )


def home(evidence: Evidence) -> tuple[str, str]:
    """The label that says which domain a node should be in, and what it says."""
    labels = evidence.node.labels
    name = next((label for label in LABELS if labels.get(label)), "")
    return name, labels.get(name, "")


def places(evidence: Evidence) -> set[Place]:
    """(cluster, clique) of every accelerator that is in a domain of several nodes."""
    return {
        (card.fabric_cluster, card.fabric_clique)
        for card in facts_of(evidence, Accelerator)
        if card.fabric_cluster
    }


def shown(place: Place) -> str:
    return f"{place[0]} clique {place[1]}"


def agreed(evidence: Evidence) -> Verdict:
    """All accelerators of a node hang on the same switches."""
    cards = facts_of(evidence, Accelerator)
    found = places(evidence)
    if not found:
        return skipping(evidence, PART, "no accelerator here is in a domain of several nodes")
    outside = [card.part for card in cards if not card.fabric_cluster]
    if len(found) == 1 and not outside:
        return passing(evidence, PART, f"{len(cards)} in {shown(*found)}")
    named = " · ".join(sorted(map(shown, found)))
    return failing(
        evidence,
        PART,
        expected="all accelerators of the node in one domain",
        actual=named,
        why=f"in none: {', '.join(outside)}" if outside else "they are in several",
        remedy="look at the switch trays and their fabric manager; reset the node's accelerators",
        severity=Severity.ISOLATE,
        source=source_of(evidence, "agreement"),
    )


def like_peers(evidence: Evidence, usual: Place | None) -> Verdict:
    found = places(evidence)
    label, value = home(evidence)
    if not found and usual:
        return unknown(
            evidence,
            PART,
            f"most nodes with {label}={value} are in a domain, this one's cards name none",
            expected=shown(usual),
            actual="none",
            remedy="ask `nvidia-smi -q` for Fabric on this node and on one of its neighbours",
            source=source_of(evidence, "agreement"),
        )
    if not found or usual is None or found == {usual}:
        return skipping(evidence, PART, "too few nodes of one rack to compare with")
    return warning(
        evidence,
        PART,
        expected=shown(usual),
        actual=" · ".join(sorted(map(shown, found))),
        why=f"most nodes with {label}={value} are in another domain or clique",
        remedy="check the inventory's label; if it is right, look at the rack's switch trays",
        source=source_of(evidence, "agreement"),
        yardstick="peers",
    )


def memory(evidence: Evidence) -> Verdict:
    """What the daemon says.  On nodes of no domain it is known to complain for nothing."""
    domains = facts_of(evidence, Domain)
    if not domains:
        return skipping(evidence, PART, "no daemon told of a domain")
    seen = domains[0]
    ill = {name: state for name, state in seen.members.items() if state not in WELL}
    if not places(evidence) and len(seen.members) < 2:
        return skipping(evidence, PART, f"{seen.part} is {seen.state}; nothing here needs it")
    expected = "domain up, every node ready"
    named = ", ".join(f"{name} {state}" for name, state in sorted(ill.items())[:8])
    if seen.state in WELL and not ill and len(seen.versions) < 2:
        count = f"{len(seen.members)} nodes " if seen.members else ""
        return passing(evidence, PART, f"{seen.part}: {count}{seen.state}", expected=expected)
    if seen.state in WELL or seen.state == "degraded":
        versions = f"versions {', '.join(seen.versions)}" if len(seen.versions) > 1 else ""
        return warning(
            evidence,
            PART,
            expected=expected,
            actual=f"{seen.part} {seen.state}",
            why="; ".join(filter(None, (named, versions))) or "it does not say which node",
            remedy="look at the nodes it names; jobs that share memory with them will fail",
            source=source_of(evidence, "memory"),
        )
    return failing(
        evidence,
        PART,
        expected=expected,
        actual=f"{seen.part} {seen.state}",
        why=named or seen.detail or "this node's daemon is not in its domain",
        remedy="read `journalctl -u nvidia-imex`; compare nodes_config.cfg with the other nodes",
        severity=Severity.ISOLATE,
        source=source_of(evidence, "memory"),
    )


CHECKS = (
    Check(
        name="fabric_domain",
        asks="Are accelerators of one fabric in one domain, and do its nodes share memory?",
        wants=(Accelerator,),
        uses=(Domain,),
        judge=judge,
        scope="fleet",
        limits={
            "agreement": Limit(
                "one", "nvml.h: clusterUuid and cliqueId are those of the fabric that a GPU joined"
            ),
            "memory": Limit(
                "up",
                "NVIDIA IMEX guide; not asked of nodes in no domain: NVSentinel #1471",
            ),
        },
    ),
)

"""What daemons that watch a node say of its parts, less what they are known to get wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clusterctl.model import (
    Accelerator,
    Check,
    Diagnosis,
    Domain,
    Evidence,
    Limit,
    Link,
    Severity,
    Verdict,
)
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

WHOLE = "node"


@dataclass(frozen=True, slots=True)
class FalseAlarm:
    """`words`: one of them in its text, lower case.  Not so where `unless` holds."""

    words: tuple[str, ...]
    unless: str  # link: it has one that is up, or none was told; domain: a card is in one
    says: str
    source: str


FALSE_ALARMS = (
    FalseAlarm(
        ("is currently down", "nvlink_down"),
        "link",
        "every link of this accelerator is inactive: none is bridged here",
        "NVSentinel PR 1481: DCGM_FR_NVLINK_DOWN on PCIe A100s",
    ),
    FalseAlarm(
        ("imex",),
        "domain",
        "no accelerator here is in a domain of several nodes, or IMEX is not in use",
        "NVSentinel #1471, NVIDIA/aicr #2641: DCGM_FR_IMEX_UNHEALTHY on single and idle nodes",
    ),
)


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        found = facts_of(evidence, Diagnosis)
        named = any(one.part != WHOLE and one.state != "healthy" for one in found)
        yield from settled(about(evidence, one, named=named) for one in found)


def about(evidence: Evidence, said: Diagnosis, *, named: bool) -> Verdict:
    expected, actual = "healthy", " ".join(f"{said.by}: {said.system} {said.state}".split())
    if said.state == "healthy":
        return passing(evidence, said.part, actual, expected=expected)
    if reason := untold(evidence, said, named=named):
        return skipping(evidence, said.part, reason)
    why = said.text or f"{said.by} says no more"
    remedy = "read this tool's own text, then look at the same part in the other checks"
    source = source_of(evidence, "state")
    if said.state == "warning":
        return warning(
            evidence,
            said.part,
            expected=expected,
            actual=actual,
            why=why,
            remedy=remedy,
            source=source,
        )
    if said.state == "failure":
        return failing(
            evidence,
            said.part,
            expected=expected,
            actual=actual,
            why=why,
            remedy=f"drain the node; {remedy}",
            severity=Severity.ISOLATE,
            source=source,
        )
    return unknown(
        evidence,
        said.part,
        f"{said.by} could not tell: {why}",
        expected=expected,
        actual=actual,
        remedy="restart the daemon and ask it by hand",
        source=source,
    )


def untold(evidence: Evidence, said: Diagnosis, *, named: bool) -> str:
    """Why this is no word about the part; empty: it is one."""
    if said.state == "unwatched":
        return f"{said.by} is here and was not told to watch"
    if said.part == WHOLE and named:
        return f"{said.by} names the parts"
    alarm = excuse(evidence, said)
    return f"{said.by}: {alarm.says} ({alarm.source})" if alarm else ""


def excuse(evidence: Evidence, said: Diagnosis) -> FalseAlarm | None:
    """None where nobody saw the accelerators: then nothing speaks against the daemon."""
    if not facts_of(evidence, Accelerator):
        return None
    text = f"{said.system} {said.text}".lower()
    links = [link for link in facts_of(evidence, Link) if link.accelerator == said.part]
    holds = {
        "link": not links or any(link.state == "up" for link in links),
        "domain": any(card.fabric_cluster for card in facts_of(evidence, Accelerator))
        and bool(facts_of(evidence, Domain)),
    }
    for alarm in FALSE_ALARMS:
        if not holds[alarm.unless] and any(word in text for word in alarm.words):
            return alarm
    return None


CHECKS = (
    Check(
        name="diagnoses",
        asks="Does a daemon that watches this node call a part of it unhealthy?",
        wants=(Diagnosis,),
        uses=(Accelerator, Domain, Link),
        judge=judge,
        limits={"state": Limit("healthy", "the daemon's own word")},
    ),
)

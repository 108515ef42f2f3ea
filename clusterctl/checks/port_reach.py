"""Does the address answer that a port is told to watch?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import Check, Evidence, Port, Severity, Verdict
from clusterctl.verdicts import absent, facts_of, failing, passing, skipping

# Ascend/mind-cluster's device plugin calls a chip's network unhealthy at any word but success.
SOURCE = "the port's own test, as Ascend/mind-cluster's device plugin takes it"


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        for port in facts_of(evidence, Port):
            yield verdict(evidence, port)


def verdict(evidence: Evidence, port: Port) -> Verdict:
    if port.reach is None:
        return absent(evidence, port, "reach")
    if port.reach == "ok":
        return passing(evidence, port.part, "it answers", expected="it answers", source=SOURCE)
    if port.state != "active":
        return skipping(evidence, port.part, f"{port.state}: port_state speaks of that")
    return failing(
        evidence,
        port.part,
        expected="the watched address answers",
        actual=port.reach,
        why="the port is up and reaches nobody",
        remedy="compare its address, mask and gateway with the switch's; then look at the path",
        source=SOURCE,
        severity=Severity.ISOLATE,
    )


CHECKS = (
    Check(
        name="port_reach",
        asks="Does the address answer that a port is told to watch?",
        wants=(Port,),
        judge=judge,
    ),
)

"""Is every name a machine of its own?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from clusterctl.model import Boot, Check, Evidence, Verdict
from clusterctl.verdicts import facts_of, passing, unknown

PART = "node"


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    names: defaultdict[str, list[str]] = defaultdict(list)
    for evidence in fleet:
        for boot in facts_of(evidence, Boot)[:1]:
            names[boot.boot_id].append(evidence.node.name)
    for evidence in fleet:
        for boot in facts_of(evidence, Boot)[:1]:
            yield alone(evidence, [n for n in names[boot.boot_id] if n != evidence.node.name])


def alone(evidence: Evidence, others: Sequence[str]) -> Verdict:
    if not others:
        return passing(evidence, PART, "a boot id of its own")
    return unknown(
        evidence,
        PART,
        f"it is the same machine as {', '.join(others)}: one of the names was never looked at",
        expected="a boot id of its own",
        actual="another node's",
        remedy="compare address, DNS and jump host of these names in the inventory",
        source="the kernel's boot id is drawn anew at every boot",
    )


CHECKS = (
    Check(
        name="identity",
        asks="Is every name a machine of its own?",
        wants=(Boot,),
        judge=judge,
        scope="fleet",
    ),
)

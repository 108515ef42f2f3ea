"""Does a port have the address that its file says?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import Address, Check, Evidence, Severity, Verdict
from clusterctl.verdicts import facts_of, failing, passing, skipping

# vllm-project/vllm-ascend PR 16847: one of 32 NPUs had another address than /etc/hccn.conf said,
# and what showed was a KV transfer of 93 ms instead of 4 to 5, four layers above.
SOURCE = "vllm-project/vllm-ascend PR 16847"


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        for fact in facts_of(evidence, Address):
            yield verdict(evidence, fact)


def verdict(evidence: Evidence, fact: Address) -> Verdict:
    if not fact.file:
        return skipping(evidence, fact.part, "nothing was read that says which it should have")
    if not fact.configured and not fact.actual:
        return skipping(evidence, fact.part, "no address, and none is asked for")
    if fact.configured == fact.actual:
        return passing(evidence, fact.part, fact.actual, source=SOURCE)
    return failing(
        evidence,
        fact.part,
        expected=fact.configured or f"an address in {fact.file}",
        actual=fact.actual or "no address",
        why=f"{fact.file} and the device disagree: peers talk to the wrong one",
        remedy=f"set the device's address again or correct {fact.file}, then restart the jobs",
        source=SOURCE,
        severity=Severity.RESTART_JOB,
    )


CHECKS = (
    Check(
        name="stale_addresses",
        asks="Does a port have the address that its file says?",
        wants=(Address,),
        judge=judge,
    ),
)

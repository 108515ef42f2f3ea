"""Which node runs something else than its peers: kernel, driver, firmware, settings?"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from clusterctl.model import Accelerator, Check, Cpu, Evidence, Verdict, Version
from clusterctl.peers import LEAST_VOTERS, majority
from clusterctl.verdicts import facts_of, make, passing, skipping, warning

PART = "versions"
PEERS = "what most nodes of this kind run"
NOT_THERE = "not there"
# Told by a device: where the device is missing, the checks that count devices say so.
OF_A_DEVICE = ("vbios/", "inforom/", "firmware/", "board/", "rdma/", "pcie/", "nic/", "fec/")
# What is a node's own and no difference: disk and network identities.
OWN = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b"
    r"|(?<=root=)\S+|(?<=resume=)\S+",
    re.IGNORECASE,
)
Values = Mapping[str, str]


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    kinds: defaultdict[str, list[Evidence]] = defaultdict(list)
    for evidence in fleet:
        kinds[make(evidence)].append(evidence)
    for nodes in kinds.values():
        yield from among(nodes)


def among(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    seen = [values(evidence) for evidence in nodes]
    if sum(map(bool, seen)) < LEAST_VOTERS:
        for evidence in nodes:
            yield skipping(evidence, PART, "too few peers to compare with")
        return
    votes = {
        part: Counter(values.get(part, NOT_THERE) for values in seen)
        for part in sorted({part for values in seen for part in values})
    }
    usual = {part: majority(counted.elements()) for part, counted in votes.items()}
    for evidence, mine in zip(nodes, seen, strict=True):
        found = list(differences(evidence, mine, votes, usual))
        yield from found or [passing(evidence, PART, f"{len(mine)} agree", yardstick="peers")]


def values(evidence: Evidence) -> dict[str, str]:
    return {
        version.part: normal(version.value, evidence.node.name)
        for version in facts_of(evidence, Version)
    }


def normal(value: str, node: str) -> str:
    """Without what is this node's own."""
    named = re.sub(rf"(?<![\w-]){re.escape(node)}(?![\w-])", "<node>", value)
    return OWN.sub("<own>", named).strip()


def differences(
    evidence: Evidence,
    mine: Values,
    votes: Mapping[str, Counter[str]],
    usual: Mapping[str, str | None],
) -> Iterator[Verdict]:
    for part, counted in votes.items():
        value, wanted = mine.get(part, NOT_THERE), usual[part]
        if len(counted) == 1 or value == wanted:
            continue
        if value == NOT_THERE and part.startswith(OF_A_DEVICE):
            continue
        shares = " · ".join(f"{count}x {text[:60]}" for text, count in counted.most_common(4))
        yield warning(
            evidence,
            part,
            expected=wanted[:200] if wanted is not None else "one value on all",
            actual=value[:200],
            why="differs from its peers" if wanted is not None else f"no majority: {shares}",
            remedy="bring it to what its peers run, or give it a sku label of its own",
            source=PEERS,
            yardstick="peers",
        )


CHECKS = (
    Check(
        name="drift",
        asks="Which node runs something else than its peers?",
        wants=(Version,),
        uses=(Accelerator, Cpu),
        judge=judge,
        scope="fleet",
    ),
)

"""Which node runs something else than its peers: kernel, driver, firmware, settings, mounts?"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from clusterctl.model import Accelerator, Check, Cpu, Evidence, Fact, Filesystem, Verdict, Version
from clusterctl.peers import LEAST_VOTERS, majority
from clusterctl.verdicts import SEE_WHY, hidden, make, passing, skipping, unknown, warning

PART = "versions"
PEERS = "what most nodes of this kind run"
NOT_THERE = "not there"
MOUNT = "mount/"
EVERYWHERE = 0.9  # of the nodes: automounts come and go with the jobs of some
LEAST_ALIKE = 3  # nodes that have the same other value: a rollout, a batch, an image
SERVED = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "mmfs", "ceph", "beegfs", "wekafs"),
        *("beegfs_nodev", "panfs", "orangefs", "pvfs2", "glusterfs", "fuse.glusterfs", "dpcfs"),
        *("fuse.juicefs", "curvefs", "9p", "virtiofs"),
    }
)
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
    seen = [values(evidence.facts, evidence.node.name) for evidence in nodes]
    if sum(map(bool, seen)) < LEAST_VOTERS:
        for evidence in nodes:
            yield skipping(evidence, PART, "too few peers to compare with")
        return
    before = [values(evidence.earlier, evidence.node.name) for evidence in nodes]
    asked = {
        part: Asked(
            Counter(
                values.get(part, NOT_THERE)
                for evidence, values in zip(nodes, seen, strict=True)
                if part in values or not unseen(evidence, part)
            ),
            Counter(
                (then[part], now[part])
                for then, now in zip(before, seen, strict=True)
                if part in then and part in now and then[part] != now[part]
            ),
        )
        for part in sorted({part for values in seen for part in values})
    }
    open_ones = {part: one for part, one in asked.items() if len(one.votes) > 1}
    for evidence, mine in zip(nodes, seen, strict=True):
        found = [*differences(evidence, mine, open_ones), *blind(evidence, mine, asked)]
        yield from found or [passing(evidence, PART, f"{len(mine)} agree", yardstick="peers")]


@dataclass(frozen=True)  # no slots: what was found once is kept
class Asked:
    """What all nodes say of one part, and who said something else before: (then, now)."""

    votes: Counter[str]
    moves: Counter[tuple[str, str]]

    @cached_property
    def usual(self) -> str | None:
        return majority(self.votes.elements())

    @cached_property
    def everywhere(self) -> bool:
        """Nearly all have it, in one way."""
        most = self.votes[self.usual] if self.usual is not None else 0
        return self.usual != NOT_THERE and most >= EVERYWHERE * self.votes.total()

    def why(self, value: str) -> str:
        if self.usual is None:
            shares = " · ".join(
                f"{count}x {text[:60]}" for text, count in self.votes.most_common(4)
            )
            return f"not the same on all: no majority: {shares}"
        alike, total = self.votes[value], self.votes.total()
        if alike < LEAST_ALIKE:
            return "differs from its peers"
        same = f"not the same on all: {alike} of {total} nodes"
        moved = [
            f"{count} changed to {now[:60]} since the last reading"
            for (_, now), count in self.moves.most_common(1)
            if now in {value, self.usual}
        ]
        return "; ".join([same, *moved])


def values(facts: Sequence[Fact], node: str) -> dict[str, str]:
    told = [fact for fact in facts if isinstance(fact, Version)]
    found = {version.part: normal(version.value, node) for version in told}
    mounted = [fact for fact in facts if isinstance(fact, Filesystem)]
    return found | {f"{MOUNT}{one.part}": mount(one) for one in mounted if shared_one(one)}


def shared_one(one: Filesystem) -> bool:
    """On a server, or wanted by fstab: what a job expects on each of its nodes."""
    return one.mounted and (one.wanted_read_only is not None or served(one))


def served(one: Filesystem) -> bool:
    return one.fstype in SERVED or one.device.startswith("//") or ":/" in one.device


def mount(one: Filesystem) -> str:
    """Of a local disk its name is the node's own, and so is how it came to be read-only."""
    return (
        f"{one.fstype} {one.device} {'ro' if one.read_only else 'rw'}"
        if served(one)
        else one.fstype
    )


def normal(value: str, node: str) -> str:
    """Without what is this node's own."""
    named = re.sub(rf"(?<![\w-]){re.escape(node)}(?![\w-])", "<node>", value)
    return OWN.sub("<own>", named).strip()


def differences(evidence: Evidence, mine: Values, asked: Mapping[str, Asked]) -> Iterator[Verdict]:
    for part, one in asked.items():
        value = mine.get(part, NOT_THERE)
        if value == one.usual:
            continue
        if value == NOT_THERE and (part.startswith(OF_A_DEVICE) or unseen(evidence, part)):
            continue
        if part.startswith(MOUNT) and not one.everywhere:
            continue
        yield warning(
            evidence,
            part,
            expected=one.usual[:200] if one.usual is not None else "one value on all",
            actual=value[:200],
            why=one.why(value),
            remedy="bring it to what its peers run, or give it a sku label of its own",
            source=PEERS,
            yardstick="peers",
        )


def unseen(evidence: Evidence, part: str) -> str:
    """Why a value that others have may be here and was not seen; empty: it is not here."""
    if not evidence.gaps:  # nearly all
        return ""
    kind = Filesystem if part.startswith(MOUNT) else Version
    return hidden(evidence, kind, part.removeprefix(MOUNT))


def blind(evidence: Evidence, mine: Values, asked: Mapping[str, Asked]) -> Iterator[Verdict]:
    """What peers have and nobody could see here, in one line."""
    reasons = [
        why
        for part, one in asked.items()
        if part not in mine and one.usual not in {None, NOT_THERE}
        if not part.startswith(OF_A_DEVICE) and (one.everywhere or not part.startswith(MOUNT))
        if (why := unseen(evidence, part))
    ]
    if reasons:
        yield unknown(
            evidence,
            PART,
            f"values that peers have were not seen: {reasons[0]}",
            expected="all that peers tell",
            actual=f"{len(reasons)} not seen",
            remedy=SEE_WHY,
            source=PEERS,
        )


CHECKS = (
    Check(
        name="drift",
        asks="Which node runs something else than its peers?",
        wants=(Version,),
        uses=(Accelerator, Cpu, Filesystem),
        judge=judge,
        scope="fleet",
    ),
)

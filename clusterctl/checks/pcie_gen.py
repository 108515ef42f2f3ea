"""Does each device's PCIe link run at full speed when it matters?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from clusterctl.kernel_log import device
from clusterctl.model import Accelerator, Check, Evidence, Limit, PcieDevice, Severity, Verdict
from clusterctl.peers import majority
from clusterctl.verdicts import (
    absent,
    facts_of,
    failing,
    passing,
    settled,
    skipping,
    source_of,
    threshold,
    warning,
)

RESEAT = "drain the node and reseat the device and its riser; compare BIOS settings with a peer's"
PEERS = "most devices of this model at the same load"
Usual = Mapping[tuple[str, bool], int | None]


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    cards = usual_of_cards(fleet)
    others = usual_of_others(fleet)
    for evidence in fleet:
        yield from settled(
            (
                *(told(evidence, card, cards) for card in facts_of(evidence, Accelerator)),
                *(
                    plugged(evidence, found, others)
                    for found in facts_of(evidence, PcieDevice)
                    if found.kind != "other"
                ),
            )
        )


def busy(evidence: Evidence, card: Accelerator) -> bool:
    used = card.utilisation_percent
    return used is not None and used >= threshold(evidence, "busy_percent")


def usual_of_cards(fleet: Sequence[Evidence]) -> Usual:
    votes: defaultdict[tuple[str, bool], list[int]] = defaultdict(list)
    for evidence in fleet:
        for card in facts_of(evidence, Accelerator):
            if card.pcie_gen is not None:
                votes[card.model, busy(evidence, card)].append(card.pcie_gen)
    return {key: majority(gens) for key, gens in votes.items()}


def usual_of_others(fleet: Sequence[Evidence]) -> Mapping[str, int | None]:
    votes: defaultdict[str, list[int]] = defaultdict(list)
    for evidence in fleet:
        for found in facts_of(evidence, PcieDevice):
            if found.gen is not None:
                votes[f"{found.vendor_id}:{found.device_id}"].append(found.gen)
    return {key: majority(gens) for key, gens in votes.items()}


def told(evidence: Evidence, card: Accelerator, usual: Usual) -> Verdict:
    gen, most = card.pcie_gen, card.pcie_gen_max
    if gen is None or most is None:
        return absent(evidence, card, "pcie_gen" if gen is None else "pcie_gen_max")
    if gen >= most:
        return passing(evidence, card.part, f"gen {gen}", expected=f"gen {most}")
    loaded = busy(evidence, card)
    if loaded:
        return failing(
            evidence,
            card.part,
            expected=f"gen {most} at work",
            actual=f"gen {gen}",
            why="the link is slow although the device is at work",
            remedy=RESEAT,
            severity=Severity.ISOLATE,
            source=source_of(evidence, "busy_percent"),
        )
    peers = usual.get((card.model, loaded))
    if peers is not None and gen < peers:
        return warning(
            evidence,
            card.part,
            expected=f"gen {peers}",
            actual=f"gen {gen}",
            why="idle peers keep a faster link",
            remedy="look at it again under load; if it stays, " + RESEAT,
            source=PEERS,
            yardstick="peers",
        )
    return skipping(evidence, card.part, f"idle at gen {gen}: links slow down to save power")


def plugged(evidence: Evidence, found: PcieDevice, usual: Mapping[str, int | None]) -> Verdict:
    part = device(evidence, found.part)
    if found.kind == "accelerator":
        return skipping(evidence, part, "the bus does not say how busy the device is")
    if found.gen is None or found.gen_max is None:
        return skipping(evidence, part, "this function has no link of its own")
    if found.gen >= found.gen_max:
        return passing(evidence, part, f"gen {found.gen}", expected=f"gen {found.gen_max}")
    peers = usual.get(f"{found.vendor_id}:{found.device_id}")
    if peers is None:
        why = f"gen {found.gen} of {found.gen_max}, and too few peers to tell slot from fault"
        return skipping(evidence, part, why)
    if found.gen < peers:
        return failing(
            evidence,
            part,
            expected=f"gen {peers}",
            actual=f"gen {found.gen}",
            why="peers of this model have a faster link",
            remedy=RESEAT,
            severity=Severity.ISOLATE,
            source=PEERS,
            yardstick="peers",
        )
    return passing(
        evidence, part, f"gen {found.gen}", expected=f"gen {peers} as peers", yardstick="peers"
    )


CHECKS = (
    Check(
        name="pcie_gen",
        asks="Does each device's PCIe link run at full speed at work, or as fast as its peers'?",
        wants=(PcieDevice,),
        uses=(Accelerator,),
        judge=judge,
        scope="fleet",
        limits={
            "busy_percent": Limit(
                50, "clusterctl: half busy counts as at work; idle links drop to gen 1"
            )
        },
    ),
)

"""Does each device have all the PCIe lanes it could have?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.kernel_log import device, slot
from clusterctl.model import Accelerator, Check, Evidence, Limit, PcieDevice, Severity, Verdict
from clusterctl.verdicts import absent, facts_of, failing, number_in, passing, settled, skipping

KINDS = ("accelerator", "nic", "nvme")
NO_LINK = frozenset({0, 63, 255})  # how sysfs and tools spell "this function has no link"
SOURCE = "PCI Express: link capability of the device itself"


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        yield from settled((*on_bus(evidence), *as_told(evidence)))


def on_bus(evidence: Evidence) -> Iterator[Verdict]:
    for found in facts_of(evidence, PcieDevice):
        part = device(evidence, found.part)
        if found.kind not in KINDS:
            yield skipping(evidence, part, "neither accelerator, NIC nor NVMe drive")
        elif found.width is None or found.width_max is None:
            field = "width" if found.width is None else "width_max"
            yield absent_at(evidence, part, found, field)
        else:
            limit = evidence.limits.get(f"{found.kind}_width")
            yield lanes(evidence, part, found.width, found.width_max, limit)


def absent_at(evidence: Evidence, part: str, found: PcieDevice, field: str) -> Verdict:
    """As `absent`, for VFs and devices without a link: their peers are other kinds of thing."""
    if found.kind == "accelerator":
        said = absent(evidence, found, field)
        return skipping(evidence, part, said.why)
    return skipping(evidence, part, "this function has no link of its own")


def as_told(evidence: Evidence) -> Iterator[Verdict]:
    """What the device says of itself: on a node whose sysfs says nothing this is all there is."""
    limit = evidence.limits.get("accelerator_width")
    seen = {slot(d.part) for d in facts_of(evidence, PcieDevice) if d.width is not None}
    for card in facts_of(evidence, Accelerator):
        if card.pcie_width is not None and card.pcie_width_max is not None:
            yield lanes(evidence, card.part, card.pcie_width, card.pcie_width_max, limit)
        elif slot(card.pci) not in seen:
            field = "pcie_width" if card.pcie_width is None else "pcie_width_max"
            yield absent(evidence, card, field)


def lanes(evidence: Evidence, part: str, width: int, most: int, limit: Limit | None) -> Verdict:
    wanted, source = most, SOURCE
    if limit is not None:
        wanted, source = int(number_in(limit)), limit.source
    if limit is None and most in NO_LINK:
        return skipping(evidence, part, "this function has no link of its own")
    if width < wanted or width in NO_LINK:
        return failing(
            evidence,
            part,
            expected=f"x{wanted}",
            actual=f"x{width}",
            why="the link came up with fewer lanes than the device has",
            remedy="drain the node and reseat the device and its riser; look at the slot's wiring",
            severity=Severity.ISOLATE,
            source=source,
        )
    return passing(
        evidence, part, f"x{width}", expected=f"x{wanted}", source=source, yardstick="floor"
    )


CHECKS = (
    Check(
        name="pcie_width",
        asks="Does each accelerator, NIC and NVMe drive have all its PCIe lanes?",
        wants=(PcieDevice,),
        uses=(Accelerator,),
        judge=judge,
        options=tuple(f"{kind}_width" for kind in KINDS),
    ),
)

"""Are the rails of one node alike: GIDs, PFC, ECN, DSCP, PCIe ordering, FEC, firmware?"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from clusterctl.model import Check, Evidence, Port, Verdict, Version
from clusterctl.peers import LEAST_VOTERS, majority
from clusterctl.verdicts import facts_of, passing, settled, skipping, warning

SETTING = re.compile(
    r"(?:rdma|pcie|nic)/(?P<device>[^/]+)/(?:[0-9]+/)?(?P<name>\w+)"
    r"|(?P<what>fec|firmware)/(?P<of>[^/]+)(?:/[0-9]+)?"
)
SOURCE = "most rails of this node with the same link and speed"
PART = "rails"
Kind = tuple[str, float | None, str]  # link layer, Gbit/s, board


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        yield from settled(alike(evidence))


def alike(evidence: Evidence) -> Iterator[Verdict]:
    """Only ports of one kind are rails of each other: the storage NIC is set otherwise."""
    told = {version.part: version.value for version in facts_of(evidence, Version)}
    kinds: dict[str, Kind] = {
        port.device: (port.link_layer, port.rate_gbit_s, told.get(f"board/{port.device}", ""))
        for port in facts_of(evidence, Port)
        if "/" in port.part
    }
    said: defaultdict[tuple[Kind, str], dict[str, str]] = defaultdict(dict)
    for part, value in told.items():
        if found := SETTING.fullmatch(part):
            device, name = found["device"] or found["of"], found["name"] or found["what"]
            if device in kinds:
                said[kinds[device], name][device] = value
    compared = 0
    different = []
    for (_, name), values in sorted(said.items(), key=str):
        usual = majority(values.values()) if len(values) >= LEAST_VOTERS else None
        if usual is None:
            continue
        compared += 1
        different += [
            odd(evidence, device, name, value, usual)
            for device, value in values.items()
            if value != usual
        ]
    yield from different
    if compared and not different:
        yield passing(evidence, PART, f"{compared} settings alike", yardstick="peers")
    elif not compared:
        yield skipping(evidence, PART, "fewer than three rails of a kind, or no settings of them")


def odd(evidence: Evidence, device: str, name: str, value: str, usual: str) -> Verdict:
    words = name.replace("_", " ")
    return warning(
        evidence,
        device,
        expected=f"{words}: {usual[:120]}",
        actual=value[:120],
        why=f"this rail's {words} differs from the others of this node",
        remedy="set it as on the other rails; jobs take the slowest rail's pace",
        source=SOURCE,
        yardstick="peers",
    )


CHECKS = (
    Check(
        name="rail_settings",
        asks="Are the rails of one node alike in settings and firmware?",
        wants=(Version,),
        uses=(Port,),
        judge=judge,
    ),
)

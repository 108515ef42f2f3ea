"""PFC, trust and DSCP of RoCE ports, as mlnx_qos shows them, else iproute2's dcb.

Layouts: Mellanox community DOC-2792 (mlnx_qos); iproute2, man8/dcb-pfc.8 and dcb-app.8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from clusterctl.model import Fact, Kind, Probe, Question, Trouble, Version
from clusterctl.spelling import visible
from clusterctl.sysfs import rows

CALL_S, MOST_PORTS = 3.0, 16
TRUST = re.compile(r"Priority trust state: (\w+)")
MAPPED = re.compile(r"\s*prio:([0-7]) dscp:([0-9,]+)")
ENABLED = re.compile(r"\s*enabled\s+((?:[01]\s*){8})")
DCB_PFC = re.compile(r"prio-pfc((?: [0-7]:(?:on|off))+)")
DCB_DSCP = re.compile(r"dscp-prio((?: [0-9]{1,2}:[0-7])+)")
SECTION = re.compile(r"(PFC|Buffers|Cable|Receive|tc:).*", re.IGNORECASE)


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """A port of which a tool said nothing that we know is a trouble."""
    found = list(rows(stdout))
    told = [row for row in found if not isinstance(row, Trouble)]
    yield from (row for row in found if isinstance(row, Trouble))
    yield from strange(told)
    failed = {row[1] for row in told if row[0] == "failed" and len(row) > 1}
    for device in dict.fromkeys(row[1] for row in told if row[0] == "port" and len(row) == 3):
        part = visible(device, 40)
        lines = [(row[0], row[2]) for row in told if len(row) == 3 and row[1] == device]
        known = dict(settings(lines))
        if "pfc" not in known and device not in failed:
            yield Trouble(Kind.UNREADABLE, "no PFC in what the tool said", part)
        for name, value in known.items():
            yield Version(f"rdma/{part}/{name}", value)


def strange(told: Sequence[Sequence[str]]) -> Iterator[Trouble]:
    for row in told:
        match row:
            case ("failed", device, tool, status, why):
                kind = Kind.TIMEOUT if status == "timeout" else Kind.EXIT
                said = f"{visible(tool, 20)}: {visible(status, 20)}: {visible(why, 120)}"
                yield Trouble(kind, said, visible(device, 40))
            case ("missing", tools):
                yield Trouble(Kind.MISSING, f"{visible(tools, 40)}: neither is installed")
            case ("clusterctl", "roce", "1") | ("port" | "qos" | "pfc" | "app", _, _):
                pass
            case _:
                yield Trouble(Kind.UNREADABLE, f"not a row of ours: {visible(repr(row), 120)}")


def settings(lines: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """`pfc`: the lossless priorities; `dscp`: 26>3 for each code point not in its own eighth."""
    mapped: dict[int, int] = {}
    section = ""
    for tool, line in lines:
        text = line.strip()
        if head := SECTION.match(text):
            section = head[1].lower()
        if found := TRUST.search(text):
            yield "trust", found[1].lower()
        elif found := MAPPED.match(text):
            points = (one for one in found[2].split(",") if one)
            mapped |= {int(point): int(found[1]) for point in points if len(point) <= 2}
        elif (found := ENABLED.fullmatch(text)) and section == "pfc":
            on = [str(index) for index, flag in enumerate(found[1].split()) if flag == "1"]
            yield "pfc", ",".join(on) or "off"
        elif tool == "pfc" and (found := DCB_PFC.search(text)):
            on = [one[0] for one in found[1].split() if one.endswith(":on")]
            yield "pfc", ",".join(on) or "off"
        elif tool == "app" and (found := DCB_DSCP.search(text)):
            pairs = (one.split(":") for one in found[1].split())
            mapped |= {int(point): int(priority) for point, priority in pairs}
    if mapped:
        moved = [f"{point}>{prio}" for point, prio in sorted(mapped.items()) if point // 8 != prio]
        yield "dscp", ",".join(moved) or "by eights"


FABRIC = (
    Probe(
        Question(
            "roce_qos",
            (f"{CALL_S:g}",),
            script="ask_roce",
            timeout_s=2 * CALL_S * MOST_PORTS + 5,
        ),
        parse,
        yields=(Version,),
        about="PFC, trust and DSCP of RoCE ports, which must agree among peers",
        proven="documentation",
    ),
)

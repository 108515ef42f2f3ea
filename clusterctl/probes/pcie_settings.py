"""How each NIC and accelerator may use PCIe: relaxed ordering, payload and read request sizes.

Read from the device control word of configuration space: PCI Express Base Specification, 7.5.3.4.
What firmware forces beyond it (mlxconfig's PCI_WR_ORDERING) is not in it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from clusterctl.model import Fact, Kind, Probe, Question, Trouble, Version
from clusterctl.spelling import visible
from clusterctl.sysfs import kind_of, rows

WORD = re.compile(r"[0-9a-f]{4}")
RELAXED = 1 << 4
PAYLOAD, READ_REQUEST = 5, 12  # where three bits n stand for 128 << n bytes
MOST = 5
SILENT = "ffff"  # all ones: nobody answers at that address


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """As versions, for peers should have the same.  All that was refused is one trouble."""
    refused: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows(stdout):
        match row:
            case Trouble():
                yield row
            case ("pcie", address, name, word) if WORD.fullmatch(word) and word != SILENT:
                yield from settings(visible(name or address, 60), int(word, 16))
            case ("refused", address, reason):
                refused[reason].append(address)
            case ("clusterctl", "pcie", "1"):
                pass
            case _:
                yield Trouble(Kind.UNREADABLE, f"not a row of ours: {visible(repr(row), 120)}")
    for reason, addresses in refused.items():
        where = (
            f"configuration space of {len(addresses)} devices, {visible(addresses[0], 40)} first"
        )
        yield Trouble(kind_of(reason), f"{where}: {visible(reason, 40)}; root may read it")


def settings(part: str, word: int) -> Iterator[Fact | Trouble]:
    payload, request = word >> PAYLOAD & 7, word >> READ_REQUEST & 7
    if max(payload, request) > MOST:
        yield Trouble(Kind.UNREADABLE, f"no device control word: {word:04x}", part)
        return
    yield Version(f"pcie/{part}/relaxed_ordering", "on" if word & RELAXED else "off")
    yield Version(f"pcie/{part}/max_payload_bytes", str(128 << payload))
    yield Version(f"pcie/{part}/max_read_request_bytes", str(128 << request))


FABRIC = (
    Probe(
        Question("pcie_settings", script="ask_pcie", timeout_s=15.0),
        parse,
        yields=(Version,),
        about="PCIe settings that must agree: relaxed ordering, payload, read request",
        proven="documentation",
    ),
)

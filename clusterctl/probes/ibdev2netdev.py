"""Which network device belongs to which RDMA port: MLNX_OFED's ibdev2netdev, plain and -v."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.model import Fact, Kind, Port, Trouble
from clusterctl.spelling import plain, visible

ROW = re.compile(
    r"(?:([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) )?(\S+)(?: \(.*?\).*?)? port ([0-9]{1,3})"
    r"(?: \(\w+\s*\))? ==> (\S+) \((Up|Down)\)"
)


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Up and down are the network device's, as the tool says them."""
    lines = [line.strip() for line in plain(stdout).split("\n") if line.strip()]
    if not lines:
        yield Trouble(Kind.UNREADABLE, "no port in it")
    for line in lines:
        if not (found := ROW.fullmatch(line)):
            yield Trouble(Kind.UNREADABLE, f"not a line of ibdev2netdev: {visible(line, 120)}")
            continue
        device = visible(found[2], 60)
        yield Port(
            f"{device}/{found[3]}",
            device=device,
            state="active" if found[5] == "Up" else "down",
            netdev=visible(found[4], 60),
            pci=found[1],
        )


READS = {"ibdev2netdev": parse}

"""Which network device has which address: what ties a rail to the port that carries it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

from clusterctl.model import Address, Fact, Kind, Probe, Question, Trouble
from clusterctl.spelling import visible

LINE = re.compile(r"\d+:\s+(\S+)\s+inet6?\s+([^\s/]+)(?:/\d+)?\s.*")
OTHERS = re.compile(r"\d+:\s+\S+\s+(?:link|ipx|dnet)/?\S*\s.*")


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Of `ip -o addr show` (iproute2, ip-address(8)); an address a line."""
    for line in filter(str.strip, stdout.splitlines()):
        found = LINE.fullmatch(line.strip())
        try:
            if found:
                name = visible(found[1].partition("@")[0], 40)
                yield Address(name, str(ip_address(found[2])), "")
                continue
        except ValueError:
            found = None
        if not OTHERS.fullmatch(line.strip()):
            why = f"not a line of `ip -o addr`: {visible(line, 120)}"
            yield Trouble(Kind.UNREADABLE, why)


BY_NAME = (
    Probe(
        Question(
            "ip_addresses",
            ("ip", "-o", "addr", "show"),
            timeout_s=10.0,
            without_python=("ip", "-o", "addr", "show"),
        ),
        parse,
        yields=(Address,),
        about="which network device has which address",
        optional=True,
        tool="ip",
    ),
)

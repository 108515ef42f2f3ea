"""Network devices as `ip -j link show` tells them.  Layout: iproute2, ip/ipaddress.c."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from clusterctl.model import Fact, Kind, Port, Trouble
from clusterctl.spelling import visible

STATES = {
    "UP": "active",
    "DOWN": "down",
    "LOWERLAYERDOWN": "down",
    "NOTPRESENT": "down",
    "DORMANT": "down",
    "TESTING": "down",
    "UNKNOWN": "unknown",
}
LAYERS = {"ether": "ethernet", "infiniband": "infiniband"}


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    try:
        given = json.loads(stdout)
    except (ValueError, RecursionError) as error:
        yield Trouble(Kind.UNREADABLE, f"not JSON: {visible(str(error), 120)}")
        return
    # ip prints {} for each device that a filter left out
    links = [one for one in given if one] if isinstance(given, list) else []
    if not links:
        yield Trouble(Kind.UNREADABLE, "no network device in it")
    for one in links:
        yield port_of(one)


def port_of(one: Any) -> Port | Trouble:
    if not isinstance(one, Mapping) or not isinstance(one.get("ifname"), str):
        return Trouble(Kind.UNREADABLE, f"not a link of ip: {visible(repr(one), 120)}")
    part, state, flags = visible(one["ifname"], 60), one.get("operstate"), one.get("flags")
    if not isinstance(state, str) or state not in STATES or not isinstance(flags, list):
        return Trouble(Kind.UNREADABLE, f"not a link's state: {visible(repr(state), 60)}", part)
    mtu = one.get("mtu")
    return Port(
        part,
        device=part,
        state=STATES[state],
        link_layer=LAYERS.get(str(one.get("link_type")), ""),
        netdev=part,
        mtu_bytes=mtu if type(mtu) is int and mtu > 0 else None,
        enabled="UP" in flags,
    )


READS = {"ip_link": parse}

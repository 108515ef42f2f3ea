"""RDMA links and their statistics as iproute2's rdma prints them, as text and as JSON.

Layout: iproute2, rdma/link.c and rdma/stat.c.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from clusterctl.model import Fact, Kind, Port, Trouble
from clusterctl.spelling import plain, visible

LINK = re.compile(r"link ([^/\s]+)/([0-9]{1,3}) (.*)")
STATISTIC = re.compile(r"link ([^/\s]+)/([0-9]{1,3}) ((?:\w+ [0-9]+ ?)+)")
STATES = {"ACTIVE": "active", "DOWN": "down", "INIT": "init", "ARMED": "armed"}
NOT_COUNTERS = frozenset({"ifindex", "ifname", "port", "netdev_index"})


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Of a statistic the state is unknown: it says none."""
    text = plain(stdout).strip()
    if text.startswith(("[", "{")):
        yield from of_json(text)
    elif not text:
        yield Trouble(Kind.UNREADABLE, "no RDMA link in it")
    for line in text.split("\n") if text and text[0] not in "[{" else ():
        if found := STATISTIC.fullmatch(line.strip()):
            words = found[3].split()
            counters = {
                visible(k, 60): int(v) for k, v in zip(words[::2], words[1::2], strict=True)
            }
            yield port_of(found[1], found[2], {}, counters)
        elif (found := LINK.fullmatch(line.strip())) and len(found[3].split()) % 2 == 0:
            words = found[3].split()
            yield port_of(found[1], found[2], dict(zip(words[::2], words[1::2], strict=True)), {})
        else:
            yield Trouble(Kind.UNREADABLE, f"not a line of rdma: {visible(line, 120)}")


def of_json(text: str) -> Iterator[Fact | Trouble]:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield Trouble(Kind.UNREADABLE, f"not JSON: {visible(str(error), 120)}")
        return
    links = [one for one in (given if isinstance(given, list) else [given]) if one]
    for one in links:
        if not isinstance(one, dict) or not isinstance(one.get("ifname"), str):
            yield Trouble(Kind.UNREADABLE, f"not a link of rdma: {visible(repr(one), 120)}")
            continue
        counters = {
            visible(str(key), 60): value
            for key, value in one.items()
            if type(value) is int and value >= 0 and key not in NOT_COUNTERS
        }
        yield port_of(one["ifname"], str(one.get("port", "")), one, counters)
    if not links:
        yield Trouble(Kind.UNREADABLE, "no RDMA link in it")


def port_of(
    name: str, number: str, told: Mapping[str, Any], counters: Mapping[str, int]
) -> Port | Trouble:
    device = visible(name, 60)
    part = f"{device}/{visible(number, 10)}"
    phys, state = str(told.get("physical_state", "")), str(told.get("state", ""))
    if state not in {"", *STATES} or not re.fullmatch("[0-9]{1,3}", number):
        return Trouble(Kind.UNREADABLE, f"not a link's state: {visible(repr(told), 120)}", part)
    if not state and not counters:
        return Trouble(Kind.UNREADABLE, "neither a state nor a counter", part)
    netdev = told.get("netdev")
    return Port(
        part,
        device=device,
        state=STATES.get(state, "unknown"),
        phys_state=visible(phys.lower().replace("_", ""), 40) or None,
        netdev=visible(netdev, 60) if isinstance(netdev, str) else None,
        enabled=phys != "DISABLED" if phys else None,
        counters=counters,
    )


READS = {"rdma": parse}

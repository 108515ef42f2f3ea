"""A switch's ports, modules and neighbours, as its own command line prints them.

The answer is {"switch": 1, "platform": …, "outputs": {command: text}, "rows": {command: [row]},
"failed": {command: {kind, detail}}}; rows are what ntc-templates made of a text, where it has the
command.  It is put together where the switch is asked, which is never on a node.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from clusterctl.model import (
    Fact,
    Kind,
    Neighbour,
    Optic,
    Port,
    Probe,
    Question,
    Trouble,
    Version,
)
from clusterctl.probes import switch_comware as comware
from clusterctl.probes import switch_cumulus as cumulus
from clusterctl.probes import switch_eos as eos
from clusterctl.probes import switch_onyx as onyx
from clusterctl.probes import switch_optics
from clusterctl.probes import switch_texts as texts
from clusterctl.probes.lldp import parse as lldpd
from clusterctl.spelling import visible

Read = Callable[[str, list[Mapping[str, Any]]], Iterator[Fact | Trouble]]

# Platform (netmiko's word) -> command -> what reads it.  Nothing else is ever sent to a switch.
COMMANDS: dict[str, dict[str, Read]] = {
    "huawei_vrp": {
        "display dcb pfc": texts.vrp_pauses,
        "display interface": texts.vrp_interfaces,
        "display lldp neighbor": texts.vrp_neighbours,
        "display interface transceiver verbose": texts.vrp_optics,
    },
    "hp_comware": {
        comware.INTERFACES: comware.interfaces,
        comware.NEIGHBOURS: comware.neighbours,
        comware.LIGHT: comware.optics,
        comware.PAUSES: comware.pauses,
    },
    "arista_eos": {
        eos.INTERFACES: eos.interfaces,
        eos.NEIGHBOURS: eos.neighbours,
        eos.MODULES: eos.modules,
        eos.LANES: eos.lanes,
        eos.STUCK: eos.stuck,
    },
    "sonic": {
        "show interfaces counters": texts.sonic_counters,
        "show interfaces status": texts.sonic_status,
        "show lldp table": texts.sonic_neighbours,
        "show pfc counters": texts.sonic_pauses,
        "show pfc priority": texts.sonic_lossless,
        "show queue wredcounters": texts.sonic_marks,
        switch_optics.COMMAND: switch_optics.sonic_optics,
    },
    "cumulus_linux": {
        cumulus.LINKS: cumulus.links,
        cumulus.SPEEDS: cumulus.speeds,
        "lldpctl -f json": lambda text, _rows: lldpd(text),
        cumulus.MODULES: cumulus.optics,
    },
    "mellanox_mlnxos": {
        onyx.INTERFACES: onyx.interfaces,
        onyx.MODULES: onyx.modules,
        onyx.LIGHT: onyx.optics,
        onyx.NEIGHBOURS: onyx.neighbours,
        onyx.LOSSLESS: onyx.lossless,
    },
}
# Not every release or model has them: there they are refused, and that is all.
OPTIONAL = frozenset(
    {
        *("display dcb pfc", comware.PAUSES, "show pfc priority", "show queue wredcounters"),
        *(onyx.LOSSLESS, eos.LANES, eos.STUCK),
    }
)
COMMANDS["huawei_vrpv8"] = COMMANDS["huawei_vrp"]
COMMANDS["h3c_comware"] = COMMANDS["hp_comware"]


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    try:
        said = json.loads(stdout)
    except (ValueError, RecursionError) as error:
        yield Trouble(Kind.UNREADABLE, f"not JSON: {visible(str(error), 80)}")
        return
    platform = said.get("platform") if isinstance(said, Mapping) else None
    if not isinstance(platform, str) or platform not in COMMANDS or said.get("switch") != 1:
        yield Trouble(Kind.UNREADABLE, f"not an answer of ours: {visible(stdout, 80)!r}")
        return
    outputs, failed = mapping(said, "outputs"), mapping(said, "failed")
    found: list[Fact | Trouble] = []
    for command, read in COMMANDS[platform].items():
        if command in failed:
            trouble = refused(command, failed[command])
            if not (command in OPTIONAL and trouble.kind is Kind.EXIT):
                found.append(trouble)
        elif isinstance(text := outputs.get(command), str):
            rows = mapping(said, "rows").get(command)
            known = [row for row in rows if isinstance(row, Mapping)] if rows else []
            found += understood(command, read, text, known)
        else:
            found.append(Trouble(Kind.CUT, f"no answer to {command}", command))
    yield from together(found)


def mapping(said: object, name: str) -> Mapping[str, Any]:
    found = said.get(name) if isinstance(said, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def refused(command: str, why: object) -> Trouble:
    told = why if isinstance(why, Mapping) else {}
    kind = told.get("kind")
    known = Kind(kind) if isinstance(kind, str) and kind in set(Kind) else Kind.EXIT
    detail = visible(str(told.get("detail") or "no reason given"), 300)
    return Trouble(known, f"{command}: {detail}", command)


def understood(
    command: str, read: Read, text: str, rows: list[Mapping[str, Any]]
) -> Iterator[Fact | Trouble]:
    found = list(read(text, rows))
    silent = command not in texts.NEVER_EMPTY and texts.EMPTY.search(text)
    if not found and text.strip() and not silent:
        found = [Trouble(Kind.UNREADABLE, f"nothing known in it: {visible(text, 80)!r}", command)]
    elif not found and command in texts.NEVER_EMPTY:
        found = [Trouble(Kind.UNREADABLE, "it printed nothing", command)]
    yield from found


def together(found: list[Fact | Trouble]) -> Iterator[Fact | Trouble]:
    """What several commands say of one port is one Port; of one module, one Optic.

    A module that only says whose it is measures nothing, and is not told of.
    """
    ports: dict[str, Port] = {}
    optics: dict[str, Optic] = {}
    for one in found:
        if isinstance(one, Port):
            known = ports.get(one.part)
            ports[one.part] = one if known is None else joined(known, one)
        elif isinstance(one, Optic):
            named = optics.get(one.part)
            optics[one.part] = one if named is None else signed(one, named)
        else:
            yield one
    yield from ports.values()
    yield from (one for one in optics.values() if one.temp_c is not None or one.rx_mw or one.tx_mw)


def signed(measured: Optic, named: Optic) -> Optic:
    return replace(
        measured,
        vendor=measured.vendor or named.vendor,
        model=measured.model or named.model,
        serial=measured.serial or named.serial,
        temp_c=measured.temp_c if measured.temp_c is not None else named.temp_c,
        rx_mw=measured.rx_mw or named.rx_mw,
        tx_mw=measured.tx_mw or named.tx_mw,
    )


def joined(one: Port, other: Port) -> Port:
    return replace(
        one,
        state=other.state if one.state == "unknown" else one.state,
        phys_state=one.phys_state or other.phys_state,
        rate_gbit_s=one.rate_gbit_s if one.rate_gbit_s is not None else other.rate_gbit_s,
        mtu_bytes=one.mtu_bytes if one.mtu_bytes is not None else other.mtu_bytes,
        enabled=one.enabled if one.enabled is not None else other.enabled,
        counters={**other.counters, **one.counters},
    )


BY_NAME = (
    Probe(
        Question("switch", timeout_s=120.0),
        parse,
        yields=(Port, Optic, Neighbour, Version),
        about="A switch's ports, modules and LLDP neighbours: `clusterctl switches`",
        proven="documentation",
    ),
)

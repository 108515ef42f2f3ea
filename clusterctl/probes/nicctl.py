"""AMD Pensando ports as `nicctl show port -j` and `nicctl show port statistics -j` tell them.

For a sweep ethtool tells the same counters, so these are asked only by name.  Layout: as AMD's
exporter has it (ROCm/device-metrics-exporter, docker/mockdata/nic).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from clusterctl.model import Applies, Fact, Kind, Optic, Port, Probe, Question, Trouble
from clusterctl.spelling import Unreadable, count, number, plain, visible

ID = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
SPEED = re.compile(r"([0-9]{1,4})G")
STATES = {"UP": "active", "DOWN": "down"}
DOWNS = "number_of_link_down_events"
READER = (
    "PATH=$PATH:/usr/sbin:/opt/amd/ainic/bin; code=0; "
    "for what in 'port' 'port statistics'; do nicctl show $what -j || code=$?; done; exit $code"
)
Told = Mapping[str, Any]


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """A port each, from either answer or both; without `show port` its state is unknown."""
    ports: dict[str, dict[str, Told]] = {}
    text, decoder, seen = plain(stdout).strip(), json.JSONDecoder(), 0
    while text:
        try:
            given, end = decoder.raw_decode(text)
            for part, about in of_answer(given):
                ports.setdefault(part, {}).update(about)
            seen += 1
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            yield Trouble(Kind.UNREADABLE, f"not the JSON of nicctl: {visible(repr(error), 120)}")
            break
        text = text[end:].strip()
    if not ports:
        yield Trouble(Kind.UNREADABLE, f"no port in {seen} answers")
    for part, about in ports.items():
        yield from of_port(part, about)


def of_answer(given: Any) -> Iterator[tuple[str, dict[str, Told]]]:
    for nic in given["nic"]:
        for port in nic["port"]:
            found = ID.fullmatch(str(port["spec"]["id"]).lower())
            if not found:
                raise ValueError(f"no port's id: {visible(str(port['spec']['id']), 60)}")
            part = f"nic-{found[1]}{found[2]}"  # its MAC address
            if "statistics" in port:
                downs = {DOWNS: port["status"][DOWNS]} if DOWNS in port.get("status", {}) else {}
                yield part, {"statistics": {**port["statistics"], **downs}}
            else:
                yield part, {"spec": port["spec"], "status": port["status"]}


def of_port(part: str, about: Mapping[str, Told]) -> Iterator[Fact | Trouble]:
    spec, status = about.get("spec", {}), about.get("status", {})
    counters: dict[str, int] = {}
    told = dict(about.get("statistics", {}))
    if DOWNS in status:
        told.setdefault(DOWNS, status[DOWNS])
    for name, text in told.items():
        try:
            counters[visible(str(name), 60)] = count(str(text))
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, f"{visible(str(name), 60)}: {error}", part)
    state = str(status.get("operational_status", ""))
    speed, able = SPEED.fullmatch(word(status, "port_speed")), word(spec, "port_speed")
    most = SPEED.fullmatch(able)
    if status and (state not in STATES or (state == "UP" and not speed)):
        yield Trouble(Kind.UNREADABLE, f"not a port's status: {visible(repr(status), 120)}", part)
        return
    lanes, mtu = word(status, "number_of_lanes"), word(spec, "mtu")
    yield Port(
        part,
        device=part,
        state=STATES.get(state, "unknown"),
        link_layer="ethernet",
        rate_gbit_s=float(speed[1]) if speed and state == "UP" else None,
        rate_max_gbit_s=float(most[1]) if most else None,
        width=int(lanes) if lanes.isdecimal() and lanes.isascii() else None,
        mtu_bytes=int(mtu) if mtu.isdecimal() and mtu.isascii() else None,
        enabled={"UP": True, "DOWN": False}.get(word(spec, "admin_state")),
        driver="ionic",
        counters=counters,
    )
    if word(status, "transceiver_pid"):
        yield module(part, status)


def module(part: str, status: Told) -> Optic | Trouble:
    """Copper says 0 degrees, and limits of 0: it does not measure."""
    try:
        temperature = number(word(status, "transceiver_temperature") or "-")
    except Unreadable as error:
        return Trouble(Kind.UNREADABLE, str(error), part)
    return Optic(
        part, model=visible(word(status, "transceiver_pid"), 40), temp_c=temperature or None
    )


def word(told: Told, name: str) -> str:
    return str(told.get(name, "")).strip()


BY_NAME = (
    Probe(
        Question(
            "nicctl",
            ("sh", "-c", READER),
            without_python=("sh", "-c", READER),
            timeout_s=30.0,
        ),
        parse,
        yields=(Port, Optic),
        about="AMD Pensando ports: state, speed, error correction and its counters, module",
        applies=Applies(("1dd8",), ("nic",), "no AMD Pensando network device on the PCI bus"),
    ),
)

"""Which switch port each of our ports is plugged into, as lldpd hears it: lldpctl -f json.

The JSON writer makes a list of what stands more than once and a mapping of what stands once
(lldpd, src/client/json_writer.c), so that both shapes are read wherever they may stand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from clusterctl.model import Fact, Kind, Neighbour, Probe, Question, Trouble
from clusterctl.spelling import visible

LIMIT = 120


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """A neighbour a port; none where nobody speaks LLDP to it."""
    try:
        given = json.loads(stdout)
    except (ValueError, RecursionError) as error:
        yield Trouble(Kind.UNREADABLE, f"not JSON: {visible(str(error), 120)}")
        return
    root = given.get("lldp") if isinstance(given, dict) else None
    if isinstance(root, list):
        root = root[0] if root else {}
    if not isinstance(root, dict):
        yield Trouble(Kind.UNREADABLE, "no lldp in it")
        return
    for part, about in named(root.get("interface")):
        yield neighbour(part, about)


def named(given: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(name, what is said of it) in each of three shapes: {name: {…}}, [{name: {…}}], json0's.

    One interface that hears two neighbours stands there twice.
    """
    for one in given if isinstance(given, list) else [given]:
        if not isinstance(one, dict):
            continue
        own = one.get("name")
        if isinstance(own, (str, list)):
            yield word(own), one
            continue
        for name, about in one.items():
            for each in about if isinstance(about, list) else [about]:
                if isinstance(each, dict):
                    yield str(name), each


def neighbour(part: str, about: Mapping[str, Any]) -> Neighbour | Trouble:
    part = visible(part, LIMIT)
    system, chassis = chassis_of(about.get("chassis"))
    _, port = next(unnamed(about.get("port")), ("", {}))
    own, text = word(port.get("id")), word(port.get("descr"))
    # A port that gives its MAC for an id is found on the switch by its description.
    system_port = text or own if own.count(":") == 5 else own or text
    if not (part and system and system_port):
        return Trouble(Kind.UNREADABLE, "a neighbour without a name or port", part)
    return Neighbour(part, system, system_port, chassis, text)


def unnamed(given: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for one in given if isinstance(given, list) else [given]:
        if isinstance(one, dict):
            yield "", one


def chassis_of(given: object) -> tuple[str, str]:
    """(name, id) of {name: {id: …}}, of {id: …} where the switch gives no name, or of json0's."""
    for _, one in unnamed(given):
        if "id" in one:
            found = word(one["id"])
            return word(one.get("name")) or found, found
        for name, about in one.items():
            if isinstance(about, dict):
                return visible(str(name), LIMIT), word(about.get("id"))
    return "", ""


def word(given: object) -> str:
    """The text in "x", {"value": "x"} or [{"value": "x"}]."""
    if isinstance(given, list):
        given = given[0] if given else ""
    if isinstance(given, dict):
        given = given.get("value", "")
    return visible(str(given).strip(), LIMIT) if isinstance(given, (str, int)) else ""


FABRIC = (
    Probe(
        Question(
            "lldp",
            ("lldpctl", "-f", "json"),
            timeout_s=15.0,
            without_python=("lldpctl", "-f", "json"),
        ),
        parse,
        yields=(Neighbour,),
        about="the switch port that each of our ports is plugged into (LLDP)",
        optional=True,
    ),
)
READS = {"lldpctl": parse}  # the tool's own name

"""Ports that the kernel uses as one: /proc/net/bonding.

Layout: Documentation/networking/bonding.rst; drivers/net/bonding/bond_procfs.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from clusterctl.model import Bond, Fact, Kind, Probe, Trouble
from clusterctl.spelling import plain, visible
from clusterctl.sysfs import contents, files

END = "/proc/sys/kernel/ostype"  # on every Linux, and read last: when it came, all came
FOLDER = "/proc/net/bonding/"
UNNAMED = "bond"  # a pasted file does not say whose it is
KEY = re.compile(r"\s*([\w. ()]+?):\s*(.*)")
STATES = {"up": "active", "down": "down", "going down": "down", "going back": "down"}
# "Speed: Unknown" is that of a port without a link
SPEED = re.compile(r"([0-9]{1,7}) Mbps")


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """A bond each; a member whose state is garbled costs the bond."""
    text = plain(stdout)
    if text.startswith("Ethernet Channel Bonding Driver"):
        *lines, rest = text.split("\n")
        if rest.strip():
            yield Trouble(Kind.CUT, f"the text ends within a line: {visible(rest, 80)!r}")
        yield bond(UNNAMED, lines)
        return
    texts, refusals = contents(stdout)
    if END not in texts or any(trouble.kind is Kind.CUT for trouble in refusals):
        yield Trouble(Kind.CUT, "the answer does not reach its last file")
        return
    yield from refusals
    for path, told in texts.items():
        if path.startswith(FOLDER):
            yield bond(visible(path.removeprefix(FOLDER), 40), told.split("\n"))


def bond(part: str, lines: Sequence[str]) -> Bond | Trouble:
    own: dict[str, str] = {}
    members: dict[str, dict[str, str]] = {}
    into = own
    for line in lines:
        if not (found := KEY.fullmatch(line)):
            continue
        if found[1] == "Slave Interface":
            into = members.setdefault(visible(found[2].strip(), 40), {})
        else:  # details of the LACP frames, below, repeat some names
            into.setdefault(found[1], found[2].strip())
    states = {name: STATES.get(told.get("MII Status", "")) for name, told in members.items()}
    state, mode = STATES.get(own.get("MII Status", "")), visible(own.get("Bonding Mode", ""), 80)
    if not (state and mode) or None in states.values():
        return Trouble(Kind.UNREADABLE, "a mode or the state of the bond or a member lacks", part)
    speeds = {name: SPEED.fullmatch(told.get("Speed", "")) for name, told in members.items()}
    partner = own.get("Partner Mac Address", "").lower()
    return Bond(
        part,
        mode,
        state,
        members={name: state for name, state in states.items() if state},
        rates_gbit_s={name: int(speed[1]) / 1000 for name, speed in speeds.items() if speed},
        aggregators={
            name: visible(told["Aggregator ID"], 20)
            for name, told in members.items()
            if "Aggregator ID" in told
        },
        partner=partner if re.fullmatch("(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", partner) else None,
    )


PROBES = (
    Probe(
        files("bonding", f"{FOLDER}*", END),
        parse,
        yields=(Bond,),
        about="bonded ports: mode, members, and what the switch says by LACP",
        proven="documentation",
    ),
)

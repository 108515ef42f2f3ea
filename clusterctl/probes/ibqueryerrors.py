"""Error counters of every port of an InfiniBand subnet, as ibqueryerrors gathers them.

Layout: rdma-core, infiniband-diags/ibqueryerrors.c.  It leaves out counters that are zero, and its
exit status is a number of ports, so that only its summary says that it came to its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.model import FabricCounters, Fact, Kind, Probe, Trouble
from clusterctl.probes.ib_rates import guid, name
from clusterctl.probes.ibnetdiscover import HEX, question
from clusterctl.spelling import visible

HEAD = re.compile(r'Errors for (?:0x[0-9a-f]+ )?"(.*)"')
PORT = re.compile(rf"GUID 0x({HEX}) port ([0-9]{{1,3}}|ALL):((?: \[[^\[\]]*\])+)")
COUNTER = re.compile(r"\[(\w+) == ([0-9]{1,20})(?: \([^)]*\))?\]")
SUMMARY = re.compile(r"## Summary: ([0-9]+) nodes checked, .*")
FAILURES = re.compile(r"##\s+([0-9]+) PMA query failures")
ASIDE = re.compile(r"##.*|Link info:.*")
# Waiting for credits is congestion and no fault of a cable.
SUPPRESSED = "PortXmitWait"
LAST = "## Suppressed:"


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Ports whose counters are all zero are not in it."""
    called, checked = "", 0
    whole = stdout.endswith("\n")
    ended = whole and stdout.strip().rpartition("\n")[2].startswith(LAST)
    for line in stdout.split("\n"):
        text = line.strip()
        if found := HEAD.fullmatch(text):
            called = name(found[1])
        elif found := PORT.fullmatch(text):
            if found[2] != "ALL" and whole:
                yield of_port(called, found)
        elif found := SUMMARY.fullmatch(text):
            checked = int(found[1])
        elif found := FAILURES.fullmatch(text):
            if int(found[1]):
                why = f"{found[1]} ports did not say their counters; ask them with perfquery"
                yield Trouble(Kind.EXIT, why, "counters")
        elif text and not ASIDE.fullmatch(text):
            yield Trouble(Kind.UNREADABLE, f"not a line of ibqueryerrors: {visible(text, 120)}")
    if not (checked and ended):
        yield Trouble(Kind.CUT, "no summary at its end that says how many boxes were asked")


def of_port(called: str, found: re.Match[str]) -> FabricCounters:
    counters = {key: int(value) for key, value in COUNTER.findall(found[3])}
    number = int(found[2])
    return FabricCounters(f"{called}/{number}", called, guid(found[1]), number, counters)


FABRIC = (
    Probe(
        question("ibqueryerrors", "-s", SUPPRESSED),
        parse,
        yields=(FabricCounters,),
        about="error counters of every port of the InfiniBand subnet; asked of one node",
        good_exits=tuple(range(256)),
    ),
)

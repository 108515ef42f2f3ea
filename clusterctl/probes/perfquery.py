"""Counters of an InfiniBand port as perfquery prints them, in the names that sysfs uses.

Layout: rdma-core, infiniband-diags/perfquery.c and libibmad/fields.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.model import Fact, Kind, Port, Trouble
from clusterctl.spelling import Unreadable, count, plain, visible

HEAD = re.compile(r"# (.*) counters: (Lid [0-9]+) port ([0-9]{1,3})(?: \(.*\))?")
LINE = re.compile(r"(\w+):\.*(\S+)")
NOT_COUNTERS = re.compile(r"PortSelect|CounterSelect2?")
# infiniband-diags' names of the kernel's counters
NAMES = {
    "SymbolErrorCounter": "symbol_error",
    "LinkErrorRecoveryCounter": "link_error_recovery",
    "LinkDownedCounter": "link_downed",
    "PortRcvErrors": "port_rcv_errors",
    "PortRcvRemotePhysicalErrors": "port_rcv_remote_physical_errors",
    "PortRcvSwitchRelayErrors": "port_rcv_switch_relay_errors",
    "PortXmitDiscards": "port_xmit_discards",
    "PortXmitConstraintErrors": "port_xmit_constraint_errors",
    "PortRcvConstraintErrors": "port_rcv_constraint_errors",
    "LocalLinkIntegrityErrors": "local_link_integrity_errors",
    "ExcessiveBufferOverrunErrors": "excessive_buffer_overrun_errors",
    "VL15Dropped": "VL15_dropped",
    "PortXmitWait": "port_xmit_wait",
    "PortXmitData": "port_xmit_data",
    "PortRcvData": "port_rcv_data",
    "PortXmitPkts": "port_xmit_packets",
    "PortRcvPkts": "port_rcv_packets",
}


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """A port a block.  It says no state, so that is unknown; a bad counter costs that counter."""
    *lines, rest = plain(stdout).split("\n")
    ports: list[tuple[str, dict[str, int]]] = []
    for line in lines:
        if head := HEAD.fullmatch(line.strip()):
            ports.append((f"{head[2].lower()}/{head[3]}", {}))
        elif (told := LINE.fullmatch(line.strip())) and ports:
            if NOT_COUNTERS.fullmatch(told[1]):
                continue
            try:
                ports[-1][1][NAMES.get(told[1], visible(told[1], 60))] = count(told[2])
            except Unreadable as error:
                yield Trouble(Kind.UNREADABLE, f"{visible(told[1], 60)}: {error}", ports[-1][0])
        elif line.strip():
            yield Trouble(Kind.UNREADABLE, f"not a line of perfquery: {visible(line, 120)}")
    if rest.strip():
        yield Trouble(Kind.CUT, f"the text ends within a line: {visible(rest, 80)!r}")
    if not any(counters for _, counters in ports):
        yield Trouble(
            Kind.UNREADABLE, "no counter in it: the port did not answer, or was not asked"
        )
        return
    for part, counters in ports:
        yield Port(part, part.rpartition("/")[0], "unknown", "infiniband", counters=counters)


READS = {"perfquery": parse}

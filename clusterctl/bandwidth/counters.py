"""What ports counted while paths were measured: it makes a slow path easier to believe, no more.

An error counter says which end heard the trouble, so it points at one direction of one port.  How
much it points is bounded (evidence.model_of), and a port whose paths are fast is never accused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from clusterctl.bandwidth.rails import Rails
from clusterctl.counters import risen
from clusterctl.model import Address, Fact, Observation, Port
from clusterctl.trials.flows import rail_devices

# Bits that arrive broken: the cable, the far transmitter or this receiver.
GARBLED = frozenset(
    {
        *("symbol_error", "port_rcv_errors", "local_link_integrity_errors", "rx_crc_errors_phy"),
        *("rx_crc_errors", "rx_symbol_err_phy", "rx_pcs_symbol_err_phy", "rx_fcs_errors"),
        *("fec_uncorrectable_blocks", "rx_fcs_err_frames", "rx_fec_uncorrectable_blocks"),
        *("rx_pcs_symbol_err", "rx_crc_errors.nic", "port.rx_crc_errors", "frames_rx_bad_fcs"),
        *("rsfec_uncorrectable_word", "mac_rx_fcs_err_pkt_num", "mac_rx_bad_pkt_num"),
        *("mac_rx_sym_err_pkt_num",),
    }
)
SENT_BROKEN = frozenset({"mac_tx_bad_pkt_num", "roce_tx_err_pkt_num"})
RETRAINED = frozenset({"link_error_recovery", "link_downed"})
# What the far end asked to have again was lost after it left here.
SENT_AGAIN = frozenset(
    {
        *("packet_seq_err", "implied_nak_seq_err", "local_ack_timeout_err", "seq_err_naks_rcvd"),
        *("req_rx_pkt_seq_err", "tx_rdma_ack_timeout", "roce_new_pkt_rty_num"),
    }
)
NOT_IN_ORDER = frozenset({"out_of_sequence", "roce_out_of_order_num"})
BOTH = ("nic-tx", "nic-rx")
# Which direction, how many make it worth a word, and by how much the odds rise.  Packets lost may
# have been lost anywhere on the way; ROCm/cvs tells of them from 1,000.
POINTS = (
    (GARBLED, ("nic-rx",), 1, 30.0),
    (SENT_BROKEN, ("nic-tx",), 1, 30.0),
    (RETRAINED, BOTH, 1, 30.0),
    (SENT_AGAIN, ("nic-tx",), 1000, 5.0),
    (NOT_IN_ORDER, ("nic-rx",), 1000, 5.0),
)
COMMON = 0.25  # of ports: what so many count tells none of them apart


@dataclass(frozen=True, slots=True)
class Hint:
    """`component` as localisation spells it; its odds of being at fault are `odds` times higher."""

    component: str
    odds: float
    why: str  # symbol_error +12 on mlx5_3/1


def hints(rails: Rails, before: Sequence[Observation], now: Sequence[Observation]) -> list[Hint]:
    """From two readings of the same ports; none where a rail's port cannot be told."""
    old, new = ports(before), ports(now)
    rows = list(rises(old, new))
    counting = Counter(name for _, name, _ in rows)
    told = {name for name, count in counting.items() if count <= max(1, COMMON * len(new))}
    owner = carried(rails, now)
    found = []
    for port, name, rose in rows:
        for names, ways, least, odds in POINTS:
            if name in names and name in told and rose >= least and port in owner:
                node, rail = owner[port]
                why = f"{name} +{rose} on {port[1]}"
                found += [Hint(f"{way}:{node}/{rail}", odds, why) for way in ways]
    return found


def merged(earlier: Iterable[Hint], found: Sequence[Hint]) -> list[Hint]:
    """Of a run that was stopped: what rose before then points no less; a newer word replaces."""
    again = {(one.component, counter(one)) for one in found}
    kept = [one for one in earlier if (one.component, counter(one)) not in again]
    return [*kept, *found]


def counter(hint: Hint) -> str:
    return hint.why.partition(" ")[0]


def priors(found: Iterable[Hint]) -> dict[str, float]:
    """As localisation takes them: the strongest hint counts, a fault shows in many counters."""
    best: dict[str, float] = {}
    for one in found:
        best[one.component] = max(best.get(one.component, 1.0), one.odds)
    return best


def said(found: Iterable[Hint]) -> dict[str, tuple[str, ...]]:
    """What each component's port counted."""
    words: dict[str, list[str]] = {}
    for one in found:
        words.setdefault(one.component, []).append(one.why)
    return {name: tuple(sorted(set(many))) for name, many in words.items()}


Ports = Mapping[tuple[str, str], Mapping[str, int]]


def ports(seen: Sequence[Observation]) -> Ports:
    """Counters by node and part; two sources of one port complete each other."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for node, fact in facts(seen):
        if isinstance(fact, Port):
            found.setdefault((node, fact.part), {}).update(fact.counters)
    return found


def rises(old: Ports, new: Ports) -> Iterator[tuple[tuple[str, str], str, int]]:
    for port, counters in new.items():
        past = old.get(port, {})
        for name, value in counters.items():
            if name in past and (rose := risen(value, past[name])[0]) > 0:
                yield port, name, rose


def carried(rails: Rails, seen: Sequence[Observation]) -> dict[tuple[str, str], tuple[str, int]]:
    """(node, part of a port) to (node, rail): by label rail_devices, else by the rail's address."""
    by_address: dict[tuple[str, str], str] = {}
    known: dict[str, list[Port]] = {}
    for name, fact in facts(seen):
        if isinstance(fact, Address):
            by_address[name, fact.actual] = fact.part
        elif isinstance(fact, Port):
            known.setdefault(name, []).append(fact)
    found = {}
    for at, node in enumerate(rails.nodes):
        devices = rail_devices(node)
        for rail in range(rails.topology.leaf.shape[1]):
            device = devices[rail] if rail < len(devices) else ""
            netdev = by_address.get((node.name, rails.address(at, rail, -1)), "")
            for port in known.get(node.name, ()):
                named = device and device in {port.device, port.part}
                if named or (not device and netdev and netdev in {port.part, port.netdev}):
                    found[node.name, port.part] = (node.name, rail)
    return found


def facts(seen: Sequence[Observation]) -> Iterator[tuple[str, Fact]]:
    for one in seen:
        for fact in one.facts:
            yield one.node, fact

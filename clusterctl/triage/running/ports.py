"""A port of the job's that loses or damages packets, as the NIC itself counts them."""

from __future__ import annotations

from collections.abc import Iterator

from clusterctl.triage.running.candidates import SURE, listed
from clusterctl.triage.running.job import Job
from clusterctl.triage.running.observed import Seen
from clusterctl.triage.running.signals import KINDS, Counted, Signal, by_node, odd, used
from clusterctl.triage.running.wires import DATA
from clusterctl.triage.verdict import Cause

# By what a port loses or damages packets, in drivers' words: mlx5 (Documentation/networking/
# device_drivers/ethernet/mellanox/mlx5/counters.rst), RDMA hw_counters (rdma-core,
# Documentation/), bnxt_en, ice and hinic (drivers/net/ethernet/*/*/*ethtool.c).
LOST = (
    "discard",
    "out_of_buffer",
    "crc",
    "fcs",
    "symbol_err",
    "bad_pkt",
    "packet_seq_err",
    "ack_timeout",
    "new_pkt_rty",
    "rx_dropped.nic",
    "port_rcv_errors",
)
SENT = ("tx_packets", "rx_packets")
RDMA_SENT = ("port_xmit_packets", "port_rcv_packets")


def ports(job: Job) -> Iterator[Signal]:
    """One that loses far more of its packets than the port of the same name on its peers does."""
    told = {node: carrying(seen) for node, seen in used(job).items()}
    names = sorted({port for one in told.values() for port in one})
    for port in names:
        own = {node: one[port] for node, one in told.items() if port in one}
        values = {
            node: Counted(sum(gone.values()), carried) for node, (gone, carried) in own.items()
        }
        found = odd(values, by_node(job), KINDS * len(names))
        if found is None or found[2] < SURE:
            continue
        node, usual, sure = found
        gone, carried = own[node]
        worst = sorted(gone.items(), key=lambda one: -one[1])
        counts = listed([f"{word} {count:.0f}" for word, count in worst if count > 0])
        share = values[node].rate
        says = f"{port} lost {share:.2%} of {carried:.0f} packets, its peers' {usual:.2%}: {counts}"
        yield Signal(node, Cause.NETWORK, says, sure, port, share)


def carrying(seen: Seen) -> dict[str, tuple[dict[str, float], float]]:
    """Of each port that carries much of the node's packets: what it lost, by word; its packets.

    One that carries little is not the job's, and loses what nobody misses.
    """
    lost: dict[str, dict[str, float]] = {}
    packets: dict[str, float] = {}
    for name, count in seen.spent.items():
        kind, _, rest = name.partition(".")
        port, _, word = rest.partition(".")
        if (kind == "nic" and word in SENT) or (kind == "rdma" and word in RDMA_SENT):
            packets[port] = packets.get(port, 0.0) + count
        elif kind in {"rdma", "ethtool"} and is_loss(word):
            lost.setdefault(port, {})[word] = count
    most = max(packets.values(), default=0.0)
    return {
        port: (gone, packets[port])
        for port, gone in lost.items()
        if packets.get(port, 0.0) > DATA * most
    }


def is_loss(word: str) -> bool:
    """Of mlx5 what one priority lost is in the port's count, too."""
    return any(part in word for part in LOST) and not word.startswith(("rx_prio", "tx_prio"))

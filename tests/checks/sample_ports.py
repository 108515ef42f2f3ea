"""Ports, for tables."""

from __future__ import annotations

from dataclasses import replace

from clusterctl.model import Port

NAMES = ("n1", "n2", "n3", "n4", "n5", "n6")


IB = Port(
    "mlx5_0/1",
    "mlx5_0",
    "active",
    "infiniband",
    "linkup",
    400.0,
    driver="mlx5_core",
    pci="0000:a1:00.0",
)


ETH = Port(
    "eth0",
    "eth0",
    "active",
    "ethernet",
    rate_gbit_s=10.0,
    duplex="full",
    driver="ice",
    pci="0000:02:00.0",
)


DOWN = replace(IB, state="down", phys_state="polling", rate_gbit_s=None)


def counting(port=IB, **counters):
    return replace(port, counters=counters)

"""Accelerators and their places on the bus, for tables."""

from __future__ import annotations

from dataclasses import replace

from clusterctl.model import Accelerator, PcieDevice

M = "H100"

GPU = Accelerator("gpu0", vendor="nvidia", model=M, uuid="u0", pci="0000:1b:00.0")

CARD = PcieDevice("0000:1b:00.0", "accelerator", "10de", "2330", "030200", "nvidia", "nvidia")

NIC = PcieDevice("0000:a1:00.0", "nic", "15b3", "1021", "020700", "", "mlx5_core")

NAMES = ("n1", "n2", "n3", "n4", "n5", "n6")


def gpu(index=0, **fields):
    pci = f"0000:{index + 16:02x}:00.0"
    return replace(GPU, part=f"gpu{index}", index=index, uuid=f"u{index}", pci=pci, **fields)


def card(index=0, **fields):
    return replace(CARD, part=f"0000:{index + 16:02x}:00.0", **fields)


def silent(field):
    """Peers of this model report the field."""
    return frozenset({("Accelerator", M, field)})

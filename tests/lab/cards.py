"""The cards of a lab node, and how the kernel shows a PCI function."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tree import LINK, Entry

GPU_BUSES = ("1b", "43", "52", "61", "9d", "c3", "d1", "df")
NIC_BUSES = ("1a", "40", "4f", "5e", "9a", "c0", "ce", "dc")
DRIVE_BUSES = ("28", "29")
ETHERNET_BUS = "03"
AER = {
    "correctable": "RxErr BadTLP BadDLLP Rollover Timeout NonFatalErr CorrIntErr HeaderOF "
    "TOTAL_ERR_COR",
    "nonfatal": "Undefined DLP SDES TLP FCP CmpltTO CmpltAbrt UnxCmplt RxOF MalfTLP ECRC UnsupReq "
    "TOTAL_ERR_NONFATAL",
    "fatal": "Undefined DLP SDES TLP FCP CmpltTO CmpltAbrt UnxCmplt RxOF MalfTLP ECRC UnsupReq "
    "TOTAL_ERR_FATAL",
}


class Card(NamedTuple):
    bus: str
    vendor: str
    device: str
    class_id: str
    driver: str
    lanes: int
    speed: str

    @property
    def address(self) -> str:
        return f"0000:{self.bus}:00.0"

    @property
    def folder(self) -> str:
        port = f"0000:{self.bus[0]}0:01.{int(self.bus[1], 16) % 8}"
        return f"devices/pci0000:{self.bus[0]}0/{port}/{self.address}"


def gpu_card(index: int) -> Card:
    return Card(GPU_BUSES[index], "10de", "2330", "030200", "nvidia", 16, "32.0")


def nic_card(index: int) -> Card:
    return Card(NIC_BUSES[index], "15b3", "1021", "020700", "mlx5_core", 16, "32.0")


def drive_card(index: int) -> Card:
    return Card(DRIVE_BUSES[index], "144d", "a80a", "010802", "nvme", 4, "16.0")


def ethernet_card() -> Card:
    return Card(ETHERNET_BUS, "8086", "1563", "020000", "ixgbe", 4, "8.0")


def config_space(card: Card, header: int) -> bytes:
    """The first 256 bytes that lspci reads."""
    space = bytearray(256)
    space[0:2] = int(card.vendor, 16).to_bytes(2, "little")
    space[2:4] = int(card.device, 16).to_bytes(2, "little")
    space[9:12] = int(card.class_id, 16).to_bytes(3, "little")
    space[14] = header
    return bytes(space)


def pci(card: Card, *, header: int = 0, speed_now: str = "", where: str = "") -> Iterator[Entry]:
    """One function on the bus, with its link, error counters and driver."""
    base = where or card.folder
    up = "../" * base.count("/")
    yield f"{base}/vendor", f"0x{card.vendor}"
    yield f"{base}/device", f"0x{card.device}"
    yield f"{base}/class", f"0x{card.class_id}"
    yield f"{base}/subsystem_vendor", f"0x{card.vendor}"
    yield f"{base}/subsystem_device", "0x16c1"
    yield f"{base}/revision", "0xa1"
    yield f"{base}/irq", "0"
    yield f"{base}/enable", "1"
    yield f"{base}/numa_node", "0"
    yield f"{base}/current_link_speed", f"{speed_now or card.speed} GT/s PCIe"
    yield f"{base}/max_link_speed", f"{card.speed} GT/s PCIe"
    yield f"{base}/current_link_width", str(card.lanes)
    yield f"{base}/max_link_width", str(card.lanes)
    yield f"{base}/resource", ("0x0 0x0 0x0\n" * 7).rstrip("\n")
    yield f"{base}/config", config_space(card, header)
    yield f"{base}/driver", f"{LINK}{up}../bus/pci/drivers/{card.driver}"
    for kind, names in AER.items():
        yield f"{base}/aer_dev_{kind}", "\n".join(f"{name} 0" for name in names.split())
    address = base.rpartition("/")[2]
    yield f"bus/pci/devices/{address}", f"{LINK}../../../{base}"
    yield f"bus/pci/drivers/{card.driver}/{address}", f"{LINK}../../../../{base}"


def card_and_bridge(card: Card) -> Iterator[Entry]:
    """The function and the root port above it, which runs below its best on healthy machines."""
    bridge = Card(card.bus, "8086", "352a", "060400", "pcieport", card.lanes, "32.0")
    where = card.folder.rpartition("/")[0]
    yield from pci(bridge, header=1, speed_now=card.speed, where=where)
    yield from pci(card)

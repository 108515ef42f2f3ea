"""Print the PCIe device control word of every NIC and accelerator.  Changes nothing.

Rows, tab-separated: pcie (PCI address, RDMA device or empty, four hex digits), refused (PCI
address, errno's name), end (number of rows).  Only root may read beyond the first 64 bytes.
"""

import errno
import os
import sys

BUS = "/sys/bus/pci/devices"
CLASSES = ("0x0200", "0x0207", "0x0302", "0x0380", "0x0b40", "0x1200")
CAPABILITIES, EXPRESS, CONTROL = 0x34, 0x10, 8
COUNT = [0]


def row(*cells):
    COUNT[0] += 1
    sys.stdout.write("\t".join(str(cell) for cell in cells) + "\n")


def read(path, size):
    with open(path, "rb") as file:
        return file.read(size)


def control(config):
    """The word, or None: no PCI Express capability in it."""
    at, seen = config[CAPABILITIES] & 0xFC, 0
    while 0x40 <= at <= len(config) - CONTROL - 2 and seen < 48:
        if config[at] == EXPRESS:
            return config[at + CONTROL] | config[at + CONTROL + 1] << 8
        at, seen = config[at + 1] & 0xFC, seen + 1
    return None


def show(address):
    folder = os.path.join(BUS, address)
    if read(folder + "/class", 6).decode("ascii", "replace") not in CLASSES:
        return
    if os.path.exists(folder + "/physfn") or not os.path.exists(folder + "/config"):
        return
    names = (
        sorted(os.listdir(folder + "/infiniband")) if os.path.isdir(folder + "/infiniband") else []
    )
    config = read(folder + "/config", 256)
    if len(config) < 256:
        row("refused", address, "EACCES")
        return
    word = control(config)
    if word is not None:
        row("pcie", address, names[0] if names else "", "%04x" % word)


row("clusterctl", "pcie", 1)
for ADDRESS in sorted(os.listdir(BUS)) if os.path.isdir(BUS) else ():
    try:
        show(ADDRESS)
    except (OSError, IOError) as error:
        row("refused", ADDRESS, errno.errorcode.get(error.errno, str(error.errno)))
sys.stdout.write("end\t%d\n" % COUNT[0])

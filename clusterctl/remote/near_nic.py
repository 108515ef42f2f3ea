"""Which interface has an address, and what is near to it: processors, RDMA port, accelerator.

It travels beside scripts that name it.
"""

import array
import os
import re
import socket
import struct
from fcntl import ioctl

SIOCGIFCONF = 0x8912  # linux/sockios.h
IFREQ = 40  # bytes of a struct ifreq on 64 bits
NVIDIA = "0x10de"


def read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def listed(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def interface_of(address):
    """The interface that has this address; empty: none of ours."""
    return addresses().get(address.partition("%")[0], "")


def addresses():
    """Address -> interface.  An IPv4 alias is its interface's."""
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        space = array.array("B", bytes(IFREQ * 256))
        told = ioctl(asking, SIOCGIFCONF, struct.pack("iL", len(space), space.buffer_info()[0]))
        for at in range(0, struct.unpack("iL", told)[0], IFREQ):
            name = space[at : at + 16].tobytes().split(b"\0")[0].decode()
            address = socket.inet_ntoa(space[at + 20 : at + 24].tobytes())
            found[address] = name.partition(":")[0]
    for line in read("/proc/net/if_inet6").split("\n"):
        cells = line.split()
        if len(cells) == 6:
            found[socket.inet_ntop(socket.AF_INET6, bytes.fromhex(cells[0]))] = cells[5]
    return found


def local_address(peer):
    """Our end of a connection, as the kernel spells it, IPv4 in IPv6 undone."""
    return unmapped(peer.getsockname()[0])


def unmapped(address):
    return address[7:] if address[:7] == "::ffff:" else address


def hardware(name, root="/sys/class/net"):
    """The folder of the device below an interface, of a bond's or bridge's first; or empty."""
    for _ in range(4):
        folder = "%s/%s/device" % (root, name)
        if os.path.exists(folder):
            return os.path.realpath(folder)
        lower = [one[6:] for one in listed("%s/%s" % (root, name)) if one.startswith("lower_")]
        if not lower:
            return ""
        name = lower[0]
    return ""


def numa_of(folder):
    """The NUMA node of a device; None: it does not say."""
    said = read(folder + "/numa_node") if folder else ""
    return int(said) if said.isdigit() else None


def cpus_of(node):
    found = set()
    for span in re.findall(r"\d+(?:-\d+)?", read("/sys/devices/system/node/node%d/cpulist" % node)):
        first, _, last = span.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def stay_near(address):
    """Keeps us and our children on the NIC's processors.  The NUMA node; None: anywhere."""
    node = numa_of(hardware(interface_of(address)))
    if node is None:
        return None
    near = cpus_of(node) & os.sched_getaffinity(0)
    if not near:
        return None
    os.sched_setaffinity(0, near)
    return node


# ----------------------------------------------------------------------------- RDMA


def rdma_ports(root="/sys/class/infiniband"):
    """(device, port, whether it is active, its interface or empty) of every RDMA port."""
    for device in listed(root):
        for port in listed("%s/%s/ports" % (root, device)):
            folder = "%s/%s/ports/%s" % (root, device, port)
            names = listed("%s/%s/device/net" % (root, device))
            name = read(folder + "/gid_attrs/ndevs/0") or (names[0] if names else "")
            yield device, port, "ACTIVE" in read(folder + "/state"), name


def rdma_of(wanted, address, root="/sys/class/infiniband"):
    """(device, port) to go through: the wanted `mlx5_3` or `mlx5_3/1`, else the address's own."""
    name = interface_of(address)
    for device, port, active, its in rdma_ports(root):
        if active and (wanted in (device, device + "/" + port) if wanted else name and its == name):
            return device, port
    return None


def nearest_gpu(folder, root="/sys/bus/pci/devices"):
    """The NVIDIA GPU with most of its way to the root in common with a device, as CUDA counts."""
    gpus = [
        os.path.realpath("%s/%s" % (root, one))
        for one in listed(root)
        if read("%s/%s/vendor" % (root, one)) == NVIDIA
        and read("%s/%s/class" % (root, one)).startswith("0x03")
    ]
    if not gpus or not folder:
        return None
    shared = [len(os.path.commonpath([gpu, folder])) for gpu in gpus]
    return shared.index(max(shared))

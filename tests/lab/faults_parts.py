"""Faults of a node's parts: accelerators, PCIe, memory, ports and the link."""

from __future__ import annotations

import cards
import image
from lab import Lab

CONF = f"/{image.STATE}/nvml.conf"


def nvml(lab: Lab, node: str, *lines: str) -> None:
    """Say something in the stub library's file; the last line of a key holds."""
    lab.append(node, CONF, "".join(f"{line}\n" for line in lines))


def gpus(lab: Lab, node: str, argument: str) -> None:
    """NVML and nvidia-smi show ARGUMENT (7) GPUs; the PCI bus still shows all."""
    nvml(lab, node, f"count = {int(argument or 7)}")


def gpu_lost(lab: Lab, node: str, argument: str) -> None:
    """Every question about GPU ARGUMENT (3) is answered: GPU is lost."""
    nvml(lab, node, f"gpu.{int(argument or 3)}.lost = 1")


def gpu_dead(lab: Lab, node: str, argument: str) -> None:
    """GPU ARGUMENT (3) still has a handle, and every question to it is answered: GPU is lost."""
    nvml(lab, node, f"gpu.{int(argument or 3)}.dead = 1")


def gpu_gone(lab: Lab, node: str, argument: str) -> None:
    """GPU ARGUMENT (3) is on no bus any more; NVML counts the others from 0."""
    gone = int(argument or 3)
    lab.do(node, "rm", f"/sys/bus/pci/devices/{cards.gpu_card(gone).address}")
    present = [slot for slot in range(lab.gpus) if slot != gone]
    lab.write(node, CONF, image.nvml_conf(lab.nodes.index(node) + 1, present))


def ecc(lab: Lab, node: str, argument: str) -> None:
    """GPU ARGUMENT (3) counts an uncorrectable memory error since the driver was loaded."""
    nvml(lab, node, f"gpu.{int(argument or 3)}.ecc_uncorrected_volatile = 1")


def remap(lab: Lab, node: str, argument: str) -> None:
    """A row of GPU ARGUMENT (3) could not be remapped."""
    nvml(lab, node, f"gpu.{int(argument or 3)}.remap_failed = 1")


def throttle(lab: Lab, node: str, argument: str) -> None:
    """GPU ARGUMENT (3) is slowed down by its hardware for heat."""
    gpu = f"gpu.{int(argument or 3)}"
    nvml(lab, node, f"{gpu}.throttle = hw_slowdown,hw_thermal", f"{gpu}.temp_c = 89")


def stranger(lab: Lab, node: str, argument: str) -> None:
    """A process that no job started holds GPU ARGUMENT (0)."""
    nvml(lab, node, f"gpu.{int(argument or 0)}.processes = 4242:python3:30720")


def xid(lab: Lab, node: str, argument: str) -> None:
    """The kernel log gets XID ARGUMENT (79) of GPU 1."""
    address = cards.gpu_card(1).address.removesuffix(".0")
    texts = {
        "79": "pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
        "13": "pid=48213, name=python3, Graphics Exception: ESR 0x50dc30=0x107000e "
        "0x50dc34=0x20 0x50dc28=0xf81eb60 0x50dc2c=0x1174",
    }
    number = argument or "79"
    text = texts.get(number, "pid='<unknown>', name=<unknown>, Ch 00000008")
    kernel_says(lab, node, f"NVRM: Xid (PCI:{address}): {number}, {text}", priority=4)


def xid79(lab: Lab, node: str, argument: str) -> None:
    """The kernel log gets XID 79: a GPU has fallen off the bus."""
    xid(lab, node, "79")


def xid13(lab: Lab, node: str, argument: str) -> None:
    """The kernel log gets XID 13: a job's own mistake, most of the time."""
    xid(lab, node, "13")


def kernel_says(lab: Lab, node: str, text: str, *, priority: int = 3) -> None:
    """Append a record, now, to what /dev/kmsg shows."""
    sequence = lab.read(node, "/dev/kmsg").count("\n")
    microseconds = int(float(lab.read(node, "/proc/uptime").split()[0]) * 1e6)
    lab.append(node, "/dev/kmsg", f"{priority},{sequence},{microseconds},-;{text}\n")


def mce(lab: Lab, node: str, argument: str) -> None:
    """The kernel log gets an uncorrected machine check; EDAC counts it."""
    text = "EDAC MC0: 1 UE memory read error on CPU_SrcID#0_MC#0_Chan#1_DIMM#0"
    kernel_says(lab, node, f"{text} (channel:1 slot:0 page:0x1f2a3 offset:0x0 grain:32)")
    for path in ("ue_count", "dimm1/dimm_ue_count"):
        lab.write(node, f"/sys/devices/system/edac/mc/mc0/{path}", "1\n")


def pcie_x8(lab: Lab, node: str, argument: str) -> None:
    """The link of GPU ARGUMENT (5) runs eight lanes wide instead of sixteen."""
    index = int(argument or 5)
    address = cards.gpu_card(index).address
    lab.write(node, f"/sys/bus/pci/devices/{address}/current_link_width", "8\n")
    nvml(lab, node, f"gpu.{index}.pcie_width = 8")


def port_folder(argument: str) -> str:
    device, _, port = (argument or "mlx5_3").partition("/")
    return f"/sys/class/infiniband/{device}/ports/{port or 1}"


def half_rate(lab: Lab, node: str, argument: str) -> None:
    """Port ARGUMENT (mlx5_3/1) came up at 200 Gb/s."""
    lab.write(node, f"{port_folder(argument)}/rate", "200 Gb/sec (2X NDR)\n")


def port_down(lab: Lab, node: str, argument: str) -> None:
    """Port ARGUMENT (mlx5_3/1) is down and polls for a partner."""
    folder = port_folder(argument)
    lab.write(node, f"{folder}/state", "1: DOWN\n")
    lab.write(node, f"{folder}/phys_state", "2: Polling\n")
    lab.write(node, f"{folder}/rate", "10 Gb/sec (4X SDR)\n")


def symbol_errors(lab: Lab, node: str, argument: str) -> None:
    """Port ARGUMENT (mlx5_3/1) has counted symbol errors, receive errors and lost links."""
    folder = f"{port_folder(argument)}/counters"
    for name, value in (("symbol_error", 50000), ("port_rcv_errors", 900), ("link_downed", 12)):
        lab.write(node, f"{folder}/{name}", f"{value}\n")


def slow_nic(lab: Lab, node: str, argument: str) -> None:
    """The node sends at ARGUMENT (20mbit) only; it receives as before."""
    shape = f"tbf rate {argument or '20mbit'} burst 64k latency 50ms".split()
    lab.do(node, "tc", "qdisc", "replace", "dev", "eth0", "root", *shape)


def loss(lab: Lab, node: str, argument: str) -> None:
    """ARGUMENT (2) percent of what the node receives is lost."""
    share = str(float(argument or 2) / 100)
    rule = ["-m", "statistic", "--mode", "random", "--probability", share, "-j", "DROP"]
    lab.do(node, "iptables", "-w", "-I", "INPUT", *rule)

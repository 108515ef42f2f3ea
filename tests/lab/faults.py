"""What can be wrong with a node, by name.  `clear` undoes all of it.

Each is a function (lab, node, argument); its docstring's first line says what happens.
Nothing is undone piece by piece: `clear` gives the node a new disk and starts it again.
"""

from __future__ import annotations

from collections.abc import Iterable

import hardware
import image
from lab import Lab, LabError

CONF = f"/{image.STATE}/nvml.conf"
SMI = "/usr/bin/nvidia-smi"
TOOLS = (SMI, "/usr/bin/chronyc", "/usr/bin/systemctl", "/usr/sbin/nvme")
HANGS = "#!/bin/sh\ntrap '' TERM INT HUP\nwhile :; do sleep 1000; done\n"

# Escapes that clear a screen and set its title, markup that rich would swallow or fail on, a NUL.
BAIT = r"\033[2J\033]0;owned\007[gpu0] [/dev/nvidia0] [bold red]\000\r\n"
HOSTILE = f"""\
#!/bin/sh
printf '{BAIT}'
head -c 104857600 /dev/zero
printf '{BAIT}'
"""


# --------------------------------------------------------------------------- reaching it


def off(lab: Lab, node: str, argument: str) -> None:
    """Switched off: nobody answers ARP."""
    lab.ask_keeper(do="off", node=node)


def drop(lab: Lab, node: str, argument: str) -> None:
    """A firewall drops every packet silently: connects hang."""
    lab.do(node, "iptables", "-w", "-I", "INPUT", "-j", "DROP")


def refuse(lab: Lab, node: str, argument: str) -> None:
    """No sshd: connects are refused."""
    stop_sshd(lab, node)


def refuse_key(lab: Lab, node: str, argument: str) -> None:
    """The key is no longer authorised."""
    lab.write(node, "/etc/ssh/authorized_keys", "")


def host_key(lab: Lab, node: str, argument: str) -> None:
    """The host key is another one than known_hosts says."""
    key = "/etc/ssh/ssh_host_ed25519_key"
    lab.do(node, "rm", "-f", key, f"{key}.pub")
    lab.do(node, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    stop_sshd(lab, node)
    lab.do(node, "/usr/sbin/sshd", "-E", "/run/sshd.log")
    lab.await_sshd([node])


def silent(lab: Lab, node: str, argument: str) -> None:
    """Port 22 accepts connections and never says a word."""
    stop_sshd(lab, node)
    listen = (
        "import os, socket, time\n"
        "s = socket.create_server(('', 22), backlog=512)\n"
        "if os.fork(): os._exit(0)\n"
        "for n in range(3): os.close(n)\n"
        "kept = []\n"
        "while True: kept.append(s.accept())\n"
    )
    lab.do(node, "python3", "-c", listen)


def stop_sshd(lab: Lab, node: str) -> None:
    """Only the listener: connections that stand go on."""
    script = "p=$(cat /run/sshd.pid) && kill -9 $p && while kill -0 $p 2>/dev/null; do :; done"
    lab.do(node, "/bin/sh", "-c", script)


def reboot(lab: Lab, node: str, argument: str) -> None:
    """Everything dies at once; it is back after ARGUMENT (2) seconds with another boot id."""
    lab.ask_keeper(do="restart", node=node, after_s=float(argument or 2))


# --------------------------------------------------------------------------- its software


def no_python(lab: Lab, node: str, argument: str) -> None:
    """There is no python3: only sh is left."""
    lab.do(node, "/bin/sh", "-c", "rm -f /usr/bin/python* /usr/local/bin/python* /usr/bin/pypy*")


def smi_hangs(lab: Lab, node: str, argument: str) -> None:
    """nvidia-smi never returns and ignores SIGTERM."""
    lab.write(node, SMI, HANGS)
    lab.do(node, "chmod", "755", SMI)


def nvml_hangs(lab: Lab, node: str, argument: str) -> None:
    """Every call into NVML never returns, and neither does nvidia-smi."""
    nvml(lab, node, "hang=1")
    smi_hangs(lab, node, "")


def hostile(lab: Lab, node: str, argument: str) -> None:
    """Tools print escapes, markup, NUL bytes and 100 MB; files hold escapes and markup."""
    for tool in TOOLS:
        lab.write(node, tool, HOSTILE)
        lab.do(node, "chmod", "755", tool)
    bait = "\x1b[2J\x1b]0;owned\x07[gpu0] [/dev/nvidia0] [bold red]"
    lab.write(node, "/sys/class/infiniband/mlx5_0/node_desc", f"{bait}\n")
    lab.write(node, "/sys/class/nvme/nvme0/model", f"{bait}\n")
    lab.do(node, "rm", "-f", "/etc/os-release")
    lab.append(node, "/etc/os-release", f'ID=debian\nPRETTY_NAME="{bait}"\n')
    kernel_says(lab, node, f"nvme nvme0: {bait}")


def clock_off(lab: Lab, node: str, argument: str) -> None:
    """chrony has lost its source; the clock is ARGUMENT (3) seconds off."""
    fields = image.CHRONY.strip().split(",")
    fields[0], fields[1], fields[2] = "00000000", "", "0"
    fields[4] = fields[5] = f"{float(argument or 3):.9f}"
    fields[-1] = "Not synchronised"
    lab.write(node, f"/{image.STATE}/chrony", ",".join(fields) + "\n")


def service_failed(lab: Lab, node: str, argument: str) -> None:
    """The unit ARGUMENT (nvidia-fabricmanager) has failed."""
    unit = argument or "nvidia-fabricmanager"
    path = f"/{image.STATE}/services"
    others = [line for line in lab.read(node, path).splitlines() if line.split()[0] != unit]
    lab.write(node, path, "\n".join([*others, f"{unit} failed enabled", ""]))


def driver_drift(lab: Lab, node: str, argument: str) -> None:
    """The NVIDIA driver is ARGUMENT (535.161.08), which no peer has."""
    version = argument or "535.161.08"
    nvml(lab, node, f"driver={version}")
    lab.write(node, "/sys/module/nvidia/version", f"{version}\n")
    text = lab.read(node, "/proc/driver/nvidia/version")
    text = text.replace(hardware.DRIVER_VERSION, version)
    lab.write(node, "/proc/driver/nvidia/version", text)


# --------------------------------------------------------------------------- its accelerators


def nvml(lab: Lab, node: str, *lines: str) -> None:
    """Say something in the stub library's file; the last line of a key holds."""
    lab.append(node, CONF, "".join(f"{line}\n" for line in lines))


def gpus(lab: Lab, node: str, argument: str) -> None:
    """NVML and nvidia-smi show ARGUMENT (7) GPUs; the PCI bus still shows all."""
    nvml(lab, node, f"count={int(argument or 7)}")


def gpu_lost(lab: Lab, node: str, argument: str) -> None:
    """Every question about GPU ARGUMENT (3) is answered: GPU is lost."""
    nvml(lab, node, f"gpu.{int(argument or 3)}.lost=1")


def gpu_gone(lab: Lab, node: str, argument: str) -> None:
    """GPU ARGUMENT (3) is on no bus any more, and NVML shows one less."""
    address = hardware.gpu_card(int(argument or 3)).address
    lab.do(node, "rm", f"/sys/bus/pci/devices/{address}")
    nvml(lab, node, f"count={lab.gpus - 1}")


def ecc(lab: Lab, node: str, argument: str) -> None:
    """GPU ARGUMENT (3) counts an uncorrectable memory error since the driver was loaded."""
    nvml(lab, node, f"gpu.{int(argument or 3)}.ecc_uncorrected_volatile=1")


def remap(lab: Lab, node: str, argument: str) -> None:
    """A row of GPU ARGUMENT (3) could not be remapped."""
    nvml(lab, node, f"gpu.{int(argument or 3)}.remap_failed=1")


def throttle(lab: Lab, node: str, argument: str) -> None:
    """GPU ARGUMENT (3) is slowed down by its hardware for heat."""
    # nvmlClocksEventReasonHwThermalSlowdown
    nvml(lab, node, f"gpu.{int(argument or 3)}.throttle=0x40", f"gpu.{int(argument or 3)}.temp=92")


def xid(lab: Lab, node: str, argument: str) -> None:
    """The kernel log gets XID ARGUMENT (79) of GPU 1."""
    address = hardware.gpu_card(1).address.removesuffix(".0")
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
    address = hardware.gpu_card(index).address
    lab.write(node, f"/sys/bus/pci/devices/{address}/current_link_width", "8\n")
    nvml(lab, node, f"gpu.{index}.pcie_width=8")


# --------------------------------------------------------------------------- its network


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


# --------------------------------------------------------------------------- its disks


def disk_full(lab: Lab, node: str, argument: str) -> None:
    """The file system at ARGUMENT (/) has not one block left."""
    place = argument or "/"
    blocks, free, unit = map(int, lab.do(node, "stat", "-f", "-c", "%b %f %S", place).split())
    if place == "/":
        # Its size is the keeper's to change: cheaper than writing it full.
        lab.ask_keeper(do="resize", node=node, bytes=(blocks - free) * unit)
    else:
        lab.do(node, "fallocate", "-l", str(free * unit), f"{place}/full")


def ro_root(lab: Lab, node: str, argument: str) -> None:
    """The root is mounted read-only, against its fstab."""
    lab.do(node, "mount", "-o", "remount,ro", "/")


def drive_worn(lab: Lab, node: str, argument: str) -> None:
    """nvme0 has used up its spare blocks and says so."""
    worn = image.NVME_HEALTH.replace('"critical_warning":0', '"critical_warning":1')
    worn = worn.replace('"avail_spare":100', '"avail_spare":4')
    lab.write(node, f"/{image.STATE}/nvme0.json", worn)


# --------------------------------------------------------------------------- by name


def clear(lab: Lab, node: str, argument: str) -> None:
    """Undo everything: a new disk, started again."""
    clear_all(lab, [node])


def clear_all(lab: Lab, nodes: Iterable[str]) -> None:
    for node in nodes:
        lab.ask_keeper(do="fresh", node=node)
    for node in nodes:
        lab.await_sshd([node])


FAULTS = {
    fault.__name__: fault
    for fault in (
        *(off, drop, refuse, refuse_key, host_key, silent, reboot),
        *(no_python, smi_hangs, nvml_hangs, hostile, clock_off, service_failed, driver_drift),
        *(gpus, gpu_lost, gpu_gone, ecc, remap, throttle, xid, xid79, xid13, mce, pcie_x8),
        *(half_rate, port_down, symbol_errors, slow_nic, loss),
        *(disk_full, ro_root, drive_worn, clear),
    )
}


def inject(lab: Lab, node: str, name: str, argument: str = "") -> None:
    """`name` may hold the argument too: gpus=7.  Raises LabError."""
    name, equals, value = name.partition("=")
    if name not in FAULTS:
        raise LabError(f"no fault {name!r}; `fault --list` shows them")
    if node not in lab.addresses:
        raise LabError(f"no node {node!r}; there are {lab.nodes[0]} to {lab.nodes[-1]}")
    FAULTS[name](lab, node, value if equals else argument)


def described() -> str:
    width = max(map(len, FAULTS))
    lines = (f"{name:{width}}  {(fault.__doc__ or '').strip()}" for name, fault in FAULTS.items())
    return "\n".join(lines)

"""Faults of a node as a whole: reaching it, its software, its disks."""

from __future__ import annotations

import hardware
import image
from faults_parts import kernel_says, nvml
from lab import Lab

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


def no_python(lab: Lab, node: str, argument: str) -> None:
    """There is no python3: only sh is left."""
    lab.do(node, "/bin/sh", "-c", "rm -f /usr/bin/python* /usr/local/bin/python* /usr/bin/pypy*")


def smi_hangs(lab: Lab, node: str, argument: str) -> None:
    """nvidia-smi never returns and ignores SIGTERM."""
    lab.write(node, SMI, HANGS)
    lab.do(node, "chmod", "755", SMI)


def nvml_hangs(lab: Lab, node: str, argument: str) -> None:
    """Who asks NVML for a temperature never gets an answer; neither does nvidia-smi's caller."""
    nvml(lab, node, "gpu.*.hang = temp_c", "gpu.*.hang_ignores_term = 1")
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
    nvml(lab, node, f"driver = {version}")
    lab.write(node, "/sys/module/nvidia/version", f"{version}\n")
    text = lab.read(node, "/proc/driver/nvidia/version")
    text = text.replace(hardware.DRIVER_VERSION, version)
    lab.write(node, "/proc/driver/nvidia/version", text)


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

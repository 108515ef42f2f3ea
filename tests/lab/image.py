"""What all nodes of a lab share: a layer between this machine's root and each node's own disk.

It hides this machine's own files, and brings stub tools and the files that they read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cards
import hardware

STUBS = Path(__file__).parent / "stubs"
STATE = "etc/clusterctl-lab"  # what the stub tools answer, as plain files

# Everything else at the top of this machine's root is hidden from the nodes.
VISIBLE = frozenset({"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "var", "opt"})
EMPTY = {
    "root": 0o700,
    "tmp": 0o1777,
    "var/tmp": 0o1777,
    "home": 0o755,
    "run": 0o755,
    "mnt": 0o755,
    "srv": 0o755,
}
MOUNT_POINTS = ("proc", "sys", "dev", "data")

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

SSHD_CONFIG = f"""\
Port 22
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile /run/sshd.pid
AuthorizedKeysFile /etc/ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
LoginGraceTime 60
MaxStartups 4096
MaxSessions 256
SetEnv PATH={PATH}
Subsystem sftp internal-sftp
"""

FSTAB = """\
overlay / overlay rw,relatime 0 0
tmpfs /data tmpfs rw,nosuid,nodev,size=64m 0 0
"""

# Fields of `chronyc -c tracking` (chrony 4): reference, name, stratum, time, offset now, last,
# rms, frequency, residual, skew, root delay, root dispersion, interval, leap.
CHRONY = (
    "0AD50001,10.213.0.1,3,1763783000.123456789,0.000012345,-0.000010012,0.000024005,"
    "-12.345,0.001,0.012,0.000204512,0.000101123,64.4,Normal\n"
)

CUDA = "gpu.*.memory_mib = 40\n"  # real memory: a node has eight, and there are many nodes
SERVICES = """\
nvidia-fabricmanager active enabled
nvidia-persistenced active enabled
chrony active enabled
ssh active enabled
slurmd active enabled
"""

# As nvme-cli 2 prints `nvme smart-log -o json`; temperature in kelvin.
NVME_HEALTH = """\
{
  "critical_warning":0,
  "temperature":310,
  "avail_spare":100,
  "spare_thresh":10,
  "percent_used":1,
  "endurance_grp_critical_warning_summary":0,
  "data_units_read":"1234567",
  "data_units_written":"2345678",
  "power_cycles":"42",
  "power_on_hours":"9120",
  "unsafe_shutdowns":"3",
  "media_errors":"0",
  "num_err_log_entries":"0"
}
"""


def build(layer: Path, names: Mapping[str, str], *, gpus: int, stubs: bool) -> None:
    """Fill the layer.  `names`: node name -> address, for /etc/hosts."""
    hide_this_machine(layer)
    for name in MOUNT_POINTS:
        folder(layer / name, 0o755)
    for path, text in accounts_and_config(names):
        place(layer, path, text)
    (layer / "etc/shadow").chmod(0o600)
    if stubs:
        place_stubs(layer, gpus)


def hide_this_machine(layer: Path) -> None:
    for entry in os.scandir("/"):
        if entry.name in VISIBLE or entry.name in EMPTY or entry.name in MOUNT_POINTS:
            continue
        os.mknod(layer / entry.name, 0o020000, os.makedev(0, 0))  # overlayfs: not there
    for name, mode in EMPTY.items():
        folder(layer / name, mode)
        os.setxattr(layer / name, "trusted.overlay.opaque", b"y")
    folder(layer / "run/sshd", 0o755)
    folder(layer / "home/ops", 0o755)
    os.chown(layer / "home/ops", 5099, 5099)


def folder(path: Path, mode: int) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)


def place(layer: Path, path: str, text: str, mode: int = 0o644) -> None:
    target = layer / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(mode)


def accounts_and_config(names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Root and `ops`, who may sudo; nobody has a password, and nobody is locked out."""
    others = [line for line in Path("/etc/passwd").read_text().splitlines() if ":0:0:" not in line]
    others = [line for line in others if not line.startswith("ops:")]
    root = "root:x:0:0:root:/root:/bin/bash"
    ops = "ops:x:5099:5099:ops:/home/ops:/bin/sh"
    yield "etc/passwd", "\n".join([root, *others, ops, ""])
    users = [line.partition(":")[0] for line in [root, *others, ops]]
    yield "etc/shadow", "".join(f"{user}:*:19000:0:99999:7:::\n" for user in users)
    yield "etc/sudoers.d/clusterctl-lab", "ops ALL=(ALL) NOPASSWD: ALL\n"
    yield "etc/ssh/sshd_config", SSHD_CONFIG
    yield "etc/fstab", FSTAB
    hosts = "".join(f"{address} {name}\n" for name, address in names.items())
    yield "etc/hosts", f"127.0.0.1 localhost\n{hosts}"


def place_stubs(layer: Path, gpus: int) -> None:
    place(layer, f"{STATE}/chrony", CHRONY)
    place(layer, f"{STATE}/services", SERVICES)
    for index in range(len(cards.DRIVE_BUSES)):
        place(layer, f"{STATE}/nvme{index}.json", NVME_HEALTH)
    for path in ("usr/bin/chronyc", "usr/bin/systemctl", "usr/sbin/nvme", "usr/bin/nvidia-smi"):
        stub = STUBS / Path(path).name
        if stub.exists():
            place(layer, path, stub.read_text(), 0o755)
    if not gpus:
        return
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler:
        folder(layer / "usr/lib", 0o755)
        place(layer, f"{STATE}/cuda.conf", CUDA)
        libraries = {
            "nvml.c": "libnvidia-ml.so.1", "cuda.c": "libcuda.so.1", "clock.c": "liblabclock.so",
            "arch.c": "liblabarch.so",
        }  # fmt: skip
        for source, name in libraries.items():
            library = layer / "usr/lib" / name
            command = [compiler, "-O3", "-shared", "-fPIC", "-o", str(library), str(STUBS / source)]
            subprocess.run(command, check=True)


def nvml_conf(number: int, present: Sequence[int]) -> str:
    """What the stub library of node `number` shows: the GPUs `present`, by their slots."""
    lines = [f"driver = {hardware.DRIVER_VERSION}", f"count = {len(present)}"]
    for index, slot in enumerate(present):
        lines.append(f"gpu.{index}.pci = 0000{cards.gpu_card(slot).address.upper()}")
        lines.append(f"gpu.{index}.uuid = GPU-5a5a{number:04x}-0000-4000-8000-{slot:012d}")
        lines.append(f"gpu.{index}.serial = 165{number:05d}{slot:05d}")
    return "".join(f"{line}\n" for line in lines)


def boot_log(name: str, gpus: int) -> str:
    """The first records of /dev/kmsg: priority, sequence number, microseconds since boot."""
    lines = [
        (5, 0.0, f"Linux version {os.uname().release} (lab@lab)"),
        (6, 0.0, "Command line: BOOT_IMAGE=/boot/vmlinuz root=/dev/sda2 ro iommu=pt"),
        (6, 0.5, "smpboot: x86: Booting SMP configuration:"),
        (6, 2.1, "nvme nvme0: pci function 0000:28:00.0"),
        (6, 2.2, "nvme nvme0: 32/0/0 default/read/poll queues"),
        (6, 4.0, "EXT4-fs (sda2): mounted filesystem with ordered data mode."),
        (6, 5.0, f"systemd[1]: Set hostname to <{name}>."),
        (6, 6.0, "ixgbe 0000:03:00.0 eth0: NIC Link is Up 10 Gbps, Flow Control: RX/TX"),
    ]
    for index in range(8 if gpus else 0):
        nic = cards.nic_card(index).address
        lines.append((6, 7.0 + index / 10, f"mlx5_core {nic}: firmware version: 28.39.1002"))
    if gpus:
        version = hardware.DRIVER_VERSION
        text = f"NVRM: loading NVIDIA UNIX x86_64 Kernel Module  {version}  Fri May 31 09:35:42"
        lines.append((4, 9.0, text))
    records = (
        f"{priority},{sequence},{int(seconds * 1e6)},-;{text}\n"
        for sequence, (priority, seconds, text) in enumerate(lines)
    )
    return "".join(records)

"""One node: its name spaces, its root, its network and its sshd.  Runs inside the lab's keeper."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import hardware
import image
import namespaces as ns
import tree

UPTIME_S = 3 * 86400.0  # of a node that was not just restarted
RESTARTED_S = 20.0
DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}


class Plan(NamedTuple):
    """What the lab decided about one node before it is built."""

    name: str
    number: int  # from 1
    address: str
    prefix: int
    gateway: str
    mac: str
    keys: Path  # folder with its host key, and where its process id is noted

    @property
    def link(self) -> str:
        """Its port on the lab's switch."""
        return f"p{self.number}"


class Build(NamedTuple):
    """What all nodes of the lab are built from; paths are in the keeper's mount name space."""

    fs: Path
    authorized_keys: str
    gpus: int
    light: bool
    disk: str
    rate: str
    host_proc: int  # a descriptor of this machine's /proc


def uppers(build: Build, plan: Plan) -> Path:
    return build.fs / plan.name


def furnish(build: Build, plan: Plan) -> None:
    """A new, empty disk with the node's own files, and its /sys.  An older one is dropped."""
    disk = uppers(build, plan)
    if disk.exists():
        ns.unmount(str(disk))
    disk.mkdir(exist_ok=True)
    ns.mount("tmpfs", str(disk), "tmpfs", options=f"size={build.disk},mode=755")
    for name in ("upper", "work", "root"):
        (disk / name).mkdir()
    upper = disk / "upper"
    image.place(upper, "etc/hostname", f"{plan.name}\n")
    image.place(upper, "etc/machine-id", f"{uuid.uuid4().hex}\n")
    image.place(upper, "etc/ssh/authorized_keys", build.authorized_keys)
    for key in ("ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"):
        image.place(upper, f"etc/ssh/{key}", (plan.keys / key).read_text(), 0o600)
    if build.light:
        return
    conf = image.nvml_conf(plan.number, range(build.gpus))
    image.place(upper, f"{image.STATE}/nvml.conf", conf)
    folder = build.fs / "sys" / plan.name
    shutil.rmtree(folder, ignore_errors=True)
    tree.clone(build.fs / "sys" / "template", folder)
    tree.write(folder, hardware.own(plan.name, plan.number, plan.mac))


def spawn(build: Build, plan: Plan, *, restarted: bool) -> tuple[int, int]:
    """Start the node's first process: (its id, the end of a pipe that lets it go on).

    It waits there until its network card has been put into its name space.
    """
    told, tell = os.pipe()
    waits, go = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        os.close(waits)
        os.waitpid(child, 0)
        with os.fdopen(told) as answer:
            return int(answer.read()), go
    try:
        os.close(go)
        ns.unshare(ns.NEWNS | ns.NEWUTS | ns.NEWIPC | ns.NEWNET | ns.NEWPID)
        set_uptime(RESTARTED_S if restarted else UPTIME_S + 60 * plan.number)
        first = os.fork()
        if first == 0:
            os.close(tell)
            live(build, plan, waits)
        os.write(tell, str(first).encode())
    finally:
        os._exit(0)


def set_uptime(seconds: float) -> None:
    """Give the next process a clock of its own.  Kernels before 5.6 cannot; the real one stays."""
    try:
        ns.unshare(ns.NEWTIME)
        ahead = int(seconds - time.clock_gettime(time.CLOCK_BOOTTIME))
        with open("/proc/self/timens_offsets", "w") as offsets:  # noqa: PTH123 - written at once
            offsets.write(f"monotonic {ahead} 0\nboottime {ahead} 0\n")
    except OSError as error:
        print(f"no clock of its own: {error}", flush=True)


def live(build: Build, plan: Plan, waits: int) -> None:
    """The node's process 1, in new name spaces; never returns."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ns.set_hostname(plan.name)
        ns.mount("none", "/", flags=ns.MS_REC | ns.MS_PRIVATE)
        root = mount_root(build, plan)
        os.read(waits, 1)
        note = os.open(plan.keys, os.O_RDONLY | os.O_DIRECTORY)
        ns.pivot_root(str(root))
        note_process_id(build, note)
        connect(plan, build.rate)
        os.closerange(3, 1024)
        run("/usr/sbin/sshd", "-E", "/dev/null" if build.light else "/run/sshd.log")
        reap()
    except BaseException as error:  # noqa: BLE001 - a forked child has nobody above it
        print(f"{plan.name}: {error!r}", flush=True)
    finally:
        os._exit(1)


def note_process_id(build: Build, note: int) -> None:
    """By this machine's own /proc, because the lab counts its processes anew.

    Only from inside the node's own root: whoever enters it earlier stands in this machine's.
    """
    text = os.readlink("self", dir_fd=build.host_proc)
    new = os.open("pid.new", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=note)
    os.write(new, text.encode())
    os.rename("pid.new", "pid", src_dir_fd=note, dst_dir_fd=note)


def mount_root(build: Build, plan: Plan) -> Path:
    disk = uppers(build, plan)
    root = disk / "root"
    layers = f"lowerdir={build.fs / 'common'}:/,upperdir={disk / 'upper'},workdir={disk / 'work'}"
    ns.mount("overlay", str(root), "overlay", options=layers)
    # Not on the node's own disk: a fault that fills that one must not show up here as well.
    boot_id = boot_id_file(build, plan)
    boot_id.write_text(f"{uuid.uuid4()}\n")
    quiet = ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC
    ns.mount("proc", f"{root}/proc", "proc", quiet)
    ns.mount(str(boot_id), f"{root}/proc/sys/kernel/random/boot_id", flags=ns.MS_BIND)
    hardware_of = "template" if build.light else plan.name
    ns.mount(str(build.fs / "sys" / hardware_of), f"{root}/sys", flags=ns.MS_BIND)
    ns.mount("tmpfs", f"{root}/run", "tmpfs", ns.MS_NOSUID | ns.MS_NODEV, "size=16m,mode=755")
    Path(f"{root}/run/sshd").mkdir()
    Path(f"{root}/run/systemd/system").mkdir(parents=True)  # sd_booted(3)
    ns.mount("tmpfs", f"{root}/data", "tmpfs", ns.MS_NOSUID | ns.MS_NODEV, "size=64m")
    if build.gpus and Path(f"{root}/proc/driver").is_dir():
        ns.mount("tmpfs", f"{root}/proc/driver", "tmpfs", quiet, "size=64k")
        version = (
            f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {hardware.DRIVER_VERSION}  lab\n"
        )
        image.place(root, "proc/driver/nvidia/version", version)
    make_devices(root, image.boot_log(plan.name, build.gpus))
    return root


def boot_id_file(build: Build, plan: Plan) -> Path:
    return build.fs / "sys" / f"{plan.name}.boot_id"


def make_devices(root: Path, log: str) -> None:
    dev = root / "dev"
    ns.mount("tmpfs", str(dev), "tmpfs", ns.MS_NOSUID, "size=8m,mode=755")
    os.umask(0)
    for name, (major, minor) in DEVICES.items():
        os.mknod(dev / name, 0o020666, os.makedev(major, minor))
    os.umask(0o022)
    for name, target in (("fd", "self/fd"), ("stdin", "self/fd/0"), ("stdout", "self/fd/1")):
        (dev / name).symlink_to(f"/proc/{target}")
    (dev / "stderr").symlink_to("/proc/self/fd/2")
    (dev / "ptmx").symlink_to("pts/ptmx")
    (dev / "pts").mkdir()
    ns.mount("devpts", str(dev / "pts"), "devpts", options="newinstance,ptmxmode=0666,mode=0620")
    (dev / "shm").mkdir()
    ns.mount("tmpfs", str(dev / "shm"), "tmpfs", options="size=64m,mode=1777")
    (dev / "kmsg").write_text(log)


def shape(rate: str) -> str:
    return f"root tbf rate {rate} burst 256k latency 50ms"


def connect(plan: Plan, rate: str) -> None:
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
    lines = (
        "link set lo up",
        f"address add {plan.address}/{plan.prefix} dev eth0",
        "link set eth0 up",
        f"route add default via {plan.gateway}",
    )
    batch("ip", lines)
    if rate:
        batch("tc", [f"qdisc add dev eth0 {shape(rate)}"])


def batch(tool: str, lines: Iterable[str]) -> None:
    """Many `ip` or `tc` commands in one process."""
    text = "".join(f"{line}\n" for line in lines)
    done = subprocess.run(
        [tool, "-batch", "-"], input=text, text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise OSError(f"{tool}: {done.stderr.strip()}")


def run(*command: str) -> None:
    environment = {"PATH": image.PATH, "HOME": "/root", "LC_ALL": "C"}
    subprocess.run(command, check=True, env=environment, stdin=subprocess.DEVNULL)


def reap() -> None:
    """Wait for whoever the node's processes leave behind, for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            signal.sigwait({signal.SIGCHLD})


def plug_in(build: Build, started: Iterable[tuple[Plan, int, int]]) -> None:
    """Give each new node its cable to the switch, shaped both ways, and let it go on."""
    started = tuple(started)
    lines = []
    for plan, pid, _ in started:
        lines.append(
            f"link add {plan.link} type veth peer name eth0 address {plan.mac} netns {pid}"
        )
        lines.append(f"link set {plan.link} master switch up")
    batch("ip", lines)
    if build.rate:
        batch("tc", (f"qdisc add dev {plan.link} {shape(build.rate)}" for plan, _, _ in started))
    for _, _, go in started:
        os.write(go, b"g")
        os.close(go)

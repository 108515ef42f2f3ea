"""The process that a lab hangs under: process 1 of a name space in which all its nodes live.

When it dies, by whatever signal, the kernel ends every process of the lab, and with them go its
mounts, interfaces and addresses; `watch`, its parent outside, removes the folder that is left.
"""

from __future__ import annotations

import fcntl
import heapq
import ipaddress
import json
import os
import select
import selectors
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import hardware
import image
import namespaces as ns
import node
import tree

NETWORK = "10.213.0.0/16"  # used nowhere else; packets stay on this machine
BITS = 22  # of one lab's share: 64 labs of up to a thousand nodes


class Order(NamedTuple):
    """What `up` was asked for."""

    folder: Path
    names: tuple[str, ...]
    gpus: int
    light: bool
    disk: str
    rate: str


def watch(order: Order, life: int, ready: int) -> None:
    """Start the keeper, and clear up when it has ended or `life`, our starter's pipe, has closed.

    One byte on `life` means that the starter lets go and the lab stays.
    """
    os.setsid()
    lock = os.open(order.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    ns.unshare(ns.NEWPID)
    keeper = os.fork()
    if keeper == 0:
        os.close(life)
        keep(order, ready)
    os.close(ready)
    try:
        wait_for_end(keeper, life)
    except KeyboardInterrupt:
        pass
    finally:
        os.kill(keeper, signal.SIGKILL)
        os.waitpid(keeper, 0)
        remove(order.folder)


def wait_for_end(keeper: int, life: int) -> None:
    """Until the keeper ends, somebody stops us, or whoever wanted the lab is gone."""
    signal.signal(signal.SIGTERM, stopped)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    poll = select.poll()
    poll.register(os.pidfd_open(keeper), select.POLLIN)
    poll.register(life, select.POLLIN)
    for descriptor, _ in poll.poll():
        if descriptor == life and os.read(life, 1):
            poll.unregister(life)
            poll.poll()


def stopped(*_: object) -> None:
    raise KeyboardInterrupt


def remove(folder: Path) -> None:
    """What is mounted in it was mounted elsewhere; only plain files are left."""
    shutil.rmtree(folder, ignore_errors=True)


def keep(order: Order, ready: int) -> None:
    """The keeper's life; never returns."""
    try:
        ns.die_with_parent(signal.SIGKILL)
        keeper = Keeper(order)
        keeper.start()
        with os.fdopen(ready, "w") as answer:
            json.dump(keeper.description(), answer)
        keeper.serve()
    except BaseException as error:  # noqa: BLE001 - a forked child has nobody above it
        print(f"keeper: {error!r}", flush=True)
    finally:
        os._exit(1)


class Keeper:
    """Builds nodes, and switches them on and off on request."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.host_proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        self.host_net = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.pid = int(str(Path("/proc/self").readlink()))
        self.slot = -1
        self.running: dict[str, int] = {}  # node -> its first process, as we see it
        self.later: list[tuple[float, str]] = []  # when a node that restarts comes back
        self.plans: dict[str, node.Plan] = {}
        self.build = node.Build(
            order.folder / "fs",
            (order.folder / "key.pub").read_text(),
            order.gpus,
            order.light,
            order.disk,
            order.rate,
            self.host_proc,
        )

    def description(self) -> dict[str, Any]:
        addresses = {name: plan.address for name, plan in self.plans.items()}
        return {"pid": self.pid, "cable": f"clab{self.slot}", "addresses": addresses}

    def start(self) -> None:
        ns.unshare(ns.NEWNS | ns.NEWNET)
        ns.mount("none", "/", flags=ns.MS_REC | ns.MS_PRIVATE)
        ns.mount("proc", "/proc", "proc")
        fs = self.build.fs
        fs.mkdir()
        ns.mount("tmpfs", str(fs), "tmpfs", options="mode=755")
        self.slot = lay_cable(self.host_net)
        self.plans = plans(self.order, self.slot)
        names = {name: plan.address for name, plan in self.plans.items()}
        (fs / "common").mkdir()
        image.build(fs / "common", names, gpus=self.order.gpus, stubs=not self.order.light)
        (fs / "sys").mkdir()
        parts = hardware.bare() if self.order.light else hardware.machine(self.order.gpus)
        tree.write(fs / "sys" / "template", parts)
        self.boot(self.order.names, fresh=True, restarted=False)

    def boot(self, names: tuple[str, ...], *, fresh: bool, restarted: bool) -> None:
        started = []
        for name in names:
            plan = self.plans[name]
            if fresh:
                node.furnish(self.build, plan)
            self.running[name], go = node.spawn(self.build, plan, restarted=restarted)
            started.append((plan, self.running[name], go))
        node.plug_in(self.build, started)
        self.await_roots(names)

    def await_roots(self, names: tuple[str, ...]) -> None:
        """Until each can be entered, or has died before that; see its word in the log then."""
        for name in names:
            while not (self.plans[name].keys / "pid").exists():
                if os.waitid(os.P_PID, self.running[name], os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    break
                time.sleep(0.002)

    def off(self, name: str) -> None:
        self.later = [(when, other) for when, other in self.later if other != name]
        pid = self.running.pop(name, None)
        if pid is None:
            return
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        (self.plans[name].keys / "pid").unlink(missing_ok=True)
        # The card vanishes with its name space, but in the kernel's own time.
        subprocess.run(["ip", "link", "delete", self.plans[name].link], check=False)

    def serve(self) -> None:
        """Do what comes in on the control socket, for ever."""
        woken = wakeup()
        with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
            directory = os.open(self.order.folder, os.O_RDONLY)
            listener.bind(f"/proc/self/fd/{directory}/control")
            listener.listen(64)
            selector.register(listener, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(self.until_next()):
                    if key.fileobj is listener:
                        self.answer(listener.accept()[0])
                    else:
                        os.read(woken, 4096)
                self.reap()
                self.start_due()

    def until_next(self) -> float | None:
        return max(0.0, self.later[0][0] - time.monotonic()) if self.later else None

    def start_due(self) -> None:
        while self.later and self.later[0][0] <= time.monotonic():
            _, name = heapq.heappop(self.later)
            self.boot((name,), fresh=False, restarted=True)

    def reap(self) -> None:
        """Collect the dead.  A node whose first process ended is a node that is off."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for name, first in list(self.running.items()):
                if first == pid:
                    del self.running[name]
                    (self.plans[name].keys / "pid").unlink(missing_ok=True)

    def answer(self, client: socket.socket) -> None:
        with client, client.makefile("rw") as stream:
            try:
                request = json.loads(stream.readline())
                self.obey(request)
                reply: Mapping[str, Any] = {"ok": True}
            except (OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
                reply = {"ok": False, "why": repr(error)}
            json.dump(reply, stream)

    def obey(self, request: Mapping[str, Any]) -> None:
        name = request["node"]
        plan = self.plans[name]
        match request["do"]:
            case "off":
                self.off(name)
            case "fresh":
                self.off(name)
                self.boot((plan.name,), fresh=True, restarted=False)
            case "restart":
                self.off(name)
                heapq.heappush(self.later, (time.monotonic() + request["after_s"], name))
            case "resize":
                disk = str(node.uppers(self.build, plan))
                ns.mount("tmpfs", disk, "tmpfs", ns.MS_REMOUNT, f"size={request['bytes']}")
            case other:
                raise ValueError(f"cannot do {other!r}")


def wakeup() -> int:
    """A pipe into which Python writes a byte at each signal; SIGCHLD is the one that matters."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writes)
    return reads


def plans(order: Order, slot: int) -> dict[str, node.Plan]:
    share = list(ipaddress.IPv4Network(NETWORK).subnets(new_prefix=BITS))[slot]
    return {
        name: node.Plan(
            name,
            number,
            str(share[10 + number]),
            BITS,
            str(share[1]),
            f"02:d5:{slot:02x}:00:{number >> 8:02x}:{number & 0xFF:02x}",
            order.folder / "nodes" / name,
        )
        for number, name in enumerate(order.names, 1)
    }


def lay_cable(host_net: int) -> int:
    """Build the switch, and a cable from it to this machine; returns which share of NETWORK it is.

    The name of our end of the cable says which shares are taken.
    """
    path = f"/proc/self/fd/{host_net}"
    shares = list(ipaddress.IPv4Network(NETWORK).subnets(new_prefix=BITS))
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
    for slot in range(len(shares)):
        card = f"clab{slot}"
        command = ["ip", "link", "add", "uplink", "type", "veth", "peer", "name", card]
        done = subprocess.run(
            [*command, "netns", path], pass_fds=(host_net,), capture_output=True, check=False
        )
        if done.returncode == 0:
            break
        if b"File exists" not in done.stderr:
            raise OSError(done.stderr.decode())
    else:
        raise OSError(f"all {len(shares)} shares of {NETWORK} are taken")
    node.batch(
        "ip",
        (
            "link add switch type bridge forward_delay 0",
            "link set switch up",
            "link set lo up",
            "link set uplink master switch up",
        ),
    )
    lines = f"address add {shares[slot][1]}/{BITS} dev {card}\nlink set {card} up\n"
    subprocess.run(
        ["nsenter", f"--net={path}", "ip", "-batch", "-"],
        input=lines.encode(),
        pass_fds=(host_net,),
        check=True,
    )
    return slot

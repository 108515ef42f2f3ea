"""A real job on real nodes of the lab, and what can be wrong with it.

Each node stands in a CPU group and a disk group of its own, which it sees as a node sees its own:
at /sys/fs/cgroup.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median

from lab import Lab

HERE = Path(__file__).parent
REMOTE = HERE.parent.parent / "clusterctl/remote"
GROUPS = Path("/sys/fs/cgroup")
CAN_LIMIT = (GROUPS / "cpu/cpu.shares").exists()  # control groups of version 1
DRAWS = 4000
PERIOD_US = 100_000
SAMPLES_BYTES = 8 << 20
MASTER_PORT = 29500
BUSY = "import time; end = time.time() + 90\nwhile time.time() < end: pass"


@dataclass
class Bed:
    """Owns the job's processes, its folder on this machine's disk and the groups of its nodes."""

    lab: Lab
    nodes: Sequence[str]
    engine: str
    folder: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def group(self, kind: str, node: str) -> Path:
        return GROUPS / kind / self.folder.name / node

    def begin(self) -> None:
        samples = self.folder / "samples"
        samples.write_bytes(os.urandom(SAMPLES_BYTES))
        packages = Path(sys.prefix) / "lib/python3.11/site-packages"
        for number, node in enumerate(self.nodes):
            for kind in ("cpu", "blkio"):
                self.group(kind, node).mkdir(parents=True)
            weight = 1024 * len(self.nodes)  # as much as so many processes beside the lab
            (GROUPS / "cpu" / self.folder.name / "cpu.shares").write_text(str(weight))
            self.lab.lend(node, self.folder, "/srv/bench")
            self.lab.lend(node, HERE, "/srv/job")
            self.lab.lend(node, REMOTE, "/srv/remote")
            if self.engine == "gloo":
                self.lab.lend(node, packages, "/srv/packages")
            self.lab.do(node, "mkdir", "-p", "/sys/fs/cgroup/cpu")
            self.lab.lend(node, self.group("cpu", node), "/sys/fs/cgroup/cpu")
            self.tell(node)
            self.running.append(self.start(number, node))

    def start(self, number: int, node: str) -> subprocess.Popen[bytes]:
        addresses = [self.lab.addresses[one] for one in self.nodes]
        words = {
            "RANK": number,
            "WORLD_SIZE": len(self.nodes),
            "LOCAL_RANK": 0,
            "MASTER_ADDR": addresses[0],
            "MASTER_PORT": MASTER_PORT,
            "GLOO_SOCKET_IFNAME": "eth0",
            "OMP_NUM_THREADS": 1,
            "PYTHONPATH": "/srv/packages",
            "RING_FROM": "/srv/remote",
            "PLACES": ",".join(addresses),
            "PATH": "/usr/bin:/bin",
        }
        control = "/proc/sys/net/ipv4/tcp_congestion_control"
        self.lab.do(node, "sh", "-c", f"echo reno >{control}")  # it heeds loss, as most do
        command = [*self.lab.into(node), "/usr/bin/python3", "/srv/job/triage_job.py"]
        return subprocess.Popen(
            [*command, self.engine, "/srv/bench/samples", "/run/plant", "/run/steps"],
            env={name: str(word) for name, word in words.items()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / f"{node}.log").open("wb"),
            preexec_fn=self.entering(node),  # noqa: PLW1509 - two writes, nothing that locks
        )

    def entering(self, node: str) -> Callable[[], None]:
        places = [self.group(kind, node) / "cgroup.procs" for kind in ("cpu", "blkio")]

        def enter() -> None:
            for place in places:
                place.write_text(str(os.getpid()))

        return enter

    def steps(self, node: str) -> list[float]:
        """Seconds of every step so far."""
        path = self.inside(node) / "steps"
        text = path.read_text() if path.exists() else ""
        return [float(line.split()[1]) for line in text.splitlines() if len(line.split()) == 2]

    def await_steps(self, more: int, patience_s: float = 240.0) -> None:
        """Until every rank has done so many more."""
        goal = {node: len(self.steps(node)) + more for node in self.nodes}
        finish = time.monotonic() + patience_s
        while any(len(self.steps(node)) < goal[node] for node in self.nodes):
            ended = [one for one in self.running if one.poll() is not None]
            if ended or time.monotonic() > finish:
                texts = [path.read_text()[-800:] for path in self.folder.glob("*.log")]
                raise RuntimeError("the job does not go on: " + " | ".join(filter(None, texts)))
            time.sleep(0.25)

    def recent_s(self, node: str, count: int = 10) -> float:
        return median(self.steps(node)[-count:])

    def tell(self, node: str, **plant: float) -> None:
        new = self.inside(node) / "plant.new"
        new.write_text(json.dumps(plant))
        new.rename(self.inside(node) / "plant")

    def inside(self, node: str) -> Path:
        """Its /run, past its sshd."""
        return Path(f"/proc/{self.lab.pid(node)}/root/run")

    def limit(self, node: str, share: float) -> None:
        """So much of one processor; 0: as much as there is."""
        quota = int(share * PERIOD_US) or -1
        (self.group("cpu", node) / "cpu.cfs_quota_us").write_text(str(quota))

    def slow_disk(self, node: str, bytes_s: int) -> None:
        """0: as fast as it is."""
        number = self.folder.stat().st_dev
        place = self.group("blkio", node) / "blkio.throttle.read_bps_device"
        place.write_text(f"{os.major(number)}:{os.minor(number)} {bytes_s}")

    def heal(self, victim: str) -> None:
        """What was planted at one node, or by plant files at all."""
        for node in self.nodes:
            self.tell(node)
        self.limit(victim, 0)
        self.slow_disk(victim, 0)
        self.lab.do(victim, "iptables", "-w", "-F")
        self.lab.do(victim, *shaped("200mbit"))
        for pid, command in self.lab.processes(victim).items():
            if BUSY in command:
                os.kill(pid, signal.SIGKILL)
        for pid in members(self, victim):
            put_on(pid, set(range(os.cpu_count() or 1)))

    def end(self) -> None:
        for kind in ("cpu", "blkio"):
            for place in (GROUPS / kind / self.folder.name).glob("*/cgroup.procs"):
                for word in place.read_text().split():
                    os.kill(int(word), signal.SIGKILL)
        for one in self.running:
            one.wait()
        for kind in ("cpu", "blkio"):
            for node in self.nodes:
                remove(self.group(kind, node))
            remove(GROUPS / kind / self.folder.name)
        shutil.rmtree(self.folder)


def remove(group: Path) -> None:
    """A group goes when its last process has been reaped."""
    finish = time.monotonic() + 5
    while group.exists():
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > finish:
                raise
            time.sleep(0.05)


def shaped(rate: str) -> list[str]:
    """A new queue, not a changed one: a packet that waits there and is longer than the new burst
    would wait for ever, and all others behind it."""
    tbf = f"tc qdisc add dev eth0 root tbf rate {rate} burst 64k latency 50ms"
    return ["sh", "-c", f"tc qdisc del dev eth0 root; {tbf}"]


def bed(lab: Lab, nodes: Sequence[str], engine: str) -> Bed:
    """Not begun.  Its folder is on a disk: what a limit of reading needs."""
    folder = Path(tempfile.mkdtemp(prefix="clusterctl-triage-", dir="/var/tmp"))
    return Bed(lab, nodes, engine, folder)


@contextmanager
def at_work(lab: Lab, nodes: Sequence[str], *, steps: int, sleep_s: float = 0.0) -> Iterator[Bed]:
    """A ring that runs; afterwards its nodes are as new.  `sleep_s`: of every rank in each step."""
    job = bed(lab, nodes, "ring")
    try:
        job.begin()
        job.await_steps(steps)
        for node in nodes if sleep_s else ():
            job.tell(node, sleep_s=sleep_s)
        yield job
    finally:
        job.end()
        for node in nodes:
            lab.ask_keeper(do="fresh", node=node)
        lab.await_sshd(nodes)


def tell_cost(rng: Random, with_it: list[float], without: list[float], what: str) -> float:
    """Prints what a step costs more, in pairs, and how much spans alike differ; the median."""
    shares = [one / other - 1 for one, other in zip(with_it, without, strict=True)]
    noise = [one / other - 1 for one, other in zip(without[1:], without[:-1], strict=True)]
    for name, values in ((what, shares), ("between spans without", noise)):
        drawn = sorted(median(rng.choices(values, k=len(values))) for _ in range(DRAWS))
        low, high = drawn[DRAWS // 40], drawn[-DRAWS // 40]
        print(f"{name:24} {median(values):+.2%} a step, 95 %: {low:+.2%} to {high:+.2%}")
    return median(shares)


# ----------------------------------------------------------------------------- causes


@dataclass(frozen=True, slots=True)
class Plant:
    """`expected`: classes that are right; `culprit`: whether a rank or its node must be named."""

    name: str
    plant: Callable[[Bed, str], None]
    expected: tuple[str, ...]
    culprit: bool = True


def neighbour(bed: Bed, node: str) -> None:
    """Busy processes of somebody else on the node's only processor; they end by `heal`."""
    for pid in members(bed, node):
        put_on(pid, {0})
    for _ in range(6):
        subprocess.Popen(
            [*bed.lab.into(node), "/usr/bin/python3", "-c", BUSY],
            stdin=subprocess.DEVNULL,
            preexec_fn=bed.entering(node),  # noqa: PLW1509
        )
    time.sleep(0.5)
    for pid in members(bed, node):
        put_on(pid, {0})


def members(bed: Bed, node: str) -> list[int]:
    return list(map(int, (bed.group("cpu", node) / "cgroup.procs").read_text().split()))


def put_on(pid: int, processors: set[int]) -> None:
    with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), processors)


def lossy(bed: Bed, node: str) -> None:
    rule = ["-m", "statistic", "--mode", "random", "--probability", "0.02", "-j", "DROP"]
    bed.lab.do(node, "iptables", "-w", "-I", "INPUT", "-p", "tcp", "!", "--dport", "22", *rule)


def everywhere(**plant: float) -> Callable[[Bed, str], None]:
    def tell(bed: Bed, _node: str) -> None:
        for node in bed.nodes:
            bed.tell(node, **plant)

    return tell


PLANTS = (
    Plant("healthy", lambda _bed, _node: None, ("healthy",), culprit=False),
    Plant("cpu-quota", lambda bed, node: bed.limit(node, 0.02), ("host",)),
    Plant("neighbour", neighbour, ("host",)),
    Plant("slow-nic", lambda bed, node: bed.lab.do(node, *shaped("6mbit")), ("network",)),
    Plant("lossy-nic", lossy, ("network",)),
    Plant("slow-disk", lambda bed, node: bed.slow_disk(node, 200_000), ("data-loading",)),
    Plant("lock", lambda bed, node: bed.tell(node, lock_s=0.25), ("worker",)),
    Plant("sleeps", lambda bed, node: bed.tell(node, sleep_s=0.25), ("worker",)),
    Plant("hung", lambda bed, node: bed.tell(node, hang=1), ("worker",)),
    Plant("hung-lock", lambda bed, node: bed.tell(node, hang=2), ("worker",)),
    Plant("all-slow", everywhere(sleep_s=0.25), ("healthy",), culprit=False),
    Plant("gc", everywhere(collect_s=0.25, chance=0.15), ("gc",), culprit=False),
)

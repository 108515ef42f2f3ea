"""A real Slurm on this machine: slurmctld, munged and a slurmd a node, all on 127.0.0.1."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

NEEDED = ("slurmctld", "slurmd", "scontrol", "sinfo", "munged")
PATIENCE_S = 60.0
CONFIG = """
ClusterName=act
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmctldPort={port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/linear
ReturnToService=2
MpiDefault=none
MessageTimeout=5
SlurmdTimeout=30
"""


def lacking() -> str:
    """Which tools are absent; empty: none."""
    return ", ".join(tool for tool in NEEDED if not shutil.which(tool))


class Cluster:
    """Owns the daemons.  `partitions`: name -> nodes, as slurm.conf writes them."""

    def __init__(self, folder: Path, names: list[str], partitions: Mapping[str, str]) -> None:
        self.folder, self.names = folder, names
        self.config = folder / "slurm.conf"
        ports = free_ports(len(names) + 1)
        host = os.uname().nodename.split(".")[0]
        text = CONFIG.format(host=host, user=getpass.getuser(), folder=folder, port=ports[0])
        for name, port in zip(names, ports[1:], strict=True):
            text += f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1\n"
        for name, members in partitions.items():
            text += f"PartitionName={name} Nodes={members} MaxTime=INFINITE State=UP\n"
        self.config.write_text(text)
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        (folder / "state").mkdir()
        (folder / "spool").mkdir()
        folder.chmod(0o700)
        (folder / "key").write_bytes(os.urandom(128))
        (folder / "key").chmod(0o400)

    def start(self) -> None:
        files = {"socket": "munge.socket", "key-file": "key", "pid-file": "munge.pid"}
        files |= {"log-file": "munge.log", "seed-file": "seed"}
        words = [f"--{word}={self.folder / name}" for word, name in files.items()]
        self.daemon("munged", "--force", "--num-threads=1", *words)
        self.start_controller()
        for name in self.names:
            self.daemon("slurmd", "-N", name)

    def start_controller(self) -> None:
        self.daemon("slurmctld")

    def daemon(self, *words: str) -> None:
        subprocess.run(words, env=self.environ, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.config)}

    def scontrol(self, *words: str) -> str:
        done = subprocess.run(("scontrol", *words), env=self.environ, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        return done.stdout

    def node(self, name: str) -> str:
        return self.scontrol("show", "node", "-o", name)

    def reset(self) -> None:
        """Every node idle, drained by nobody."""
        if not self.alive("slurmctld.pid"):
            self.start_controller()
        assert soon(lambda: "NodeName=" in self.scontrol("show", "node", "-o"))
        for name in self.names:
            if "Reason=" in self.node(name):
                self.scontrol("update", f"NodeName={name}", "State=RESUME", "Reason=")
        assert soon(self.idle), self.scontrol("show", "node", "-o")

    def answering(self) -> bool:
        """Whether slurmctld knows of every node, after its start, that it is there."""
        states = re.findall(r" State=(\S+)", self.scontrol("show", "node", "-o"))
        return len(states) == len(self.names) and not any(
            word in state for state in states for word in ("UNKNOWN", "NOT_RESPONDING", "*")
        )

    def idle(self) -> bool:
        lines = self.scontrol("show", "node", "-o").splitlines()
        return len(lines) == len(self.names) and all(
            " State=IDLE " in line and "Reason=" not in line for line in lines
        )

    def alive(self, name: str) -> int:
        """The process of that pid file; 0: none."""
        try:
            pid = int((self.folder / name).read_text())
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError):
            return 0
        return 0 if state == "Z" else pid

    def kill_controller(self) -> None:
        """At once, but not before it has kept what it said was done: it does so every few seconds.

        One that is killed before that forgets drains, and remembers those of earlier.
        """
        saved = self.folder / "state" / "node_state"
        asked = re.findall(r" Reason=(.*?) \[", self.scontrol("show", "node", "-o"))
        assert soon(lambda: all(reason.encode() in saved.read_bytes() for reason in asked))
        with suppress(ProcessLookupError):
            os.kill(self.alive("slurmctld.pid"), signal.SIGKILL)
        assert soon(lambda: not self.alive("slurmctld.pid"))

    def stop(self) -> None:
        for file in self.folder.glob("*.pid"):
            if pid := self.alive(file.name):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def free_ports(number: int) -> list[int]:
    with ExitStack() as held:
        found = [held.enter_context(socket.socket()) for _ in range(number)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


def soon(what: Callable[[], object]) -> bool:
    end = time.monotonic() + PATIENCE_S
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True

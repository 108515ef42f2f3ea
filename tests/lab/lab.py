"""A lab that runs: where its nodes are, going into one, and asking its keeper.

    lab = start(nodes=16)
    lab.enter("n03", "hostname").stdout
    stop(lab)

Only root can have a lab.  `missing()` says what else this machine lacks.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import namespaces as ns

HERE = Path(__file__).parent

# Debian packages that the lab needs, and a program of each.  tests/run installs what is absent.
PACKAGES = {
    "openssh-server": "/usr/sbin/sshd",
    "openssh-client": "ssh-keygen",
    "iproute2": "tc",
    "iptables": "iptables",
    "procps": "ps",
    "util-linux": "nsenter",
    "gcc": "cc",
    "libc6-dev": "/usr/include/stdio.h",
    "sudo": "sudo",
    "python3": "/usr/bin/python3",
}
READY_S = 30.0


class LabError(Exception):
    """The lab cannot do it; the message says why."""


@dataclass(frozen=True, slots=True)
class Lab:
    """What lab.json says.  Paths are absolute; `addresses` is node -> IPv4 address."""

    folder: Path
    keeper: int  # process id; its network name space holds the switch
    inventory: Path
    ssh_config: Path
    known_hosts: Path
    key: Path
    addresses: Mapping[str, str]
    gpus: int
    cable: str  # our end of the cable to the switch; the one thing that shows outside the lab

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(self.addresses)

    def pid(self, node: str) -> int:
        """Process 1 of the node, by this machine's count.  Raises LabError when it is off."""
        if node not in self.addresses:
            raise LabError(f"no node {node!r}; there are {self.nodes[0]} to {self.nodes[-1]}")
        try:
            pid = int((self.folder / "nodes" / node / "pid").read_text())
            root = Path(f"/proc/{pid}/root/").stat()
        except (OSError, ValueError):
            raise LabError(f"{node} is off") from None
        if os.path.samestat(root, Path("/").stat()):
            # Its faults delete /usr/bin/python*: once, under load, they did so here.
            raise LabError(f"{node}: process {pid} lives in this machine's own root")
        return pid

    def enter(
        self, node: str, *command: str, stdin: str = "", timeout_s: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside a node, past its sshd.  It always has all of the node's tools."""
        return subprocess.run(
            [*self.into(node), *command],
            input=stdin,
            text=True,
            errors="replace",
            capture_output=True,
            timeout=timeout_s,
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            check=False,
        )

    def into(self, node: str) -> list[str]:
        return ["nsenter", "-t", str(self.pid(node)), "-m", "-u", "-i", "-n", "-p", "-T"]

    def do(self, node: str, *command: str, stdin: str = "") -> str:
        """`enter`, for what has to work: its standard output.  Raises LabError."""
        done = self.enter(node, *command, stdin=stdin)
        if done.returncode:
            raise LabError(f"{node}: {command[0]}: {done.stderr.strip() or done.returncode}")
        return done.stdout

    def read(self, node: str, path: str) -> str:
        return self.do(node, "cat", path)

    def write(self, node: str, path: str, text: str) -> None:
        """Replace a file of the node in one step; its mode and owner stay as they are."""
        script = 't=$(realpath "$1") && cat >"$t.new" && { chmod --reference="$t" "$t.new" '
        script += '2>/dev/null; mv -f "$t.new" "$t"; }'
        self.do(node, "/bin/sh", "-c", script, "sh", path, stdin=text)

    def append(self, node: str, path: str, text: str) -> None:
        self.do(node, "/bin/sh", "-c", 'cat >>"$1"', "sh", path, stdin=text)

    def lend(self, node: str, path: Path, target: str) -> None:
        """Let the node see a folder of this machine, until it is started again."""
        self.do(node, "mkdir", "-p", target)
        tree, space = (
            ns.picked_up(str(path)),
            os.open(f"/proc/{self.pid(node)}/ns/mnt", os.O_RDONLY),
        )
        child = os.fork()
        if child == 0:
            try:
                ns.setns(space, ns.NEWNS)
                ns.put_down(tree, target)
                os._exit(0)
            finally:
                os._exit(1)
        os.close(tree)
        os.close(space)
        if os.waitpid(child, 0)[1]:
            raise LabError(f"{node}: cannot mount {path} at {target}")

    def processes(self, node: str) -> dict[int, str]:
        """Every process inside the node but its first: id by this machine's count -> command."""
        first = self.pid(node)
        inside = Path(f"/proc/{first}/ns/pid").readlink()
        found: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal() or int(entry.name) == first:
                continue
            try:
                if (entry / "ns/pid").readlink() == inside:
                    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(entry.name)] = words.decode(errors="replace").strip()
            except OSError:
                continue  # it ended while we looked
        return found

    def ssh(
        self, node: str, *command: str, timeout_s: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        """The same through the real ssh."""
        return subprocess.run(
            ["ssh", "-F", str(self.ssh_config), node, *command],
            text=True,
            errors="replace",
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )

    def ask_keeper(self, **request: Any) -> None:
        """Raises LabError when the keeper refuses or is gone."""
        directory = os.open(self.folder, os.O_RDONLY)
        try:
            with socket.socket(socket.AF_UNIX) as wire:
                wire.settimeout(READY_S)
                wire.connect(f"/proc/self/fd/{directory}/control")
                with wire.makefile("rw") as stream:
                    stream.write(json.dumps(request) + "\n")
                    stream.flush()
                    reply = json.loads(stream.readline() or "{}")
        except OSError as error:
            raise LabError(f"the keeper of {self.folder} does not answer: {error}") from None
        finally:
            os.close(directory)
        if not reply.get("ok"):
            raise LabError(reply.get("why", "the keeper hung up"))

    def await_sshd(self, nodes: Iterable[str] = ()) -> None:
        """Until each of the nodes (default: all) greets on port 22.  Raises LabError."""
        deadline = time.monotonic() + READY_S
        for node in nodes or self.nodes:
            while not greets(self.addresses[node]):
                if time.monotonic() > deadline:
                    raise LabError(f"{node} does not come up; see {self.folder / 'log'}")
                time.sleep(0.02)


def greets(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=2) as wire:
            return wire.recv(4) == b"SSH-"
    except OSError:
        return False


def load(folder: Path) -> Lab:
    try:
        words = json.loads((folder / "lab.json").read_text())
    except OSError:
        raise LabError(f"no lab in {folder}") from None
    paths = {
        name: Path(words.pop(name))
        for name in ("folder", "inventory", "ssh_config", "known_hosts", "key")
    }
    return Lab(**paths, **words)


def find(folder: Path | None) -> Lab:
    """The lab in a folder, or the only one that runs.  Raises LabError."""
    if folder is not None:
        return load(folder.absolute())
    found = [path.parent for path in Path(tempfile.gettempdir()).glob("clusterctl-lab-*/lab.json")]
    if not found:
        raise LabError("no lab runs; start one with tests/lab/up")
    if len(found) > 1:  # one of them may belong to somebody's tests
        raise LabError(f"several labs run, say --dir: {' '.join(map(str, found))}")
    return load(found[0])


def end(lab: Lab) -> None:
    """Stop a lab, whoever started it; returns when nothing is left of it.  Raises LabError."""
    try:
        os.kill(lab.keeper, signal.SIGKILL)
    except ProcessLookupError:
        shutil.rmtree(lab.folder)
    deadline = time.monotonic() + READY_S
    while lab.folder.exists() or Path("/sys/class/net", lab.cable).exists():
        if time.monotonic() > deadline:
            raise LabError(f"{lab.folder} or {lab.cable} is still there")
        time.sleep(0.02)


def missing() -> str:
    """Why this machine cannot have a lab; empty: it can."""
    if os.geteuid() != 0:
        return "a lab needs root"
    absent = [
        package
        for package, program in PACKAGES.items()
        if not (Path(program).exists() if program.startswith("/") else shutil.which(program))
    ]
    return f"Debian packages are absent: {' '.join(absent)}" if absent else ""


def start(nodes: int = 16, *options: str) -> tuple[Lab, subprocess.Popen[str]]:
    """A lab that lives no longer than this process, and the process that holds it."""
    command = [sys.executable, str(HERE / "up"), "--foreground", "--nodes", str(nodes), *options]
    holder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    inventory = holder.stdout.readline().strip()
    if not inventory:
        raise LabError(f"up ended with {holder.wait()}")
    return load(Path(inventory).parent), holder


def stop(holder: subprocess.Popen[str]) -> None:
    """End a lab of `start`; returns when nothing is left of it."""
    holder.terminate()
    holder.wait()

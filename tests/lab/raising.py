"""Bringing a lab up: its folder, keys, keeper and the files that say how to reach it."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import fabric
import keeper
import lab
import namespaces as ns

SSH_CONFIG = """\
Host {nodes}
  User root
  IdentityFile {folder}/key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  ConnectTimeout 5
  LogLevel ERROR

"""
RACK = 8  # nodes
STALE_S = 60.0


def raise_lab(arguments: argparse.Namespace) -> int:
    """Start one and print its inventory's path; in the foreground, stay until it ends."""
    reason = lab.missing()
    if reason:
        raise lab.LabError(reason)
    sweep()
    folder = make_folder(arguments.dir)
    order = keeper.Order(
        folder,
        node_names(arguments.names, arguments.nodes),
        0 if arguments.light else arguments.gpus,
        arguments.light,
        arguments.disk,
        "" if arguments.light else arguments.rate,
    )
    if arguments.foreground:
        # A lab in the foreground must not outlive whoever started it.
        ns.die_with_parent(signal.SIGTERM)
    make_keys(order)
    watcher, life, answer = start_watcher(order)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        running = describe(order, read_all(answer))
        running.await_sshd()
        if arguments.fabric:
            fabric.lay(running)
        print(running.inventory, flush=True)
        if arguments.foreground:
            os.waitpid(watcher, 0)
            keeper.remove(folder)
        else:
            os.write(life, b"stay")
    except BaseException:
        os.close(life)
        os.waitpid(watcher, 0)
        raise
    return 0


def node_names(prefix: str, count: int) -> tuple[str, ...]:
    digits = max(2, len(str(count)))
    return tuple(f"{prefix}{number:0{digits}d}" for number in range(1, count + 1))


def make_folder(wanted: Path | None) -> Path:
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="clusterctl-lab-"))
    folder = wanted.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise lab.LabError(f"{folder} is not empty; a lab removes its folder when it ends")
    return folder


def sweep() -> None:
    """Remove what labs left whose every process was killed at once."""
    for folder in Path(tempfile.gettempdir()).glob("clusterctl-lab-*"):
        try:
            if time.time() - folder.stat().st_mtime < STALE_S:
                continue
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
        except OSError:
            continue  # somebody holds it


def make_keys(order: keeper.Order) -> None:
    """The key that opens every node, and each node's own."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", ""]
    paths = [order.folder / "key"]
    for name in order.names:
        (order.folder / "nodes" / name).mkdir(parents=True)
        paths.append(order.folder / "nodes" / name / "ssh_host_ed25519_key")
    waiting = list(paths)
    while waiting:
        few, waiting = waiting[:8], waiting[8:]
        started = [subprocess.Popen([*command, "-C", "lab", "-f", str(path)]) for path in few]
        if any(process.wait() for process in started):
            raise lab.LabError("ssh-keygen failed")


def start_watcher(order: keeper.Order) -> tuple[int, int, int]:
    """(its process id, the pipe whose closing ends the lab, the pipe on which it reports)."""
    life, hold = os.pipe()
    answer, ready = os.pipe()
    watcher = os.fork()
    if watcher:
        os.close(life)
        os.close(ready)
        return watcher, hold, answer
    try:
        os.close(hold)
        os.close(answer)
        log = os.open(order.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open("/dev/null", os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        keeper.watch(order, life, ready)
    finally:
        os._exit(0)


def read_all(descriptor: int) -> str:
    with os.fdopen(descriptor) as stream:
        return stream.read()


def describe(order: keeper.Order, answer: str) -> lab.Lab:
    """Write the inventory, the ssh files and lab.json."""
    folder = order.folder
    if not answer:
        raise lab.LabError(f"the keeper did not start: {(folder / 'log').read_text().strip()}")
    report: dict[str, Any] = json.loads(answer)
    addresses: dict[str, str] = report["addresses"]
    hosts, keys, entries = [], [], ["nodes:\n"]
    for number, (name, address) in enumerate(addresses.items()):
        hosts.append(f"Host {name}\n  HostName {address}\n  HostKeyAlias {address}\n")
        key = folder / "nodes" / name / "ssh_host_ed25519_key.pub"
        keys.append(f"{address} {' '.join(key.read_text().split()[:2])}\n")
        labels = f"{{rack: r{number // RACK + 1}, leaf: l{number // (2 * RACK) + 1}}}"
        entries.append(
            f"  {name}: {{address: {address}, user: root, port: 22, labels: {labels}}}\n"
        )
    everybody = " ".join([*addresses, *addresses.values()])
    (folder / "ssh_config").write_text(
        "".join(hosts) + SSH_CONFIG.format(nodes=everybody, folder=folder)
    )
    (folder / "known_hosts").write_text("".join(keys))
    (folder / "inventory.yml").write_text("".join(entries))
    words = {
        "folder": str(folder),
        "keeper": report["pid"],
        "inventory": str(folder / "inventory.yml"),
        "ssh_config": str(folder / "ssh_config"),
        "known_hosts": str(folder / "known_hosts"),
        "key": str(folder / "key"),
        "addresses": addresses,
        "gpus": order.gpus,
        "cable": report["cable"],
    }
    (folder / "lab.json.new").write_text(json.dumps(words, indent=1))
    (folder / "lab.json.new").rename(folder / "lab.json")
    return lab.load(folder)


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Start nodes that are really there, and print the path of their inventory; "
        "beside it lie key, known_hosts, ssh_config and lab.json."
    )
    parser.add_argument("--nodes", type=int, default=16)
    parser.add_argument("--names", default="n", help="what node names begin with")
    parser.add_argument("--dir", type=Path, help="a new or empty folder; removed at the end")
    parser.add_argument("--gpus", type=int, default=8, choices=range(9))
    parser.add_argument("--rate", default="200mbit", help="of each node's link, each way, for tc")
    parser.add_argument("--disk", default="4g", help="size of each node's disk, which is memory")
    parser.add_argument("--fabric", action="store_true", help="rails, leaves and spines as well")
    parser.add_argument("--light", action="store_true", help="no hardware, no stub tools")
    parser.add_argument("--foreground", action="store_true", help="ends with who started it")
    try:
        return raise_lab(parser.parse_args())
    except lab.LabError as error:
        print(f"up: {error}", file=sys.stderr)
        return 2

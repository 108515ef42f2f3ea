"""Real sshds on loopback, each with keys and a configuration of its own."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

SSHD = Path("/usr/sbin/sshd")
needs_sshd = pytest.mark.skipif(not SSHD.exists(), reason="openssh-server is not installed")
USER = getpass.getuser()


def keygen(path: Path, *more: str, kind: str = "ed25519", passphrase: str = "") -> Path:
    """A fresh key pair; returns the private half's path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", path.name, "-f", path, *more],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return path


def public(key: Path) -> str:
    """`type base64`, without the comment."""
    return " ".join(Path(f"{key}.pub").read_text().split()[:2])


@dataclass
class Sshd:
    folder: Path
    port: int
    process: subprocess.Popen

    def known_as(self, *names: str, kind: str = "ed25519") -> str:
        """Its line for known_hosts."""
        names = names or (f"[127.0.0.1]:{self.port}",)
        return f"{','.join(names)} {public(self.folder / f'host_{kind}')}\n"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextmanager
def sshd(folder: Path, authorized: str, *options: str, host_keys: tuple[str, ...] = ("ed25519",)):
    """An sshd that lets `authorized` keys in as the user we are."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # its privilege separation needs it
    (folder / "authorized_keys").write_text(authorized)
    for kind in host_keys:
        if not (folder / f"host_{kind}").exists():
            keygen(folder / f"host_{kind}", kind=kind)
    port = free_port()
    (folder / "config").write_text(
        "\n".join(
            [
                "LogLevel VERBOSE" if not any("LogLevel" in o for o in options) else "",
                *options,  # first value wins
                f"ListenAddress 127.0.0.1:{port}",
                *(f"HostKey {folder}/host_{kind}" for kind in host_keys),
                f"AuthorizedKeysFile {folder}/authorized_keys",
                "PermitRootLogin yes",
                "PasswordAuthentication no",
                "KbdInteractiveAuthentication no",
                "UsePAM no",
                "StrictModes no",
                "PrintMotd no",
                "SetEnv SHLVL=2",  # bash then leaves out ~/.bashrc, which may take its time
                "MaxStartups 1000",
                f"PidFile {folder}/pid",
                "",
            ]
        )
    )
    process = subprocess.Popen([SSHD, "-D", "-f", folder / "config", "-E", folder / "log"])
    try:
        wait_for(folder / "log", process)
        yield Sshd(folder, port, process)
    finally:
        for child in Sshd(folder, port, process).children():
            with suppress(ProcessLookupError):
                os.kill(child, 9)
        process.kill()
        process.wait()


def wait_for(log: Path, process: subprocess.Popen) -> None:
    """Without connecting: tests count connections."""
    until = time.monotonic() + 10
    while time.monotonic() < until and process.poll() is None:
        if log.exists() and "Server listening" in log.read_text():
            return
        time.sleep(0.02)
    raise RuntimeError(f"sshd does not come up, exit {process.poll()}: {log.read_text()}")

"""Whose key is it: known_hosts read once for all nodes, and written only on request."""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from clusterctl.model import Kind
from clusterctl.transport import TransportError
from clusterctl.transport.ssh_config import Target, listed

MARKERS = frozenset({"@revoked", "@cert-authority"})
# Cheapest to verify first.
ALGORITHMS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
RSA = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a known_hosts file (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""

    hosts: str
    kind: str  # ssh-ed25519, …
    key: str  # base64, as it stands in the file
    where: str  # file:line
    marker: str = ""


def entries(text: str, path: Path) -> Iterator[Entry]:
    """Lines that are no entries are passed over, as ssh does."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0) if words[0] in MARKERS else ""
        if len(words) >= 3:
            yield Entry(words[0], words[1], words[2], f"{path}:{number}", marker)


def spellings(names: Iterable[str], port: int) -> tuple[str, ...]:
    return tuple(name.lower() if port == 22 else f"[{name.lower()}]:{port}" for name in names)


def fingerprint(key: str) -> str:
    """SHA256:…, as ssh-keygen -l prints it."""
    try:
        digest = hashlib.sha256(base64.b64decode(key)).digest()
    except ValueError:
        return "an unreadable key"
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


class HostKeys:
    """The known_hosts files of one target, shared by all threads.

    Owns the files' lines in memory and the right to append to the first file.
    """

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self.paths = paths
        self.exact: defaultdict[str, list[Entry]] = defaultdict(list)
        self.hashed: list[tuple[bytes, bytes, Entry]] = []
        self.patterns: list[Entry] = []
        self.recording = threading.Lock()
        for path in paths:
            try:
                text = path.read_text(errors="surrogateescape")
            except OSError:
                continue
            for entry in entries(text, path):
                self._keep(entry)

    def _keep(self, entry: Entry) -> None:
        if entry.hosts.startswith("|1|"):
            try:
                salt, digest = (base64.b64decode(part) for part in entry.hosts[3:].split("|"))
            except (ValueError, binascii.Error):
                return
            self.hashed.append((salt, digest, entry))
        elif any(char in entry.hosts for char in "*?!"):
            self.patterns.append(entry)
        else:
            for name in entry.hosts.lower().split(","):
                self.exact[name].append(entry)

    def of(self, names: Iterable[str]) -> tuple[Entry, ...]:
        """What the files hold for any of these spellings."""
        names = tuple(name.lower() for name in names)
        found = [entry for name in names for entry in self.exact.get(name, ())]
        found += (e for e in self.patterns if listed(names, e.hosts.lower().split(",")))
        raw = [name.encode(errors="surrogateescape") for name in names]
        found += (
            entry
            for salt, digest, entry in self.hashed
            if any(hmac.digest(salt, name, "sha1") == digest for name in raw)
        )
        return tuple(dict.fromkeys(found))

    def known(self, target: Target) -> tuple[Entry, ...]:
        """The keys that may speak for the target; without the port only if nothing has the port."""
        with_port = self.of(spellings(target.names, target.port))
        return with_port or (self.of(spellings(target.names, 22)) if target.port != 22 else ())

    def record(self, target: Target, kind: str, key: str) -> None:
        """Remember a key seen for the first time, in memory and in the first file."""
        name = spellings(target.names, target.port)[0]
        path = self.paths[0]
        with self.recording:
            if any(entry.key == key for entry in self.exact.get(name, ())):
                return
            try:
                _append(path, f"{name} {kind} {key}\n")
            except OSError as error:
                raise TransportError(
                    Kind.DENIED,
                    f"{target}: its key is new and cannot be recorded in {path}: {error.strerror}",
                ) from error
            self._keep(Entry(name, kind, key, str(path)))


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # another clusterctl may be recording as well
        size = os.fstat(handle).st_size
        unfinished = size and os.pread(handle, 1, size - 1) != b"\n"
        os.write(handle, (("\n" if unfinished else "") + line).encode(errors="surrogateescape"))
    finally:
        os.close(handle)


def algorithms(known: Iterable[Entry]) -> tuple[str, ...]:
    """Host key algorithms to ask for: those that we can verify first.

    A server shows one key only, and shows another one than the known if we prefer that.
    """
    kinds = [entry.kind for entry in known if not entry.marker]
    ours = [name for kind in kinds for name in RSA.get(kind, (kind,)) if name in ALGORITHMS]
    return tuple(dict.fromkeys([*ours, *ALGORITHMS]))


def verify(keys: HostKeys, target: Target, kind: str, key: str, *, accept_new: bool) -> None:
    """Raises TransportError(DENIED) unless this key may speak for the target."""
    known = keys.known(target)
    shown = f"{kind} {fingerprint(key)}"
    files = keys.paths[0] if keys.paths else "no file"
    called = spellings(target.names, target.port)[0]
    if revoked := next((e for e in known if e.marker == "@revoked" and e.key == key), None):
        raise TransportError(
            Kind.DENIED, f"{target} shows a key that {revoked.where} marks as revoked ({shown})"
        )
    plain = [entry for entry in known if not entry.marker]
    if any(entry.key == key for entry in plain):
        return
    if plain:
        entry = next((entry for entry in plain if entry.kind == kind), plain[0])
        listed_as = called if entry.hosts.startswith("|") else entry.hosts.split(",")[0]
        raise TransportError(
            Kind.DENIED,
            f"host key of {target} has changed: {entry.where} holds {entry.kind} "
            f"{fingerprint(entry.key)}, it shows {shown}; reinstalled or not the same machine. "
            f"If it is right: ssh-keygen -R '{listed_as}' "
            f"-f {entry.where.rpartition(':')[0]}, then --accept-new",
        )
    if accept_new and keys.paths:
        keys.record(target, kind, key)
        return
    port = f"-p {target.port} " if target.port != 22 else ""
    raise TransportError(
        Kind.DENIED,
        f"host key of {target} is not known: it shows {shown}, {files} has no key for {called}"
        f"{', and its @cert-authority line is not used here' if known else ''}. "
        f"If it is right: --accept-new, or ssh-keyscan {port}{target.host} >> {files}",
    )

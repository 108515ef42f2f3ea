"""What we can prove who we are with: agent, key files and certificates, read once for all nodes."""

from __future__ import annotations

import base64
import copy
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from paramiko.agent import AgentKey, AgentSSH
from paramiko.pkey import PublicBlob, UnknownKeyType

from clusterctl.transport.ssh_config import Target

# Asked with the file's name; None: there is nobody to ask.
Passphrase = Callable[[str], str | None]
PASSPHRASE_TRIES = 3  # as ssh's NumberOfPasswordPrompts
# What paramiko and cryptography raise about a file that is no key, or not one they know.
UNREADABLE = (
    ValueError,
    TypeError,
    paramiko.SSHException,
    UnsupportedAlgorithm,
    UnknownKeyType,
    struct.error,
)


class Agent(AgentSSH):
    """One connection to ssh-agent, shared by all threads: it answers one request at a time."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.asking = threading.Lock()
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        self._connect(connection)  # type: ignore[attr-defined] # the stubs know no _names

    def _send_message(self, msg: object) -> object:
        with self.asking:
            return super()._send_message(msg)  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Credential:
    """One key that may be offered; `origin` says to a person which one it is."""

    origin: str
    key: paramiko.PKey


class Keyring:
    """The credentials of targets.  Every file is read, and every passphrase asked for, once."""

    def __init__(self, passphrase: Passphrase) -> None:
        self.passphrase = passphrase
        self.reading = threading.RLock()
        self.agents: dict[str, tuple[AgentKey, ...]] = {}
        self.files: dict[Path, paramiko.PKey | None] = {}
        self.troubles: dict[Path, str] = {}
        self.publics: dict[Path, bytes] = {}
        self.about: dict[Path, bytes] = {}
        self.welcome: dict[str, str] = {}  # user: the origin of the key that worked last

    def offers(self, target: Target) -> Iterator[Credential]:
        """In the order to try them: the last that worked, then as ssh(1) does.

        A key file is only opened, and its passphrase asked for, when its turn has come.
        """
        lucky = self.welcome.get(target.user, "")
        readers = list(self._readers(target))
        for _, read in sorted(readers, key=lambda reader: not lucky.startswith(reader[0])):
            with self.reading:
                found = read()
            yield from sorted(found, key=lambda credential: credential.origin != lucky)

    def worked(self, target: Target, credential: Credential) -> None:
        self.welcome[target.user] = credential.origin

    def missing(self, target: Target) -> str:
        """Why files that should hold a key gave none."""
        return "; ".join(self.troubles[path] for path in target.identities if path in self.troubles)

    def _readers(
        self, target: Target
    ) -> Iterator[tuple[str, Callable[[], tuple[Credential, ...]]]]:
        with self.reading:
            held = {key.blob: key for key in self._agent(target.agent)}
            ours = {path: blob for path in target.identities if (blob := self._public(path))}
        mine = [(held[blob], path) for path, blob in ours.items() if blob in held]
        others = [key for blob, key in held.items() if blob not in ours.values()]
        for key, path in mine:
            yield str(path), partial(self._of_agent, key, path, target)
        if not target.identities_only:
            for key in others:
                name = f"agent key {key.comment or key.fingerprint}"
                yield name, partial(self._of_agent, key, name, target)
        for path in target.identities:
            if ours.get(path) not in held:
                yield str(path), partial(self._of_file, path, target)

    def _public(self, path: Path) -> bytes:
        if path not in self.publics:
            self.publics[path] = public(path)
        return self.publics[path]

    def _agent(self, path: str) -> tuple[AgentKey, ...]:
        if path and path not in self.agents:
            try:
                self.agents[path] = Agent(path).get_keys()
            except (OSError, paramiko.SSHException, struct.error):
                self.agents[path] = ()  # an agent that is gone is as good as none: ssh(1) agrees
        return self.agents.get(path, ())

    def _of_agent(
        self, key: AgentKey, origin: Path | str, target: Target
    ) -> tuple[Credential, ...]:
        def fresh() -> AgentKey:  # an AgentKey cannot be copied: its __getattr__ recurses
            again = AgentKey(key.agent, key.blob, key.comment)
            if "-cert-" in again.name:  # else paramiko offers an RSA certificate as a bare key
                again.public_blob = PublicBlob(again.name, again.blob)  # type: ignore[assignment]
            return again

        return tuple(_variants(str(origin), fresh, self._certificates(target, origin)))

    def _of_file(self, path: Path, target: Target) -> tuple[Credential, ...]:
        if path not in self.files:
            self.files[path] = self._load(path, chosen=target.chosen)
        key = self.files[path]
        if not key:
            return ()
        return tuple(
            _variants(str(path), partial(copy.copy, key), self._certificates(target, path))
        )

    def _certificates(self, target: Target, origin: Path | str) -> dict[Path, bytes]:
        """Certificates that this key may be offered under, and the key that each is about."""
        beside = (Path(f"{origin}-cert.pub"),) if isinstance(origin, Path) else ()
        paths = (*target.certificates, *beside)
        for path in paths:
            if path not in self.about:
                self.about[path] = certified(path)
        return {path: self.about[path] for path in paths}

    def _load(self, path: Path, *, chosen: bool) -> paramiko.PKey | None:
        try:
            return self._unlocked(path)
        except FileNotFoundError:
            if chosen:
                self.troubles[path] = f"{path}: no such file"
        except OSError as error:
            self.troubles[path] = f"{path}: {error.strerror}"
        except UNREADABLE as error:
            self.troubles[path] = f"{path}: {error}"
        return None

    def _unlocked(self, path: Path) -> paramiko.PKey:
        try:
            return _private(path, None)
        except TypeError:  # as cryptography says that the key is encrypted
            pass
        for _ in range(PASSPHRASE_TRIES):
            passphrase = self.passphrase(str(path))
            if passphrase is None:
                raise ValueError(
                    "is encrypted, and there is nobody to ask for the passphrase; ssh-add it"
                ) from None
            try:
                return _private(path, passphrase.encode())
            except ValueError:
                continue
        raise ValueError("the passphrase does not open it")


def public(path: Path) -> bytes:
    """The public half of a key file, where it lies beside it; empty: unknown."""
    for candidate in (Path(f"{path}.pub"), path):
        try:
            return bytes(PublicBlob.from_file(str(candidate)).key_blob)
        except (OSError, *UNREADABLE):
            continue
    return b""


def _private(path: Path, passphrase: bytes | None) -> paramiko.PKey:
    key = paramiko.PKey.from_path(path, passphrase)  # type: ignore[arg-type] # str is a TypeError
    key.public_blob = None  # it took up path-cert.pub; certificates are offered beside it
    return key


def _variants(
    origin: str, fresh: Callable[[], paramiko.PKey], certificates: Mapping[Path, bytes]
) -> Iterator[Credential]:
    """The key under each certificate that is its own, then the bare key."""
    bare = fresh()
    for path, about in certificates.items():
        if about == bare.asbytes():
            key = fresh()
            key.load_certificate(str(path))
            yield Credential(f"{origin} with {path.name}", key)
    yield Credential(origin, bare)


def certified(path: Path) -> bytes:
    """The key that a certificate is about; empty: no such certificate."""
    try:
        loaded = serialization.load_ssh_public_identity(path.read_bytes())
        if not isinstance(loaded, serialization.SSHCertificate):
            return b""
        line = loaded.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        return base64.b64decode(line.split()[1])
    except (OSError, *UNREADABLE):
        return b""

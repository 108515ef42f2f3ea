"""Logging in over a connected stream, and what each way of not getting in means."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from time import monotonic
from typing import Any

import paramiko

from clusterctl.model import Kind
from clusterctl.transport import TransportError
from clusterctl.transport.host_keys import HostKeys, algorithms, verify
from clusterctl.transport.ssh_config import Target
from clusterctl.transport.ssh_keys import Keyring
from clusterctl.transport.ssh_line import BROKEN, Line, reason


def greet(sock: Any, target: Target, keys: HostKeys, *, accept_new: bool, until: float) -> Line:
    """Banner, key exchange and the peer's host key.  Raises TransportError; then sock is closed."""
    line = Line(sock, algorithms(keys.known(target)))
    began = monotonic()
    agreed = threading.Event()
    line.start_client(event=agreed)
    agreed.wait(max(0.0, until - began))
    with ExitStack() as stack:
        stack.callback(line.hang_up)
        if not line.is_active() or not agreed.is_set():
            raise silence(line, target, monotonic() - began, over=not agreed.is_set())
        key = line.get_remote_server_key()
        verify(keys, target, key.get_name(), key.get_base64(), accept_new=accept_new)
        stack.pop_all()
    return line


def silence(line: Line, target: Target, waited_s: float, *, over: bool) -> TransportError:
    """Why there was no key exchange.  `over`: the time was up first."""
    error = line.get_exception()
    if over:
        said = "then stops" if line.packetizer.heard else "then says nothing"
        return TransportError(
            Kind.TIMEOUT,
            f"{target} accepts TCP and {said} for {waited_s:.0f} s: sshd hung, out of memory or "
            "processes, or not sshd at all",
        )
    if not line.packetizer.heard:
        return TransportError(
            Kind.UNREACHABLE,
            f"{target} closes the connection without a word ({reason(error)}): sshd at its "
            "MaxStartups, still booting, or a ban (fail2ban, hosts.deny); try --at-once lower",
        )
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return TransportError(
            Kind.DENIED, f"{target} speaks no algorithm that we do: {reason(error)}"
        )
    if not line.remote_version.startswith("SSH-"):
        return TransportError(
            Kind.UNREACHABLE,
            f"{target} does not speak SSH ({reason(error)}): is the port right?",
        )
    return TransportError(
        Kind.UNREACHABLE, f"{target} breaks off the key exchange: {reason(error)}"
    )


def authenticate(line: Line, target: Target, keyring: Keyring, until: float) -> None:
    """Offer keys until one is taken.  Time that a person needs for a passphrase does not count."""
    tried: list[str] = []
    offers = keyring.offers(target)
    while True:
        asked = monotonic()
        credential = next(offers, None)
        until += monotonic() - asked
        if not credential:
            break
        tried.append(credential.origin)
        line.auth_timeout = max(0.1, until - monotonic())
        try:
            more = line.auth_publickey(target.user, credential.key)
        except paramiko.BadAuthenticationType as error:
            raise TransportError(
                Kind.DENIED,
                f"{target} takes no keys, only {', '.join(error.allowed_types)}: "
                "allow publickey in its sshd_config",
            ) from error
        except paramiko.AuthenticationException as error:
            if line.is_active() and monotonic() < until:
                continue  # this key is not wanted; the next may be
            raise _unauthenticated(target, tried, error, over=monotonic() >= until) from error
        except BROKEN as error:
            if line.is_active() and isinstance(error, paramiko.SSHException):
                continue  # the agent would not sign with it, or the server not have its algorithm
            raise _unauthenticated(target, tried, error, over=monotonic() >= until) from error
        if more:
            raise TransportError(
                Kind.DENIED,
                f"{target} takes our key and then also wants {', '.join(more)}, which nobody can "
                "answer for many nodes: use a jump host or exempt this user",
            )
        keyring.worked(target, credential)
        return
    offered = (
        f"refuses {', '.join(tried)}" if tried else "cannot be asked: there is no key to offer"
    )
    missing = keyring.missing(target)
    raise TransportError(
        Kind.DENIED,
        f"{target} {offered}{f' ({missing})' if missing else ''}: ssh-add a key that it knows, "
        "or ssh-copy-id ours to it",
    )


def _unauthenticated(
    target: Target, tried: list[str], error: Exception, *, over: bool
) -> TransportError:
    if over:
        return TransportError(
            Kind.TIMEOUT,
            f"{target} does not answer our key in time: LDAP, DNS or PAM of the node, or the agent",
        )
    return TransportError(
        Kind.DENIED,
        f"{target} ends the connection after {len(tried)} of our keys ({', '.join(tried)}; "
        f"{reason(error)}): its MaxAuthTries, or a rule for this user; "
        "name the key with IdentityFile and IdentitiesOnly",
    )

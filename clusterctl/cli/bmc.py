"""Who may ask a node's BMC: the inventory's bmc, bmc_user and bmc_tls, and a password apart."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from clusterctl.cli.passwords import given
from clusterctl.model import Answer, Kind, Node, Probe, UserError
from clusterctl.transport import Transport
from clusterctl.transport.bmc import NAME, Access, Ask, WithBmc

PASSWORD = "CLUSTERCTL_BMC_PASSWORD"  # noqa: S105 - where it is, not what
URL = re.compile(r"(?:https?://)?(?:[\w.-]+|\[[0-9a-fA-F:]+\])(?::\d{1,5})?/?")


def refuse_unready() -> None:
    """Raises UserError where BMCs could not be asked, before a run begins."""
    if find_spec("sushy") is None:
        raise UserError(
            "bmc_user is in the inventory and sushy is not installed: "
            "pip install 'clusterctl[bmc]', or take bmc_user out"
        )
    if not given(PASSWORD) and not sys.stdin.isatty():
        raise UserError(
            f"bmc_user is in the inventory and no password: set {PASSWORD}_FILE to a file with "
            f"mode 0600, or {PASSWORD}"
        )


def beside(connect: Callable[[float], Transport]) -> Callable[[float], Transport]:
    """Transports that ask BMCs, too.  Raises UserError; see `refuse_unready`."""
    return both(connect, password())[0]


def for_campaign(
    connect: Callable[[float], Transport], *, must: bool
) -> tuple[Callable[[float], Transport], Callable[[Node], Answer | None]]:
    """The same, and how to ask a node's BMC alone; None: it has none that we may ask.

    Not `must`: where no password is given, BMCs say that nobody gave one.  Raises UserError.
    """
    if must:
        refuse_unready()
    ready = find_spec("sushy") is not None
    return both(connect, password() if must else given(PASSWORD) if ready else "")


def both(
    connect: Callable[[float], Transport], secret: str
) -> tuple[Callable[[float], Transport], Callable[[Node], Answer | None]]:
    ask: Ask = mute
    if secret:
        from clusterctl.transport import redfish

        ask = redfish.ask

    @cache
    def access(node: Node) -> Access | None:
        return access_to(node, secret)

    def alone(node: Node) -> Answer | None:
        found = access(node)
        return ask(found) if found else None

    return (lambda node_s: WithBmc(connect(node_s), access, ask)), alone


def refuse_prompt(probes: Iterable[Probe]) -> None:
    """Raises UserError where a password would be asked for with nobody there to answer."""
    if asks(probes) and not given(PASSWORD):
        raise UserError(
            f"--detach: nobody can be asked for the password of the BMCs: set {PASSWORD}_FILE to a "
            "file with mode 0600"
        )


def asks(probes: Iterable[Probe]) -> bool:
    """Whether BMCs are asked, too."""
    return any(probe.name == NAME for probe in probes)


def mute(_access: Access) -> Answer:
    """Where nobody gave a password: nothing is known of it."""
    failed = {"/redfish/v1/": {"kind": str(Kind.DENIED), "detail": "no password was given"}}
    return Answer(NAME, 0, json.dumps({"redfish": 1, "resources": {}, "failed": failed}), "", 0.0)


def access_to(node: Node, secret: str) -> Access | None:
    """None for a node without bmc or bmc_user.  Raises UserError."""
    address, user = node.labels.get("bmc", ""), node.labels.get("bmc_user", "")
    if not address or not user:
        return None
    if not URL.fullmatch(address):
        raise UserError(f"{node.origin}: bmc: {address!r} is no host name, address or https:// URL")
    tls = node.labels.get("bmc_tls", "verify")
    verify: bool | str = {"verify": True, "unverified": False}.get(tls, tls)
    if isinstance(verify, str) and not Path(verify).is_file():
        raise UserError(f"{node.origin}: bmc_tls: {tls!r} is neither verify, unverified nor a file")
    url = address if "://" in address else f"https://{address}"
    return Access(url, user, secret, verify)


def password() -> str:
    """From the environment, a file, or the terminal.  Raises UserError."""
    if secret := given(PASSWORD):
        return secret
    import getpass

    return getpass.getpass("password of the BMCs: ")

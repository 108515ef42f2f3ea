"""Who may ask a node's BMC: the inventory's bmc, bmc_user and bmc_tls, and a password apart."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from clusterctl.cli.passwords import given
from clusterctl.model import Node, UserError
from clusterctl.transport import Transport
from clusterctl.transport.bmc import Access, WithBmc

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
    from clusterctl.transport import redfish

    secret = password()

    @cache
    def access(node: Node) -> Access | None:
        return access_to(node, secret)

    return lambda node_s: WithBmc(connect(node_s), access, redfish.ask)


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

"""Switches over plain SSH by netmiko: a fixed list of commands that only show.

Host keys are checked against known_hosts as for nodes; a password, where there is one, goes to the
switch and nowhere else.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import netmiko
from netmiko.exceptions import NetmikoAuthenticationException, NetmikoBaseException
from ntc_templates.parse import ParsingException, parse_output
from paramiko.ssh_exception import SSHException
from textfsm import TextFSMError

from clusterctl.model import Answer, Kind, Node, Question, Trouble
from clusterctl.transport import Shell, TransportError

NAME = "switch"
# netmiko's timeouts and refusals are either its own or paramiko's; a dead socket raises the rest.
LOST = (NetmikoBaseException, SSHException, OSError, EOFError, ValueError)
CONNECT_S, COMMAND_S = 15.0, 60.0
# SONiC and Cumulus are Linux underneath: netmiko's own classes for them expect other shells.
DRIVERS = {"sonic": "linux", "cumulus_linux": "linux"}
NTC = {
    ("huawei_vrp", "display lldp neighbor"),
    ("hp_comware", "display lldp neighbor-information list"),
}
# Onyx shows what a module measures to a session that said `enable`, which changes nothing.
ENABLED = frozenset({"mellanox_mlnxos"})
TEMPLATES = {"huawei_vrpv8": "huawei_vrp", "h3c_comware": "hp_comware"}
REFUSED = re.compile(
    r"^\s*(?:% ?(?:Invalid|Unrecognized|Incomplete|Ambiguous|Wrong)|Error: ?(?:Unrecognized|Wrong|"
    r"Too many|Incomplete)|Usage: |.*command not found|Permission denied)",
    re.MULTILINE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Switches:
    """`commands`: by platform, what a switch of it is asked; nothing else is ever sent.

    `known_hosts`: this file instead of ~/.ssh/known_hosts.  `ssh_config`: for jump hosts.
    """

    commands: Mapping[str, Sequence[str]]
    password: str = field(default="", repr=False)
    known_hosts: Path | None = None
    ssh_config: Path | None = None
    login: str = ""

    def knock(self, nodes: Iterable[Node]) -> Iterator[tuple[Node, Trouble | None]]:
        for node in nodes:
            yield node, None

    @contextmanager
    def open(self, node: Node) -> Iterator[Shell]:
        platform = node.labels.get("platform", "")
        if platform not in self.commands:
            known = ", ".join(sorted(self.commands))
            raise TransportError(Kind.MISSING, f"platform {platform!r} is none of {known}")
        connection = self.connect(node, platform)
        try:
            if platform in ENABLED:
                # Refused, the commands that need it say so themselves.
                with suppress(*LOST):
                    connection.enable()
            yield Session(connection, platform, self.commands[platform])
        finally:
            connection.disconnect()

    def connect(self, node: Node, platform: str) -> Any:
        """Raises TransportError."""
        key = "" if self.password else key_of(node)
        options: dict[str, Any] = {
            "device_type": DRIVERS.get(platform, platform),
            "host": node.host,
            "port": node.port or 22,
            "username": node.user or self.login,
            "password": self.password or None,
            "use_keys": bool(key),
            "key_file": key or None,
            "allow_agent": not self.password,
            "ssh_strict": True,
            "system_host_keys": self.known_hosts is None,
            "alt_host_keys": self.known_hosts is not None,
            "alt_key_file": str(self.known_hosts or ""),
            "ssh_config_file": str(self.ssh_config) if self.ssh_config else None,
            "conn_timeout": CONNECT_S,
            "auth_timeout": CONNECT_S,
            "banner_timeout": CONNECT_S,
            "auto_connect": True,
        }
        try:
            return netmiko.ConnectHandler(**options)
        except LOST as error:
            raise explained(error, node) from None


def key_of(node: Node) -> str:
    """The inventory's, else the first of OpenSSH's own that is there; empty: the agent's alone."""
    usual = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
    tried = [Path(one).expanduser() for one in ([node.identity] if node.identity else usual)]
    return next((str(path) for path in tried if node.identity or path.is_file()), "")


def explained(error: Exception, node: Node) -> TransportError:
    text = " ".join(str(error).split()) or repr(error)
    if "not found in known_hosts" in text or "host key" in text.lower():
        why = f"{node.host}: its host key is not known, or another: {text}"
        return TransportError(Kind.DENIED, why)
    if isinstance(error, NetmikoAuthenticationException):
        return TransportError(Kind.DENIED, f"{node.host}: {text}")
    if isinstance(error, netmiko.ReadTimeout):
        platform = node.labels.get("platform", "")
        why = f"{node.host}: logged in, and no prompt of a {platform} came: is that its platform?"
        return TransportError(Kind.TIMEOUT, why)
    return TransportError(Kind.UNREACHABLE, f"{node.host}: {text}")


@dataclass(frozen=True, slots=True)
class Session:
    connection: Any
    platform: str
    commands: Sequence[str]

    def ask(self, questions: Sequence[Question]) -> Iterator[Answer]:
        for question in questions:
            if question.name == NAME:
                yield self.show()

    def show(self) -> Answer:
        """Every command in turn; one that fails costs itself, a lost connection the rest."""
        begun = time.monotonic()
        outputs: dict[str, str] = {}
        rows: dict[str, Any] = {}
        failed: dict[str, dict[str, str]] = {}
        for command in self.commands:
            try:
                text = self.connection.send_command(command, read_timeout=COMMAND_S)
            except (netmiko.NetMikoTimeoutException, netmiko.ReadTimeout) as error:
                failed[command] = {"kind": "timeout", "detail": " ".join(str(error).split())[:200]}
                continue
            except LOST as error:
                failed[command] = {"kind": "cut", "detail": repr(error)[:200]}
                continue
            if REFUSED.search(text[:400]):
                failed[command] = {"kind": "exit", "detail": " ".join(text.split())[:200]}
                continue
            outputs[command] = text + "\n"  # netmiko saw the prompt after it, so it is whole
            if (made := templated(self.platform, command, text)) is not None:
                rows[command] = made
        said = {
            "switch": 1,
            "platform": self.platform,
            "outputs": outputs,
            "rows": rows,
            "failed": failed,
        }
        return Answer(NAME, 0, json.dumps(said), "", time.monotonic() - begun)


def templated(platform: str, command: str, text: str) -> list[dict[str, Any]] | None:
    """By ntc-templates; None where it is not asked for the command, or does not understand it."""
    known = TEMPLATES.get(platform, platform)
    if (known, command) not in NTC:
        return None
    try:
        return list(parse_output(platform=known, command=command, data=text))
    except (ParsingException, TextFSMError, ValueError):  # a template may end with "Error"
        return None

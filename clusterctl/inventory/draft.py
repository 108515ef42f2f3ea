"""What inventories say about a node before it is one: words, each with the line that says it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple

from clusterctl.model import Node, UserError
from clusterctl.spelling import visible

# The keys that say how a node is reached.  Everything else about it is a label.
REACH = ("address", "user", "port", "via", "become", "identity", "transport")
LABEL = "labels."
TRUE = frozenset({"true", "yes", "on", "1", "y", "是"})
FALSE = frozenset({"false", "no", "off", "0", "n", "否"})
# An address ends up in ProxyCommand lines, which a shell reads; a name in file names.
NAME = re.compile(r"[^\W\d][\w.:%+-]*|[0-9:][\w.:%+-]*")
HOST = re.compile(r"[\w:][\w.:%-]*")
USER = re.compile(r"[\w.][\w.@+-]*(?:\\[\w.@+-]+)?")
VIA = re.compile(r"(?:(?P<user>[^@\s]+)@)?(?P<host>\[[^\]\s]+\]|[^:\s@]+)(?::(?P<port>[0-9]+))?")
# Labels are shown and stored with every run: a secret must not become one.
SECRET = re.compile(
    r"passw|passphrase|(^|_)pass($|_)|pwd|secret|token|vault|credential|private_key|api_?key|密码|口令",
    re.IGNORECASE,
)


class Said(NamedTuple):
    text: str
    origin: str  # file:line


@dataclass(slots=True)
class Draft:
    """`said` holds REACH keys as they are and a label under "labels." and its name."""

    name: str
    origin: str
    said: dict[str, Said] = field(default_factory=dict)
    groups: dict[str, None] = field(default_factory=dict)


def refuse(origin: str, why: str) -> UserError:
    """The operator's mistake in one line, whatever bytes the file held."""
    return UserError(visible(f"{origin}: {why}", 600))


def merge(drafts: Iterable[Draft]) -> dict[str, Draft]:
    """One draft a name.  Raises UserError where two lines disagree about one node."""
    merged: dict[str, Draft] = {}
    for draft in drafts:
        first = merged.setdefault(draft.name, draft)
        if first is draft:
            continue
        for key, said in draft.said.items():
            known = first.said.setdefault(key, said)
            if known is not said and plain(key, known.text) != plain(key, said.text):
                raise disagreement(draft.name, key, known, said)
        first.groups.update(draft.groups)
        if draft.origin not in first.origin.split(", "):
            first.origin = f"{first.origin}, {draft.origin}"
    return merged


def disagreement(name: str, key: str, one: Said, other: Said) -> UserError:
    where = "here" if one.origin == other.origin else f"at {one.origin}"
    word = key.removeprefix(LABEL)
    return refuse(
        other.origin,
        f"{name}: {word} is {other.text!r} here and {one.text!r} {where}; keep one of them",
    )


def plain(key: str, text: str) -> str:
    """One spelling for values that mean the same."""
    if key == "become":
        return str(text.lower() in TRUE)
    if key == "address":
        try:
            return str(ip_address(text))
        except ValueError:
            return text.lower()
    return text.lstrip("0") if key == "port" else text


def finish(draft: Draft) -> Node:
    """The node a draft describes.  Raises UserError for what cannot be a name, address, port, …"""
    if not NAME.fullmatch(draft.name) or len(draft.name) > 255:
        raise refuse(
            draft.origin, f"{draft.name!r} cannot be a node's name: use letters, digits, . - _"
        )
    said = draft.said
    labels = {key[len(LABEL) :]: value.text for key, value in said.items() if key.startswith(LABEL)}
    if "transport" in said:
        labels["transport"] = said["transport"].text
    groups = dict.fromkeys(part for part in labels.pop("group", "").split(",") if part)
    if groups := groups | draft.groups:
        labels["group"] = ",".join(groups)
    return Node(
        name=draft.name,
        address=fitting(said, "address", HOST, "an address or host name"),
        user=fitting(said, "user", USER, "a user name"),
        port=port(said),
        via=via(said),
        become=become(said),
        labels=labels,
        origin=draft.origin,
        identity=said["identity"].text if "identity" in said else "",
    )


def fitting(said: Mapping[str, Said], key: str, form: re.Pattern[str], what: str) -> str:
    if key not in said:
        return ""
    text, origin = said[key]
    if not form.fullmatch(text) or (key == "address" and not plausible(text)):
        raise refuse(origin, f"{key}: {text!r} is not {what}")
    return text


def plausible(address: str) -> bool:
    """Not a slip such as 10.0.0.300 or 10.0.0.3:22: what looks like an IP address is one."""
    looks = ":" in address or re.fullmatch(r"[0-9.]+", address)
    return not looks or is_address(address)


def is_address(text: str) -> bool:
    """Whether the text is an IP address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def port(said: Mapping[str, Said]) -> int:
    if "port" not in said:
        return 0
    text, origin = said["port"]
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise refuse(origin, f"port: {text!r} is not a number from 1 to 65535")
    return int(text)


def via(said: Mapping[str, Said]) -> str:
    if "via" not in said:
        return ""
    text, origin = said["via"]
    if "," in text:
        raise refuse(
            origin, f"via: {text!r} is several jumps; say them in ~/.ssh/config as ProxyJump"
        )
    found = VIA.fullmatch(text)
    if not (
        found
        and HOST.fullmatch(found["host"].strip("[]"))
        and (found["user"] is None or USER.fullmatch(found["user"]))
        and (found["port"] is None or 0 < int(found["port"][:6]) < 65536)
    ):
        raise refuse(origin, f"via: {text!r} is not a jump host such as ops@bastion:2222")
    return text


def become(said: Mapping[str, Said]) -> bool:
    if "become" not in said:
        return False
    text, origin = said["become"]
    if text.lower() not in TRUE | FALSE:
        raise refuse(origin, f"become: {text!r} is neither yes nor no")
    return text.lower() in TRUE

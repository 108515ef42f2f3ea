"""Secrets out of a text.  Pure.

What looks like a secret is one: a password that stays does more harm than a word that goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

GONE = "<redacted>"
WORD = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|(?:shared|auth|encryption|session|signing)[_-]?key|credentials?|psk)"
)
# Each with what stays of it.  Every repetition is bounded or cannot be entered twice, so that a
# megabyte on one line costs no more than many short ones.
SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"-----BEGIN ([A-Z0-9 ]{0,40}PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL
        ),
        GONE,
    ),
    (
        re.compile(r"(?i)\b((?:authorization|(?:set-)?cookie)[\"']?\s{0,4}[:=]\s{0,4})[^\n]+"),
        rf"\1{GONE}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}"), rf"\1 {GONE}"),
    # "password": "x", password=x, PASSWORD: x, --token x; not "password required".  In JSON that
    # stands in JSON: \"password\":\"x\"
    (
        re.compile(
            rf"(?i)({WORD}[\w.-]{{0,40}}(?:\\{{0,7}}[\"'])?\s{{0,4}}[:=]\s{{0,4}})"
            r"(?:\\{1,7}\"[^\"\n]*\"?|\"(?:\\.|[^\"\\\n])*\"?|'[^'\n]*'?|[^\s,;\"']+)"
        ),
        rf"\1{GONE}",
    ),
    # what sudo and the audit log keep of command lines: ipmitool -P, sshpass -p, curl -u
    (
        re.compile(
            r"\b((?:ipmitool\b[^\n]{0,200}?[\s=]\"?-[Pky]|sshpass\b[^\n]{0,80}?[\s=]\"?-p"
            r"|curl\b[^\n]{0,200}?[\s=]\"?(?:-u|--user))(?:\"?\s+(?:a\d+=)?\"?|=)?)[^\s\"]+"
        ),
        rf"\1{GONE}",
    ),
    (re.compile(r"(?i)\b(login\s{1,4}\S{1,80}\s{1,4}password\s{1,4})\S+"), rf"\1{GONE}"),
    (re.compile(rf"(?i)(--?[\w-]{{0,40}}{WORD}[\w-]{{0,40}}[ =]{{1,4}})[^\s]+"), rf"\1{GONE}"),
    (
        re.compile(
            r"(?i)\b((?:snmp-(?:server|agent) |ro|rw)?community"
            r"(?:6|\s+(?:read|write|string|cipher|simple|name))*[ \t:=]+)\S+"
        ),
        rf"\1{GONE}",
    ),
    (re.compile(r"\b([a-z][a-z0-9+.-]{1,20}://)[^/\s:@]{1,200}:[^/\s@]{1,400}@"), rf"\1{GONE}@"),
    (re.compile(r"\$(?:1|2[aby]|5|6|7|y|gy)\$[./A-Za-z0-9$=,]{8,}"), GONE),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), GONE),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), GONE),
    (re.compile(r"\b(?:gh[pousr]_|hf_|nvapi-|glpat-|xox[abprs]-|sk-)[\w-]{16,}"), GONE),
)
OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
HEX = r"[0-9a-f]{1,4}"
SHORT_V6 = rf"(?:{HEX}(?::{HEX}){{0,6}})?::(?:{HEX}(?::{HEX}){{0,6}})?"
MAC = r"[0-9a-f]{2}([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4,18}"  # of InfiniBand: twenty
ADDRESSES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("mac", re.compile(rf"(?i)(?<![\w:.-]){MAC}(?![\w:-])")),
    ("ip", re.compile(rf"(?<![\d.]){OCTET}(?:\.{OCTET}){{3}}(?!\d|\.\d)")),
    ("ip", re.compile(rf"(?i)(?<![\w:.])(?:(?:{HEX}:){{7}}{HEX}|{SHORT_V6})(?![\w:]|\.\d)")),
)
NOBODY_S = re.compile(r"127\..*|0\.0\.0\.0|255\..*|::1?|(?i:ff:ff:ff:ff:ff:ff|00:00:00:00:00:00)")


@dataclass
class Aliases:
    """One name for each address, the same in every text of a bundle, so that relations stay."""

    given: dict[str, str] = field(default_factory=dict)

    def of(self, kind: str, address: str) -> str:
        return self.given.setdefault(address.lower(), f"<{kind}-{len(self.given) + 1}>")


def without_secrets(text: str) -> tuple[str, int]:
    """The text, and how many secrets went."""
    gone = 0
    for form, rest in SECRETS:
        text, count = form.subn(rest, text)
        gone += count
    return text, gone


def without_addresses(text: str, aliases: Aliases) -> str:
    """Every IP and MAC address by its alias."""
    for kind, form in ADDRESSES:
        text = form.sub(renamed(kind, aliases), text)
    return text


def renamed(kind: str, aliases: Aliases) -> Callable[[re.Match[str]], str]:
    def rename(found: re.Match[str]) -> str:
        address = found[0]
        return address if NOBODY_S.fullmatch(address) else aliases.of(kind, address)

    return rename

"""What ssh_config(5) says about a host: first value wins, Include keeps its surroundings."""

from __future__ import annotations

import glob
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from clusterctl.model import Node, UserError

MANY = frozenset({"identityfile", "certificatefile"})  # these add up over the blocks
RAW = frozenset({"proxycommand"})  # the rest of the line is one value, quotes included
DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
DEEPEST_INCLUDE = 16  # as ssh's READCONF_MAX_DEPTH

Condition = tuple[str, tuple[str, ...]]  # ("host", patterns) or ("match", words)
Settings = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Line:
    """One setting and all the conditions that must hold for it."""

    conditions: tuple[Condition, ...]
    keyword: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a configuration is read: `home` stands for ~, `include` for relative paths."""

    home: Path
    include: Path


def read(path: Path, place: Place) -> tuple[Line, ...]:
    """A missing or forbidden file says nothing, as for ssh.  Raises UserError for bad quoting."""
    return tuple(_lines(path, place, (), 0))


def _lines(path: Path, place: Place, outer: tuple[Condition, ...], depth: int) -> Iterator[Line]:
    try:
        text = path.read_text(errors="surrogateescape")
    except OSError:
        return
    conditions = outer
    for number, line in enumerate(text.splitlines(), 1):
        words = _words(line, f"{path}:{number}")
        if not words:
            continue
        keyword, values = words[0].lower(), words[1:]
        match keyword:
            case "host" | "match":
                conditions = (*outer, (keyword, values))
            case "include" if depth < DEEPEST_INCLUDE:
                for found in _included(values, place):
                    yield from _lines(found, place, conditions, depth + 1)
            case _:
                _sound(keyword, values, f"{path}:{number}")
                yield Line(conditions, keyword, values)


def _sound(keyword: str, values: tuple[str, ...], where: str) -> None:
    """Raises UserError now for what would otherwise be a node's trouble later."""
    value = values[0] if values else ""
    if keyword == "port" and not (value.isdecimal() and 0 < int(value) < 65536):
        raise UserError(f"{where}: Port {value!r} is not a port number")
    if keyword == "proxyjump":
        try:
            hop(value)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None


def _words(line: str, where: str) -> tuple[str, ...]:
    found = re.match(r"\s*([A-Za-z][A-Za-z0-9]*)(?:\s*=\s*|\s+)(.*?)\s*$", line)
    if not found or line.lstrip().startswith("#"):
        return ()
    keyword, rest = found.groups()
    if keyword.lower() in RAW:
        return keyword, rest
    try:
        return keyword, *shlex.split(rest, comments=True)
    except ValueError as error:
        raise UserError(f"{where}: {keyword}: {error}; close the quote") from None


def _included(patterns: Iterable[str], place: Place) -> Iterator[Path]:
    for pattern in patterns:
        # Not Path.glob: a * of ssh's glob(3) takes no hidden file, such as an editor's or a copy's.
        found = glob.glob(str(place.include / _home(pattern, place.home)))  # noqa: PTH207
        yield from map(Path, sorted(found))


def _home(text: str, home: Path) -> str:
    return f"{home}{text[1:]}" if text == "~" or text.startswith("~/") else text


def settings(lines: Iterable[Line], names: tuple[str, ...], user: str, login: str) -> Settings:
    """All that holds for a host known by any of `names`; keywords are in lower case.

    `user`: the one already settled on, or empty; `login`: ours.  Match knows all, host,
    originalhost, user and localuser; a Match by anything else (exec, …) does not hold.
    """
    found: dict[str, tuple[str, ...]] = {"user": (user,)} if user else {}
    for line in lines:
        if not all(_holds(condition, names, found, login) for condition in line.conditions):
            continue
        if line.keyword in MANY:
            found[line.keyword] = found.get(line.keyword, ()) + line.values
        elif line.values:
            found.setdefault(line.keyword, line.values)
    return found


def _holds(condition: Condition, names: tuple[str, ...], found: Settings, login: str) -> bool:
    kind, words = condition
    if kind == "host":
        return listed(names, words)
    rest = iter(words)
    for word in rest:
        negated, criterion = word.startswith("!"), word.lstrip("!").lower()
        if criterion == "all":
            held = True
        else:
            patterns = tuple(next(rest, "").split(","))
            match criterion:
                case "host":
                    held = listed(_lower(found.get("hostname", names)), _lower(patterns))
                case "originalhost":  # unlike a Host line, Match does not mind the case
                    held = listed(_lower(names), _lower(patterns))
                case "user":
                    held = listed(found.get("user", (login,)), patterns)
                case "localuser":
                    held = listed((login,), patterns)
                case _:
                    return False
        if held == negated:
            return False
    return True


def _lower(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(word.lower() for word in words)


def listed(names: Iterable[str], patterns: Iterable[str]) -> bool:
    """Whether a pattern list (ssh_config(5), PATTERNS) has one of the names; a ! pattern vetoes."""
    plain, wild, vetoes = sorted_out(tuple(patterns))
    named = tuple(names)
    if any(fnmatchcase(name, veto) for veto in vetoes for name in named):
        return False
    return not plain.isdisjoint(named) or any(fnmatchcase(name, w) for w in wild for name in named)


@lru_cache(maxsize=1024)  # a line may name a whole fleet, and each node is held against it
def sorted_out(
    patterns: tuple[str, ...],
) -> tuple[frozenset[str], tuple[str, ...], tuple[str, ...]]:
    """Names spelled out, patterns, and what stands behind a !; brackets mean themselves."""
    positive = [pattern for pattern in patterns if not pattern.startswith("!")]
    return (
        frozenset(pattern for pattern in positive if not set("*?") & set(pattern)),
        tuple(p.replace("[", "[[]") for p in positive if set("*?") & set(p)),
        tuple(p[1:].replace("[", "[[]") for p in patterns if p.startswith("!")),
    )


@dataclass(frozen=True, slots=True)
class Target:
    """Everything about reaching one host, settled.

    `names`: what it may be called in known_hosts, the one to record first.  `via`: the jump hosts,
    comma-separated, as ProxyJump has them.  `identities`: files that may hold a key; `chosen`:
    somebody named them, they are not the defaults.
    """

    name: str
    host: str
    port: int
    user: str
    names: tuple[str, ...]
    via: str = ""
    proxy_command: str = ""
    identities: tuple[Path, ...] = ()
    certificates: tuple[Path, ...] = ()
    chosen: bool = False
    identities_only: bool = False
    agent: str = ""
    known_hosts: tuple[Path, ...] = ()
    accept_new: bool = False

    @property
    def direct(self) -> bool:
        return not (self.via or self.proxy_command)

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" + (f":{self.port}" if self.port != 22 else "")


def hop(via: str) -> Node:
    """[user@]host[:port], [user@][v6]:port or ssh://…, the last of a comma-separated chain."""
    before, _, last = via.rpartition(",")
    found = re.fullmatch(
        r"(?:ssh://)?(?:(.+)@)?(?:\[([^\]]+)\]|([^:\[\]@]+|[^\[\]@]*:[^\[\]]*:[^\[\]]*))(?::(\d+))?/?",
        last.strip(),
    )
    if not found or int(found[4] or 22) > 65535:
        raise UserError(f"jump host {via!r}: write [user@]host[:port]")
    user, bracketed, plain, port = found.groups()
    return Node(bracketed or plain, user=user or "", port=int(port or 0), via=before)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is true of the person and the machine we run on.

    `config` replaces ~/.ssh/config and /etc/ssh/ssh_config (`ssh -F`), `known_hosts` the files
    that the configuration names.
    """

    home: Path
    environ: Mapping[str, str]
    login: str
    config: Path | None = None
    known_hosts: tuple[Path, ...] = ()
    etc: Path = Path("/etc/ssh")

    def lines(self) -> tuple[Line, ...]:
        ours = Place(self.home, self.home / ".ssh")
        if self.config:
            return read(self.config, ours)
        theirs = Place(self.home, self.etc)
        return read(self.home / ".ssh/config", ours) + read(self.etc / "ssh_config", theirs)


def target(node: Node, lines: Iterable[Line], around: Surroundings) -> Target:
    """The inventory's word wins over the configuration's."""
    names = tuple(dict.fromkeys(name for name in (node.name, node.address) if name))
    found = settings(lines, names, node.user, around.login)

    def one(keyword: str, default: str = "") -> str:
        return found.get(keyword, (default,))[0]

    def yes(keyword: str) -> bool:
        return one(keyword).lower() in {"yes", "true"}

    user = node.user or one("user", around.login)
    port = node.port or int(one("port", "22"))
    host = node.address or _expand(one("hostname", "%h"), {"h": node.name})
    alias = one("hostkeyalias")
    tokens = {
        "h": host, "n": node.name, "p": str(port), "r": user, "u": around.login,
        "d": str(around.home), "k": alias or host,
    }  # fmt: skip

    def paths(texts: Iterable[str]) -> tuple[Path, ...]:
        plain = (_variables(_home(text, around.home), around.environ) for text in texts)
        found = (Path(_expand(text, tokens)) for text in plain if text.lower() != "none")
        return tuple(
            dict.fromkeys(path if path.is_absolute() else around.home / path for path in found)
        )

    files = around.known_hosts or paths(
        found.get("userknownhostsfile", ("~/.ssh/known_hosts", "~/.ssh/known_hosts2"))
        + found.get(
            "globalknownhostsfile",
            tuple(str(around.etc / f"ssh_known_hosts{n}") for n in ("", "2")),
        )
    )
    via = node.via or one("proxyjump")
    via = "" if via.lower() == "none" else _expand(via, tokens)
    command = "" if via or node.via else one("proxycommand")
    return Target(
        name=node.name,
        host=host,
        port=port,
        user=user,
        names=(alias,) if alias else tuple(dict.fromkeys((host, node.name))),
        via=via,
        proxy_command="" if command.lower() == "none" else _expand(command, tokens),
        identities=paths(
            (node.identity,)
            if node.identity
            else found.get("identityfile", tuple(f"~/.ssh/{name}" for name in DEFAULT_KEYS))
        ),
        certificates=paths(found.get("certificatefile", ())),
        chosen=bool(node.identity) or "identityfile" in found,
        identities_only=yes("identitiesonly"),
        agent=_expand(_agent(one("identityagent"), around), tokens),
        known_hosts=files,
        # "no" asks ssh to take changed keys too: that far nobody follows here.
        accept_new=one("stricthostkeychecking").lower() in {"accept-new", "no", "off"},
    )


def _expand(text: str, tokens: Mapping[str, str]) -> str:
    """Per cent tokens; unknown ones stay as they are."""
    return re.sub(r"%([%a-zA-Z])", lambda m: "%" if m[1] == "%" else tokens.get(m[1], m[0]), text)


def _variables(text: str, environ: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda m: environ.get(m[1], ""), text)


def _agent(text: str, around: Surroundings) -> str:
    """The agent's socket by IdentityAgent's word; empty: no agent."""
    if text == "none":
        return ""
    if text in {"", "SSH_AUTH_SOCK"}:
        return around.environ.get("SSH_AUTH_SOCK", "")
    if text.startswith("$") and "{" not in text:
        return around.environ.get(text[1:], "")
    return _home(_variables(text, around.environ), around.home)

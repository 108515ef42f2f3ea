"""Ansible's INI inventories, read as its `ini` plugin reads them."""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

from clusterctl.inventory.ansible import Ansible, Var, variable
from clusterctl.inventory.ansible_hosts import hosts
from clusterctl.inventory.draft import refuse
from clusterctl.yaml_files import nearest

SECTION = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?")
QUOTING = re.compile(r"[\"'\\#]")
# A name or an IP address, which Python's parser would refuse at length.
NO_LITERAL = re.compile(r"(?!(?:True|False|None)$)[A-Za-z_]\w*|[0-9]+(?:\.[0-9]+){2,}", re.ASCII)
LONGEST_LITERAL = (
    2000  # Python's own parser gives up on deep nesting; no host variable is that long
)


@dataclass(slots=True)
class File:
    """A file being read: the section we are in, the groups it declares and those it refers to."""

    inventory: Ansible
    declared: set[str]
    group: str = "ungrouped"
    kind: str = "hosts"
    wanted: dict[str, tuple[str, str]] = field(default_factory=dict)  # group -> line, how


def read(path: str, text: str, inventory: Ansible) -> None:
    """Add one file to the inventory.  Raises UserError."""
    file = File(inventory, {"all", "ungrouped", *inventory.groups})
    for number, raw in enumerate(text.split("\n"), 1):
        origin, line = f"{path}:{number}", raw.strip()
        if not line or line[0] in "#;":
            continue
        if found := SECTION.fullmatch(line):
            open_section(file, found[1], found[2] or "hosts", origin)
        elif line.startswith("[") and line.endswith("]"):
            raise refuse(origin, f"{line!r} is not a section such as [gpu] or [gpu:vars]")
        else:
            READERS[file.kind](file, line, origin)
    for name, (origin, how) in file.wanted.items():
        if name not in file.declared:
            hint = nearest(name, file.declared)
            raise refuse(origin, f"{how} group {name}, which no section defines{hint}")


def open_section(file: File, group: str, kind: str, origin: str) -> None:
    if kind not in READERS:
        raise refuse(origin, f"[{group}:{kind}]: unknown kind {kind!r}{nearest(kind, READERS)}")
    file.group, file.kind = group, kind
    file.inventory.group(group)
    if kind == "vars":
        file.wanted.setdefault(group, (origin, f"[{group}:vars] sets variables of"))
    else:
        file.declared.add(group)


def child_line(file: File, line: str, origin: str) -> None:
    child = line.split("#", maxsplit=1)[0].strip()
    if not re.fullmatch(r"[^:\]\s]+", child):
        raise refuse(origin, f"[{file.group}:children] expects a group's name, found {line!r}")
    file.wanted.setdefault(child, (origin, f"[{file.group}:children] includes"))
    file.inventory.group(child)
    file.inventory.group(file.group).children.setdefault(child, origin)


def vars_line(file: File, line: str, origin: str) -> None:
    key, equals, value = line.partition("=")
    if not equals:
        raise refuse(origin, f"[{file.group}:vars] expects name=value, found {line!r}")
    file.inventory.group(file.group).vars[key.strip()] = value_of(value.strip(), origin)


def host_line(file: File, line: str, origin: str) -> None:
    first, *rest = words(line, origin)
    names, port = hosts(first, origin)
    variables: dict[str, Var] = {}
    for token in rest:
        key, equals, value = token.partition("=")
        if not equals:
            raise refuse(origin, f"expected name=value after the host, found {token!r}")
        variables[key] = value_of(value, origin)
    for name in names:
        file.inventory.host(name, file.group, origin, port).vars.update(variables)


def words(line: str, origin: str) -> list[str]:
    if not QUOTING.search(line):  # shlex costs 50 µs a line, and most lines need none of it
        return line.split()
    try:
        return shlex.split(line, comments=True)
    except ValueError as error:
        raise refuse(origin, f"{error} in {line!r}") from None


def value_of(text: str, origin: str) -> Var:
    """Ansible reads the right side as a Python literal, and as plain text where it is none."""
    value: object = text
    if len(text) <= LONGEST_LITERAL and not NO_LITERAL.fullmatch(text):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            value = text
    match value:
        case str():
            return variable(value, origin)
        case None:
            return Var("", origin)
        case list() | tuple() | dict() | set():
            return Var(text, origin, "a list or mapping")
        case bool():
            return Var(str(value).lower(), origin)
        case int():
            return Var(str(value), origin)
        case _:
            return Var(text, origin)


READERS: dict[str, Callable[[File, str, str], None]] = {
    "hosts": host_line,
    "children": child_line,
    "vars": vars_line,
}

"""Files -> Nodes: our YAML, Ansible's INI and YAML, rack sheets, plain lists, ad hoc ranges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from clusterctl.inventory import ansible, ansible_yaml, formats
from clusterctl.inventory.draft import Draft, finish, merge, refuse
from clusterctl.inventory.files import inside
from clusterctl.inventory.ranges import BadRange, expand, fold, split
from clusterctl.model import Node, UserError
from clusterctl.yaml_files import nearest


def load(paths: Sequence[Path], *, nodes: str = "") -> tuple[Node, ...]:
    """The nodes of all files and folders, in their order; `nodes` picks among them.

    Without paths, `nodes` makes them.  What several files say of one node is put together; where
    they disagree, and for whatever else is wrong with a file, raises UserError in one line.
    """
    if not paths:
        if not nodes:
            raise UserError(
                "no nodes: name an inventory with -i FILE, or nodes with --nodes n[001-016]"
            )
        return tuple(finish(Draft(name, "--nodes")) for name in names_of(nodes))
    drafts: list[Draft] = []
    inventory = ansible.Ansible()
    for path in paths:
        for file in files_of(path):
            drafts.extend(formats.read(file, inventory))
    for path in paths:
        ansible_yaml.beside(path, inventory)
    drafts.extend(ansible.drafts(inventory))
    if not drafts:
        raise UserError(
            f"{', '.join(map(str, paths))}: names no node; put one below [ungrouped] or hosts:"
        )
    return pick(tuple(map(finish, merge(drafts).values())), nodes)


def files_of(path: Path) -> Iterable[Path]:
    found = list(inside(path))
    if not found:
        raise refuse(str(path), "is a folder without inventory files")
    return found


def pick(known: Sequence[Node], nodes: str) -> tuple[Node, ...]:
    """The nodes that "n[001-016],!n007" or "@train,!n007" names; all where it is empty.

    "!n007" alone is all but that one.  Raises UserError for a name that no node has.
    """
    if not nodes.strip():
        return tuple(known)
    names = dict.fromkeys(node.name for node in known)
    groups: dict[str, list[str]] = {}
    for node in known:
        for group in filter(None, node.labels.get("group", "").split(",")):
            groups.setdefault(group, []).append(node.name)
    try:
        wanted, unwanted = split(nodes)
    except BadRange as error:
        raise refuse("--nodes", str(error)) from None
    chosen = members(wanted, names, groups) if wanted else set(names)
    chosen -= members(unwanted, names, groups)
    return tuple(node for node in known if node.name in chosen)


def members(items: Sequence[str], names: dict[str, None], groups: dict[str, list[str]]) -> set[str]:
    chosen: set[str] = set()
    for item in items:
        if item.startswith("@"):
            if item[1:] not in groups:
                raise refuse("--nodes", f"no group {item[1:]!r}{nearest(item[1:], groups)}")
            chosen.update(groups[item[1:]])
            continue
        given = names_of(item)
        strange = [name for name in given if name not in names]
        if strange:
            hint = nearest(strange[0], names)
            raise refuse("--nodes", f"{fold(strange)} not in the inventory{hint}")
        chosen.update(given)
    return chosen


def names_of(text: str) -> tuple[str, ...]:
    try:
        return expand(text)
    except BadRange as error:
        raise refuse("--nodes", str(error)) from None

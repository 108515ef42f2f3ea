"""Ansible's YAML inventories, `ansible-inventory --list` output, group_vars and host_vars."""

from __future__ import annotations

from pathlib import Path

from clusterctl.inventory import yaml_tree
from clusterctl.inventory.ansible import Ansible, Var, variable
from clusterctl.inventory.ansible_hosts import hosts
from clusterctl.inventory.draft import refuse
from clusterctl.inventory.files import ENCRYPTED, inside, read_text
from clusterctl.inventory.yaml_tree import Items, Keys, Tree, Word, kind
from clusterctl.yaml_files import nearest

PARTS = ("hosts", "children", "vars")


def read(tree: Keys, inventory: Ansible) -> None:
    """Add one file to the inventory.  Raises UserError."""
    for name, (origin, body) in tree.keys.items():
        if name == "_meta":
            continue
        group(name, origin, body, inventory)
    for name, (origin, values) in host_variables(tree).keys.items():
        if name not in inventory.hosts:
            raise refuse(origin, f"_meta: {name!r} is in no group{nearest(name, inventory.hosts)}")
        inventory.hosts[name].vars.update(variables(values))


def host_variables(tree: Keys) -> Keys:
    meta = tree.get("_meta")
    found = meta.get("hostvars") if isinstance(meta, Keys) else None
    return found if isinstance(found, Keys) else Keys({}, tree.origin)


def group(name: str, origin: str, body: Tree, inventory: Ansible) -> None:
    made = inventory.group(name)
    if isinstance(body, Word) and not body.text:
        return
    if isinstance(body, Items):  # {"group": ["host", …]}, the oldest dynamic form
        body = Keys({"hosts": (origin, body)}, origin)
    if not isinstance(body, Keys):
        raise refuse(origin, f"group {name}: expected hosts, children or vars, found {kind(body)}")
    for key, (where, _) in body.keys.items():
        if key not in PARTS:
            raise refuse(where, f"group {name}: unknown key {key!r}{nearest(key, PARTS)}")
    for pattern, (where, values) in entries(body, "hosts", name).items():
        names, port = hosts(pattern, where)
        own = variables(values)
        for host in names:
            inventory.host(host, name, where, port).vars.update(own)
    for child, (where, inner) in entries(body, "children", name).items():
        made.children.setdefault(child, where)
        group(child, where, inner, inventory)
    made.vars.update(
        {key: var_of(value, where) for key, (where, value) in entries(body, "vars", name).items()}
    )


def entries(body: Keys, part: str, name: str) -> dict[str, tuple[str, Tree]]:
    """The keys below hosts, children or vars; one word or a list is a key without values."""
    match body.get(part):
        case None:
            return {}
        case Keys() as tree:
            return tree.keys
        case Word(text=text, origin=origin):
            return {text: (origin, Word("", origin))} if text else {}
        case Items(items=items) if part != "vars" and all(isinstance(one, Word) for one in items):
            words = (one for one in items if isinstance(one, Word))
            return {one.text: (one.origin, Word("", one.origin)) for one in words}
        case Items() as tree:
            raise refuse(tree.origin, f"group {name}: {part} takes keys with values, found a list")


def variables(values: Tree) -> dict[str, Var]:
    if isinstance(values, Word) and not values.text:
        return {}
    if not isinstance(values, Keys):
        raise refuse(values.origin, f"expected variables, found {kind(values)}")
    return {key: var_of(value, origin) for key, (origin, value) in values.keys.items()}


def var_of(value: Tree, origin: str) -> Var:
    match value:
        case Word(tag="!vault"):
            return Var("", origin, "encrypted with ansible-vault")
        case Word(tag="!unsafe"):
            return Var(value.text, origin)
        case Word():
            return variable(value.text, origin)
        case _:
            return Var("", origin, kind(value))


def beside(source: Path, inventory: Ansible) -> None:
    """Add group_vars and host_vars of the folder that holds the inventory.  Raises UserError."""
    folder = source if source.is_dir() else source.parent
    if (folder / "group_vars").is_dir():
        for group in inventory.groups.values():
            group.later.append(found_vars(folder / "group_vars", group.name))
    if (folder / "host_vars").is_dir():
        for host in inventory.hosts.values():
            host.later.append(found_vars(folder / "host_vars", host.name))


def found_vars(folder: Path, name: str) -> dict[str, Var]:
    """The variables of group_vars/name, name.yml, … : the first that is there, as Ansible does."""
    said: dict[str, Var] = {}
    if "/" in name or "\0" in name or len(name.encode()) > 200:
        return said
    for ending in ("", ".yml", ".yaml", ".json"):
        path = folder / f"{name}{ending}"
        if path.exists():
            for file in inside(path, ("", ".yml", ".yaml", ".json")):
                said.update(file_vars(file))
            break
    return said


def file_vars(path: Path) -> dict[str, Var]:
    """The variables of one file; a wholly encrypted one holds secrets, which we have no use for."""
    text = read_text(path)
    if text.startswith(ENCRYPTED):
        return {}
    tree = yaml_tree.read(str(path), text)
    return {} if tree is None else variables(tree)

"""Which kind of inventory a file is: by its ending where that says it, else by what it holds."""

from __future__ import annotations

import re
from pathlib import Path

from clusterctl.inventory import (
    ansible_ini,
    ansible_yaml,
    native,
    plain,
    rack_sheet,
    slurm,
    yaml_tree,
)
from clusterctl.inventory.ansible import Ansible
from clusterctl.inventory.draft import Draft, is_address, refuse
from clusterctl.inventory.files import ENCRYPTED, read_text
from clusterctl.inventory.yaml_tree import Items, Keys, Tree, Word, kind

ANSIBLE_PARTS = frozenset({"hosts", "children", "vars"})


def read(path: Path, inventory: Ansible) -> list[Draft]:
    """The nodes of one file; Ansible's go into the inventory instead.  Raises UserError."""
    text = read_text(path)
    refuse_foreign(path, text)
    if path.suffix in {".csv", ".tsv"}:
        return rack_sheet.read(str(path), text)
    if slurm.recognised(text):
        return slurm.read(str(path), text)
    if path.suffix in {".yml", ".yaml", ".json"} or looks_yaml(text):
        return from_yaml(str(path), yaml_tree.read(str(path), text), inventory)
    if path.suffix == ".ini" or looks_ini(text):
        ansible_ini.read(str(path), text, inventory)
        return []
    if rack_sheet.find_header(text)[0]:
        return rack_sheet.read(str(path), text)
    return plain.read(str(path), text)


def refuse_foreign(path: Path, text: str) -> None:
    if text.startswith("#!"):
        raise refuse(
            str(path), f"is a program; run it and give its answer: {path.name} --list > i.json"
        )
    if not any(line.strip() and line.strip()[0] not in "#;" for line in text.split("\n")):
        raise refuse(str(path), "names no node: the file is empty; see inventories/example.yml")
    if text.startswith(ENCRYPTED):
        raise refuse(str(path), "is encrypted with ansible-vault; give a decrypted inventory")


def from_yaml(path: str, tree: Tree | None, inventory: Ansible) -> list[Draft]:
    match tree:
        case Keys() if "plugin" in tree.keys and isinstance(tree.get("plugin"), Word):
            raise refuse(
                tree.origin, "is an Ansible plugin's; give what ansible-inventory --list says"
            )
        case Keys() if is_ansible(tree):
            ansible_yaml.read(tree, inventory)
            return []
        case Keys():
            return native.read(tree)
        case Items() if all(isinstance(item, Word) for item in tree.items):
            return native.read(Keys({"nodes": (tree.origin, tree)}, tree.origin))
        case None:
            raise refuse(path, "names no node: the file is empty; see inventories/example.yml")
        case _:
            raise refuse(tree.origin, f'expected "nodes:" or "all:", found {kind(tree)}')


def is_ansible(tree: Keys) -> bool:
    """Whether the top-level keys are groups: `all`, or any that hold hosts, children or vars."""
    if "all" in tree.keys or "_meta" in tree.keys:
        return True
    bodies = [body for _, body in tree.keys.values()]
    return any(isinstance(body, Keys) and ANSIBLE_PARTS & body.keys.keys() for body in bodies) and (
        not native.TOP & tree.keys.keys()
        or all(isinstance(body, Keys) and body.keys.keys() <= ANSIBLE_PARTS for body in bodies)
    )


def looks_yaml(text: str) -> bool:
    first = next(line for line in text.split("\n") if line.strip() and line.strip()[0] not in "#;")
    return bool(re.match(r"---|\{|[\w-]+:(\s|$)|- ", first))


def looks_ini(text: str) -> bool:
    """A [section], a variable after a host, or a range as Ansible writes it."""
    return any(
        (re.match(r"\[[^\]\s]+\]\s*(#.*)?$", line.strip()) and not is_address(line.strip("[] ")))
        or re.match(r"[^#;,\s]+\s+[A-Za-z_]\w*=", line)
        or re.match(r"[^#;,\s]*\[\w*:\w+(:\d+)?\]", line)
        for line in text.split("\n")
    )

"""An Ansible inventory as Ansible sees it: groups, children, whose variable wins.

The order is Ansible's own (`ansible/vars/manager.py`): the groups' inline variables by depth,
priority and name, group_vars/all, group_vars of the other groups, the host's own, host_vars.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from clusterctl.inventory.ansible_ssh import jump
from clusterctl.inventory.draft import LABEL, SECRET, Draft, Said, refuse

# Our key, and Ansible's names for it; of several the last one wins, as in its ssh plugin.
MEANING = {
    "address": ("ansible_host", "ansible_ssh_host"),
    "user": ("ansible_user", "ansible_ssh_user"),
    "port": ("ansible_port", "ansible_ssh_port"),
    "identity": ("ansible_private_key_file", "ansible_ssh_private_key_file"),
    "become": ("ansible_sudo", "ansible_become"),
    "transport": ("ansible_connection",),
}
# The last that names a jump is believed.
SSH_ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_extra_args", "ansible_ssh_common_args")
SSH_CONNECTIONS = frozenset({"ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh"})


class Var(NamedTuple):
    """A variable; `problem` says why its text cannot be used, where it cannot."""

    text: str
    origin: str
    problem: str = ""


@dataclass(slots=True)
class Group:
    name: str
    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, str] = field(default_factory=dict)  # name -> the line that says so
    vars: dict[str, Var] = field(default_factory=dict)
    later: list[dict[str, Var]] = field(default_factory=list)  # group_vars, one a source
    parents: dict[str, None] = field(default_factory=dict)
    depth: int = 0

    @property
    def rank(self) -> tuple[int, int, str]:
        priority = self.vars.get("ansible_group_priority")
        found = re.fullmatch(r"-?[0-9]{1,9}", priority.text) if priority else None
        return self.depth, int(found[0]) if found else 1, self.name


@dataclass(slots=True)
class Host:
    name: str
    origin: str
    vars: dict[str, Var] = field(default_factory=dict)
    later: list[dict[str, Var]] = field(default_factory=list)  # host_vars


@dataclass(slots=True)
class Ansible:
    """All Ansible files of one load, as Ansible itself merges several -i."""

    groups: dict[str, Group] = field(default_factory=lambda: {"all": Group("all")})
    hosts: dict[str, Host] = field(default_factory=dict)

    def group(self, name: str) -> Group:
        return self.groups.setdefault(name, Group(name))

    def host(self, name: str, group: str, origin: str, port: str = "") -> Host:
        """The host, made a member of the group.  A port counts on the host's first line only."""
        self.group(group).hosts[name] = None
        if name not in self.hosts:
            self.hosts[name] = Host(name, origin)
            if port:
                self.hosts[name].vars["ansible_port"] = Var(port, origin)
        return self.hosts[name]


def variable(text: str, origin: str) -> Var:
    return Var(text, origin, "a Jinja2 template" if re.search(r"\{\{|\{%", text) else "")


def drafts(inventory: Ansible) -> list[Draft]:
    """The nodes.  Raises UserError for a needed variable that cannot be used, and for loops."""
    set_depths(inventory)
    direct: dict[str, list[str]] = {name: [] for name in inventory.hosts}
    for group in inventory.groups.values():
        for member in group.hosts:
            direct[member].append(group.name)
    known: dict[tuple[str, ...], tuple[dict[str, Var], dict[str, None]]] = {}
    found = []
    for host in inventory.hosts.values():
        key = tuple(direct[host.name])
        if key not in known:
            known[key] = of_groups(inventory, key)
        shared, names = known[key]
        own = dict(host.vars)
        for later in host.later:
            own.update(later)
        found.append(draft(host, {**shared, **own}, names))
    return found


def set_depths(inventory: Ansible) -> None:
    """Depth below `all`: 1 + that of the deepest parent.  Raises UserError for a loop."""
    groups = inventory.groups
    for group in groups.values():
        for child in group.children:
            groups[child].parents[group.name] = None
    for group in groups.values():
        if not group.parents and group.name != "all":
            group.parents["all"] = None
    order = TopologicalSorter({name: list(group.parents) for name, group in groups.items()})
    try:
        for name in order.static_order():
            above = [groups[parent].depth for parent in groups[name].parents]
            groups[name].depth = 1 + max(above) if above else 0
    except CycleError as error:
        parent, child = error.args[1][:2]
        raise refuse(
            groups[parent].children[child],
            f"group {child} is among its own children; break the loop",
        ) from None


def ancestors(inventory: Ansible, names: tuple[str, ...]) -> list[Group]:
    """These groups, what they are children of, and `all`, the weakest first."""
    found = {"all": inventory.groups["all"]}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = inventory.groups[name]
            waiting.extend(found[name].parents)
    if len(found) > 2 and "ungrouped" in found:
        del found["ungrouped"]
    elif len(found) == 1 and "ungrouped" in inventory.groups:
        found["ungrouped"] = inventory.groups["ungrouped"]
    return sorted(found.values(), key=lambda group: group.rank)


def of_groups(inventory: Ansible, names: tuple[str, ...]) -> tuple[dict[str, Var], dict[str, None]]:
    """What the groups say together, and the names by which a node can be selected."""
    order = ancestors(inventory, names)
    said: dict[str, Var] = {}
    for group in order:
        said.update(group.vars)
    sources = max(len(group.later) for group in order)
    for wanted in (order[:1], order[1:]):
        for source in range(sources):
            for group in wanted:
                if source < len(group.later):
                    said.update(group.later[source])
    hidden = {"all", "ungrouped"}
    return said, {group.name: None for group in order if group.name not in hidden}


def draft(host: Host, variables: dict[str, Var], groups: dict[str, None]) -> Draft:
    made = Draft(host.name, host.origin, groups=dict(groups))
    for key, names in MEANING.items():
        for name in names:
            if name in variables and (text := usable(name, variables[name], host)):
                made.said[key] = Said(text, variables[name].origin)
    if "transport" in made.said:
        simplify_transport(made)
    for name in SSH_ARGUMENTS:
        said = variables.get(name)
        if said and re.search(r"-J|proxy", said.text, re.IGNORECASE):
            way = jump(name, usable(name, said, host), said.origin)
            made.said.update({"via": Said(way, said.origin)} if way else {})
    for name, (text, origin, problem) in variables.items():
        if not (problem or not text or name.startswith("ansible_") or SECRET.search(name)):
            made.said[LABEL + name] = Said(text, origin)
    return made


def simplify_transport(made: Draft) -> None:
    """Leave ssh unsaid: it is how every node is reached unless it says otherwise."""
    word, origin = made.said.pop("transport")
    if word not in SSH_CONNECTIONS:
        made.said["transport"] = Said(word.removeprefix("ansible.builtin."), origin)


def usable(name: str, var: Var, host: Host) -> str:
    if var.problem:
        raise refuse(
            var.origin,
            f"{name} of {host.name} is {var.problem}, which only Ansible can read; write the value",
        )
    return var.text

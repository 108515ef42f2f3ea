"""Our own YAML: `defaults`, `nodes` and `groups`; inventories/example.yml shows it all.

A node's own line beats its groups, which beat the defaults.  `nodes` lists every node; a file
without it lists them by its groups.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from clusterctl.inventory.draft import LABEL, REACH, Draft, Said, merge, refuse
from clusterctl.inventory.ranges import fold
from clusterctl.inventory.spread import along, names_of, spread
from clusterctl.inventory.yaml_tree import Items, Keys, Tree, Word, kind
from clusterctl.yaml_files import nearest

TOP = frozenset({"defaults", "nodes", "groups"})
# Labels so common that they need not stand under `labels:`; there any word may stand.
COMMON = (
    "site", "room", "row", "rack", "unit", "pod", "leaf", "spine", "rail", "sku", "model", "bmc",
    "serial", "role", "drained", "accelerators", "port_gbit_s",
    "rack_power_w", "bmc_user", "bmc_tls", "platform",
)  # fmt: skip
KEYS = (*REACH, *COMMON, "labels")


def read(tree: Keys) -> list[Draft]:
    """The nodes of one file.  Raises UserError."""
    only(tree, TOP)
    drafts = merge(listed(tree.get("nodes")))
    groups = tree.get("groups")
    if groups is not None:
        overlay = merge(grouped(groups, drafts if tree.get("nodes") is not None else None))
        for name, draft in overlay.items():
            own = drafts.setdefault(name, draft)
            own.said = {**draft.said, **own.said}
            own.groups.update(draft.groups)
    if (defaults := tree.get("defaults")) is not None:
        usual = settings(mapping(defaults, "defaults"), 1)
        if "address" in usual:
            raise refuse(
                usual["address"][0].origin, "address: nodes cannot share one; say it by node"
            )
        for draft in drafts.values():
            draft.said = {key: said[0] for key, said in usual.items()} | draft.said
    if not drafts:
        raise refuse(tree.origin, 'names no node; start with "nodes: [n001]"')
    return list(drafts.values())


def only(tree: Keys, known: Collection[str]) -> None:
    for key, (origin, _) in tree.keys.items():
        if key not in known:
            hint = "; words of your own go under labels:" if "labels" in known else ""
            raise refuse(origin, f"unknown key {key!r}{nearest(key, known)}{hint}")


def mapping(tree: Tree, key: str) -> Keys:
    if isinstance(tree, Keys):
        return tree
    raise refuse(tree.origin, f"{key}: expected keys with values, found {kind(tree)}")


def listed(tree: Tree | None) -> Iterator[Draft]:
    """The drafts of `nodes:`, however it is written."""
    match tree:
        case None:
            return
        case Keys():
            for pattern, (origin, body) in tree.keys.items():
                yield from drafts_of(pattern, origin, body)
        case Items():
            for item in tree.items:
                yield from listed_item(item)
        case Word():
            if not tree.text:
                raise refuse(tree.origin, 'nodes: names no node; write such as "- n[001-128]"')
            yield from drafts_of(tree.text, tree.origin, None)


def listed_item(item: Tree) -> Iterator[Draft]:
    """`- n[001-016]`, `- name: n001` with keys below, or `- n[001-016]: {…}`."""
    match item:
        case Word():
            yield from drafts_of(item.text, item.origin, None)
        case Keys() if "name" in item.keys:
            origin, name = item.keys["name"]
            body = Keys({key: item.keys[key] for key in item.keys if key != "name"}, item.origin)
            yield from drafts_of(text_of(name, "name"), origin, body)
        case Keys() if len(item.keys) == 1:
            yield from listed(item)
        case _:
            raise refuse(item.origin, f"nodes: expected a name or range, found {kind(item)}")


def drafts_of(pattern: str, origin: str, body: Tree | None) -> Iterator[Draft]:
    names = names_of(pattern, origin)
    nothing = body is None or (isinstance(body, Word) and not body.text)
    said = {} if nothing or body is None else settings(mapping(body, pattern), len(names))
    return spread(names, origin, said)


def settings(tree: Keys, count: int) -> dict[str, list[Said]]:
    """What is said of `count` nodes at once: each value once, or once a node."""
    only(tree, KEYS)
    said: dict[str, list[Said]] = {}
    for key, (origin, value) in tree.keys.items():
        if key == "labels":
            for label, (where, text) in mapping(value, "labels").keys.items():
                if label in REACH and label != "transport":
                    raise refuse(where, f"labels: {label} says how to reach a node; write it above")
                if LABEL + label in said:
                    raise refuse(
                        where, f"{label} stands here and at {said[LABEL + label][0].origin}"
                    )
                said[LABEL + label] = values(label, text, where, count)
        elif key in REACH:
            said[key] = values(key, value, origin, count)
        else:
            said[LABEL + key] = values(key, value, origin, count)
    return said


def text_of(value: Tree, key: str) -> str:
    if not isinstance(value, Word):
        raise refuse(value.origin, f"{key}: expected one word, found {kind(value)}")
    if not value.text:
        raise refuse(value.origin, f"{key}: is empty; give it a value or take the line out")
    return value.text


def values(key: str, value: Tree, origin: str, count: int) -> list[Said]:
    return along(key, text_of(value, key), origin, count)


def grouped(tree: Tree, known: Mapping[str, Draft] | None) -> Iterator[Draft]:
    """What groups say of their nodes.  With `known`, a group may name only these."""
    for name, (origin, body) in mapping(tree, "groups").keys.items():
        group = mapping(body, f"group {name}")
        if "," in name or not name:
            raise refuse(origin, f"group {name!r}: a group's name is one word")
        only(group, (*KEYS, "nodes"))
        members = members_of(group, name, origin)
        strange = [member for member in members if known is not None and member not in known]
        if strange and known is not None:
            hint = nearest(strange[0], known)
            raise refuse(origin, f"group {name}: {fold(strange)} not among nodes{hint}")
        rest = Keys({key: group.keys[key] for key in group.keys if key != "nodes"}, group.origin)
        for draft in spread(members, origin, settings(rest, len(members))):
            draft.groups[name] = None
            yield draft


def members_of(group: Keys, name: str, origin: str) -> tuple[str, ...]:
    match group.get("nodes"):
        case Word(text=text, origin=where) if text:
            return names_of(text, where)
        case Items(items=items) if items:
            return names_of(",".join(text_of(item, "nodes") for item in items), items[0].origin)
        case _:
            raise refuse(origin, f'group {name}: names no node; write such as "nodes: n[001-016]"')

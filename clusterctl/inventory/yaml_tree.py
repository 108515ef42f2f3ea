"""YAML with the line of every word kept, words as they are written, doubled keys refused.

Words stay text, so that `rack: 012` is not 10, `sku: 1e3` not 1000.0 and `u: 12:30` not 750.
Built from the event stream: libyaml's own tree builder crashes the process on a file of `[[[[…`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from clusterctl.inventory.draft import refuse

DEEPEST = 60
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
NOTHING = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(slots=True)
class Word:
    """`text` is empty where the file says nothing or null; `tag` is what an explicit !tag says."""

    text: str
    origin: str
    tag: str = ""
    quoted: bool = False


@dataclass(slots=True)
class Items:
    items: list[Tree]
    origin: str


@dataclass(slots=True)
class Keys:
    """Keys with their values and the lines on which they stand."""

    keys: dict[str, tuple[str, Tree]]
    origin: str

    def get(self, key: str) -> Tree | None:
        return self.keys[key][1] if key in self.keys else None


Tree = Word | Items | Keys


@dataclass(slots=True)
class Open:
    """A list, or a mapping with `key` waiting for its value, whose end has not come yet."""

    tree: Items | Keys
    anchor: str | None
    key: Word | None = None
    merged: Keys | None = None  # what << brings; the mapping's own keys win


def read(path: str, text: str) -> Tree | None:
    """The one document of a file; None where it holds none.  Raises UserError with the line."""
    try:
        return build(path, text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise refuse(f"{path}:{line}", f"not YAML: {error.reason}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = error.problem or error.context or "not YAML"
        if "\t" in text:
            said += "; YAML wants spaces, not tabs"
        elif "," in said and "[" in text:
            said += '; inside { } or [ ] quote a range: "n[1-4]"'
        raise refuse(f"{path}:{mark.line + 1}" if mark else path, f"not YAML: {said}") from None
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        raise refuse(path, f"not YAML: {error}") from None


def build(path: str, text: str) -> Tree | None:
    root: Tree | None = None
    stack: list[Open] = []
    anchors: dict[str, Tree] = {}
    for event in yaml.parse(text, Loader=LOADER):
        origin = f"{path}:{event.start_mark.line + 1}" if event.start_mark else path
        if isinstance(event, yaml.ScalarEvent) and stack and event.anchor is None:
            put(stack[-1], word(event, origin))
            continue
        if isinstance(event, yaml.DocumentStartEvent) and root is not None:
            raise refuse(origin, "a second document starts here; one a file")
        if isinstance(event, yaml.CollectionStartEvent):
            if len(stack) >= DEEPEST:
                raise refuse(origin, f"nested more than {DEEPEST} deep")
            mapping = isinstance(event, yaml.MappingStartEvent)
            stack.append(Open(Keys({}, origin) if mapping else Items([], origin), event.anchor))
            continue
        done, anchor = finished(event, origin, stack, anchors)
        if done is None:
            continue
        if anchor:
            anchors[anchor] = done
        if stack:
            put(stack[-1], done)
        else:
            root = done
    return root


def finished(
    event: yaml.Event, origin: str, stack: list[Open], anchors: Mapping[str, Tree]
) -> tuple[Tree | None, str | None]:
    """The value that ends with this event, and its anchor; no value where none does."""
    match event:
        case yaml.ScalarEvent():
            return word(event, origin), event.anchor
        case yaml.AliasEvent():
            if event.anchor is None or event.anchor not in anchors:
                raise refuse(origin, f"*{event.anchor} is not defined above")
            return anchors[event.anchor], None
        case yaml.CollectionEndEvent():
            top = stack.pop()
            if isinstance(top.tree, Keys) and top.merged:
                top.tree.keys = {**top.merged.keys, **top.tree.keys}
            return top.tree, top.anchor
        case _:
            return None, None


def word(event: yaml.ScalarEvent, origin: str) -> Word:
    """A scalar as written; a plain null is empty."""
    quoted = bool(event.style)
    text = "" if not quoted and event.value in NOTHING else event.value
    return Word(text, origin, event.tag or "", quoted)


def put(top: Open, done: Tree) -> None:
    """Hang a finished value into the list or mapping that is open."""
    if isinstance(top.tree, Items):
        top.tree.items.append(done)
    elif top.key is None:
        if not isinstance(done, Word):
            raise refuse(done.origin, 'a key must be a word; quote a range: "[1-4]": …')
        if done.text in top.tree.keys:
            first = top.tree.keys[done.text][0]
            raise refuse(done.origin, f"the key {done.text!r} stands here and at {first}; keep one")
        top.key = done
    elif top.key.text == "<<" and not top.key.quoted:
        top.merged = merged(done, top.merged)
        top.key = None
    else:
        top.tree.keys[top.key.text] = (top.key.origin, done)
        top.key = None


def merged(done: Tree, before: Keys | None) -> Keys:
    """What `<<: *one` or `<<: [*one, *two]` brings; the first to say a key wins."""
    found = dict(before.keys) if before else {}
    for part in done.items if isinstance(done, Items) else [done]:
        if not isinstance(part, Keys):
            raise refuse(part.origin, "<< takes a mapping, such as *defaults")
        found = {**part.keys, **found}
    return Keys(found, done.origin)


def kind(tree: Tree) -> str:
    """What a person would call it."""
    match tree:
        case Word():
            return f"the word {tree.text!r}" if tree.text else "nothing"
        case Items():
            return "a list"
        case Keys():
            return "keys with values"

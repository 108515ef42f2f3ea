"""YAML that people edit: line numbers kept, doubled and unknown keys refused in one line."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

import yaml

from clusterctl.model import UserError

T = TypeVar("T")
DEEPEST = 60


class Loader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """PyYAML keeps the last of two equal keys and says nothing; we refuse."""


def mapping_once(loader: Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, (str, int, float, bool)):
            raise yaml.constructor.ConstructorError(
                None, None, "a key must be a word", key_node.start_mark
            )
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} stands twice", key_node.start_mark
            )
        seen.add(key)
    loader.flatten_mapping(node)
    return {
        loader.construct_object(key, deep=True): loader.construct_object(value, deep=True)
        for key, value in node.value
    }


Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping_once)


def read_mapping(path: Path | Traversable) -> dict[str, Any]:
    """The mapping a file holds.  Raises UserError with file, line and remedy."""
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    try:
        refuse_depth(text)
        # Loader is SafeLoader's child: it builds plain data only.
        found = yaml.load(text, Loader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}{where(error)}: {problem(error)}") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected keys and values, found {kind(found)}")
    return found


def refuse_depth(text: str) -> None:
    """The tree builder of libyaml recurses: a file of `[[[[…` would crash the process."""
    depth = 0
    for event in yaml.parse(text, Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} deep")


def where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f":{mark.line + 1}" if mark else ""


def problem(error: Exception) -> str:
    said = getattr(error, "problem", None) or str(error)
    return " ".join(str(said).split())


KINDS = {
    bool: "yes or no",
    int: "a number",
    float: "a number",
    str: "a word",
    list: "a list",
    dict: "keys and values",
    type(None): "nothing",
}


def kind(value: object) -> str:
    """What a person would call a YAML value."""
    return KINDS.get(type(value), type(value).__name__)


def refuse_unknown(where: str, given: Mapping[Any, Any], known: Collection[str]) -> None:
    """Raises UserError for the first key that is not known, with the nearest that is."""
    for key in given:
        if key not in known:
            raise UserError(f"{where}: unknown key {str(key)!r}{nearest(str(key), known)}")


def nearest(word: str, known: Collection[str]) -> str:
    """How to go on from a typo: "; did you mean …?", else what there is."""
    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    shown = ", ".join(sorted(known)[:12])
    return f"; known are {shown}{', …' if len(known) > 12 else ''}"


def pick(what: str, name: str, known: Mapping[str, T]) -> T:
    """The thing of that name.  Raises UserError with the nearest name."""
    if name not in known:
        raise UserError(f"unknown {what} {name!r}{nearest(name, known)}")
    return known[name]

"""Facts as plain data and back: for JSON, for the store, for captured cases."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, get_args, get_type_hints

from clusterctl.model import Fact

TYPES: dict[str, type[Fact]] = {kind.__name__: kind for kind in get_args(Fact)}
FIELDS = {name: tuple(field.name for field in fields(kind)) for name, kind in TYPES.items()}


def plain(value: Any) -> Any:
    """A field's value as JSON knows it: times as ISO text, tuples as lists."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (tuple, list, set, frozenset)):
        return [plain(inner) for inner in value]
    return value


def spell(fact: Fact) -> dict[str, Any]:
    """Every field, `None` as null, with the fact's type beside them."""
    kind = type(fact).__name__
    return {"type": kind, **{name: plain(getattr(fact, name)) for name in FIELDS[kind]}}


def read(given: Mapping[str, Any]) -> Fact:
    """The inverse of `spell`.  Raises ValueError for what is no fact of ours."""
    given = dict(given)
    name = str(given.pop("type", ""))
    if name not in TYPES:
        raise ValueError(f"no such type of fact: {name!r}")
    fact: Fact = adapter(name).validate_python(given)
    return fact


@cache
def adapter(name: str) -> Any:
    from pydantic import TypeAdapter  # noqa: PLC0415 - a tenth of a second that a sweep never needs

    return TypeAdapter(TYPES[name])


@cache
def columns() -> dict[str, str]:
    """Field name -> int, float, bool, str or json, over all types of fact.

    Raises TypeError where two facts use one name for two kinds of thing: a column has one type.
    """
    found: dict[str, str] = {}
    for kind, fact in TYPES.items():
        hints = get_type_hints(fact)
        for name in FIELDS[kind]:
            column = column_type(hints[name])
            if found.setdefault(name, column) != column:
                raise TypeError(f"{kind}.{name} is {column}, elsewhere {found[name]}")
    return found


def column_type(hint: Any) -> str:
    given = set(get_args(hint) or (hint,)) - {type(None)}
    for kind in (bool, int, float, str):
        if given == {kind}:
            return kind.__name__
    if given == {datetime}:
        return "str"
    return "json"


def cell(value: Any) -> Any:
    """A field's value as a parquet column holds it: what nests is JSON text."""
    given = plain(value)
    return json.dumps(given, sort_keys=True) if isinstance(given, (dict, list)) else given


def uncell(name: str, value: Any) -> Any:
    return json.loads(value) if columns()[name] == "json" and value is not None else value

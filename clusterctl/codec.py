"""Facts as plain data and back: for JSON, for the store, for captured cases."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Any, get_args, get_origin, get_type_hints

from clusterctl.model import Fact

TYPES: dict[str, type[Fact]] = {kind.__name__: kind for kind in get_args(Fact)}
FIELDS = {name: tuple(field.name for field in fields(kind)) for name, kind in TYPES.items()}


SCALARS = frozenset({str, int, float, bool, type(None)})
ENCODER = json.JSONEncoder(sort_keys=True)


def plain(value: Any) -> Any:
    """A field's value as JSON knows it: times as ISO text, tuples as lists."""
    if type(value) in SCALARS:  # nearly all are; a Mapping is the dearest question below
        return value
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
    cells = dict(given)
    name = str(cells.pop("type", ""))
    if name not in TYPES:
        raise ValueError(f"no such type of fact: {name!r}")
    for field, convert in converters(name).items():
        if cells.get(field) is not None:
            cells[field] = convert(cells[field])
    try:
        return TYPES[name](**cells)
    except TypeError as error:
        raise ValueError(f"not a {name}: {error}") from None


@cache
def converters(name: str) -> dict[str, Callable[[Any], Any]]:
    """For the fields that JSON spells otherwise than we hold them: tuples and times."""
    found: dict[str, Callable[[Any], Any]] = {}
    for field, hint in get_type_hints(TYPES[name]).items():
        given = set(get_args(hint) or (hint,)) - {type(None)}
        if datetime in given:
            found[field] = datetime.fromisoformat
        elif any(get_origin(one) is tuple for one in (hint, *given)):
            found[field] = tuple
    return found


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
    if type(value) in SCALARS:
        return value
    given = plain(value)
    return ENCODER.encode(given) if isinstance(given, (dict, list)) else given


WHOLE = 1 << 63  # a column of whole numbers has 64 bits
EXACT = 1 << 53  # and one of any numbers keeps no larger whole number as it is


def refused(fact: Fact) -> str:
    """Which field no column can hold, and why; empty: the fact can be kept and shown."""
    names, values, most = laid_out(type(fact).__name__)
    for name, value, bound in zip(names, values(fact), most, strict=True):
        kind = type(value)
        if value is None or kind is float or (kind is str and value.isascii()):
            continue  # nearly all are: this is asked of every fact of a fleet
        if kind is int:
            if not -bound <= value < bound:
                return f"{name}: too large a number, of {value.bit_length()} bits"
        elif any(broken(text) for text in texts(value)):
            return f"{name}: holds halves of characters"
    return ""


@cache
def laid_out(kind: str) -> tuple[tuple[str, ...], Callable[[Fact], Any], tuple[int, ...]]:
    """The fields' names, what reads them all, and the bound of a whole number in each."""
    names, column = FIELDS[kind], columns()
    bounds = {name: EXACT if column[name] == "float" else WHOLE for name in names}
    return names, attrgetter(*names), tuple(bounds.values())


def texts(value: Any) -> Iterator[str]:
    """Every text in a field's value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from (*texts(key), *texts(inner))
    elif isinstance(value, (tuple, list, set, frozenset)):
        for inner in value:
            yield from texts(inner)


def broken(text: str) -> bool:
    """Half of a pair of UTF-16, as JSON may spell it: no file and no terminal takes it."""
    return not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)


def uncell(name: str, value: Any) -> Any:
    return json.loads(value) if columns()[name] == "json" and value is not None else value

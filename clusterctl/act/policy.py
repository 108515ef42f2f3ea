"""A playbook's `act:` section -> Act, and back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from math import isfinite
from typing import Any

from clusterctl.model import Act, Severity, UserError
from clusterctl.yaml_files import kind, nearest, refuse_unknown

KEYS = tuple(field.name for field in fields(Act))
DRAINING = tuple(str(one) for one in Severity if one is not Severity.NONE)
PERCENT = {"most_percent", "least_left_percent"}
AT_LEAST = {"same_fault": 2, "least_left": 1}  # with 0 left a partition could be emptied


def build(where: str, given: object, checks: Collection[str]) -> Act:
    """Raises UserError naming the key and the nearest valid one."""
    if not isinstance(given, dict):
        raise UserError(f"{where}: expected keys and values, found {kind(given)}")
    refuse_unknown(where, given, KEYS)
    return Act(**{key: value_of(f"{where}: {key}", key, one, checks) for key, one in given.items()})


def value_of(where: str, key: str, given: object, checks: Collection[str]) -> Any:
    default = getattr(Act(), key)
    if key == "drain_on":
        return tuple(Severity(word) for word in words(where, given, DRAINING))
    if key == "never":
        return words(where, given, checks)
    if isinstance(default, bool):
        if not isinstance(given, bool):
            raise UserError(f"{where}: expected true or false, found {given!r}")
        return given
    return amount(where, key, given, whole=isinstance(default, int))


def words(where: str, given: object, known: Collection[str]) -> tuple[str, ...]:
    if not isinstance(given, (list, tuple)):
        raise UserError(f"{where}: expected a list, found {kind(given)}")
    for word in given:
        if not isinstance(word, str) or word not in known:
            raise UserError(f"{where}: unknown {str(word)!r}{nearest(str(word), known)}")
    return tuple(given)


def amount(where: str, key: str, given: object, *, whole: bool) -> float:
    number = isinstance(given, (int, float)) and not isinstance(given, bool) and isfinite(given)
    if not isinstance(given, (int, float)) or not number or (whole and given != int(given)):
        raise UserError(f"{where}: expected a {'whole ' * whole}number, found {given!r}")
    least, most = AT_LEAST.get(key, 0), 100 if key in PERCENT else None
    if given < least or (most is not None and given > most):
        span = f"from {least} to {most}" if most is not None else f"{least} or more"
        raise UserError(f"{where}: expected {span}, found {given!r}")
    return int(given) if whole else float(given)


def spell(act: Act) -> dict[str, Any]:
    """The mapping that `build` makes this of."""
    found = {key: getattr(act, key) for key in KEYS}
    return found | {"drain_on": [str(one) for one in act.drain_on], "never": list(act.never)}

"""What each fault code of an Ascend NPU asks of a person; the codes are data, in ascend.yml."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from clusterctl.knowledge.meaning import Text
from clusterctl.model import Severity, Status

TABLE = "Ascend/mind-cluster ascend-device-plugin faultCode.json"
NAMES = "Ascend/mind-cluster ascend-faultdiag kg-config.json"
CODE = re.compile(r"(?:0X)?([0-9A-F]{8,9})")
SPAN = re.compile(r"([0-9A-F]{8})-([0-9A-F]{8})")


@dataclass(frozen=True, slots=True)
class Meaning:
    """`level`: the vendor's word for what its scheduler does.  `confused`: what it is taken for."""

    code: str
    level: str
    status: Status
    severity: Severity
    what: Text
    first: Text
    then: Text
    source: str
    confused: Text


def about(code: str) -> Meaning | None:
    """Of a code as npu-smi writes it, with or without 0x; None where no table has it."""
    match = CODE.fullmatch(code.strip().upper())
    told = table()
    if not match or match[1] not in told:
        return None
    return told[match[1]]


def meaning(code: str) -> Meaning:
    """As `about`; of one that no table has, that we do not know it."""
    return about(code) or put_together(code, "", document(), frozenset())


@cache
def document() -> Mapping[str, Any]:
    text = files("clusterctl.knowledge").joinpath("ascend.yml").read_text(encoding="utf-8")
    found: Mapping[str, Any] = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return found


@cache
def table() -> Mapping[str, Meaning]:
    """Every code that has a level, a name or both."""
    data = document()
    levels = {code: name for name, codes in data["levels"].items() for code in spread(codes)}
    modules: dict[str, set[str]] = {}
    for code, (module, _, _) in data["names"].items():
        modules.setdefault(code[:4], set()).add(module)
    return {
        code: put_together(code, levels.get(code, ""), data, modules.get(code[:4], set()))
        for code in sorted({*levels, *data["names"]})
    }


def spread(codes: str) -> Iterator[str]:
    """The codes of "80E18400 8F180256-8F180258"."""
    for word in codes.split():
        span = SPAN.fullmatch(word)
        if span is None:
            yield word
        else:
            yield from (f"{n:08X}" for n in range(int(span[1], 16), int(span[2], 16) + 1))


def put_together(
    code: str, level: str, data: Mapping[str, Any], modules: Collection[str]
) -> Meaning:
    asks = data["asks"][level or "unlisted"]
    more = data["about"].get(code, {})
    what = Text(*asks["what"])
    if code in data["names"]:
        module, en, zh = data["names"][code]
        what = Text(f"{module}: {en}", f"{module} {zh}")
    elif len(modules) == 1:  # the first half of a code says which module it is of
        (module,) = modules
        what = Text(f"{module}: {what.en}; no public text says more", f"{module} {what.zh}")
    source = f"{TABLE}, {level}" if level else NAMES
    return Meaning(
        code,
        level,
        Status.FAIL if "severity" in more else Status(asks["status"]),
        Severity(more.get("severity", asks["severity"])),
        what,
        Text(*more.get("first", asks["first"])),
        Text(*more.get("next", asks["next"])),
        f"{source}; {more['source']}" if more else source,
        Text(*more.get("confused", ("", ""))),
    )

"""JSON as vendors' tools print it: lines around it, commas too many, parts left out with "..."."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from clusterctl.spelling import Unreadable

TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|[\[\]{},:"]|[^\s"\[\]{},:]+')
OPENING = re.compile(r"^[ \t]*[\[{]", re.MULTILINE)


def documents(text: str) -> list[Any]:
    """Every JSON document that starts a line; other lines are passed over.

    Raises Unreadable where one begins and does not end, or cannot be read.
    """
    found: list[Any] = []
    place, mended, broken = 0, False, ""
    while start := OPENING.search(text, place):
        at = start.end() - 1
        try:
            value, place = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            if mended:
                raise Unreadable(f"not JSON: {broken}") from None
            if looks_like_noise(text[at:]):
                place = start.end()
                continue
            text, place, mended, broken = repaired(text[at:]), 0, True, str(error)
        else:
            found.append(value)
    return found


def looks_like_noise(text: str) -> bool:
    """[WARN] low-power state: JSON goes on with a quote, a bracket or a digit."""
    return not re.match(r'[\[{]\s*(?:["\[{}\],]|-?\d|\.\.\.|\Z)', text)


def refuse(text: str) -> NoReturn:
    raise ValueError(f"not a number: {text}")  # NaN compares false with every limit


decoder = json.JSONDecoder(parse_constant=refuse)


def shortened(text: str) -> bool:
    """Whether somebody left out lines by hand."""
    return bool(re.search(r"^\s*\.\.\.,?\s*$", text, re.MULTILINE))


def repaired(text: str) -> str:
    """Without "..." and without a comma before a comma or a bracket; strings stay as they are."""
    return "\n".join(without_stray_commas(text))


def without_stray_commas(text: str) -> Iterator[str]:
    last = "["
    for piece in TOKEN.findall(text):
        if piece == "...":
            continue
        if piece == ",":
            if last in {",", "[", "{"}:
                continue
        elif last == "," and piece not in {"]", "}"}:
            yield ","
        last = piece
        if piece != ",":
            yield piece

"""What we say, in Chinese; the sentences are data, in zh.yml, by their English form.

`{}` in a sentence stands for what changes; the Chinese has as many, in the same order or numbered
`{1}`, `{2}`.  JSON and stored runs stay English: only what a person reads is translated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import yaml

HOLE = "{}"
SEVERAL = re.compile(r"(?<=[^;]); ")


@cache
def catalogue() -> Mapping[str, str]:
    shipped = files("clusterctl.knowledge").joinpath("zh.yml").read_text(encoding="utf-8")
    found: Mapping[str, str] = yaml.load(shipped, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return found


@cache
def forms() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Sentences with holes, those that say most themselves first."""
    holed = [key for key in catalogue() if HOLE in key]
    return tuple(
        (re.compile("(.*?)".join(map(re.escape, key.split(HOLE))), re.DOTALL), catalogue()[key])
        for key in sorted(holed, key=lambda key: -len(key.replace(HOLE, "")))
    )


@cache
def of(sentence: str) -> str:
    """In Chinese, or as it is where nobody has translated it."""
    if not sentence or sentence in catalogue():
        return catalogue().get(sentence, sentence)
    for form, chinese in forms():
        if found := form.fullmatch(sentence):
            return filled(chinese, found.groups())
    parts = SEVERAL.split(sentence)
    return catalogue()["; "].join(map(of, parts)) if len(parts) > 1 else sentence


def filled(chinese: str, given: tuple[str, ...]) -> str:
    """What changed, put back; each piece is translated where it is a sentence of ours."""
    words = [of(piece) for piece in given]
    if HOLE in chinese:
        pieces = chinese.split(HOLE)
        return "".join(a + b for a, b in zip(pieces, [*words, ""], strict=False))
    return re.sub(r"\{(\d)\}", lambda found: words[int(found[1]) - 1], chinese)

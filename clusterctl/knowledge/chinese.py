"""What we say, in Chinese; the sentences are data, in zh.yml, by their English form.

`{}` in a sentence stands for what changes; the Chinese has as many, in the same order or numbered
`{1}`, `{2}`.  JSON and stored runs stay English: only what a person reads is translated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from importlib.resources import files

import yaml

from clusterctl.knowledge import amd, ascend

HOLE = "{}"
SEVERAL = ("; ", " · ")
SAYS_LITTLE = 7  # characters that a sentence with holes has of its own
LONGEST = 600  # characters; what is longer was not said by us alone


@cache
def catalogue() -> Mapping[str, str]:
    """Our own sentences, and those of the makers' fault codes."""
    return {**dict(pairs()), **lines("zh.yml")}


@cache
def of_pages() -> Mapping[str, str]:
    """What only a page says: words so short and forms so wide that elsewhere they would mislead."""
    return lines("zh_page.yml")


def lines(name: str) -> Mapping[str, str]:
    shipped = files("clusterctl.knowledge").joinpath(name).read_text(encoding="utf-8")
    found: Mapping[str, str] = yaml.load(shipped, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return found


def pairs() -> Iterator[tuple[str, str]]:
    for npu in ascend.table().values():
        yield from ((text.en, text.zh) for text in (npu.what, npu.first, npu.then))
    for gpu in (*amd.lines().values(), *amd.blocks().values()):
        yield from ((text.en, text.zh) for text in (gpu.what, gpu.first, gpu.then))


@cache
def forms() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Sentences with holes, those that say most themselves first."""
    holed = [key for key in catalogue() if HOLE in key]
    return tuple(
        (re.compile(any_of(key).join(map(re.escape, key.split(HOLE))), re.DOTALL), catalogue()[key])
        for key in sorted(holed, key=lambda key: -len(key.replace(HOLE, "")))
    )


def any_of(key: str) -> str:
    """What a hole may hold: where the sentence says little itself, one word only."""
    return "(.*?)" if len(key.replace(HOLE, "")) > SAYS_LITTLE else r"(\S+?)"


@lru_cache(maxsize=4096)
def of(sentence: str) -> str:
    """In Chinese, or as it is where nobody has translated it."""
    if not sentence or sentence in catalogue() or len(sentence) > LONGEST:
        return catalogue().get(sentence, sentence)
    for form, chinese in forms():
        if found := form.fullmatch(sentence):
            return filled(chinese, found.groups())
    for between in SEVERAL:
        if between in sentence:
            parts = sentence.split(between)
            said = [of(part) for part in parts]
            return sentence if said == parts else catalogue().get(between, between).join(said)
    return sentence


def filled(chinese: str, given: tuple[str, ...]) -> str:
    """What changed, put back; each piece is translated where it is a sentence of ours."""
    words = [of(piece) for piece in given]
    if HOLE in chinese:
        pieces = chinese.split(HOLE)
        return "".join(a + b for a, b in zip(pieces, [*words, ""], strict=False))
    return re.sub(r"\{(\d)\}", lambda found: words[int(found[1]) - 1], chinese)

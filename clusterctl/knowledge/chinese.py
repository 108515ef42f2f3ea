"""What we say, in Chinese; the sentences are data, in zh*.yml, by their English form.

`{}` in a sentence stands for what changes; the Chinese has as many, in the same order or numbered
`{1}`, `{2}`.  What stands in a hole is left as it is, letter by letter, unless it is a sentence of
ours itself; a single word there never is, for it may be a node's name.  JSON, CSV and stored runs
stay English: only what a person reads is translated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

import yaml

from clusterctl.knowledge import amd, ascend

HOLE, LABEL, DOT, SEVERAL = "{}", ": ", " · ", "; "
COMMAS = {SEVERAL: "；", DOT: DOT, LABEL: "："}  # noqa: RUF001
NUMBERED = re.compile(r"\{(\d+)\}")
RANKED = re.compile(r"(.*) \[([a-z-]+)\]", re.DOTALL)  # a remedy and its severity
WORDY = re.compile(r"[A-Za-z]{2}")
LITTLE, LEAST = 14, 7  # characters that a sentence with holes has of its own
NO_NAME = re.compile(r"[\s{}]|^$")
PROSE = re.compile(r"\b[a-z]{2,} +[a-z]{2,}\b")
LONGEST = 1200  # characters; what is longer was not said by us alone


@dataclass(frozen=True, slots=True)
class Form:
    """A sentence with holes: what stands between them, the most of it, and the Chinese."""

    words: tuple[str, ...]
    longest: str
    chinese: str

    @property
    def own(self) -> int:
        return sum(map(len, self.words))

    @property
    def labelled(self) -> bool:
        """It begins with "what: ", or with a word in capitals: what follows may be anything."""
        return LABEL in self.words[0] or (self.words[0].isupper() and len(self.words[0]) > 2)

    def swallows(self, pieces: Sequence[str]) -> bool:
        """Whether its holes took the sentence after it as well; behind a label all may stand."""
        several = any(SEVERAL in one for one in pieces)
        return several and not self.labelled and not any(SEVERAL in one for one in self.words)

    def begins_late(self, pieces: Sequence[str]) -> bool:
        """Whether its first hole took a label that stands before it."""
        return not self.words[0] and LABEL in pieces[0]

    def may_hold(self, pieces: Sequence[str], *, wide: bool) -> bool:
        """Where it says little itself, somebody else's sentence must not look like it."""
        if self.own > LITTLE or self.labelled:
            return True
        if self.own <= LEAST:
            return any(map(str.isdigit, "".join(pieces))) and not any(map(NO_NAME.search, pieces))
        return all(not PROSE.search(one) or piece(one, wide=wide) != one for one in pieces)


@dataclass(frozen=True, slots=True)
class Book:
    """`forms`: those with a label first, then those that say most themselves."""

    sentences: Mapping[str, str]
    forms: Sequence[Form]


@cache
def catalogue() -> Mapping[str, str]:
    """Our own sentences wherever they are said, and those of the makers' fault codes."""
    return {**dict(pairs()), **lines("zh.yml")}


@cache
def of_shown() -> Mapping[str, str]:
    """What only a page or a screen says: elsewhere words so short would mislead."""
    return {**lines("zh_page.yml"), **lines("zh_screen.yml"), **lines("zh_triage.yml")}


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
def book(*, wide: bool) -> Book:
    """`wide`: of pages and screens, too."""
    known = {**catalogue(), **(of_shown() if wide else {})}
    forms = [
        Form(tuple(words := key.split(HOLE)), max(words, key=len), said)
        for key, said in known.items()
        if HOLE in key
    ]
    whole = {key: said for key, said in known.items() if HOLE not in key}
    return Book(whole, sorted(forms, key=lambda form: (not form.labelled, -form.own)))


def of(sentence: str) -> str:
    """In Chinese, or as it is where nobody has translated it."""
    return told(sentence, wide=False)


def shown(sentence: str) -> str:
    """As `of`, for what fills a cell or a line of a page or a screen, with blanks around it."""
    return piece(sentence, wide=True, alone=True)


@lru_cache(maxsize=16384)
def told(sentence: str, *, wide: bool, alone: bool = True) -> str:
    """`alone`: it is no part of a sentence, so that a single word may be one of ours."""
    known = book(wide=wide)
    whole = known.sentences.get(sentence) if alone or " " in sentence else None
    if whole or " " not in sentence or len(sentence) > LONGEST or not WORDY.search(sentence):
        return whole or sentence
    ranked = RANKED.fullmatch(sentence)
    if ranked and ranked[2] in known.sentences:
        return f"{told(ranked[1], wide=wide)} [{known.sentences[ranked[2]]}]"
    found = first_form(sentence, known.forms, wide=wide)
    marks: tuple[str, ...] = (SEVERAL, DOT, LABEL)
    if found:
        form, given = found
        if form.begins_late(given):
            marks = marks if SEVERAL in given[0] else (LABEL, SEVERAL, DOT)
        else:
            marks = (SEVERAL,) if form.swallows(given) else ()
    said = sentence
    for mark in marks:
        said = said if said != sentence else joined(sentence, mark, wide=wide)
    return put(*found, wide=wide) if found and said == sentence else said


def first_form(
    sentence: str, forms: Sequence[Form], *, wide: bool
) -> tuple[Form, list[str]] | None:
    """With what its holes hold; one that takes one sentence rather than one that takes several."""
    loose = None
    for form in forms:
        given = holes(form, sentence) if form.longest in sentence else None
        if given is None or not form.may_hold(given, wide=wide):
            continue
        if not form.swallows(given) and not form.begins_late(given):
            return form, given
        loose = loose or (form, given)
    return loose


def put(form: Form, given: Sequence[str], *, wide: bool) -> str:
    return filled(form.chinese, [piece(one, wide=wide) for one in given])


def joined(sentence: str, mark: str, *, wide: bool) -> str:
    """Pieces by themselves.  Between what is not ours its own punctuation stays."""
    if mark not in sentence:
        return sentence
    parts = sentence.split(mark, 1 if mark == LABEL else -1)
    said = [piece(part, wide=wide) for part in parts]
    ours = [one != part for one, part in zip(said, parts, strict=True)]
    found = said[0]
    for at, one in enumerate(said[1:], 1):
        both = ours[at] and (ours[at - 1] or mark == LABEL)
        found += (COMMAS[mark] if both else mark) + one
    return found


def piece(given: str, *, wide: bool, alone: bool = False) -> str:
    """With the blanks and dots around it as they were."""
    words = given.strip(" ·\t\n")
    if not words:
        return given
    before, _, after = given.partition(words)
    return f"{before}{told(words, wide=wide, alone=alone)}{after}"


def holes(form: Form, sentence: str) -> list[str] | None:
    """What stands in them, the first ones as short as may be; None: another sentence."""
    first, *between, last = form.words
    end = len(sentence) - len(last)
    if not (sentence.startswith(first) and sentence.endswith(last) and len(first) <= end):
        return None
    found, at = [], len(first)
    for words in between:
        there = sentence.find(words, at, end)
        if there < 0:
            return None
        found.append(sentence[at:there])
        at = there + len(words)
    return [*found, sentence[at:end]]


def filled(chinese: str, given: Sequence[str]) -> str:
    """What changed, put back; braces in it are its own."""
    if HOLE in chinese:
        ends = chinese.split(HOLE)
        return "".join(a + b for a, b in zip(ends, [*given, ""], strict=True))
    return NUMBERED.sub(lambda found: given[int(found[1]) - 1], chinese)

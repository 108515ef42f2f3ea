"""What is known of a code or a word, for a person to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.table import Table

from clusterctl.knowledge import chinese
from clusterctl.knowledge.meaning import Text, Topic
from clusterctl.report.tables import cell, table

Language = Literal["en", "zh"]
MOST_IN_FULL = 3  # of more, a line each
FULL = 2000  # characters of a cell


def shown(found: Sequence[Topic], lang: Language) -> RenderableType:
    if len(found) <= MOST_IN_FULL:
        return Group(*(page(one, lang) or in_full(one, lang) for one in found))
    heads = [said(word, lang) for word in ("name", "severity", "meaning", "what to do")]
    made = table(*heads)
    for one in found:
        grave = said(str(one.severity), lang) if one.severity else ""
        texts = (spoken(one.what, lang), spoken(one.first, lang))
        made.add_row(cell(name(one, lang)), cell(grave), *map(cell, texts))
    return made


def page(topic: Topic, lang: Language) -> Markdown | None:
    """A chapter is read as it was written."""
    return Markdown(spoken(topic.what, lang)) if topic.kind == "chapter" else None


def in_full(topic: Topic, lang: Language) -> Table:
    made = Table(title=name(topic, lang), title_justify="left", show_header=False, expand=False)
    made.add_column(no_wrap=True, style="bold")
    made.add_column(overflow="fold")
    for head, words in told(topic, lang):
        if words:
            made.add_row(cell(said(head, lang)), cell(words, limit=FULL))
    return made


def told(topic: Topic, lang: Language) -> Iterator[tuple[str, str]]:
    yield "meaning", spoken(topic.what, lang)
    yield "status", said(str(topic.status), lang) if topic.status else ""
    yield "severity", said(str(topic.severity), lang) if topic.severity else ""
    yield "first", spoken(topic.first, lang)
    yield "then", spoken(topic.then, lang)
    yield "confused with", spoken(topic.confused, lang)
    yield "looks like", topic.looks
    for number, line in enumerate(topic.numbers):
        yield "" if number else "numbers", line
    yield "source", topic.source


def name(topic: Topic, lang: Language) -> str:
    return f"{said(topic.kind, lang)} {topic.code}"


def spoken(words: Text, lang: Language) -> str:
    return words.zh if lang == "zh" else words.en


def said(word: str, lang: Language) -> str:
    return chinese.of(word) if lang == "zh" else word

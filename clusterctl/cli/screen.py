"""What a person reads, in that person's language: the one door to the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from clusterctl.cli.language import Language, spoken
from clusterctl.cli.options import width

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

US = "clusterctl: "


def said(sentence: str, lang: Language | None = None) -> str:
    """A line of ours, with the blanks around it as they were."""
    if spoken(lang) is not Language.ZH:
        return sentence
    from clusterctl.knowledge import chinese

    return chinese.shown(sentence)


def tell(text: str, file: TextIO | None = None) -> None:
    """Lines of ours as they are given, on stderr where no file is named."""
    lines = text.splitlines(keepends=True)
    (file or sys.stderr).write("".join(map(told, lines)))


def told(line: str) -> str:
    before = US if line.startswith(US) else ""
    return before + said(line.removeprefix(US))


def console(file: TextIO, *, highlight: bool = True) -> Console:
    from rich.console import Console

    return Console(file=file, width=width(file), highlight=highlight)


def columns(file: TextIO) -> int:
    return console(file).width


def show(
    *parts: RenderableType,
    file: TextIO | None = None,
    lang: Language | None = None,
    highlight: bool = True,
) -> None:
    """Tables and texts, each below the one before, on stdout where no file is named."""
    shown = console(file or sys.stdout, highlight=highlight)
    for part in parts:
        shown.print(in_language(part, lang))


def printed(*parts: RenderableType) -> str:
    """As they would stand on stdout."""
    shown = console(sys.stdout)
    with shown.capture() as captured:
        for part in parts:
            shown.print(in_language(part, None))
    return captured.get()


def in_language(part: RenderableType, lang: Language | None) -> RenderableType:
    if spoken(lang) is not Language.ZH:
        return part
    from clusterctl.report.translated import screen

    return screen(part)

"""A page or a screen in Chinese: the same, with every sentence of ours said in the other language.

Either is built once, in English.  What stands between tags of a page, and what stands in a cell or
under one style on a screen, is looked up as a whole, then in its pieces.  What nodes said is mostly
no sentence of ours and stays; code, styles, columns of names and what is marked THEIRS stay, too.
"""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from html import escape, unescape

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Column, Table
from rich.text import Text
from rich.tree import Tree

from clusterctl.knowledge import chinese
from clusterctl.report.tables import NAMES, THEIRS

TOKEN = re.compile(r"(<[^>]*>)")
OPENS, ENDS = re.compile(r"<([a-z0-9]+)[\s>]"), re.compile(r"</([a-z0-9]+)>")
KEPT = frozenset({"style", "code", "script"})
WIDE_COLON = "\uff1a "  # it is as wide as a colon and its blank


def in_chinese(page: str) -> str:
    """`page`: well-formed, with `lang="en"` on its root."""
    pieces = TOKEN.split(page)
    kept = 0
    for at, piece in enumerate(pieces):
        if at % 2:
            opens, ends = OPENS.match(piece), ENDS.match(piece)
            if opens and opens[1] in KEPT and not piece.endswith("/>"):
                kept += 1
            elif ends and ends[1] in KEPT:
                kept -= 1
        elif not kept and piece.strip():
            pieces[at] = between_tags(piece)
    return "".join(pieces).replace('<html lang="en"', '<html lang="zh-CN"', 1)


def between_tags(piece: str) -> str:
    """With the blanks around it as they were."""
    words = piece.strip()
    before, _, after = piece.partition(words)
    sentence = " ".join(unescape(words).split())
    found = chinese.shown(sentence)
    return piece if found == sentence else f"{before}{escape(found)}{after}"


def screen(shown: RenderableType) -> RenderableType:
    """What rich prints, with our sentences in Chinese; what is given stays as it was."""
    found = shown
    match shown:
        case str():
            found = stretch(shown)
        case Text():
            found = text(shown)
        case Group():
            found = Group(*map(screen, shown.renderables), fit=shown.fit)
        case Padding():
            found = copy.copy(shown)
            found.renderable = screen(shown.renderable)
        case Table():
            found = table(shown)
        case Tree():
            found = tree(shown)
    return found


def tree(shown: Tree) -> Tree:
    made = copy.copy(shown)
    made.label = screen(shown.label)
    made.children = list(map(tree, shown.children))
    return made


def table(shown: Table) -> Table:
    made = copy.copy(shown)
    made.title = None if shown.title is None else told(shown.title)
    made.caption = None if shown.caption is None else told(shown.caption)
    made.columns = [column(one) for one in shown.columns]
    return made


def column(shown: Column) -> Column:
    names = str(shown.header) in NAMES
    cells = list(shown.cells) if names else list(map(screen, shown.cells))
    return replace(shown, header=screen(shown.header), _cells=cells)


def told(shown: str | Text) -> str | Text:
    return stretch(shown) if isinstance(shown, str) else text(shown)


def text(shown: Text) -> Text:
    """Each stretch of one style by itself; what is marked THEIRS is left."""
    marks = sorted({at for span in shown.spans for at in (span.start, span.end)})
    made = shown.blank_copy()
    for part in shown.divide(marks):
        styles = [part.style, *(span.style for span in part.spans)]
        words = part.plain if any(map(theirs, styles)) else stretch(part.plain)
        said = Text(words.rstrip() if words.endswith(WIDE_COLON) else words, part.style)
        for span in part.spans:
            said.stylize(span.style)
        made.append_text(said)
    return made


def theirs(style: str | Style) -> bool:
    return isinstance(style, Style) and THEIRS.meta.items() <= style.meta.items()


def stretch(words: str) -> str:
    """Line by line; a colon after what is theirs is no part of what is ours."""
    found = []
    for line in words.split("\n"):
        rest = line.removeprefix(": ")
        found.append(line.removesuffix(rest) + chinese.shown(rest))
    return "\n".join(found)

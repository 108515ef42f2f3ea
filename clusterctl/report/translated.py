"""A page in Chinese: the same page, with every sentence of ours said in the other language.

The page is written once, in English, and well-formed; what stands between tags is looked up as a
whole, then in its pieces.  What nodes said is mostly no sentence of ours and stays; code and styles
stay, too.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from html import escape, unescape

from clusterctl.knowledge import chinese

TOKEN = re.compile(r"(<[^>]*>)")
OPENS, ENDS = re.compile(r"<([a-z0-9]+)[\s>]"), re.compile(r"</([a-z0-9]+)>")
KEPT = frozenset({"style", "code", "script"})
LONGEST = 1200  # characters; what is longer was not said by us alone
BETWEEN = {": ": "\uff1a", "; ": "\uff1b", " · ": " · "}
ENDING = re.compile(r"(.*) \[([a-z-]+)\]", re.DOTALL)  # a remedy and its severity


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
    found = said(sentence)
    return piece if found == sentence else f"{before}{escape(found)}{after}"


@cache
def forms() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Sentences of pages with holes, those that say most themselves first."""
    holed = [key for key in chinese.of_pages() if chinese.HOLE in key]
    return tuple(
        (
            re.compile("(.*?)".join(map(re.escape, key.split(chinese.HOLE))), re.DOTALL),
            chinese.of_pages()[key],
        )
        for key in sorted(holed, key=lambda key: -len(key.replace(chinese.HOLE, "")))
    )


@lru_cache(maxsize=8192)
def said(sentence: str) -> str:
    """In Chinese, or as it is where nobody has translated it."""
    if len(sentence) > LONGEST or not re.search(r"[A-Za-z]{2}", sentence):
        return sentence
    known = chinese.of_pages().get(sentence) or chinese.of(sentence)
    if known != sentence or " " not in sentence:
        return known
    for form, words in forms():
        if found := form.fullmatch(sentence):
            return filled(words, found.groups())
    if ended := ENDING.fullmatch(sentence):
        return f"{said(ended[1])} [{said(ended[2])}]"
    for between, comma in BETWEEN.items():
        left, found_one, right = sentence.partition(between)
        if found_one:
            told = said(left), said(right)
            if told != (left, right):
                return comma.join(told)
    return sentence


def filled(words: str, given: tuple[str | None, ...]) -> str:
    pieces = [said(piece or "") for piece in given]
    if chinese.HOLE in words:
        for piece in pieces:
            words = words.replace(chinese.HOLE, piece.replace(chinese.HOLE, "{ }"), 1)
        return words
    return re.sub(r"\{(\d)\}", lambda found: pieces[int(found[1]) - 1], words)

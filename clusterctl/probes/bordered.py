"""Reading tables drawn with | and +, whose columns are as wide as the tool's version likes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.model import Kind, Trouble

BORDER = re.compile(r"[|+]?[-=+|]{5,}[|+]?")


def rows(text: str) -> Iterator[tuple[str, ...]]:
    """The cells of each row, stripped; a border is an empty tuple, other lines are left out."""
    for line in text.split("\n"):
        words = line.strip()
        if BORDER.fullmatch(words):
            yield ()
        elif words.startswith("|") or words.endswith("|"):
            yield tuple(part.strip() for part in words.strip("|").split("|"))


def unfinished(text: str) -> Iterator[Trouble]:
    """A table ends with a border; one that does not was cut."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    drawn = [line for line in lines if line[0] in "|+" or BORDER.fullmatch(line)]
    if drawn and not BORDER.fullmatch(drawn[-1]):
        yield Trouble(Kind.CUT, "the table ends without its border")


def words(cell: str) -> list[str]:
    """Of one cell, what stands apart by two blanks or more."""
    return [part for part in re.split(r"\s{2,}", cell.strip()) if part]


def pair(cell: str) -> tuple[str, str]:
    """Both sides of 0MiB / 98304MiB; of anything else, that and nothing."""
    one, _, other = cell.partition("/")
    return one.strip(), other.strip()


def below_header(text: str) -> str:
    """The body of a table, from the line of = that ends its header; empty where there is none."""
    _, _, body = text.partition("|==")
    return body.partition("\n")[2]

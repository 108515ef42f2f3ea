"""Tables whose rows, two or three a card, stand in columns that the header's labels name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from clusterctl.model import Kind, Trouble
from clusterctl.spelling import visible

Cells = Mapping[str, str]

BORDER = re.compile(r"[-=+|]{8,}")


@dataclass(frozen=True, slots=True)
class Table:
    """`rows`: one {label of the header, lower case: cell} a card, or why it cannot be read and,
    as the part, its number.

    `processes` are the lines of that list; `ended`: the list is there, and a border after it.
    """

    rows: tuple[Cells | Trouble, ...]
    processes: tuple[str, ...] = ()
    ended: bool = False


def table(text: str, header: str) -> Table:
    """The table whose header holds this word.  Columns are found by the header's labels."""
    groups = grouped(text)
    start = next((at for at, group in enumerate(groups) if header in "\n".join(group)), len(groups))
    if start == len(groups):
        return Table(())
    edged = groups[start][0].lstrip().startswith("|")
    heads = [split(line, edged=edged) for line in groups[start]]
    rows: list[Cells | Trouble] = []
    for at, group in enumerate(groups[start + 1 :], start + 1):
        if re.match(r"\W*Process(?:es)?:", group[0]):
            last = text.rstrip().rpartition("\n")[2].strip()
            ended = BORDER.fullmatch(last) is not None or last == "End of Log"
            below = tuple(line for lines in groups[at + 1 : at + 2] for line in lines)
            return Table(tuple(rows), below, bool(below) and ended)
        rows += records(heads, group, edged=edged)
    return Table(tuple(rows))


def grouped(text: str) -> list[list[str]]:
    """The lines between borders and blank lines."""
    groups: list[list[str]] = [[]]
    for line in text.split("\n"):
        if not line.strip() or BORDER.fullmatch(line.strip()):
            groups.append([])
        else:
            groups[-1].append(line)
    return [group for group in groups if group]


def split(line: str, *, edged: bool) -> list[str]:
    """A row's cells.  That a row drawn with edges is whole, its right edge says."""
    if not edged:
        return [cell.strip() for cell in line.split("|")]
    words = line.strip()
    whole = len(words) > 1 and words.startswith("|") and words.endswith("|")
    return [cell.strip() for cell in words[1:-1].split("|")] if whole else []


def records(
    heads: Sequence[Sequence[str]], group: Sequence[str], *, edged: bool
) -> Iterator[Cells | Trouble]:
    """Between two borders stands one card, or as many as a board holds."""
    lines = [split(line, edged=edged) for line in group]
    columns = [len(cells) for cells in heads]
    for at in range(0, len(lines), len(heads)):
        rows = lines[at : at + len(heads)]
        if [len(cells) for cells in rows] == columns:
            yield record(heads, rows)
            continue
        shown = visible(" / ".join(line.strip() for line in group[at:]), 120)
        number = re.match(r"[|\s]*(\d{1,3})\s", group[at])
        why = f"not the rows of one card: {shown}"
        yield Trouble(Kind.UNREADABLE, why, number[1] if number else "")
        return  # which rows belong together, nobody knows from here on


def record(heads: Sequence[Sequence[str]], rows: Sequence[Sequence[str]]) -> Cells:
    found: dict[str, str] = {}
    for head, cells in zip(heads, rows, strict=True):
        for labels, cell in zip(head, cells, strict=True):
            found |= labelled(re.split(r"\s{2,}", labels.lower()), cell)
    return found


def labelled(labels: Sequence[str], cell: str) -> dict[str, str]:
    """The cell's words by label: apart by two blanks where they can be, the last takes the rest."""
    apart = re.split(r"\s{2,}", cell)
    if len(apart) != len(labels):
        apart = cell.split(None, len(labels) - 1)
    return dict(zip(labels, apart, strict=False)) if labels != [""] else {}

"""Reading indented `label : value` texts, as `nvidia-smi -q` and those made like it print them.

A block is {"Section/Label": value}, by indentation.  Every reader is Unreadable at worst.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from clusterctl.model import Accelerator, Kind, Trouble
from clusterctl.probes.fields import every
from clusterctl.spelling import Unreadable, count, measure, number, pci_address, reported

Block = Mapping[str, str]
Reader = Callable[[Block], object]
T = TypeVar("T")

MIB = 1 << 20
LABELLED = re.compile(r"(?P<label>[^:]+?)\s*:(?:\s+(?P<value>.*?))?\s*")
TWICE = "ERR! said twice"  # two cards ran together: which of them it is true of, nobody knows
FAULTY = re.compile(
    r"ERR!|Unknown Error|is lost|insufficient permission|timed? ?out", re.IGNORECASE
)
CELSIUS = re.compile(r"(-?[0-9.]+)\s*\(?(?:℃|[°'?]?C|[?\ufffd]+C?)(?: .*)?")


def blocks(text: str, opening: re.Pattern[str]) -> Iterator[tuple[re.Match[str] | None, Block]]:
    """(the line that opens it, block); the first, what stands before any, has None for a line."""
    found: re.Match[str] | None = None
    lines: list[str] = []
    for line in text.split("\n"):
        if opens := opening.fullmatch(line.rstrip()):
            yield found, block(lines)
            found, lines = opens, []
        else:
            lines.append(line)
    yield found, block(lines)


def block(lines: Sequence[str]) -> Block:
    values: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in lines:
        words = line.strip()
        if not words:
            continue
        indent = len(line.expandtabs()) - len(line.expandtabs().lstrip())
        while above and above[-1][0] >= indent:
            above.pop()
        labelled = LABELLED.fullmatch(words)
        label = labelled["label"] if labelled else words
        path = "/".join((*(name for _, name in above), label))
        above.append((indent, label))
        if labelled and (value := labelled["value"]) is not None:
            values[path] = TWICE if path in values else value
    return values


def cell(found: Block, *paths: str) -> str | None:
    """The first of these that is there and has something to say."""
    for path in paths:
        text = found.get(path, "").strip()
        if FAULTY.search(text):
            raise Unreadable(f"an error: {text!r}")
        if text and reported(text):
            return text
    return None


def label(*paths: str) -> Callable[[Block], str]:
    return lambda found: cell(found, *paths) or ""


def word(*paths: str) -> Callable[[Block], str | None]:
    def read(found: Block) -> str | None:
        text = cell(found, *paths)
        return None if text is None else text.lower()

    return read


def amount(unit: str, *paths: str) -> Callable[[Block], float | None]:
    def read(found: Block) -> float | None:
        text = cell(found, *paths)
        return None if text is None else measure(text, unit)

    return read


def celsius(*paths: str) -> Callable[[Block], float | None]:
    """41 C, 45 ℃; a tool in the C locale may print its sign as ?."""

    def read(found: Block) -> float | None:
        text = cell(found, *paths)
        return None if text is None else degrees(text)

    return read


def degrees(text: str) -> float | None:
    if not reported(text):
        return None
    match = CELSIUS.fullmatch(text.strip())
    if not match:
        raise Unreadable(f"not a temperature: {text!r}")
    return number(match[1])


def glued(unit: str, *paths: str) -> Callable[[Block], float | None]:
    """87 for "87W" in "W", as tables have it; another unit or none is Unreadable."""

    def read(found: Block) -> float | None:
        text = cell(found, *paths)
        if text is None:
            return None
        digits = text.removesuffix(unit)
        if digits == text:
            raise Unreadable(f"not a number of {unit}: {text!r}")
        return number(digits)

    return read


def binary(unit: str, *paths: str) -> Callable[[Block], int | None]:
    """Bytes, of MiB or of what a tool calls MB and counts by 2^20."""
    read_number = glued(unit, *paths)

    def read(found: Block) -> int | None:
        value = read_number(found)
        return None if value is None else int(value * MIB)

    return read


def size(*paths: str) -> Callable[[Block], int | None]:
    def read(found: Block) -> int | None:
        value = amount("MiB", *paths)(found)
        return None if value is None else int(value * MIB)

    return read


def counter(*paths: str) -> Callable[[Block], int | None]:
    def read(found: Block) -> int | None:
        text = cell(found, *paths)
        return None if text is None else count(text)

    return read


def marked(pattern: str, *paths: str) -> Callable[[Block], int | None]:
    """The number within a mark: Gen5 by Gen([0-9]), 16x by ([0-9]+)x."""

    def read(found: Block) -> int | None:
        text = cell(found, *paths)
        if text is None:
            return None
        match = re.fullmatch(pattern, text, re.IGNORECASE)
        if not match:
            raise Unreadable(f"not like {pattern}: {text!r}")
        return int(match[1])

    return read


def flag(yes: str, no: str, *paths: str) -> Callable[[Block], bool | None]:
    def read(found: Block) -> bool | None:
        text = cell(found, *paths)
        if text is not None and text.lower() not in {yes, no}:
            raise Unreadable(f"neither {yes} nor {no}: {text!r}")
        return None if text is None else text.lower() == yes

    return read


def address(*paths: str) -> Callable[[Block], str]:
    def read(found: Block) -> str:
        text = cell(found, *paths)
        return pci_address(text) if text else ""

    return read


def readings(
    part: str, vendor: str, index: int | None, found: Block, fields: Mapping[str, Reader]
) -> Iterator[Accelerator | Trouble]:
    """The card, and a trouble for all that could not be read of it; no card of nothing but that."""
    values, troubles = every(part, fields, found)
    yield from troubles
    if any(values.get(name) for name in ("model", "uuid", "serial", "pci")):
        yield Accelerator(part, vendor, index, **values)  # type: ignore[arg-type]
    elif not troubles:
        yield Trouble(Kind.UNREADABLE, "its record names no model and no address", part)


def once(found: Iterable[T]) -> Iterator[T | Trouble]:
    """Without a second card of a part's name: which of the two is the part, nobody can tell."""
    seen: set[str] = set()
    for item in found:
        if isinstance(item, Accelerator):
            if item.part in seen:
                yield Trouble(
                    Kind.UNREADABLE, "the tool shows two devices of this number", item.part
                )
                continue
            seen.add(item.part)
        yield item

"""Host ranges: n[001-128], n[1-2]r[01-08], exclusion, folding.  ClusterShell does the reckoning.

Ranges are read by ClusterShell's RangeSet and sets by its NodeSet; only the order is ours, because
NodeSet sorts, and `10.0.0.[9,3]` beside `n[1,2]` means n1 is .9.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import product
from math import prod

from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException
from ClusterShell.RangeSet import RangeSet, RangeSetException

MOST_NAMES = 1_000_000  # n[1-9999999999] is a slip of the hand, and would fill the memory
SINGLE = re.compile(r"[\w.:-]+")
BRACKET = re.compile(r"\[([^\[\]]*)\]")
# What NodeSet folds and unfolds without change.  It reads other scripts' digits as ours.
FOLDABLE = re.compile(r"[^\W\d][A-Za-z0-9_.:+-]*|[0-9][A-Za-z0-9_.:+-]*", re.ASCII)


class BadRange(ValueError):
    """The text is not a range; the message says why, and whoever knows the file adds it."""


def expand(text: str) -> tuple[str, ...]:
    """Every name of "n[001-016],gpu7,!n007" in the order written; excluded names stay out.

    Raises BadRange: also for a name given twice and for more than a million names.
    """
    if SINGLE.fullmatch(text):
        return (text,)
    wanted, unwanted = split(text)
    names = tuple(name for item in wanted for name in item_names(item))
    out = {name for item in unwanted for name in item_names(item)}
    if not wanted:
        raise BadRange(f"{text!r} names nothing")
    if len(set(names)) != len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise BadRange(f"{text!r} names {twice} twice")
    return tuple(name for name in names if name not in out) if out else names


def split(text: str) -> tuple[list[str], list[str]]:
    """What is wanted and, after a `!`, what is not: the parts between commas outside brackets."""
    if "[" not in text and "," not in text and not any(char.isspace() for char in text):
        parts = [text]
    else:
        parts = re.findall(r"(?:\[[^\]]*\]?|[^,\s\[])+", text)
    wanted = [part for part in parts if part and not part.startswith("!")]
    unwanted = [part[1:] for part in parts if part.startswith("!")]
    if "" in unwanted:
        raise BadRange(f"nothing follows the ! in {text!r}")
    return wanted, unwanted


def item_names(item: str) -> list[str]:
    """The names of one part.  `n[1-9]!n[3-4]` and `&` between two sets are NodeSet's own."""
    if "[" not in item and "]" not in item and not re.search(r"[!&^]", item):
        return [item]
    bounded(item)
    if re.search(r"[!&^]", item):
        try:
            return list(NodeSet(item, resolver=RESOLVER_NOGROUP))
        except NodeSetException as error:
            raise BadRange(f"{item!r}: {error}") from None
    pieces = BRACKET.split(item)
    if any("[" in piece or "]" in piece for piece in pieces[::2]):
        raise BadRange(f"{item!r}: a [ without its ]")
    choices = [
        [piece] if index % 2 == 0 else list(numbers(piece)) for index, piece in enumerate(pieces)
    ]
    return ["".join(parts) for parts in product(*choices)]


def numbers(inside: str) -> Iterator[str]:
    """What stands for the inside of one bracket: "08-10,2" is 08, 09, 10, 2."""
    for part in inside.split(","):
        if not re.fullmatch(r"\s*[0-9]+(\s*-\s*[0-9]+(/[0-9]+)?)?\s*", part):
            hint = "; Ansible's [1:9] is [1-9] here" if ":" in part else ""
            raise BadRange(f"[{inside}] is not a range such as [001-128] or [1,3-9]{hint}")
        try:
            yield from RangeSet(part).striter()
        except RangeSetException as error:
            raise BadRange(f"[{inside}]: {error}".replace('"', "")) from None


def bounded(text: str) -> None:
    """Refuse what would unfold into more names than any cluster has, before unfolding it."""
    count = prod(
        sum(
            max(int(last) - int(first), 0) // (int(step or 1) or 1) + 1
            for first, last, step in re.findall(
                r"(\d{1,18})\d*-(\d{1,18})\d*(?:/(\d{1,9}))?", inside
            )
        )
        or 1
        for inside in BRACKET.findall(text)
    )
    if count > MOST_NAMES or re.search(r"\d{19}", text):
        raise BadRange(f"{text[:80]!r} is more than {MOST_NAMES:,} names")


def matches_range(text: str) -> bool:
    """Whether the text holds a bracket with numbers in it, as ranges do."""
    return any(re.fullmatch(r"[0-9,/ -]+", inside) for inside in BRACKET.findall(text))


def fold(names: Iterable[str]) -> str:
    """One line for many names, "n[001-128]".  Never raises: what cannot be folded stays."""
    given = dict.fromkeys(names)
    foldable = [
        name for name in given if FOLDABLE.fullmatch(name) and not re.search(r"\d{10}", name)
    ]
    rest = sorted(set(given).difference(foldable))
    folded = str(NodeSet.fromlist(foldable, resolver=RESOLVER_NOGROUP)) if foldable else ""
    return ",".join([folded, *rest] if folded else rest)

"""How Ansible spells hosts: db[01:50:2].example:2222, web-[a:f], [fe80::1]:22."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

from clusterctl.inventory.draft import is_address, refuse
from clusterctl.inventory.ranges import MOST_NAMES, BadRange

PORT = re.compile(r"(?P<host>(?:[^:\[\]]|\[[^\]]*\])+):(?P<port>[0-9]+)")
BRACKETED = re.compile(r"\[(?P<host>[^\[\]]+)\]:(?P<port>[0-9]+)")


def hosts(pattern: str, origin: str) -> tuple[list[str], str]:
    """The hosts of db[01:50:2].example:2222 and the port, or ""."""
    found, port = PORT.fullmatch(pattern), ""
    bracketed = BRACKETED.fullmatch(pattern)
    if bracketed and is_address(bracketed["host"]):
        return [bracketed["host"]], bracketed["port"]
    if found:
        pattern, port = found["host"], found["port"]
    elif is_address(pattern):
        return [pattern], ""
    elif pattern.endswith(":"):
        raise refuse(origin, f"{pattern!r}: a port is missing after the colon")
    try:
        return list(expand(pattern)), port
    except BadRange as error:
        raise refuse(origin, str(error)) from None


def expand(pattern: str) -> Iterator[str]:
    """Ansible's ranges: [1:9], [01:50], [a:f], [1:9:2].  Raises BadRange."""
    head, bracket, tail = pattern.partition("[")
    if not bracket:
        yield pattern
        return
    inside, closed, tail = tail.partition("]")
    if not closed:
        raise BadRange(f"{pattern!r}: a [ without its ]")
    steps = list(steps_of(inside))
    tails = list(expand(tail))
    if len(steps) * len(tails) > MOST_NAMES:
        raise BadRange(f"{pattern!r} is more than {MOST_NAMES:,} names")
    for step in steps:
        for end in tails:
            yield f"{head}{step}{end}"


def steps_of(inside: str) -> Iterator[str]:
    found = re.fullmatch(
        r"(\d{0,12}|[A-Za-z]):(\d{1,12}|[A-Za-z])(?::(\d{1,9}))?", inside, re.ASCII
    )
    hint = (
        f"; Ansible writes [{inside.replace('-', ':')}]" if re.fullmatch(r"\d+-\d+", inside) else ""
    )
    if not found:
        raise BadRange(f"[{inside}] is not a range such as [01:50] or [a:d]{hint}")
    first, last, by = found[1] or "0", found[2], int(found[3] or 1)
    letters = string.ascii_letters
    if first in letters and last in letters:
        span, shown = range(letters.index(first), letters.index(last) + 1), list(letters)
        if by and span:
            yield from (shown[index] for index in span[::by])
            return
    elif first.isdigit() and last.isdigit():
        if len(first) > 1 and first[0] == "0" and len(first) != len(last):
            raise BadRange(f"[{inside}]: begin and end must have as many digits")
        numbers = range(int(first), int(last) + 1)
        if len(numbers) > MOST_NAMES:
            raise BadRange(f"[{inside}] is more than {MOST_NAMES:,} names")
        width = len(first) if first[0] == "0" else 0
        if by and numbers:
            yield from (str(number).zfill(width) for number in numbers[::by])
            return
    raise BadRange(f"[{inside}] is an empty range")

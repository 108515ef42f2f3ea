"""The few ways tools spell a value."""

from __future__ import annotations

import re
from functools import lru_cache
from math import isfinite

# As nvidia-smi, rocm-smi, npu-smi, cnmon and their kin spell "nothing to report here".
NOT_REPORTED = frozenset(
    {
        "n/a",
        "[n/a]",
        "na",
        "not supported",
        "[not supported]",
        "not available",
        "requested functionality has been deprecated",
        "[requested functionality has been deprecated]",
        "-",
        "--",
        "/",
    }
)
COUNT = re.compile(r"[0-9]{1,20}")
ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]")

FLOOD = re.compile(r"([^\x20-\x7e\w])\1{3,}")  # a hundred NULs say no more than four


class Unreadable(ValueError):
    """The text is not what we know how to read."""


def reported(text: str) -> bool:
    """Whether the tool has something to say here."""
    return text.strip().lower() not in NOT_REPORTED


def number(text: str) -> float | None:
    """A number, or None where the tool says it has none to give.

    nan and inf are refused: nan compares false with every limit, so it would pass them all.
    """
    try:
        value = float(text)  # first, because nearly all are
    except ValueError:
        if not reported(text):
            return None
        raise Unreadable(f"not a number: {text.strip()!r}") from None
    if not isfinite(value) or "_" in text:  # float("1_0") is 10: no tool writes that
        raise Unreadable(f"not a number: {text.strip()!r}")
    return value


def whole(text: str) -> int | None:
    """A whole number, or None where the tool says it has none to give."""
    value = number(text)
    if value is None:
        return None
    if value != int(value):
        raise Unreadable(f"not a whole number: {text!r}")
    try:  # a counter above 2**53 must not lose its last digits
        return int(text.strip())
    except ValueError:
        return int(value)


def count(text: str) -> int:
    """A whole number of things, where there is always one to give: N/A is Unreadable too."""
    text = text.strip()
    if not COUNT.fullmatch(text):
        raise Unreadable(f"not a count: {text[:80]!r}")
    return int(text)


def measure(text: str, unit: str) -> float | None:
    """A number followed by exactly this unit: 312.4 for "312.40 W" in "W".

    A missing or another unit is Unreadable: mW read as W is a thousandfold lie.
    """
    text = text.strip()
    if not reported(text):
        return None
    digits, _, found = text.partition(" ")
    if found.strip() != unit:
        raise Unreadable(f"not a number of {unit}: {text!r}")
    return number(digits)


SPAN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s?([smhdw])")
SPANS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def seconds(text: str) -> float:
    """How long: 90s, 20m, 6h, 30d, 2w.  Raises Unreadable: minutes without a unit are a riddle."""
    found = SPAN.fullmatch(text.strip())
    if not found:
        raise Unreadable(f"not a time span: {text!r}; write 90s, 20m, 6h, 30d or 2w")
    return float(found[1]) * SPANS_S[found[2]]


def plain(text: str) -> str:
    """Without ANSI escapes; colours in a pipe are the tool's habit, not its message."""
    return ANSI.sub("", text)


@lru_cache(maxsize=4096)  # a node's files and tools name each of its devices dozens of times
def pci_address(text: str) -> str:
    """One spelling for nvidia-smi's 00000000:1B:00.0, the log's 0000:1b:00 and sysfs's.

    Raises Unreadable.
    """
    found = re.fullmatch(
        r"(?:([0-9a-fA-F]{4,8}):)?([0-9a-fA-F]{2}):([0-9a-fA-F]{2})(?:\.([0-7]))?", text.strip()
    )
    if not found:
        raise Unreadable(f"not a PCI address: {text!r}")
    domain, bus, slot, function = found.groups()
    return f"{int(domain or '0', 16):04x}:{bus}:{slot}.{function or '0'}".lower()


def visible(text: str, limit: int = 400) -> str:
    """Node text made safe to show: control characters become visible, length is bounded."""
    if text.isascii() and text.isprintable():  # nearly all is, and a character a turn is slow
        shown = text
    else:
        shown = "".join(
            char if char.isprintable() else f"\\x{ord(char):02x}"
            for char in FLOOD.sub(counted, text)
        )
    return shown if len(shown) <= limit else f"{shown[:limit]}… ({len(text)} characters)"


def counted(run: re.Match[str]) -> str:
    return f"{run[1]}{{{len(run[0])}}}"

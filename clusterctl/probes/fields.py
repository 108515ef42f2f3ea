"""Reading every field of a device: what can be read, and one trouble for each reason it cannot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TypeVar

from clusterctl.model import Kind, Trouble
from clusterctl.spelling import Unreadable, visible

T = TypeVar("T")


def every(
    part: str, readers: Mapping[str, Callable[[T], object]], found: T
) -> tuple[dict[str, object], list[Trouble]]:
    """Values by field, and troubles of the part; fields with the same error share one."""
    values: dict[str, object] = {}
    failed: defaultdict[str, list[str]] = defaultdict(list)
    for name, read in readers.items():
        try:
            values[name] = read(found)
        except Unreadable as error:
            failed[str(error)].append(name)
    return values, [
        Trouble(Kind.UNREADABLE, f"{visible(why, 120)} ({', '.join(names)})", part)
        for why, names in failed.items()
    ]

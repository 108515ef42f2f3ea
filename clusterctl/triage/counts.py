"""Whole numbers of other people's JSON and pickles, bounded: any may be thousands of digits."""

from __future__ import annotations

from typing import TypeGuard

from clusterctl.spelling import Unreadable, visible

BOUND = 1 << 63


def is_whole(told: object) -> TypeGuard[int]:
    return isinstance(told, int) and not isinstance(told, bool) and 0 <= told < BOUND


def whole(told: object) -> int:
    """Raises Unreadable, which is a ValueError."""
    if not is_whole(told):
        shown = visible(told, 40) if isinstance(told, str) else type(told).__name__
        raise Unreadable(f"not a count: {shown}")
    return told

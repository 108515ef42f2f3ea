"""Whole numbers of other people's JSON and pickles, bounded: any may be thousands of digits."""

from __future__ import annotations

from clusterctl.spelling import Unreadable, visible

BOUND = 1 << 63


def whole(told: object) -> int:
    """From 0 up.  Raises Unreadable, which is a ValueError."""
    if isinstance(told, bool) or not isinstance(told, int) or not 0 <= told < BOUND:
        shown = visible(told, 40) if isinstance(told, str) else type(told).__name__
        raise Unreadable(f"not a count: {shown}")
    return told

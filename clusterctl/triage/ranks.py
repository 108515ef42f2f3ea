"""Ranks as people write them: 0-6,8."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def folded(ranks: Iterable[int]) -> str:
    parts: list[list[int]] = []
    for rank in sorted(set(ranks)):
        if parts and rank == parts[-1][1] + 1:
            parts[-1][1] = rank
        else:
            parts.append([rank, rank])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)


def ranks_word(ranks: Sequence[int]) -> str:
    if not ranks:
        return "nobody"
    return f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {folded(ranks)}"


def waiters(ranks: Sequence[int]) -> str:
    return f"{ranks_word(ranks)} {'wait' if len(ranks) > 1 else 'waits'}"

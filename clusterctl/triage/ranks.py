def ranks_word(ranks: Sequence[int]) -> str:
    if not ranks:
        return "nobody"
    return f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {folded(ranks)}"


def waiters(ranks: Sequence[int]) -> str:
    return f"{ranks_word(ranks)} {'wait' if len(ranks) > 1 else 'waits'}"

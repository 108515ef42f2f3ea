"""Whose arithmetic gives other bits than that of its like?

The same deterministic kernel on the same data gives the same bits on every healthy part of a model.
Digests are compared as text: no number is made of them that a NaN could equal or escape.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from clusterctl.model import (
    Accelerator,
    Burn,
    Check,
    Cpu,
    Evidence,
    Limit,
    Severity,
    Verdict,
)
from clusterctl.peers import majority
from clusterctl.verdicts import (
    facts_of,
    failing,
    make,
    passing,
    skipping,
    source_of,
    threshold,
    unknown,
)

# Built-in CUDA: precision-size-seed:whole:rows:columns; four digits for each band of tiles.
BANDED = re.compile(
    r"([a-z0-9]+-(\d{1,6})-\d+):([0-9a-f]{32}):((?:[0-9a-f]{4})+):((?:[0-9a-f]{4})+)"
)
# PyTorch: the whole, and eight digits for each of n x n tiles, row by row.
TILED = re.compile(r"([0-9a-f]{64})((?: [0-9a-f]{8})*)")
TILE_ROWS, TILE_COLUMNS, BANDS = 128, 256, 64  # as in remote/cuda_load.py
AGAIN = "burn it once more alone; if it differs again, return it"
REPEAT = "its own result, each time"
Key = tuple[str, str, str, str]


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    groups: defaultdict[Key, dict[tuple[str, str], tuple[Evidence, list[str]]]] = defaultdict(dict)
    for evidence in fleet:
        models = {card.part: card.model for card in facts_of(evidence, Accelerator)}
        for burn in facts_of(evidence, Burn):
            gap = ungradable(evidence, burn)
            if gap:
                yield gap
                continue
            key = (models.get(burn.part) or make(evidence), burn.engine, *what(burn))
            place = (evidence.node.name, burn.part)
            groups[key].setdefault(place, (evidence, []))[1].append(burn.digest)
    for voters in groups.values():
        yield from among(
            [(evidence, part, *seen) for (_, part), (evidence, seen) in voters.items()]
        )


def ungradable(evidence: Evidence, burn: Burn) -> Verdict | None:
    """Why this burn has no say; None: it has."""
    if not burn.precision and not burn.digest:
        return skipping(evidence, burn.part, "no arithmetic that has a digest")
    if not burn.digest:
        return unknown(
            evidence,
            burn.part,
            f"{burn.engine} gave no digest: its result was compared with nobody's",
            expected="a digest",
            actual="none",
            remedy="use an engine that gives one, or do not call this part tested",
        )
    if BANDED.fullmatch(burn.digest) or TILED.fullmatch(burn.digest):
        return None
    return unknown(
        evidence,
        burn.part,
        f"what {burn.engine} calls a digest is none that we know",
        expected="a digest",
        actual=burn.digest[:40],
        remedy="run the engine by hand and look at what it prints",
    )


def what(burn: Burn) -> tuple[str, str]:
    """What was computed: the precision, and with it the size and the seed where they are told."""
    found = BANDED.fullmatch(burn.digest)
    return burn.precision, found[1] if found else ""


def among(voters: Sequence[tuple[Evidence, str, *tuple[str, ...]]]) -> Iterator[Verdict]:
    """Parts that differ from themselves have no vote."""
    steady = [(evidence, part, seen[0]) for evidence, part, *seen in voters if len({*seen}) == 1]
    for evidence, part, *seen in voters:
        if len({*seen}) > 1:
            yield odd(evidence, part, seen[-1], seen[0], REPEAT)
    usual = majority(digest for _, _, digest in steady)
    counted = Counter(digest for _, _, digest in steady)
    for evidence, part, digest in steady:
        if usual is None or counted[usual] < threshold(evidence, "equal"):
            yield undecided(evidence, part, counted)
        elif digest == usual:
            actual = f"the same bits as {counted[usual] - 1} others"
            yield passing(evidence, part, actual, expected=whole(usual), yardstick="peers")
        else:
            yield odd(evidence, part, digest, usual, f"{counted[usual]} of its model")


def odd(evidence: Evidence, part: str, digest: str, usual: str, like: str) -> Verdict:
    return failing(
        evidence,
        part,
        expected=f"{whole(usual)}, as {like}",
        actual=whole(digest),
        why=f"other bits than {like}: {where(digest, usual)}",
        remedy="isolate the node: what it computed is in doubt; " + AGAIN,
        severity=Severity.ISOLATE,
        source=source_of(evidence, "equal"),
        yardstick="peers",
    )


def undecided(evidence: Evidence, part: str, counted: Counter[str]) -> Verdict:
    if len(counted) == 1:
        return skipping(evidence, part, f"{counted.total()} of this model ran it: too few to vote")
    shares = " · ".join(f"{count}x {whole(one)}" for one, count in counted.most_common(4))
    return unknown(
        evidence,
        part,
        f"results differ, and no majority says whose is wrong: {shares}",
        expected="one result on all",
        actual=f"{len(counted)} results of {counted.total()} parts",
        remedy="burn more of this model with the same engine, size and seed",
        source=source_of(evidence, "equal"),
    )


def whole(digest: str) -> str:
    """Its beginning, enough to tell two apart."""
    found = BANDED.fullmatch(digest)
    return (found[3] if found else digest)[:16]


def where(digest: str, usual: str) -> str:
    """The tiles in which two results differ, in words."""
    mine, theirs = BANDED.fullmatch(digest), BANDED.fullmatch(usual)
    if mine and theirs:
        rows = spans(differing(mine[4], theirs[4], 4), int(mine[2]), TILE_ROWS)
        columns = spans(differing(mine[5], theirs[5], 4), int(mine[2]), TILE_COLUMNS)
        return f"rows {rows}, columns {columns}"
    tiles = differing(digest[65:].replace(" ", ""), usual[65:].replace(" ", ""), 8)
    side = round(digest.count(" ") ** 0.5)
    if not tiles or not side:
        return "no tile is known"
    named = [f"{tile // side},{tile % side}" for tile in tiles]
    return f"tile {few(named, ' and ')} of {side} x {side}"


def differing(mine: str, theirs: str, digits: int) -> list[int]:
    if len(mine) != len(theirs):
        return []
    return [
        at // digits
        for at in range(0, len(mine), digits)
        if mine[at : at + digits] != theirs[at : at + digits]
    ]


def spans(bands: Sequence[int], size: int, tile: int) -> str:
    """First and last row, or column, of each band of tiles."""
    each = -(-(size // tile) // BANDS) * tile
    return few([f"{one * each}-{min(size, (one + 1) * each) - 1}" for one in bands], " and ")


def few(words: Sequence[str], joint: str) -> str:
    if len(words) > 4:
        return joint.join(words[:4]) + f" and {len(words) - 4} more"
    return joint.join(words) or "unknown"


CHECKS = (
    Check(
        name="silent_corruption",
        asks="Whose arithmetic gives other bits than that of its like?",
        wants=(Burn,),
        uses=(Accelerator, Cpu),
        judge=judge,
        scope="fleet",
        limits={
            "equal": Limit(
                3, "clusterctl: three that agree decide; see Meta, arXiv:2102.11245, on why to ask"
            ),
        },
    ),
)

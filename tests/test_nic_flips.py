"""No bit that flips in what a NIC's, a fabric's or a bandwidth tool printed makes it healthier."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from random import Random

import pytest
from test_nic_texts import CAPTURES, FOUND, captures

from clusterctl.catalog import readers
from clusterctl.model import Bandwidth, Collective, Fact, PcieDevice, Port, Trouble

FLIPS = 6
WELL = {"active", "linkup", "ok", "up"}


def read(path: str, text: str) -> list[Fact | Trouble]:
    return list(readers()[path.partition("/")[0].replace("-", "_")](text))


@cache
def text_of(path: str) -> str:
    return (CAPTURES / path).read_bytes().decode("utf-8", "replace")[:30_000]


def flipped(text: str, rng: Random) -> str:
    letters = list(text)
    for _ in range(rng.choice((1, 1, 4, 12))):
        at = rng.randrange(len(letters))
        letters[at] = chr(ord(letters[at]) ^ (1 << rng.randrange(7)))
    return "".join(letters)


def well(found: list[Fact | Trouble]) -> Counter[str]:
    """How often each kind of fact says that something is well."""
    told: Counter[str] = Counter()
    for one in found:
        if isinstance(one, Port):
            told["active"] += one.state in WELL
            told["linkup"] += one.phys_state in WELL
            told["enabled"] += one.enabled is True
        elif isinstance(one, Collective):
            told["right"] += one.wrong == 0
        elif (health := getattr(one, "health", None)) is not None:
            told["health"] += health in WELL
    return told


def numbers(found: list[Fact | Trouble]) -> set[int]:
    """Whole numbers that stand in a text as they stand in the fact."""
    told: set[int] = set()
    for one in found:
        if isinstance(one, Port):
            told |= {*one.counters.values()}
        elif isinstance(one, Collective):
            told |= {one.size_bytes, *([one.wrong] if one.wrong is not None else [])}
        elif isinstance(one, Bandwidth) and one.size_bytes is not None:
            told.add(one.size_bytes)
        elif isinstance(one, PcieDevice):
            told |= {one.width, one.width_max} - {None}
    return told


@captures
@pytest.mark.parametrize("path", FOUND)
def test_no_flip_raises_or_makes_well_what_was_not(path):
    rng, text = Random(path), text_of(path) or "\n"
    best = well(read(path, text))
    for _ in range(FLIPS):
        broken = flipped(text, rng)
        found = read(path, broken)
        for word, count in well(found).items():
            assert count <= best[word], word
        written = {int(word.replace(",", "")) for word in re.findall(r"\d[\d,]*", broken)}
        written |= {int(word, 16) for word in re.findall(r"0x([0-9a-fA-F]+)", broken)}
        assert numbers(found) <= written | {0}

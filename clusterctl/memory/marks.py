"""Who a part is, wherever it is plugged: its uuid, guid or serial, and a number made of that."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# What a part is told from its like by, wherever it is plugged; the first that it has.  A serial
# may be of a board with two chips on it, so it comes last.
MARKS = ("uuid", "guid", "serial")
NO_MARK = 4  # characters, at least: "0" and "N/A" name no part
WHO_BITS = 12  # of 64 left out, so that a float holds the rest
DEVICE = re.compile(r"\b(?:gpu|npu|mlu|gcu|xpu|dcu)\d+")


def carried(cards: pd.DataFrame | None) -> dict[tuple[str, str], tuple[str, str]]:
    """(node, gpu3) -> the card's mark and model: what it does under load is its own, too."""
    if cards is None:
        return {}
    marks = marked(cards)
    models = cards["model"].fillna("") if "model" in cards else [""] * len(cards)
    told = zip(cards["node"], cards["part"], marks, models, strict=True)
    return {(node, part): (mark, model) for node, part, mark, model in told if mark}


def who_is(found: pd.DataFrame, marks: Sequence[str]) -> pd.Series[float]:
    """A number that a float holds: of the mark and variant, else of node, part and variant."""
    import pandas as pd  # noqa: PLC0415 - half a second that only memory pays

    place = "\t" + found["node"] + "\t" + found["part"]
    mark = pd.Series(marks, dtype="str")
    named = mark.where(mark != "", place) + "\n" + found["variant"]
    hashed = pd.util.hash_array(named.to_numpy(dtype=object)) >> WHO_BITS
    return pd.Series(hashed.astype("float64"), index=found.index)


def marked(rows: pd.DataFrame) -> list[str]:
    """By what each row's part is known wherever it is; empty: by its place alone.

    A mark that parts of several nodes have tells none of them ("0123456789"); of one that several
    parts of a node have (a module of two ports), each part is known by it and its name.
    """
    columns = [rows[name].fillna("").astype("str") for name in MARKS if name in rows]
    if not columns:
        return [""] * len(rows)
    marks = [
        next((one for one in cells if len(one) >= NO_MARK), "")
        for cells in zip(*columns, strict=True)
    ]
    places: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for mark, node, part in zip(marks, rows["node"], rows["part"], strict=True):
        places[mark].add((node, part))
    return [
        own(mark, str(part), places[mark]) for mark, part in zip(marks, rows["part"], strict=True)
    ]


def own(mark: str, part: str, places: set[tuple[str, str]]) -> str:
    if not mark or len(places) == 1:
        return mark
    return f"{mark} {part}" if len({node for node, _ in places}) == 1 else ""


def of_card(
    node: str, part: str, cards: Mapping[tuple[str, str], tuple[str, str]]
) -> tuple[str, str]:
    """host>gpu0 becomes host>GPU-aaaa; empty where it names no card whose mark is known."""
    names = DEVICE.findall(part)
    known = [cards.get((node, name)) for name in names]
    if not names or None in known:
        return "", ""
    told = dict(zip(names, filter(None, known), strict=True))
    return DEVICE.sub(lambda one: told[one[0]][0], part), told[names[0]][1]

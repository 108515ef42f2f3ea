"""Two runs side by side: what became bad, better, unknown; what changed; who came and went."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clusterctl.inventory.ranges import fold
from clusterctl.memory.cache import Memory, Night
from clusterctl.memory.folder import Ended, ended
from clusterctl.model import Node, UserError
from clusterctl.shared import common, labelled

if TYPE_CHECKING:
    import pandas as pd

KEY = ["node", "check", "part"]
RANK = {"pass": 0, "skip": 0, "": 0, "warn": 1, "unknown": 2, "fail": 3}
BECAME = ("bad", "unknown", "worse", "not judged any more", "better", "changed", "gone", "new")


@dataclass(frozen=True, slots=True)
class Change:
    """The same of many nodes: `where` is what they share, a label where one says it all.

    `became`: one of BECAME.  `parts`: each once.  `before` and `after`: status and what was said.
    """

    became: str
    where: str
    nodes: tuple[str, ...]
    what: str
    parts: tuple[str, ...]
    before: str
    after: str


def pick(known: Memory, reference: str) -> Night:
    """By id, the start of one, "last", or "last~3".  Raises UserError."""
    if found := re.fullmatch(r"last(?:~(\d{1,4}))?", reference):
        back = int(found[1] or 0)
        if back < len(known.nights):
            return known.nights[-1 - back]
    hits = [night for night in known.nights if night.id.startswith(reference)]
    if len(hits) == 1:
        return hits[0]
    newest = ", ".join(night.id for night in known.nights[-3:]) or "none"
    why = "several runs start like that" if hits else "no sweep or burn-in that ended"
    raise UserError(f"{reference}: {why} in {known.folder.name}; the newest are {newest}")


def changes(
    known: Memory, first: Night, second: Night, labels: Mapping[str, Mapping[str, str]]
) -> list[Change]:
    """Gravest first.  Raises UserError where a run cannot be read."""
    nodes = {night.id: told(known, night) for night in (first, second)}
    before, after = nodes[first.id], nodes[second.id]
    groups = labelled([Node(name, labels=labels.get(name, {})) for name in sorted(before | after)])
    found = [*judged(known, first, second), *versions(known, first, second)]
    found += [("gone", one, "node", "", "in the run", "not in the run") for one in before - after]
    found += [("new", one, "node", "", "not in the run", "in the run") for one in after - before]
    return sorted(folded(found, groups), key=lambda one: (BECAME.index(one.became), one.what))


Single = tuple[str, str, str, str, str, str]  # became, node, what, part, before, after


def told(known: Memory, night: Night) -> set[str]:
    return set(known.only([night.id]).frame("nodes", ["node"])["node"].astype("str"))


# --------------------------------------------------------------------------- findings


def judged(known: Memory, first: Night, second: Night) -> Iterator[Single]:
    was, now = (statuses(known.only([night.id])) for night in (first, second))
    both = was.merge(now, on=KEY, how="outer", suffixes=("_was", "_now")).fillna("")
    both = both[(both["status_was"] != both["status_now"])]
    both = both[(both["status_was"].map(RANK) > 0) | (both["status_now"].map(RANK) > 0)]
    for row in both.to_dict("records"):
        was_, now_ = row["status_was"], row["status_now"]
        if (row["shared_now"] and RANK[now_]) or (
            row["shared_was"] and RANK[was_] and not RANK[now_]
        ):
            continue  # the finding that explains it has its own line
        yield (
            became(was_, now_), row["node"], row["check"], row["part"],
            said(was_, row["said_was"]), said(now_, row["said_now"]),
        )  # fmt: skip


def became(was: str, now: str) -> str:
    if not now:
        return "not judged any more"
    if RANK[now] > RANK[was]:
        return "unknown" if now == "unknown" else "worse" if RANK[was] else "bad"
    return "better"


def said(status: str, text: str) -> str:
    return f"{status.upper()} {text}".strip() or "not judged"


def statuses(one: Memory) -> pd.DataFrame:
    """Of every (node, check, part) of a run: its gravest status and what was said of it."""
    import pandas as pd  # noqa: PLC0415 - half a second that only memory pays

    bad = one.frame("bad", [*KEY, "status", "actual", "why", "shared"]).astype("str")
    said_ = bad["actual"].where(bad["why"] == "", bad["actual"] + ": " + bad["why"])
    bad = bad.assign(said=said_.str.removeprefix(": "), rank=bad["status"].map(RANK))
    well = one.frame("well", ["node", "check", "status", "parts"]).astype("str")
    well = well.assign(part=well["parts"].str.split("\n")).explode("part")
    well = well.assign(said="", shared="", rank=0)
    both = pd.concat([bad, well])[[*KEY, "status", "said", "shared", "rank"]]
    both = both.sort_values("rank", ascending=False).drop_duplicates(KEY)
    return both.drop(columns="rank")


# --------------------------------------------------------------------------- versions


def versions(
    known: Memory, first: Night, second: Night, nodes: Collection[str] | None = None
) -> Iterator[Single]:
    """What runs in another version; with `nodes`, on these.  Raises UserError."""
    runs = {run.id: run for run in ended(known.folder) if run.id in {first.id, second.id}}
    was, now = (stated(runs[night.id], nodes) for night in (first, second))
    for (node, part), value in sorted(now.items()):
        if (node, part) in was and was[node, part] != value:
            yield "changed", node, part, "", was[node, part], value


def stated(run: Ended, nodes: Collection[str] | None = None) -> dict[tuple[str, str], str]:
    """Everything that should be the same on peers, of these nodes.  Raises UserError."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - see statuses

    only: list[tuple[str, str, object]] = [("type", "==", "Version"), ("reading", "==", "now")]
    if nodes is not None:
        only.append(("node", "in", list(nodes)))
    try:
        table = pq.read_table(
            run.table("observations"), filesystem=run.folder.files,
            columns=["node", "part", "value"], filters=only,
        )  # fmt: skip
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{run.table('observations')}: cannot be read: {error}") from None
    rows = zip(*(table[name].to_pylist() for name in ("node", "part", "value")), strict=True)
    return {(node, part): value or "" for node, part, value in rows}


# --------------------------------------------------------------------------- folding


def folded(found: Sequence[Single], groups: Mapping[str, list[str]]) -> Iterator[Change]:
    """The same change on many nodes is one; parts of a node with the same change are one, too."""
    by_node: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for became_, node, what, part, before, after in found:
        by_node[became_, node, what, before, after].append(part)
    alike: defaultdict[tuple[str, str, str, str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (became_, node, what, before, after), parts in by_node.items():
        alike[became_, what, before, after, tuple(sorted(filter(None, parts)))] += node.split(",")
    total = len(groups["all nodes"])
    for (became_, what, before, after, same), nodes in alike.items():
        names = tuple(sorted(dict.fromkeys(nodes)))
        yield Change(became_, where(names, groups, total), names, what, same, before, after)


def where(nodes: Sequence[str], groups: Mapping[str, list[str]], total: int) -> str:
    for label, members in common(groups, set(nodes), total):
        hit = sum(name in set(nodes) for name in members)
        return f"{label} ({hit} of {len(members)} nodes)"
    return fold(nodes)

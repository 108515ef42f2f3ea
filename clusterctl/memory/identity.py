"""Who sat where: a part is its serial, not its slot, and another serial in a slot is a swap.

A slot is a PCI address where the tool tells one, else the name of the part.  Numbers shift when a
card is lost: a part that is still in its node under another name has moved and was not swapped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from clusterctl.memory.cache import Memory
from clusterctl.model import Finding, Severity, Status, Verdict

if TYPE_CHECKING:
    import pandas as pd

SWAPPED = "swapped"  # the finding's check
KINDS = {"Accelerator": "accelerator", "Drive": "drive", "Optic": "module", "Psu": "supply"}
COLUMNS = ("node", "part", "mark", "serial", "slot")


@dataclass(frozen=True, slots=True)
class Swap:
    """`old` and `new` in words, serial first; `before`: when the old one was last seen there.

    `came_from`, `went_to`: node and part where the new one was before, the old one is since.
    """

    node: str
    part: str
    kind: str
    old: str
    new: str
    before: datetime
    since: datetime
    came_from: str = ""
    went_to: str = ""

    @property
    def words(self) -> str:
        moved = [f"the new one came from {self.came_from}"] if self.came_from else []
        moved += [f"the old one is in {self.went_to}"] if self.went_to else []
        return "; ".join([f"since {self.since:%Y-%m-%d} another {self.kind} sits here", *moved])


def swaps(remembered: Memory, nodes: Collection[str] | None = None) -> list[Swap]:
    """Every swap that the nights show, oldest first; with `nodes`, only in these."""
    found: list[Swap] = []
    changes = changed(remembered)
    for kind, word in KINDS.items():
        here = changes[changes["kind"] == kind]
        if nodes is not None and not here["node"].isin(list(nodes)).any():
            continue
        rows = remembered.only({*here["run"], *here["was"]}).frame(
            kind, COLUMNS, node=set(here["node"])
        )
        found += swapped(rows, word)
    ours = [one for one in found if nodes is None or one.node in nodes]
    return sorted(ours, key=lambda one: (one.since, one.node, one.part))


def changed(remembered: Memory) -> pd.DataFrame:
    """`node` and `kind` in which something sits elsewhere in `run` than the run before, `was`."""
    rows = remembered.frame("identity", ["node", "kind", "print"])
    order = {night.id: at for at, night in enumerate(remembered.nights)}
    night = rows["run"].cat.categories.map(order).to_numpy()[rows["run"].cat.codes.to_numpy()]
    rows = rows.assign(night=night).sort_values(["node", "kind", "night"])
    same = (rows["node"].cat.codes.diff() == 0) & (rows["kind"].cat.codes.diff() == 0)
    here = rows.index[same & (rows["print"].diff() != 0)]
    was = rows["run"].shift().loc[here].astype("str")
    return rows.loc[here, ["node", "kind", "run"]].astype("str").assign(was=was)


def swapped(rows: pd.DataFrame, word: str) -> Iterator[Swap]:
    """Of rows with `started` and COLUMNS; nights on which nothing changed need not be there."""
    rows = rows[rows["mark"] != ""].astype(dict.fromkeys(COLUMNS, "str"))
    if rows.empty:
        return
    rows = rows.assign(place=rows["slot"].where(rows["slot"] != "", rows["part"]))
    rows = rows.drop_duplicates(["started", "node", "place"])
    rows = rows.sort_values("started", ignore_index=True)
    here = rows.groupby(["node", "mark"])["started"].agg(["min", "max"])
    before = rows.groupby(["node", "place"])[["mark", "serial", "started"]].shift()
    changed = rows[before["mark"].notna() & (before["mark"] != rows["mark"])]
    if changed.empty:
        return
    marks = set(changed["mark"]) | set(before.loc[changed.index, "mark"])
    travelled = rows[rows["mark"].isin(marks)]
    gone = before.loc[changed.index].to_dict("records")
    for row, old in zip(changed.to_dict("records"), gone, strict=True):
        left, came = here.loc[(row["node"], old["mark"])], here.loc[(row["node"], row["mark"])]
        if left["max"] >= row["started"] or came["min"] < row["started"]:
            continue  # still there, or there before: it only got another name
        yield Swap(
            node=row["node"],
            part=row["part"],
            kind=word,
            old=named(old["serial"], old["mark"]),
            new=named(row["serial"], row["mark"]),
            before=left["max"].to_pydatetime(),
            since=row["started"].to_pydatetime(),
            came_from=place_of(travelled, row["mark"], row["node"], until=row["started"]),
            went_to=place_of(travelled, old["mark"], row["node"], since=left["max"]),
        )


def named(serial: str, mark: str) -> str:
    return f"{serial} ({mark})" if serial and serial != mark else mark


def place_of(
    rows: pd.DataFrame,
    mark: str,
    but: str,
    *,
    until: pd.Timestamp | None = None,
    since: pd.Timestamp | None = None,
) -> str:
    """The other node that a part was last seen in before `until`, or is in after `since`."""
    there = rows[(rows["mark"] == mark) & (rows["node"] != but)]
    if until is not None:
        there = there[there["started"] < until]
    if since is not None:
        there = there[there["started"] > since]
    if there.empty:
        return ""
    last = there.iloc[-1]
    return f"{last['node']} {last['part']}"


def finding(swap: Swap) -> Finding:
    return Finding(
        SWAPPED,
        Verdict(
            swap.node,
            swap.part,
            Status.WARN,
            expected=f"{swap.old}, as until {swap.before:%Y-%m-%d}",
            actual=swap.new,
            why=swap.words,
            remedy="see that the inventory and the ticket know of it; its history begins anew",
            severity=Severity.OBSERVE,
            source="a part is who its serial says",
            yardstick="past",
        ),
    )

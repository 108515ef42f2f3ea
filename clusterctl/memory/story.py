"""What happened to a node, or to a check, night after night: runs of equal nights as one row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from clusterctl.judge import REACHABLE
from clusterctl.memory.cache import Memory, Night
from clusterctl.memory.identity import Swap
from clusterctl.memory.lemon import Fault, Score, repairs
from clusterctl.memory.lemon import scores as of_faults
from clusterctl.model import Severity

if TYPE_CHECKING:
    import pandas as pd

GRAVEST = ("fail", "unknown", "warn", "skip", "pass")
# What a node is taken out of service for.
OUT = tuple(str(one) for one in list(Severity)[list(Severity).index(Severity.REBOOT_NODE) :])


@dataclass(frozen=True, slots=True)
class Stretch:
    """Nights in a row on which a node was the same.  `wrong`: (check, status, parts) of each."""

    first: Night
    last: Night
    nights: int
    status: str
    wrong: tuple[tuple[str, str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """One finding over the nights: of `judged` it was bad on `bad`, in `episodes` stretches.

    `now`: its status on the last night on which it was judged.  `said`: when it was last bad.
    """

    node: str
    check: str
    part: str
    worst: str
    now: str
    first: datetime
    last: datetime
    bad: int
    judged: int
    episodes: int
    expected: str
    said: str


def stretches(frame: pd.DataFrame, node: str, nights: Sequence[Night]) -> list[Stretch]:
    """`frame`: findings, of others too; `nights`: those that looked at the node."""
    by_run: defaultdict[str, defaultdict[tuple[str, str], list[str]]] = defaultdict(
        lambda: defaultdict(list)
    )
    named = [one for one in frame["node"].unique() if node in one.split(",")]
    bad = frame[~frame["status"].isin(["pass", "skip"]) & frame["node"].isin(named)]
    told = bad[["run", "check", "status", "part"]].astype("str").itertuples(index=False)
    for run, check, status, part in told:
        by_run[run][check, status].append(part)
    found: list[Stretch] = []
    for night in nights:
        kinds = sorted(by_run[night.id].items(), key=lambda one: (grave(one[0][1]), one[0][0]))
        wrong = tuple((*kind, tuple(dict.fromkeys(parts))) for kind, parts in kinds)
        status = wrong[0][1] if wrong else "pass"
        if found and found[-1].wrong == wrong:
            last = found.pop()
            found.append(Stretch(last.first, night, last.nights + 1, status, wrong))
        else:
            found.append(Stretch(night, night, 1, status, wrong))
    return found


def grave(status: str) -> int:
    return GRAVEST.index(status)


def traces(frame: pd.DataFrame) -> list[Trace]:
    """Of findings over nights: a row each, those that are bad now first, the newest first.

    A night that says several things of a part is one night, as bad as the worst of them.
    """
    found = []
    columns = ["run", "node", "check", "part", "status", "expected", "actual", "why", "started"]
    told = frame[columns].astype(dict.fromkeys(columns[:-1], "str"))
    told = told.assign(grave=told["status"].map(grave)).sort_values(["started", "run", "grave"])
    key = ["node", "check", "part"]
    for _, ordered in told.drop_duplicates([*key, "run"]).groupby(key, sort=False):
        node, check, part = (str(ordered[name].iloc[0]) for name in key)
        status = ordered["status"].tolist()
        wrong = [one not in {"pass", "skip"} for one in status]
        last = ordered[wrong].iloc[-1]
        began = sum(now and not before for before, now in zip([False, *wrong], wrong, strict=False))
        found.append(
            Trace(
                node, check, part,
                worst=min(status, key=grave),
                now=status[-1],
                first=ordered[wrong]["started"].iloc[0].to_pydatetime(),
                last=last["started"].to_pydatetime(),
                bad=sum(wrong),
                judged=len(wrong),
                episodes=began,
                expected=last["expected"],
                said=": ".join(filter(None, (last["actual"], last["why"]))),
            )
        )  # fmt: skip
    return sorted(found, key=lambda one: (one.now in {"pass", "skip"}, -one.last.timestamp()))


def looked_at(remembered: Memory, nodes: Iterable[str]) -> dict[str, list[Night]]:
    """Of each of these nodes the nights that looked at it, oldest first."""
    wanted = list(nodes)
    rows = remembered.frame("nodes", ["node"], node=wanted)[["node", "run"]].astype("str")
    seen = set(rows.itertuples(index=False, name=None))
    return {
        node: [night for night in remembered.nights if (node, night.id) in seen] for node in wanted
    }


def faults(remembered: Memory, nodes: Iterable[str] | None = None) -> Iterator[Fault]:
    """What failed of a node itself; what a rack or a switch explains is not the node's."""
    rows = remembered.frame(
        "bad", ["node", "check", "status", "severity", "shared"], node=nodes,
        status=["fail", "unknown"],
    )  # fmt: skip
    own = rows[(rows["shared"] == "") & ~rows["node"].str.contains(",", regex=False)]
    gone = (own["status"] == "unknown") & (own["check"] == REACHABLE)
    own = own[(own["status"] == "fail") | gone].assign(out=own["severity"].isin(OUT) | gone)
    rows = own.groupby(["node", "check", "started"], observed=True)["out"].any().reset_index()
    for node, check, started, out in rows.itertuples(index=False):
        yield Fault(node, check, started.to_pydatetime(), bool(out))


def scores(remembered: Memory, swaps: Sequence[Swap]) -> list[Score]:
    """Of all nodes, the worst first: who is unusual shows beside the others only."""
    again = [(node, night.started) for night in remembered.nights for node in night.again]
    fleet = remembered.frame("nodes", ["node"])["node"].nunique()
    return of_faults(faults(remembered), repairs(swaps, again), fleet=fleet)

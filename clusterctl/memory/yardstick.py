"""A part's own past as findings: what is worse than it was, and what was swapped."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.memory import identity
from clusterctl.memory.cache import Memory, memory
from clusterctl.memory.digest import fingerprints, tonight
from clusterctl.memory.folder import open_folder
from clusterctl.memory.past import LEAST_NIGHTS, SIGMAS, Worse, worse
from clusterctl.memory.quantities import Quantity, quantities
from clusterctl.memory.series import Tonight, series
from clusterctl.model import (
    Finding,
    Node,
    Observation,
    Playbook,
    Severity,
    Status,
    UserError,
    Verdict,
)

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

LOOK_BACK_DAYS = 120  # sixty nights, and room for a holiday
PAGES = ((70, 30.4, "months"), (13, 7.0, "weeks"), (0, 1.0, "days"))


@dataclass(frozen=True, slots=True)
class OwnPast:
    """What the runs of a folder say of a night that begins `at`; see judge.OwnPast.

    `checks`: whose findings these may be.  Where there is no past, or none that can be read,
    nothing is compared and nothing is said.
    """

    runs_dir: Path
    checks: Collection[str]
    at: datetime

    def __call__(self, nodes: Sequence[Node], seen: Sequence[Observation]) -> list[Finding]:
        if not any(self.runs_dir.glob("*[!l]/run.json")):  # .partial: nothing has ended yet
            return []
        since = self.at - timedelta(days=LOOK_BACK_DAYS)
        try:
            known = memory(open_folder(self.runs_dir), since=since, until=self.at)
            before = tuple(one for one in known.nights if one.started < self.at)
            labels = {node.name: dict(node.labels) for node in nodes}
            now = Tonight(self.at, tonight(seen))
            return compared(replace(known, nights=before), now, labels, self.checks)
        except (UserError, OSError) as error:
            log.warning("%s: nothing was compared with its own past", error)
            return []


def own_past(runs_dir: Path, playbook: Playbook, at: datetime) -> OwnPast:
    return OwnPast(runs_dir, frozenset(check.name for check in playbook.checks), at)


def compared(
    known: Memory, now: Tonight, labels: Mapping[str, Mapping[str, str]], checks: Collection[str]
) -> list[Finding]:
    """What was swapped, and what is worse than it was, of the parts that were read tonight."""
    if not known.nights:
        return []
    found = list(swapped(known, now))
    for quantity in quantities():
        if quantity.check in checks and quantity.table in now.tables:
            told = series(known, quantity, tonight=now)
            if told.nights and told.nights[-1] == now.at:
                decayed = worse(told, labels, quantities=len(quantities()))
                found += [finding(one, labels) for one in decayed]
    return found


# --------------------------------------------------------------------------- decay


def finding(one: Worse, labels: Mapping[str, Mapping[str, str]]) -> Finding:
    quantity, shared = one.quantity, what_is_shared(one, labels)
    unit = f" {quantity.unit}".rstrip()
    course = words(one)
    remedy = quantity.remedy
    if shared:
        remedy = f"look at what {shared} shares (power, switch, image) first; then: {remedy}"
        course = f"{one.count} like parts of {len(one.nodes)} nodes together: {course}"
    return Finding(
        quantity.check,
        Verdict(
            ",".join(one.nodes),
            shared or " ".join(one.parts),
            Status.WARN,
            expected=f"about {one.before:.4g}{unit}, as on {one.known} nights before",
            actual=f"{one.now:.4g}{unit}",
            why=course,
            remedy=remedy,
            severity=Severity.OBSERVE,
            source=f"{quantity.source}; beyond {SIGMAS:g} sigma of its own nights on "
            f"{one.nights} nights in a row, of at least {LEAST_NIGHTS}",
            yardstick="past",
        ),
    )


def what_is_shared(one: Worse, labels: Mapping[str, Mapping[str, str]]) -> str:
    """A label, all nodes; empty: it is about one node."""
    if one.level in {"part", "node"}:
        return ""
    if one.level == "model":
        return "all nodes"
    return f"{one.level}={labels[one.nodes[0]][one.level]}"


def words(one: Worse) -> str:
    """H2D down 6 % in 3 weeks; core temperature up 7 °C since 2026-11-02."""
    when = f"since {one.since:%Y-%m-%d}" if one.sudden else f"in {span(one)}"
    return f"{amount(one.quantity, one.change)} {when}"


def amount(quantity: Quantity, change: float) -> str:
    match quantity.scale:
        case "ratio":
            share = 1 - exp(-change) if quantity.bad == "down" else exp(change) - 1
            return f"{quantity.says} {quantity.bad} {100 * share:.0f} %"
        case "decades":
            return f"{10**change:.0f} times as many {quantity.says}"
    return f"{quantity.says} {quantity.bad} {change:.3g} {quantity.unit}".rstrip()


def span(one: Worse) -> str:
    days = max((one.until - one.since).total_seconds() / 86400, 1.0)
    length, word = next((length, word) for least, length, word in PAGES if days >= least)
    return f"{max(round(days / length), 2)} {word}"


# --------------------------------------------------------------------------- swaps


def swapped(remembered: Memory, now: Tonight) -> Iterator[Finding]:
    """What sits tonight where something else sat when its node was last seen.

    The night after, what still sits there passes: a swap is told once.
    """
    prints = fingerprints(now.tables)
    found = [identity.finding(one) for one in swaps_tonight(remembered, now, prints)]
    yield from found
    told = remembered.frame("bad", ["node", "part"], check=[identity.SWAPPED])
    told = told[["node", "part"]].astype("str").drop_duplicates()
    new = {(one.verdict.node, one.verdict.part) for one in found}
    seen = set(prints["node"])
    for node, part in told.itertuples(index=False, name=None):
        if node in seen and (node, part) not in new:
            same = Verdict(node, part, Status.PASS, actual="as last night", yardstick="past")
            yield Finding(identity.SWAPPED, same)


def swaps_tonight(
    remembered: Memory, now: Tonight, prints: Mapping[str, Sequence[object]]
) -> Iterator[identity.Swap]:
    import pandas as pd  # noqa: PLC0415 - half a second that only memory pays

    before = remembered.frame("identity", ["node", "kind", "print"])
    before = before.sort_values("started").drop_duplicates(["node", "kind"], keep="last")
    texts = {"node": "str", "kind": "str"}
    both = before.astype(texts).merge(
        pd.DataFrame(prints).astype(texts), on=["node", "kind"], suffixes=("", "_now")
    )
    changed = both[both["print"] != both["print_now"]]
    for kind, word in identity.KINDS.items():
        here = changed[changed["kind"] == kind]
        if here.empty:
            continue
        was = remembered.only(set(here["run"].astype("str")))
        rows = was.frame(kind, identity.COLUMNS, node=set(here["node"]))
        new = now.tables[kind]
        new = new.loc[new["node"].isin(set(here["node"])), list(identity.COLUMNS)]
        new = new.assign(started=pd.Timestamp(now.at).tz_convert("UTC"))
        found = identity.swapped(newest_of(rows, new), word)
        yield from (one for one in found if one.since == now.at)


def newest_of(rows: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """The last look at each node, and the one of tonight."""
    import pandas as pd  # noqa: PLC0415 - see swaps_tonight

    names = ["started", *identity.COLUMNS]
    last = rows["started"] == rows.groupby("node", observed=True)["started"].transform("max")
    texts = dict.fromkeys(identity.COLUMNS, "str")
    return pd.concat([rows.loc[last, names].astype(texts), new[names].astype(texts)])

"""The past as sheets: a node's nights, a check's findings, who keeps coming back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from clusterctl.memory.identity import Swap
from clusterctl.memory.lemon import Repair, Score
from clusterctl.memory.story import Stretch, Trace
from clusterctl.report.folding import fold_parts, spread
from clusterctl.report.sheets import Sheet


def day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"


def nights_sheet(node: str, told: Sequence[Stretch]) -> Sheet:
    rows = [
        (
            day(one.first.started),
            day(one.last.started),
            one.nights,
            one.status,
            "; ".join(
                f"{status.upper()} {check} {fold_parts(p for part in parts for p in spread(part))}"
                for check, status, parts in one.wrong
            )
            or "nothing to act on",
        )
        for one in reversed(told)
    ]
    title = f"{node}: nights, the last first"
    return Sheet("nights", title, ("from", "to", "nights", "status", "what"), rows)


def findings_sheet(title: str, told: Iterable[Trace]) -> Sheet:
    columns = (
        *("node", "check", "part", "status", "worst", "since", "last", "bad_nights"),
        *("judged_nights", "episodes", "expected", "last_said"),
    )
    rows = [
        (
            *(one.node, one.check, one.part, one.now, one.worst, day(one.first), day(one.last)),
            *(one.bad, one.judged, one.episodes, one.expected, one.said),
        )
        for one in told
    ]
    shown = ("node", "check", "part", "status", "since", "last", "bad_nights", "last_said")
    return Sheet("findings", title, columns, rows, shown)


def swaps_sheet(told: Iterable[Swap]) -> Sheet:
    rows = [(day(one.since), one.node, one.part, one.old, one.new, one.words) for one in told]
    return Sheet("swaps", "swapped", ("since", "node", "part", "before", "now", "what"), rows)


def repairs_sheet(told: Iterable[Repair]) -> Sheet:
    rows = [(day(one.at), one.node, one.what) for one in told]
    return Sheet("repairs", "repairs, burns and drains", ("at", "node", "what"), rows)


def lemons_sheet(told: Iterable[Score]) -> Sheet:
    columns = ("node", "score", "faults", "checks", "out_nights", "repairs", "last", "evidence")
    rows = [
        (
            *(one.node, one.score, one.episodes, one.distinct, one.out_nights, one.repairs),
            *(day(one.last) if one.last else "", "; ".join(one.signals)),
        )
        for one in told
    ]
    return Sheet("lemons", "", columns, rows)

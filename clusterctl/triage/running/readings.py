"""What `remote/look_at_job.py` says of one node, as data.  Pure.

It prints a JSON object a line and an end mark, as `remote/watch_gpus.py` does.  One bad line costs
that line, a Trouble; a missing end mark is seen; nothing here raises, whatever a node prints.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

from clusterctl.model import Kind, Trouble
from clusterctl.spelling import visible
from clusterctl.triage.running.observed import (
    STATES,
    Counters,
    Limit,
    Link,
    Look,
    Mark,
    Process,
    Seen,
)

Cells = Mapping[str, object]
MOST_LOOKS = 100_000
BOUND = 1 << 70  # what no kernel counts to
MOST_TROUBLES = 20  # of one node


def read(node: str, stdout: str) -> Seen:
    """What a node said to look_at_job."""
    seen = Seen(node)
    foreign: Cells = {}
    ranks: list[Process] = []
    links: list[Link] = []
    troubles: list[Trouble] = []
    odd: list[str] = []
    for row in rows(stdout):
        if isinstance(row, Trouble):
            troubles.append(row)
            continue
        match row.get("k"):
            case "node":
                seen = whole(seen, row)
            case "counters":
                before, after = table(row, "before"), table(row, "after")
                grown = between(before, after, resets=True)
                now = {name[4:]: one for name, one in after.items() if name.startswith("now.")}
                seen = replace(seen, spent=grown, now=now)
            case "foreign":
                foreign = row
            case "rank":
                ranks.append(process(node, row))
            case "link":
                links.append(link(node, row))
            case "cost":
                pass  # for whoever measures what looking takes
            case "trouble":
                troubles.append(Trouble(Kind.DENIED, text(row, "detail"), text(row, "what")))
            case other:
                odd.append(visible(str(other), 60))
    return replace(
        seen,
        ranks=tuple(ranks),
        links=tuple(links),
        troubles=tuple(few(troubles, odd)),
        foreign=tuple(strangers(foreign, seen.ticks)),
    )


def few(troubles: list[Trouble], odd: list[str]) -> Iterator[Trouble]:
    """The last ones tell how it ended; `odd`: kinds of rows that we do not know."""
    if odd:
        yield Trouble(Kind.UNREADABLE, f"{len(odd)} rows are of no kind of ours: {odd[0]}")
    if len(troubles) > MOST_TROUBLES:
        yield Trouble(Kind.UNREADABLE, f"{len(troubles) - MOST_TROUBLES} troubles before these")
    yield from troubles[-MOST_TROUBLES:]


def rows(stdout: str) -> Iterator[dict[str, object] | Trouble]:
    """The objects before the end mark, then a Trouble for all lines that are none."""
    count, ended, bad, first = 0, False, 0, ""
    for line in stdout.split("\n"):
        if not line:
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or ended:
            bad, first = bad + 1, first or visible(line, 80)
        elif row.get("k") == "end":
            ended = True
            if row.get("rows") != count:
                yield Trouble(
                    Kind.CUT,
                    f"{count} rows came where {visible(repr(row.get('rows')), 40)} were sent",
                )
        else:
            count += 1
            yield row
    if bad:
        yield Trouble(Kind.UNREADABLE, f"{bad} lines are no rows of ours: {first}")
    if not ended:
        yield Trouble(Kind.CUT, f"the answer ends after {count} rows")


# ----------------------------------------------------------------------------- cells


def number(row: Cells, name: str) -> float | None:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < BOUND else None  # NaN is not, either


def count(row: Cells, name: str) -> int | None:
    value = number(row, name)
    return None if value is None or value != int(value) else int(value)


def text(row: Cells, name: str, most: int = 200) -> str:
    value = row.get(name)
    return visible(value, most) if isinstance(value, str) else ""


def table(row: Cells, name: str) -> dict[str, float]:
    """The numbers of an object within the row."""
    value = row.get(name)
    if not isinstance(value, dict):
        return {}
    found = {str(key): number(value, key) for key in value}
    return {key: one for key, one in found.items() if one is not None}


def between(before: Counters, after: Counters, *, resets: bool = False) -> dict[str, float]:
    """What was added; with `resets`, counters that went back are left out."""
    return {
        name: value - before[name]
        for name, value in after.items()
        if name in before and not (resets and value < before[name])
    }


def listed(row: Cells, name: str) -> list[object]:
    value = row.get(name)
    return value[:MOST_LOOKS] if isinstance(value, list) else []


# ----------------------------------------------------------------------------- rows


def whole(seen: Seen, row: Cells) -> Seen:
    return replace(
        seen,
        cpus=max(1, count(row, "cpus") or 1),
        seconds=max(0.0, number(row, "seconds") or 0.0),
        ticks=max(1.0, number(row, "ticks") or 100.0),
    )


def process(node: str, row: Cells) -> Process:
    before, after = table(row, "before"), table(row, "after")
    same = bool(before) and bool(after) and before.get("start") == after.get("start")
    return Process(
        node,
        pid=count(row, "pid") or 0,
        rank=count(row, "rank"),
        label=text(row, "label", 40),
        job=text(row, "job", 400),
        name=text(row, "name", 40),
        world=count(row, "world"),
        local=count(row, "local"),
        parallel=table(row, "parallel"),
        log=text(row, "log"),
        devices=tuple(visible(one, 40) for one in listed(row, "devices") if isinstance(one, str)),
        visible=text(row, "visible"),
        spent=between(before, after, resets=True) if same else None,
        first_half=between(before, table(row, "middle"), resets=True) if same else None,
        crew=count(row, "crew") or 0,
        crew_spent=between(table(row, "crew_before"), table(row, "crew_after"), resets=True),
        crew_looks=table(row, "crew_looks"),
        looks=tuple(looks(listed(row, "looks"))),
        limit=limit(row),
    )


def looks(told: list[object]) -> Iterator[Look]:
    for one in told:
        if not isinstance(one, list) or len(one) != 7:
            continue
        cells = dict(enumerate(one))
        named = {str(place): cell for place, cell in cells.items()}
        moment, state = count(named, "0"), cells[1]
        if moment is not None and isinstance(state, str) and (state in STATES or not state):
            yield Look(
                moment,
                state,
                number(named, "2"),
                number(named, "3"),
                count(named, "4") or 0,
                count(named, "5") or 0,
                number(named, "6") or 0.0,
            )


def limit(row: Cells) -> Limit | None:
    early, late = row.get("limit_before"), row.get("limit_after")
    if not isinstance(early, dict) or not isinstance(late, dict):
        return None
    grown = between(table(row, "limit_before"), table(row, "limit_after"), resets=True)
    if early.get("group") != late.get("group") or "us" not in grown:
        return None
    times = int(grown.get("times", 0))
    return Limit(grown["us"] / 1e6, times, number(late, "allowed"), text(late, "group"))


def link(node: str, row: Cells) -> Link:
    before, after = table(row, "before"), table(row, "after")
    late = row.get("after")
    named = late if isinstance(late, dict) else {}
    return Link(
        node,
        pid=count(row, "pid") or 0,
        near=text(named, "near", 60),
        far=text(named, "far", 60),
        looks=count(row, "looks") or 0,
        rtt_us=number(row, "rtt_us") or 0.0,
        rtt_least_us=after.get("rtt_least_us") or None,
        unsent=number(row, "unsent") or 0.0,
        spent=between(before, after, resets=True),
        marks=dict(marks(listed(row, "marks"))),
        mss_bytes=max(0.0, after.get("mss", 0.0)) or None,
    )


def marks(told: list[object]) -> Iterator[tuple[int, Mark]]:
    for one in told:
        if isinstance(one, list) and len(one) == 5:
            cells = [count({"one": cell}, "one") for cell in one]
            moment, *rest = [cell for cell in cells if cell is not None]
            if len(rest) == 4:
                yield moment, Mark(*rest)


def strangers(row: Cells, ticks: float) -> Iterator[tuple[str, int, float]]:
    for one in listed(row, "most"):
        if isinstance(one, list) and len(one) == 3 and isinstance(one[0], str):
            cells = {"1": one[1], "2": one[2]}
            yield visible(one[0], 40), count(cells, "1") or 0, (number(cells, "2") or 0.0) / ticks

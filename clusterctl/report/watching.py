"""A job that is watched: its nodes line by line, and what happens, as sentences and as data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from rich.cells import cell_len, set_cell_size

from clusterctl.inventory.ranges import fold
from clusterctl.spelling import visible
from clusterctl.triage.watching.state import Event, What
from clusterctl.triage.watching.watched import Job, Watched

Cells = tuple[str, str, str, str, str, str]
HEAD: Cells = ("node", "step", "clear", "sent", "busy", "says")
NAME_MOST = 40
SAID = 160
UNITS = ((1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s"))


@dataclass(frozen=True, slots=True)
class Covered:
    """What the ring has: from when to when, and how much; None: nothing yet.  `why`: of `lost`."""

    span: tuple[datetime, datetime] | None
    size_bytes: int
    lost: int
    why: str = ""


# ----------------------------------------------------------------------------- the live screen


def lines(
    job: Job,
    at: float,
    covered: Covered,
    *,
    room: int,
    width: int,
    said: Callable[[str], str] = str,
) -> list[str]:
    """One a node, equal ones folded where they outnumber `room`, and what they say together."""
    told = [(one.name, cells(one)) for one in job.nodes.values()]
    rows: list[Cells] = [(name, *rest) for name, rest in told]
    if len(rows) > max(1, room - 3):
        rows = folded(told)
        if len(rows) > room - 3:
            left = sum(1 for _ in rows) - max(1, room - 4)
            rows = [
                *rows[: max(1, room - 4)],
                (said(f"… and {left} more lines"), "", "", "", "", ""),
            ]
    head = tuple(said(one) for one in HEAD)
    shown = [head, *((*row[:5], said(row[5])) for row in rows)]
    sizes = [min(NAME_MOST, max(cell_len(row[at]) for row in shown)) for at in range(5)]
    found = []
    for row in shown:
        text = "  ".join(set_cell_size(cell, size) for cell, size in zip(row, sizes, strict=False))
        found.append(fitted(f"{text}  {row[5]}", width))
    return [*found, fitted(said(together(job, at)), width), fitted(said(ring(covered)), width)]


def fitted(text: str, width: int) -> str:
    return (text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…").rstrip()


def cells(one: Watched) -> tuple[str, str, str, str, str]:
    period = one.heard.period
    return (
        span(period.seconds) if period else "-",
        f"{period.confidence:.0%}" if period else "-",
        rate(one),
        busy(one),
        says(one),
    )


def says(one: Watched) -> str:
    if one.silent:
        why = f": {visible(str(one.trouble), SAID)}" if one.trouble else ""
        return f"silent{why}"
    if one.heard_at is None:
        return "connecting"
    if one.idle_since is not None:
        return "no rank runs here"
    if one.heard.period is None:
        return "no period seen" if one.heard.channel or one.heard.moves else "listening"
    ranks = len(one.ranks)
    return f"{ranks} ranks" if ranks != 1 else "1 rank"


def folded(told: Iterable[tuple[str, tuple[str, str, str, str, str]]]) -> list[Cells]:
    """The fewest first: who differs is what one looks for."""
    groups: defaultdict[tuple[str, str], list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
    for name, rest in told:
        groups[rest[0], rest[4]].append((name, rest))
    rows: list[Cells] = []
    for (step, word), members in sorted(groups.items(), key=lambda one: len(one[1])):
        names = fold([name for name, _ in members])
        same = [
            values.pop() if len(values := {rest[at] for _, rest in members}) == 1 else "…"
            for at in (1, 2, 3)
        ]
        rows.append((f"{names} ({len(members)})", step, same[0], same[1], same[2], word))
    return rows


def rate(one: Watched) -> str:
    """Of bytes, over the latest seconds."""
    told = [
        sum(looks.added[-RECENT:]) / max(looks.times[-1] - looks.times[-1 - got], 1e-9)
        for name in ("sent", "rdma")
        if (looks := one.channels.get(name)) and (got := min(RECENT, len(looks.added)))
    ]
    if not told or one.silent:
        return "-"
    most = sum(told)
    return next((f"{most / unit:.3g} {name}" for unit, name in UNITS if most >= unit), "0")


RECENT = 100  # looks


def busy(one: Watched) -> str:
    """What accelerators say of themselves, else how much of a processor main threads take."""
    if one.use_percent is not None:
        return f"GPU {one.use_percent:.0f} %"
    looks = one.channels.get("cpu")
    if not looks or one.silent or not one.ranks or not looks.added:
        return "-"
    got = min(RECENT, len(looks.added))
    spent_s = sum(looks.added[-got:]) / 1e6 / len(one.ranks)
    return f"CPU {100 * spent_s / max(looks.times[-1] - looks.times[-1 - got], 1e-9):.0f} %"


def together(job: Job, at: float) -> str:
    heard = sum(not one.silent and one.heard_at is not None for one in job.nodes.values())
    return f"{standing(job)} · {heard} of {len(job.nodes)} nodes heard · {minutes(at - job.began)}"


def standing(job: Job) -> str:
    """What is known of the step time now, in a sentence."""
    state = job.state
    if state.step_s is None:
        known = f" around {span(state.hint_s)}" if state.hint_s else ""
        return f"learning the step time{known}"
    if state.now_s is None:
        return f"no period seen now: unknown; steps took {span(state.step_s)}"
    more = state.now_s / state.step_s - 1
    return f"step {span(state.now_s)}, {more:+.0%} against the {span(state.step_s)} learnt"


def ring(covered: Covered) -> str:
    if covered.span is None:
        return f"the ring is empty{unwritten(covered)}"
    first, last = (clock(one) for one in covered.span)
    return (
        f"the ring covers {first} to {last}, {covered.size_bytes / 1e6:.1f} MB{unwritten(covered)}"
    )


def unwritten(covered: Covered) -> str:
    return f"; {covered.lost} lines could not be written: {covered.why}" if covered.lost else ""


# ----------------------------------------------------------------------------- what happens


def span(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.3g} s"


def minutes(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def clock(when: datetime) -> str:
    """As the clock on the operator's wall."""
    return f"{when.astimezone():%Y-%m-%d %H:%M:%S}"


def sentence(event: Event) -> str:
    before, now = span(event.before_s), span(event.now_s)
    lasted = minutes(event.at - event.since)
    if event.what is What.BACK:
        return f"steps are back at {now}"
    if event.what is What.LEARNT:
        if event.before_s is None:
            return f"steps take {now}: from here on this is what they are compared with"
        return f"steps take {now} now, {before} before: compared with this from here on"
    if event.what is What.STALLED:
        done = "" if event.work is None else f", and {event.work:.0%} of the work is done"
        return f"no steps of {before} are seen any more for {lasted}{done}"
    times = f"{event.times:.2f} times as long" if event.times else "another time"
    return f"steps take {now} for {lasted}, {before} before: {times}"


def as_row(event: Event) -> dict[str, object]:
    return {
        "event": str(event.what),
        "step_s": rounded(event.now_s),
        "before_s": rounded(event.before_s),
        "times": rounded(event.times),
        "work": rounded(event.work),
        "lasted_s": rounded(event.at - event.since),
    }


def rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def as_state(job: Job, covered: Covered) -> Mapping[str, object]:
    """All of it now: `schema` 1; null: not seen."""
    spans = [one.isoformat(timespec="seconds") for one in covered.span or ()]
    return {
        "event": "state",
        "mood": str(job.state.mood),
        "step_s": rounded(job.state.now_s),
        "learnt_s": rounded(job.state.step_s),
        "ring": {"from": spans[0], "to": spans[1]} if spans else None,
        "nodes": {one.name: of_node(one) for one in job.nodes.values()},
    }


def of_node(one: Watched) -> Mapping[str, object]:
    period = one.heard.period
    return {
        "step_s": rounded(period.seconds) if period else None,
        "confidence": rounded(period.confidence) if period else None,
        "channel": one.heard.channel or None,
        "ranks": len(one.ranks),
        "silent": one.silent,
        "trouble": str(one.trouble) if one.trouble else None,
        "cost": rounded(one.cost),
    }

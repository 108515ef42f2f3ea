"""How far a campaign is: one line a node, folded where nodes outnumber lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile

from rich.cells import cell_len, set_cell_size

from clusterctl.campaign.decisions import Case, stage_of, wanted_s
from clusterctl.inventory.ranges import fold
from clusterctl.model import Playbook
from clusterctl.spelling import visible

ERRORS = ("ecc_uncorrected_volatile", "remapped_uncorrected")
NAME, STAGE, BURNT = (10, 48), (5, 16), (8, 20)  # narrowest and widest
METERS, VERDICT = 21, 18  # cells of the columns of numbers, and of the least of a verdict
WIDE = 1 << 16  # for whoever reads it from a file
SAID = 300  # characters of what a node or a check said
Cells = tuple[str, ...]
Say = Callable[[str], str]  # what is laid out in columns is told before it is
HEAD: Cells = ("node", "stage", "burnt", "W", "°C", "errors", "verdict so far")


def lines(
    cases: Iterable[Case], playbook: Playbook, room: int, width: int = WIDE, say: Say = str
) -> list[str]:
    """`room`: how many lines there may be, the head and the sum among them; `width`: in cells."""
    known = list(cases)
    free, ends = max(1, room - 2), [total(known, playbook)]
    if len(known) <= free:
        shown = [line(case, playbook) for case in known]
    else:
        groups = alike(known, playbook)
        cut = groups if len(groups) <= free else groups[: free - 1]
        shown = [group_line(group, playbook) for group in cut]
        if left := sum(map(len, groups[len(cut) :])):
            ends.insert(0, f"… and {left} more nodes")
    rows = [(row[0], say(row[1]), *row[2:6], say(row[6])) for row in shown]
    head = tuple(map(say, HEAD))
    return [*laid_out([head, *rows], width), *(fitted(say(one), width).rstrip() for one in ends)]


def laid_out(rows: Sequence[Cells], width: int) -> list[str]:
    """Columns as wide as they need, within their bounds, and nothing beyond `width`."""
    bounds = (NAME, STAGE, BURNT)
    sizes = [
        min(most, max(least, *(cell_len(row[at]) for row in rows)))
        for at, (least, most) in enumerate(bounds)
    ]
    sizes[0] = max(NAME[0], min(sizes[0], width - sum(sizes[1:]) - METERS - VERDICT))
    found = []
    for row in rows:
        name, stage, burnt = named(row[0], sizes[0]), fitted(row[1], sizes[1]), row[2]
        burnt = set_cell_size(burnt, max(sizes[2], cell_len(burnt)))
        watts, hottest, errors = right(row[3], 6), right(row[4], 3), right(row[5], 6)
        text = f"{name} {stage} {burnt} {watts} {hottest} {errors}  {row[6]}"
        found.append(fitted(text, width).rstrip())
    return found


def right(text: str, size: int) -> str:
    return " " * (size - cell_len(text)) + text


def fitted(text: str, size: int) -> str:
    """Just so wide; what is cut says so."""
    if cell_len(text) <= size:
        return set_cell_size(text, size) if size < WIDE else text
    return set_cell_size(text, size - 1) + "…"


def named(text: str, size: int) -> str:
    """The number at the end tells nodes apart, and the count after a bracket how many they are."""
    if cell_len(text) <= size:
        return set_cell_size(text, size)
    head, mark, tail = text.rpartition(" (")
    if mark:
        return fitted(head, size - cell_len(mark + tail)) + mark + tail
    keep = text
    while cell_len(keep) >= size:
        keep = keep[1:]
    return set_cell_size("…" + keep, size)


def stage(case: Case, playbook: Playbook) -> str:
    if case.phase != "burn":
        return case.phase
    number = stage_of(case, playbook)
    return playbook.stages[number].trial.name if number < len(playbook.stages) else "soak"


def so_far(case: Case) -> str:
    if case.refused:
        return f"refused: {case.refused}"
    if case.failed:
        return f"fails: {case.why}"
    if case.trouble:
        return f"in trouble: {case.trouble}"
    return case.verdict or case.why or "ok so far"


def line(case: Case, playbook: Playbook) -> Cells:
    burnt = share(case.course.burnt_s, wanted_s(case, playbook))
    watts, hottest, errors = meters(case)
    where = stage(case, playbook)
    told = visible(so_far(case), SAID)
    return (case.node.name, where, burnt, number(watts), number(hottest), number(errors), told)


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value < 99_999.5 else f"{value / 1000:.0f}k"


def share(burnt_s: float, wanted_s: float) -> str:
    """Burnt of what is wanted, in one unit."""
    if max(burnt_s, wanted_s) < 360:
        return f"{burnt_s:.0f}/{wanted_s:.0f} s"
    return f"{burnt_s / 3600:.1f}/{wanted_s / 3600:.1f} h"


def hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 360 else f"{seconds:.0f} s"


def meters(case: Case) -> tuple[float | None, float | None, float | None]:
    """Watts of all accelerators, the hottest °C, and uncorrected errors; None: nobody says."""
    # What is no accelerator's comes after them, as files.
    of_devices = takewhile(lambda item: not item[0].startswith("/"), case.course.sampled.pairs())
    named = [
        (name.rpartition(".")[2], value)
        for name, value in of_devices
        if isinstance(value, int | float) and name.startswith(("gpu", "npu"))
    ]
    watts = [value for name, value in named if name == "power_w"]
    heat = [value for name, value in named if name in {"temp_c", "temp_memory_c"}]
    errors = [value for name, value in named if name in ERRORS]
    return (
        sum(watts) if watts else None,
        max(heat) if heat else None,
        sum(errors) if errors else None,
    )


def alike(cases: Sequence[Case], playbook: Playbook) -> list[list[Case]]:
    """Nodes of which the same is to be said, those that fail first."""
    found: defaultdict[tuple[bool, str, str], list[Case]] = defaultdict(list)
    for case in cases:
        bad = case.failed or bool(case.refused or case.trouble)
        found[not bad, stage(case, playbook), so_far(case)].append(case)
    return [group for _, group in sorted(found.items(), key=lambda one: one[0])]


def group_line(group: Sequence[Case], playbook: Playbook) -> Cells:
    """The least that any of them was burnt, watts of all together, the hottest, all errors."""
    if len(group) == 1:
        return line(group[0], playbook)
    watts, heat, errors = (
        [value for value in column if value is not None]
        for column in zip(*map(meters, group), strict=True)
    )
    burnt = [case.course.burnt_s for case in group]
    least = share(min(burnt), max(wanted_s(case, playbook) for case in group))
    return (
        f"{fold([case.node.name for case in group])} ({len(group)})",
        stage(group[0], playbook),
        least if min(burnt) == max(burnt) else f"≥ {least}",
        number(sum(watts) if watts else None),
        number(max(heat, default=None)),
        number(sum(errors) if errors else None),
        visible(so_far(group[0]), SAID),
    )


def total(cases: Sequence[Case], playbook: Playbook) -> str:
    over = sum(case.phase == "done" for case in cases)
    failed = sum(case.failed or bool(case.refused) for case in cases)
    left_s = [
        max(0.0, wanted_s(case, playbook) - case.course.burnt_s)
        for case in cases
        if case.phase in {"gate", "burn"}
    ]
    eta = f"; ETA {hours(min(left_s))}, for the last {hours(max(left_s))}" if left_s else ""
    return f"{over} of {len(cases)} over, {failed} failed or refused{eta}"

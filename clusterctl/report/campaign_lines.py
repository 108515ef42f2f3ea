"""How far a campaign is: one line a node, folded where nodes outnumber lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from clusterctl.campaign import Case, stage_of, wanted_s
from clusterctl.inventory.ranges import fold
from clusterctl.model import Playbook

HEAD = f"{'node':<14} {'stage':<16} {'burnt':>15} {'W':>6} {'°C':>4} {'errors':>6}  so far"
ERRORS = ("ecc_uncorrected_volatile", "remapped_uncorrected")


def lines(cases: Iterable[Case], playbook: Playbook, room: int) -> list[str]:
    """`room`: how many lines there may be, the head and the sum among them."""
    known = list(cases)
    shown = [line(case, playbook) for case in known]
    if len(shown) + 2 > room:
        shown = folded(known, playbook)[: max(1, room - 2)]
    return [HEAD, *shown, total(known, playbook)]


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
        return f"silent: {case.trouble}"
    return case.verdict or case.why or "ok so far"


def line(case: Case, playbook: Playbook) -> str:
    burnt = f"{hours(case.course.burnt_s)} of {hours(wanted_s(case, playbook))}"
    watts, hottest, errors = meters(case)
    cells = (case.node.name, stage(case, playbook), burnt, watts, hottest, errors, so_far(case))
    return "{:<14} {:<16} {:>15} {:>6} {:>4} {:>6}  {}".format(*cells)


def hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 360 else f"{seconds:.0f} s"


def meters(case: Case) -> tuple[str, str, str]:
    """Watts of all accelerators, the hottest °C, and uncorrected errors; "-": nobody says."""
    values = case.course.sample.values if case.course.sample else {}
    named = [
        (name.rpartition(".")[2], value)
        for name, value in values.items()
        if isinstance(value, (int, float)) and name.startswith(("gpu", "npu"))
    ]
    watts = [value for name, value in named if name == "power_w"]
    heat = [value for name, value in named if name in {"temp_c", "temp_memory_c"}]
    errors = [value for name, value in named if name in ERRORS]
    return (
        f"{sum(watts):.0f}" if watts else "-",
        f"{max(heat):.0f}" if heat else "-",
        f"{sum(errors):.0f}" if errors else "-",
    )


def folded(cases: Sequence[Case], playbook: Playbook) -> list[str]:
    """Alike nodes in one line, those that fail first."""
    alike: defaultdict[tuple[bool, str, str], list[Case]] = defaultdict(list)
    for case in cases:
        bad = case.failed or bool(case.refused or case.trouble)
        alike[not bad, stage(case, playbook), so_far(case)].append(case)
    return [
        f"{fold([case.node.name for case in group]):<31} "
        f"{hours(min(case.course.burnt_s for case in group)):>8} at least  {group_stage}: {said}"
        for (_, group_stage, said), group in sorted(alike.items(), key=lambda one: one[0])
    ]


def total(cases: Sequence[Case], playbook: Playbook) -> str:
    over = sum(case.phase == "done" for case in cases)
    failed = sum(case.failed or bool(case.refused) for case in cases)
    left_s = [
        wanted_s(case, playbook) - case.course.burnt_s
        for case in cases
        if case.phase in {"gate", "burn"}
    ]
    eta = f"; {hours(max(0.0, *left_s))} of burning left at least" if left_s else ""
    return f"{over} of {len(cases)} over, {failed} failed or refused{eta}"

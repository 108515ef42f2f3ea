"""What a node that still burns has shown against itself already, judged as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from clusterctl.campaign import sampled, stressors
from clusterctl.campaign.decisions import Case, Decision
from clusterctl.campaign.journal import Step
from clusterctl.campaign.verdict import (
    brought_nothing,
    every_stage,
    failing,
    heed_step,
    reading,
    result,
)
from clusterctl.limits import Sku
from clusterctl.model import Playbook, Status


@dataclass(frozen=True, slots=True)
class Bench:
    """What is judged by.  `path`: the campaign's folder."""

    path: Path
    book: Playbook
    skus: Sequence[Sku]
    now: datetime


def end_of(case: Case, by: Bench) -> Decision | None:
    """Why its load is over before its time; None: it goes on."""
    if by.book.keep_going:
        return None
    if why := samples_fail(case, by) or fails(case, by):
        return {"do": "end", "why": why, "failed": True}
    # A load that brings nothing, as often as is enough.
    for vain in stressors.findings(case.node.name, case.vain):
        hurt = vain.verdict.status is Status.FAIL
        return {"do": "end", "why": stressors.told(vain), "failed": hurt}
    return None


def samples_fail(case: Case, by: Bench) -> str:
    """What the samples prove already; looked at when there is news in them."""
    watched = case.course.watched
    if not watched.news:
        return ""
    watched.news = False
    before = reading(by.path, case.node, by.book, "before") or []
    seconds = (by.now - datetime.fromisoformat(case.times["gate"])).total_seconds()
    known = sampled.Known(case.node, before, watched)
    why = sampled.failing(known, by.book, by.skus, by.now, seconds=seconds)
    return why and f"samples: {why}"


def fails(case: Case, by: Bench) -> str:
    """Its steps, judged once each, in order."""
    stages = every_stage(by.book)
    new = [
        step
        for step in (*case.course.ended.values(), *case.course.soaked)
        if key_of(step) not in case.judged and step.identity not in case.empty
    ]
    before = (reading(by.path, case.node, by.book, "before") or []) if new else []
    about = [one for one in before if one.probe in {"nvml", "nvidia_smi"}]
    for step in new:
        case.judged.add(key_of(step))
        stage = stages.get(step.name)
        if stage is None:
            continue
        seen = result(case, stage, step, by.now)
        vain = heed_step(case, stage, step, seen)
        if stressors.crashed(vain) and not step.soak:
            case.empty.add(step.identity)  # it is tried again
            continue
        kinds = set(stage.trial.yields)
        checks = tuple(one for one in by.book.checks if kinds.issuperset(one.wants))
        if why := failing(case.node, replace(by.book, checks=checks), [*about, seen], by.skus):
            return f"{step.name}: {why}"
    return ""


def key_of(step: Step) -> str:
    return f"{step.identity}@{step.began_s}"


def judge_empty(case: Case, book: Playbook, now: datetime) -> None:
    """Attempts with partners that brought nothing are made again: the partner may be gone."""
    stages = every_stage(book)
    for order in case.orders:
        step = case.course.ended.get(order.identity)
        # Who was alone and brought nothing is judged once, in `fails`.
        if step is None or (step.name in stages and len(order.group) == 1):
            continue
        seen = step.name in stages and result(case, stages[step.name], step, now)
        if not seen or brought_nothing(order, seen):
            case.empty.add(order.identity)
    if case.soaks and was_soaking(case):
        case.empty.add(case.soaks[-1])


def was_soaking(case: Case) -> bool:
    """The newest soak was accepted, and is no more."""
    return case.soaks[-1] in case.course.soaks and case.course.soaking != case.soaks[-1]

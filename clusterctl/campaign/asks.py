"""What a node is asked next, by where it stands in the campaign."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from clusterctl.campaign import decisions, supervision
from clusterctl.campaign.decisions import Case, Decision
from clusterctl.model import Node, Playbook, Question
from clusterctl.transport.wire import module_source, remote_file


@dataclass(frozen=True, slots=True)
class Asking:
    """`leader`: who asks, see supervision.py.  `hurry`: a load that is stopped has no time to end.

    `nodes`: by name, for the partners of a step.
    """

    identity: str
    book: Playbook
    seed: int
    nodes: Mapping[str, Node]
    leader: Mapping[str, Any]
    hurry: bool = False


def questions(case: Case, by: Asking) -> list[Question]:
    at = case.course.size - (case.base or 0)
    fetch = supervision.fetch(by.identity, at, leader=by.leader)
    if case.phase == "ending":
        stop = supervision.stop(by.identity, now=by.hurry, leader=by.leader)
        return [fetch if case.halted else stop]
    if case.phase == "collecting":
        return [fetch if case.behind else supervision.collect(by.identity, at)]
    if case.words.get("alive") is False or not (case.words or at):
        plan = decisions.plan(case, by.book, by.seed, sources(case, by))
        return [supervision.start(by.identity, plan, leader=by.leader)]
    if not case.words:
        return [fetch]
    return [fetch, *(telling(order, by) for order in orders(case, by))]


def telling(order: Decision, by: Asking) -> Question:
    asked = supervision.tell(by.identity, order, leader=by.leader)
    return replace(asked, name=f"tell {order['id']}")


def orders(case: Case, by: Asking) -> Iterator[Decision]:
    for order in decisions.untold(case, by.book):
        asked = decisions.question(order, by.book, by.nodes, by.seed)
        yield {"do": "run", "id": order.identity, "step": decisions.as_step(asked)}
    soak = case.soaks[-1] if case.soaks else ""
    if soak not in {"", case.course.soaking, *case.empty}:
        asked_of = decisions.soak_questions(case.node, by.book, by.seed)
        steps = [decisions.as_step(one) for one in asked_of]
        yield {"do": "soak", "id": soak, "on": True, "steps": steps}


def sources(case: Case, by: Asking) -> dict[str, str]:
    asked = decisions.every_question(case.node, by.book, by.seed)
    found = {one.script: remote_file(f"{one.script}.py") for one in asked if one.script}
    found |= {name: module_source(name) for one in asked for name in one.modules}
    return found | {name: remote_file(name) for one in asked for name in one.files}

"""A campaign: what every node is told next, given its journal and what was decided before.

Decisions are lines of `decisions.jsonl`; each has `do`, `at`, and `node` unless it is for all:

    gate     the node may be loaded; `forced`: though somebody had it (`held`), for this reason
    bar      hours strict source earlier lacks looked: what --again demands, by its history
    refuse   why: it may not
    start    base: the journal that begins on the node comes after so many bytes of ours
    order    id stage group index: a step of that stage; `again`: one more follows; `beside`: so
             many begin it together
    soak     id
    lonely   stage why: nobody to run it with
    end      why failed stopped: the load is over here
    stopped  nothing of the campaign runs on the node, and we have all that it wrote
    read     the readings afterwards are kept
    done     why: nothing of the campaign is on the node; or it was given up, `left`
    reopen   an end that the operator asked for is taken back
    join     as: a node that came later, whole; unlist, relist: it left the inventory, it is back
    move     ways: how it is reached from now on, by the inventory
    outage   why: it was silent under load, and its BMC says this
    board    part, verdict: what its BMC said of a supply or fan under load
    verdict  decision rule: of a node that left a campaign that goes on

What was decided is on our disk before a node hears of it, so whoever resumes says the same again,
with the same ids; the node does each id once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from clusterctl.campaign.course import Course
from clusterctl.campaign.stressors import Rows
from clusterctl.model import Group, Node, Playbook, Question, Soak, Stage
from clusterctl.run import SLACK_S, planned

Decision = dict[str, Any]
ATTEMPTS = 3  # at a step that reboots, lost leases or absent partners cut short
OVERTIME = 1.5  # of what a node should take, until its supervisor stops by itself
SPARE_S = 3600.0


@dataclass(slots=True)
class Order:
    identity: str
    stage: int
    group: tuple[str, ...]
    index: int
    again: bool = False


@dataclass(slots=True)
class Case:
    """All that is known of a node.  `words`: the supervisor's state when we last heard of it."""

    node: Node
    course: Course = field(default_factory=Course)
    phase: str = "gate"  # burn, ending, reading, collecting, done
    base: int | None = None  # where in our journal the one on the node begins
    orders: list[Order] = field(default_factory=list)
    soaks: list[str] = field(default_factory=list)
    lonely: dict[int, str] = field(default_factory=dict)
    empty: set[str] = field(default_factory=set)  # orders whose answer held no fact
    judged: set[str] = field(default_factory=set)  # steps that were found not to fail
    vain: Rows = field(default_factory=dict)  # see stressors.py
    why: str = ""  # it was refused, ended, given up
    failed: bool = False
    stopped: bool = False
    refused: str = ""
    forced: str = ""
    held: str = ""  # by whom, where it was forced
    left: bool = False  # something may still be on the node
    words: Mapping[str, Any] = field(default_factory=dict)
    listed: bool = True  # in the inventory
    verdict: str = ""
    bar: Mapping[str, Any] | None = None  # of a node that is burnt again
    halted: bool = False  # the supervisor said that it is gone
    behind: bool = False  # the node has more of its journal than we
    trouble: str = ""
    silent_s: float | None = None  # since when, by our monotonic clock
    outages: list[str] = field(default_factory=list)  # what its BMC said when it was silent
    boards: dict[str, Mapping[str, str]] = field(default_factory=dict)  # by part, see boards.py
    times: dict[str, str] = field(default_factory=dict)  # decision -> when


def apply(case: Case, decision: Decision) -> None:
    case.times[decision["do"]] = decision["at"]
    match decision["do"]:
        case "order":
            case.orders.append(order(decision))
        case "soak":
            case.soaks.append(decision["id"])
        case "unlist" | "relist":
            case.listed = decision["do"] == "relist"
        case "bar":
            case.bar = decision
        case "outage" | "board":
            by_bmc(case, decision)
        case "verdict":
            case.verdict = f"{decision['decision']}: {decision['rule']}"
        case "lonely":
            case.lonely[decision["stage"]] = decision["why"]
        case "start":
            case.base, case.words = decision["base"], {}
            if case.base == case.course.size:
                case.course.last = None  # another journal follows
        case _:
            move(case, decision)


def by_bmc(case: Case, decision: Decision) -> None:
    if decision["do"] == "outage":
        case.outages.append(decision["why"])
    else:
        case.boards[decision["part"]] = decision["verdict"]


def move(case: Case, decision: Decision) -> None:
    """What brings it to another phase."""
    match decision["do"]:
        case "gate":
            case.phase, case.forced = "burn", decision.get("forced", "")
            case.held = decision.get("held", "")
        case "refuse":
            case.phase, case.refused = "done", decision["why"]
            case.stopped = decision.get("stopped", False)
        case "end":
            case.phase = "ending" if case.base is not None else "reading"
            case.why, case.failed = decision["why"], decision.get("failed", False)
            case.stopped = decision.get("stopped", False)
        case "stopped":
            case.phase = "reading"
        case "read":
            case.phase = "collecting" if case.base is not None else "done"
        case "done":
            case.phase, case.left = "done", decision.get("left", False)
            case.why = case.why or decision.get("why", "")
            case.base = case.base if case.left else None  # that journal may still be there
        case "reopen":
            case.phase = "burn" if "gate" in case.times else "gate"
            case.why, case.refused, case.stopped, case.left = "", "", False, False
            case.words, case.halted, case.behind = {}, False, False
            case.trouble, case.silent_s = "", None


def order(decision: Decision) -> Order:
    return Order(
        decision["id"],
        decision["stage"],
        tuple(decision["group"]),
        decision["index"],
        decision.get("again", False),
    )


# --------------------------------------------------------------------------- where a node stands


def is_open(case: Case, order: Order) -> bool:
    return order.identity not in case.course.ended and order.identity not in case.course.gone


def finished(case: Case, number: int) -> bool:
    mine = [order for order in case.orders if order.stage == number]
    if number in case.lonely:
        return True
    if not mine or any(is_open(case, order) for order in mine):
        return False
    ended = case.course.ended.keys() - case.empty
    last = [one for one in mine if not one.again]
    return any(one.identity in ended for one in last) or len(last) >= ATTEMPTS


def stage_of(case: Case, playbook: Playbook) -> int:
    """The stage it is at; their number: it soaks."""
    for number in range(len(playbook.stages)):
        if not finished(case, number):
            return number
    return len(playbook.stages)


def wanted_s(case: Case, playbook: Playbook) -> float:
    if case.bar is not None:
        return float(case.bar["hours"]) * 3600
    return playbook.soak.hours * 3600 if playbook.soak else 0.0


def untold(case: Case, playbook: Playbook) -> list[Order]:
    """Orders that are decided and that the node has not yet acknowledged."""
    return [
        order for order in case.orders
        if is_open(case, order) and order.identity not in case.course.accepted
        and order.stage < len(playbook.stages)
    ]  # fmt: skip


def is_busy(case: Case, playbook: Playbook) -> bool:
    """There is something to say before the next tick."""
    if case.trouble:
        return False
    if case.phase == "burn" and case.base is not None and case.words.get("alive") is True:
        fresh = bool(case.soaks) and case.course.soaking != case.soaks[-1]
        return bool(untold(case, playbook)) or fresh or case.behind
    return case.phase != "done"


# --------------------------------------------------------------------------- what comes next


def decide(case: Case, playbook: Playbook) -> Iterator[Decision]:
    """What follows for one node from what is known of it; partners are found by `pair_up`."""
    if case.phase == "burn" and case.base is None:
        yield {"do": "start", "base": case.course.size}
    if case.phase != "burn" or case.base is None or case.words.get("alive") is not True:
        return
    number = stage_of(case, playbook)
    if number == len(playbook.stages):
        yield from soak(case, playbook)
        return
    stage = playbook.stages[number]
    mine = [order for order in case.orders if order.stage == number]
    alone = stage.trial.partners == 1 and not stage.trial.together
    if alone and not any(is_open(case, order) for order in mine):
        name = case.node.name
        identity = f"s{number}.{len(mine) + 1}"
        yield {"do": "order", "id": identity, "stage": number, "group": [name], "index": 0}


def soak(case: Case, playbook: Playbook) -> Iterator[Decision]:
    if case.course.burnt_s >= wanted_s(case, playbook):
        yield {"do": "end", "why": "burnt"}
    elif case.course.soaking:
        return
    elif not case.soaks or case.soaks[-1] in case.empty:
        yield {"do": "soak", "id": f"soak{len(case.soaks) + 1}"}


def pair_up(
    cases: Iterable[Case],
    playbook: Playbook,
    rng: Random,
    *,
    goes_on_alone: Callable[[Case], bool] = lambda _case: True,
    has_waited: Callable[[Case, int], bool] = lambda _case, _stage: False,
) -> Iterator[tuple[Case, Decision]]:
    """Partners among the nodes that are ready now, for each stage that needs some.

    One that nobody comes to meet goes on alone when it has waited for long enough.  A stage of all
    together, or of groups of more than two, begins when all that come are there, or one of them
    has waited for long enough.
    """
    known = [
        case for case in cases
        if case.phase == "burn" or (case.phase == "gate" and not case.trouble)
    ]  # fmt: skip
    for number, stage in enumerate(playbook.stages):
        if stage.trial.partners == 1 and not stage.trial.together:
            continue
        coming = [case for case in known if not finished(case, number)]
        ready = [case for case in coming if is_ready(case, playbook, number)]
        if not stage.trial.together and len(coming) < stage.trial.partners:
            why = f"{stage.trial.name} needs {stage.trial.partners} nodes and found no partner"
            for case in filter(goes_on_alone, ready):
                yield case, {"do": "lonely", "stage": number, "why": why}
            continue
        waited = [has_waited(case, number) for case in ready]  # each one's wait begins here
        now = len(ready) == len(coming) or any(waited)
        if stage.trial.together:
            yield from all_at_once(ready, number) if now else ()
        elif len(ready) == len(coming) or (now and is_of_many(stage, coming)):
            yield from grouped(ready, stage, number, rng)
        elif not is_of_many(stage, coming):
            yield from grouped(without_the_last(ready, coming), stage, number, rng)


def without_the_last(ready: Sequence[Case], coming: Sequence[Case]) -> Sequence[Case]:
    """The last three wait for each other: else the third would be left without a partner."""
    most = len(ready) - len(ready) % 2
    return ready[: most - 2 if len(coming) - most == 1 else most]


def is_of_many(stage: Stage, coming: Sequence[Case]) -> bool:
    """It makes groups of more nodes than it needs at least, as collectives do."""
    rounds = planned(stage, [case.node for case in coming], Random(0))  # noqa: S311 - sizes only
    return any(len(group) > stage.trial.partners for groups in rounds for group in groups)


def all_at_once(ready: Sequence[Case], number: int) -> Iterator[tuple[Case, Decision]]:
    """`beside`: how many there are.  Nobody's result depends on who the others are."""
    for case in ready:
        before = sum(one.stage == number for one in case.orders)
        yield (
            case,
            {
                "do": "order",
                "id": f"s{number}.{before + 1}",
                "stage": number,
                "group": [case.node.name],
                "index": 0,
                "beside": len(ready),
            },
        )


def is_ready(case: Case, playbook: Playbook, number: int) -> bool:
    return (
        case.phase == "burn" and not case.trouble and case.words.get("alive") is True
        and stage_of(case, playbook) == number
        and not any(is_open(case, order) for order in case.orders)
    )  # fmt: skip


def grouped(
    ready: Sequence[Case], stage: Stage, number: int, rng: Random
) -> Iterator[tuple[Case, Decision]]:
    """The first round; who has to come again, for one that was left over, is told so."""
    if len(ready) < stage.trial.partners:
        return
    by_name = {case.node.name: case for case in ready}
    rounds = list(planned(stage, [case.node for case in ready], rng))
    later = {node.name for groups in rounds[1:] for group in groups for node in group}
    for group in rounds[0] if rounds else ():
        for index, node in enumerate(group):
            case = by_name[node.name]
            before = sum(one.stage == number for one in case.orders)
            yield (
                case,
                {
                    "do": "order",
                    "id": f"s{number}.{before + 1}",
                    "stage": number,
                    "group": [one.name for one in group],
                    "index": index,
                    "again": node.name in later,
                },
            )


# --------------------------------------------------------------------------- what a node is told


def question(order: Order, playbook: Playbook, nodes: Mapping[str, Node], seed: int) -> Question:
    stage = playbook.stages[order.stage]
    group: Group = tuple(nodes[name] for name in order.group)
    asked = stage.trial.ask(group, order.index, seed, stage.params)
    return replace(asked or Question("none", ("true",)), name=stage.trial.name)


def soak_questions(node: Node, playbook: Playbook, seed: int) -> list[Question]:
    load = playbook.soak.load if playbook.soak else ()
    asked = ((one.trial.name, one.trial.ask((node,), 0, seed, one.params)) for one in load)
    return [replace(one, name=name) for name, one in asked if one is not None]


def as_step(question: Question) -> dict[str, Any]:
    return {
        "name": question.name,
        "argv": list(question.command),
        "timeout_s": question.timeout_s,
        "cap_bytes": question.cap_bytes,
        **({"script": question.script} if question.script else {}),
        "modules": list(question.modules),
        "files": list(question.files),
    }


def every_question(node: Node, playbook: Playbook, seed: int) -> list[Question]:
    """One of each that a node may be asked: for their sources and for how long they may take."""
    asked = []
    for stage in playbook.stages:
        group = (node,) * stage.trial.partners
        asked += [stage.trial.ask(group, index, seed, stage.params) for index in range(len(group))]
    return [one for one in asked if one] + soak_questions(node, playbook, seed)


def plan(case: Case, playbook: Playbook, seed: int, sources: Mapping[str, str]) -> dict[str, Any]:
    """For supervision.start; `sources` of `every_question`."""
    soak = playbook.soak or Soak(0.0, ())
    stages_s = sum(one.timeout_s + SLACK_S for one in every_question(case.node, playbook, seed))
    return {
        "every_s": soak.sample_s,
        "hard_s": (wanted_s(case, playbook) + ATTEMPTS * stages_s) * OVERTIME + SPARE_S,
        "lease_s": playbook.lease_s,
        "policy": "run_on" if soak.run_on else "stop",
        "sources": dict(sources),
    }

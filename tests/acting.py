"""A scheduler in memory, and findings, nodes and actions to try acting with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count

from scripted import NOON

from clusterctl.act.agenda import Actor
from clusterctl.act.deed import Action, Outcome, Picture, State, Told
from clusterctl.model import Finding, Node, Playbook, Run, Severity, Status, Verdict

NUMBERS = count(1)


@dataclass
class Toy:
    """Drains in a dict.  `dies_after`: so many changes are made, and then nobody answers."""

    states: dict[str, State]
    dies_after: int = 99
    by: str = "toy"
    where: str = "here"
    label: str = "toy_node"
    sees: bool = True
    said: list[str] = field(default_factory=list)

    def look(self) -> Picture:
        return Picture(dict(self.states))

    def says(self, verb: str, state: State, reason: str) -> str:
        return f"{verb} {state.called}: {reason}"

    def change(self, verb: str, state: State, action: Action) -> Told:
        if len(self.said) >= self.dies_after:
            return Told(Outcome.UNKNOWN, "no answer", silent=True)
        self.said.append(f"{verb} {state.called}")
        drained = {"words": "drained", "held": ("DRAIN",), "usable": False}
        free = {"words": "idle", "held": (), "usable": True}
        new = {**drained, "reason": action.reason, "since": action.at} if verb == "drain" else free
        self.states[state.called] = replace(state, **({"reason": "", **new}))
        return Told(Outcome.DONE, "", self.states[state.called])


def fleet(number: int, *pools: str) -> dict[str, State]:
    """n000, n001, …: all in service."""
    names = [f"n{place:03}" for place in range(number)]
    return {name: State(name, "idle", pools=pools or ("gpu",)) for name in names}


def fault(node: str, check: str = "xid", **how: object) -> Finding:
    """A finding that drains its node."""
    part = str(how.pop("part", "gpu3"))
    shared = str(how.pop("shared", ""))
    given = {"actual": "XID 79", "severity": Severity.REBOOT_NODE, "yardstick": "floor", **how}
    status = given.pop("status", Status.FAIL)
    return Finding(check, Verdict(node, part, status, **given), shared)  # type: ignore[arg-type]


def swept(names: Iterable[str], *findings: Finding, **how: object) -> Run:
    nodes = tuple(Node(name) for name in names)
    return Run("r1", Playbook("p"), nodes, 1, NOON, NOON, (), findings, **how)  # type: ignore[arg-type]


def drained(node: str, hours_ago: float = 1.0, **how: object) -> Action:
    """An action of ours in the journal."""
    at = NOON - timedelta(hours=hours_ago)
    cells = {
        "id": f"a-{node}", "verb": "drain", "by": "toy", "node": node, "called": node, "at": at,
        "who": "root@c", "run": "r0", "check": "xid", "reason": "clusterctl r0 xid: gpu3 XID 79",
        "outcome": Outcome.DONE, **how,
    }  # fmt: skip
    return Action(**cells)  # type: ignore[arg-type]


def actor() -> Actor:
    return Actor("root@c", lambda: NOON, lambda verb: f"{verb}-{next(NUMBERS):04}")

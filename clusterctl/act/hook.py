"""A user's own script in place of a scheduler.

It is called as `SCRIPT drain` or `SCRIPT undrain` with one JSON object on its standard input:

    {"schema": 1, "verb": "drain", "node": "n017", "called": "n017", "action": ID, "run": …,
     "check": …, "reason": "clusterctl RUN CHECK: short", "evidence": {…}, "undo": "clusterctl …"}

and says by its exit code what it did: 0 done · 3 somebody else holds the node, it was left · 4 not
done, and nothing was changed · anything else, or no end within the time: unknown.  It may be called
again for what it has done already.  What it prints is shown, never read.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clusterctl.act.breaker import last_drains
from clusterctl.act.deed import LABELS, Action, Outcome, Picture, State, Told
from clusterctl.act.whom import called
from clusterctl.model import Node, Trouble
from clusterctl.spelling import visible
from clusterctl.transport.script import run_script

EVERY_NODE = "all nodes"
MEANINGS = {0: Outcome.DONE, 3: Outcome.CHANGED, 4: Outcome.REFUSED}


@dataclass(frozen=True, slots=True)
class Hook:
    """`nodes`: all that the breaker counts; `actions`: earlier ones: the script tells no state."""

    path: Path
    timeout_s: float
    nodes: Sequence[Node]
    actions: Sequence[Action]
    by: str = "hook"
    label: str = LABELS["hook"]
    sees: bool = False

    @property
    def where(self) -> str:
        return str(self.path)

    def look(self) -> Picture:
        drained = {
            name: action
            for name, action in last_drains(self.actions).items()
            if action.outcome is Outcome.DONE
        }
        return Picture({state.called: state for state in states(self.nodes, self.label, drained)})

    def says(self, verb: str, state: State, reason: str) -> str:
        told = json.dumps({"verb": verb, "called": state.called, "reason": reason})
        return f"{shlex.join((str(self.path), verb))} <<< {shlex.quote(told)}"

    def change(self, verb: str, state: State, action: Action) -> Told:
        told = {
            "schema": 1, "verb": verb, "node": action.node, "called": state.called,
            "action": action.id, "run": action.run, "check": action.check,
            "reason": action.reason, "evidence": dict(action.evidence), "undo": action.undo,
        }  # fmt: skip
        answer = run_script(self.path, (verb,), json.dumps(told) + "\n", self.timeout_s)
        if isinstance(answer, Trouble):
            return Told(Outcome.REFUSED, answer.detail, silent=True)
        said = visible(" ".join(answer.stdout.split()), 200)
        if answer.exit_code is None:
            late = f"no end in {self.timeout_s:g} s: it was killed"
            return Told(Outcome.UNKNOWN, f"{late}; {said}".rstrip("; "))
        outcome = MEANINGS.get(answer.exit_code, Outcome.UNKNOWN)
        return Told(outcome, f"exit {answer.exit_code}: {said}".rstrip(": "))


def states(nodes: Iterable[Node], label: str, drained: dict[str, Action]) -> Iterable[State]:
    for node in nodes:
        name = called(node, label)
        ours = drained.get(name)
        groups = tuple(filter(None, node.labels.get("group", "").split(",")))
        yield State(
            called=name,
            words="drained" if ours else "in service",
            held=("drained",) if ours else (),
            reason=ours.reason if ours else "",
            by=ours.who if ours else "",
            since=ours.at if ours else None,
            pools=(EVERY_NODE, *groups),
            usable=not ours,
        )

"""Which nodes may go back into service, by us: those that we took out, once they are proven."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from clusterctl.act.agenda import Deed
from clusterctl.act.breaker import (
    MAY_HAVE,
    Do,
    Gauge,
    Step,
    held_already,
    last_drains,
    within,
)
from clusterctl.act.deed import BY_HAND, PREFIX, Action, Outcome, Picture, State, Wanted

Proof = Callable[[str, str, datetime], tuple[str, str]]
"""node, check, since when -> (the run that proves it, or empty; what else there is to say)"""

IN_SERVICE = "it is in service"


@dataclass(frozen=True, slots=True)
class Release:
    """One node.  `deed` None: it stays as it is, and `why` says why."""

    node: str
    called: str
    deed: Deed | None
    why: str

    @property
    def refused(self) -> bool:
        return self.deed is None and self.why != IN_SERVICE


def release(
    names: Sequence[tuple[str, str]], picture: Picture, actions: Sequence[Action], proof: Proof
) -> list[Release]:
    """`names`: of each node ours and the scheduler's."""
    ours = last_drains(actions)
    return [
        one_of(node, called, picture.states.get(called), ours.get(called), proof)
        for node, called in names
    ]


def one_of(
    node: str, called: str, state: State | None, ours: Action | None, proof: Proof
) -> Release:
    if why := stays(called, state, ours):
        return Release(node, called, None, why)
    if state is None or ours is None:
        raise ValueError(node)  # stays() says so
    run, said = proven(ours, proof)
    if not run:
        why = f"drained for {ours.check} ({ours.run}), and {said}"
        wrong = f"where that drain was wrong: {ours.undo}"
        return Release(node, called, None, f"{why}; {wrong}")
    evidence = {"proof": run, "said": said, "drain": ours.id}
    deed = Deed("undrain", node, state, run, ours.check, ours.reason, evidence)
    return Release(node, called, deed, said)


def stays(called: str, state: State | None, ours: Action | None) -> str:
    """Why it is not ours to put back; empty: it is."""
    if state is None:
        return f"the scheduler shows no node {called!r}"
    if not state.held:
        return IN_SERVICE
    if not state.reason.startswith(PREFIX):
        return f"{held_already(state)}; not by us, so not for us"
    if ours is None or state.reason != ours.reason:
        return f"{held_already(state)}; our prefix, but not in this journal: see --runs-dir"
    return ""


def proven(ours: Action, proof: Proof) -> tuple[str, str]:
    """(what proves it, in words); an operator's drain needs no burn, only an operator."""
    if ours.run == BY_HAND:
        return BY_HAND, f"{ours.check} drained it by hand ({ours.id})"
    return proof(ours.node, ours.check, ours.at)


# --------------------------------------------------------------------------- undo


def undoing(
    action: Action, state: State | None, actions: Sequence[Action], found: Gauge
) -> Release:
    """Back to how it was before that action, if nobody has touched the node since.

    Undoing an undrain takes a node out, so the breaker has its word.
    """

    def no(why: str) -> Release:
        return Release(action.node, action.called, None, f"{action.id}: {why}")

    if action.outcome not in MAY_HAVE:
        return no(f"it ended {action.outcome}: there is nothing to undo")
    if any(one.undoes == action.id and one.outcome in MAY_HAVE for one in actions):
        return no("it was undone already")
    if state is None:
        return no(f"the scheduler shows no node {action.called!r}")
    if why := touched(action, state):
        return no(f"{why}; what others did is not undone")
    verb = "undrain" if action.verb == "drain" else "drain"
    wanted = Wanted(action.node, action.called, action.run, action.check, "")
    (step,) = within([Step(wanted, Do.DRAIN, state=state)], found)
    if verb == "drain" and step.do is Do.HELD:
        return no(step.why)
    evidence = {"why": f"undoes {action.id}"}
    deed = Deed(
        verb, action.node, state, action.run, action.check, action.reason, evidence, action.id
    )
    return Release(action.node, action.called, deed, f"undoes {action.id}")


def touched(action: Action, state: State) -> str:
    """How the node differs from how that action left it; empty: it does not."""
    if action.outcome is not Outcome.DONE:
        return f"how it ended is {action.outcome}: run it again first"
    if action.verb == "drain" and not (state.held and state.reason == action.reason):
        return f"now it is {state.words}, {state.reason or 'no reason'}"
    if action.verb == "undrain" and (state.held or state.reason):
        return f"now it is {state.words}, {state.reason or 'no reason'}"
    held = sorted(action.after.get("held") or ())
    if action.after and held != sorted(state.held):
        return f"now it is {state.words}, then it was {action.after.get('words')}"
    return ""

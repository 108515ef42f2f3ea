"""Doing what was planned, one node after another: journal, change, journal.

What was done stands whatever comes after it.  Where the scheduler falls silent, the rest is not
tried; the same command again goes on, for it finds what was done and takes no step twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from clusterctl import codec
from clusterctl.act.breaker import Do, Step, scarce_now
from clusterctl.act.deed import Action, Blind, Hands, Outcome, Picture, State, Told, Wanted, spelt
from clusterctl.act.journal import Journal, Log
from clusterctl.model import Act

NOT_TRIED = "not tried: the scheduler fell silent; run the same command again"
UNSURE = (Outcome.BEGUN, Outcome.UNKNOWN)
LATE_S = 180.0  # what a killed controller began may still be done; no change takes longer


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts and when.  `new_id`: of a verb, sorts by time and is never twice the same."""

    who: str
    clock: Callable[[], datetime]
    new_id: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Deed:
    """One change due: of which node, from which state, and why.  `undoes`: an action's id."""

    verb: str
    node: str
    state: State
    run: str
    check: str
    reason: str
    evidence: Mapping[str, Any]
    undoes: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a deed.  `action` None: it was not begun, and `told` says why."""

    deed: Deed
    action: Action | None
    told: Told


def drains(steps: Iterable[Step]) -> list[Deed]:
    """Of a plan, what is to be done."""
    return [
        Deed("drain", one.wanted.node, one.state, one.wanted.run, one.wanted.check,
             one.wanted.reason, evidence(one.wanted))
        for one in steps if one.do is Do.DRAIN and one.state is not None
    ]  # fmt: skip


def evidence(wanted: Wanted) -> dict[str, Any]:
    if wanted.finding is None:
        return {"why": wanted.short}
    found = wanted.finding
    return {"check": found.check, **codec.plain(asdict(found.verdict)), "fault": wanted.fault}


def carry_out(
    deeds: Sequence[Deed],
    hands: Hands,
    journal: Journal,
    actor: Actor,
    spared: Callable[[Deed], str] = lambda _deed: "",
) -> Iterator[Ended]:
    """Each deed as it ends.  A change that cannot be written down first is not made.

    `spared`: why a deed may not be done any more, asked before each but the first.
    """
    silent = ""
    for number, deed in enumerate(deeds):
        if why := silent or (spared(deed) if number else ""):
            yield Ended(deed, None, Told(Outcome.REFUSED, why))
            continue
        action = begun(deed, hands, actor)
        try:
            journal.begin(action)
        except OSError as error:
            silent = f"not tried: {journal.path}: {error.strerror}: what is not kept is not done"
            yield Ended(deed, None, Told(Outcome.REFUSED, silent))
            continue
        told = hands.change(deed.verb, deed.state, action)
        yield Ended(deed, action, kept(journal, action, told, actor.clock()))
        silent = NOT_TRIED if told.silent else ""


def looked_again(hands: Hands, act: Act) -> Callable[[Deed], str]:
    """For carry_out: changes take time, and meanwhile others take nodes out as well."""

    def spared(deed: Deed) -> str:
        try:
            why = scarce_now(deed.state.called, hands.look(), act)
        except Blind as error:
            return f"not tried: {error}"
        return f"not tried: somebody was at it meanwhile: {why}" if why else ""

    return spared


def begun(deed: Deed, hands: Hands, actor: Actor) -> Action:
    return Action(
        id=actor.new_id(deed.verb),
        verb=deed.verb,
        by=hands.by,
        node=deed.node,
        called=deed.state.called,
        at=actor.clock(),
        who=actor.who,
        run=deed.run,
        check=deed.check,
        reason=deed.reason,
        before=spelt(deed.state),
        evidence=deed.evidence,
        undoes=deed.undoes,
        where=hands.where,
    )


def kept(journal: Journal, action: Action, told: Told, at: datetime) -> Told:
    try:
        journal.end(action, told, at)
    except OSError as error:
        why = f"{journal.path}: {error.strerror}: its end is not in the journal yet"
        return replace(told, detail="; ".join(filter(None, (told.detail, why))), silent=True)
    return told


def settle(log: Log, hands: Hands, picture: Picture, journal: Journal, at: datetime) -> list[str]:
    """Actions whose end nobody heard, told now by how their nodes stand; one line each.

    Raises OSError where that cannot be written down.
    """
    lines = []
    for action in log.of(hands.by):
        state = picture.states.get(action.called)
        if action.outcome not in UNSURE or state is None or not hands.sees:
            continue
        told = found_so(action, state)
        if told.outcome is not Outcome.DONE and (at - action.at).total_seconds() < LATE_S:
            continue
        journal.end(action, told, at)
        log.actions[action.id] = replace(
            action, outcome=told.outcome, detail=told.detail, after=spelt(state), ended=at
        )
        lines.append(f"{action.id} of {action.node}: {told.detail}")
    return lines


def found_so(action: Action, state: State) -> Told:
    if action.verb == "drain" and state.held and state.reason == action.reason:
        return Told(
            Outcome.DONE, "its end was not heard; the node is drained with its reason", state
        )
    if action.verb == "undrain" and not state.held:
        return Told(Outcome.DONE, "its end was not heard; the node is in service", state)
    return Told(Outcome.REFUSED, "its end was not heard; the node is not as it wanted", state)

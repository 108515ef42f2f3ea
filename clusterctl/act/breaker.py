"""Who must stay in service whatever was found, so that no mistake of ours empties a cluster.

Pure: what the scheduler shows, what the journal holds and a playbook's `act:` decide.  Whatever is
not known counts against acting: a lost journal does not open the breaker again, for the reasons in
the scheduler carry our prefix; a node or a partition that could not be read is not usable.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil

from clusterctl.act.deed import BY_HAND, PREFIX, Action, Outcome, Picture, State, Wanted
from clusterctl.model import Act

MAY_HAVE = frozenset({Outcome.BEGUN, Outcome.DONE, Outcome.UNKNOWN})


class Do(StrEnum):
    DRAIN = "drain"
    ALREADY = "already"  # we drained it before
    LEFT = "left"  # it is somebody else's, or unknown to the scheduler
    HELD = "held"  # the breaker holds it in service


@dataclass(frozen=True, slots=True)
class Step:
    wanted: Wanted
    do: Do
    why: str = ""
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """`usable` of `total` nodes of it take jobs; `least` of them always must."""

    usable: int
    total: int
    least: int


@dataclass(frozen=True, slots=True)
class Gauge:
    """How far the breaker is from tripping.  `used`: nodes we took out within the window.

    `damaged`: how many lines of the journal, of that time, cannot be read; each counts as a node.
    `faults`: the nodes taken out for it, by fault.  `drains`: see last_drains.  `undone`: by node,
    the last time that somebody took a drain of ours back.
    """

    used: frozenset[str]
    allowed: int
    total: int
    window_h: float
    pools: Mapping[str, Pool]
    at: datetime
    damaged: int
    faults: Mapping[str, frozenset[str]]
    drains: Mapping[str, Action]
    undone: Mapping[str, Action]

    @property
    def left(self) -> int:
        return max(0, self.allowed - len(self.used) - self.damaged)


def gauge(
    picture: Picture,
    act: Act,
    actions: Sequence[Action],
    now: datetime,
    damaged: Iterable[datetime | None] = (),
) -> Gauge:
    """`actions`: all of this scheduler's, whenever.

    `damaged`: of each line of the journal that cannot be read, when the next one was written; what
    was written after it is not known.
    """
    since = now - timedelta(hours=act.window_h)
    used: set[str] = set()
    faults: defaultdict[str, set[str]] = defaultdict(set)
    for one in actions:
        if one.verb == "drain" and one.outcome in MAY_HAVE and one.at > since:
            used.add(one.called)
            if fault := str(one.evidence.get("fault", "")):
                faults[fault].add(one.called)
    for state in picture.states.values():
        lately = state.since is None or state.since > since
        if state.held and state.reason.startswith(PREFIX) and lately:
            used.add(state.called)
    total = sum(not state.spare for state in picture.states.values())
    share = max(1, int(total * act.most_percent / 100))  # 5 % of 16 nodes is one, not none
    allowed = min(act.most_nodes, share)
    return Gauge(
        used=frozenset(used),
        allowed=allowed,
        total=total,
        window_h=act.window_h,
        pools=pools(picture.states.values(), act),
        at=now,
        damaged=sum(before is None or before > since for before in damaged),
        faults={fault: frozenset(names) for fault, names in faults.items()},
        drains=last_drains(actions),
        undone={
            one.called: one
            for one in actions
            if one.undoes and one.verb == "undrain" and one.outcome in MAY_HAVE
        },
    )


def pools(states: Iterable[State], act: Act) -> dict[str, Pool]:
    members: defaultdict[str, list[bool]] = defaultdict(list)
    for state in states:
        for name in () if state.spare else state.pools:
            members[name].append(state.usable and not state.held)
    return {
        name: Pool(
            sum(usable),
            len(usable),
            max(act.least_left, ceil(len(usable) * act.least_left_percent / 100)),
        )
        for name, usable in members.items()
    }


# --------------------------------------------------------------------------- the plan


def plan(
    wanted: Sequence[Wanted],
    picture: Picture,
    act: Act,
    found: Gauge,
) -> list[Step]:
    """One step for each node wanted, the gravest first; none of them is done yet."""
    steps: list[Step] = []
    asked: list[Step] = []
    for one in sorted(wanted, key=lambda one: (-one.rank, one.node)):
        step = standing(one, picture.states.get(one.called), found)
        (asked if step.do is Do.DRAIN else steps).append(step)
    asked, twice = once_each(asked)
    alike = same_faults(wanted, found.faults, act)
    steps += twice
    steps += [replace(one, do=Do.HELD, why=alike[one.wanted.fault]) for one in asked
              if one.wanted.fault in alike]  # fmt: skip
    asked = [one for one in asked if one.wanted.fault not in alike]
    if len({one.wanted.called for one in asked} - found.used) > found.allowed:
        why = (
            f"{len(asked)} nodes at once, and {most(found)}: so many are no news of nodes, "
            "but of what they share or of us; nothing is drained"
        )
        return steps + [replace(one, do=Do.HELD, why=why) for one in asked]
    return steps + within(asked, found)


def once_each(asked: Sequence[Step]) -> tuple[list[Step], list[Step]]:
    """Two names of an inventory may be one node of the scheduler: the second is told so."""
    first: dict[str, Step] = {}
    twice = []
    for step in asked:
        if step.wanted.called in first:
            why = f"{first[step.wanted.called].wanted.node} is the same node of the scheduler"
            twice.append(replace(step, do=Do.LEFT, why=why))
        else:
            first[step.wanted.called] = step
    return list(first.values()), twice


def most(found: Gauge) -> str:
    return (
        f"at most {found.allowed} of {found.total} nodes go in {found.window_h:g} h "
        "(act: most_nodes, most_percent)"
    )


def within(asked: Iterable[Step], found: Gauge) -> list[Step]:
    """As many as the window and every pool still allow."""
    steps = []
    used = set(found.used)
    usable = {name: pool.usable for name, pool in found.pools.items()}
    for step in asked:
        names = step.state.pools if step.state else ()
        why = ""
        if step.wanted.called not in used and len(used) + found.damaged >= found.allowed:
            why = f"{len(used) + found.damaged} went already, and {most(found)}"
        why = why or scarce(names, usable, found.pools)
        if why:
            steps.append(replace(step, do=Do.HELD, why=why))
            continue
        used.add(step.wanted.called)
        for name in names:
            usable[name] -= 1  # also for one that is away just now: it would have come back
        steps.append(step)
    return steps


def scarce(names: Iterable[str], usable: Mapping[str, int], pools: Mapping[str, Pool]) -> str:
    """Why these pools cannot spare one node more; empty: they can."""
    for name in names:
        if usable[name] - 1 < pools[name].least:
            return (
                f"{name} would have {usable[name] - 1} usable of {pools[name].total} nodes; "
                f"{pools[name].least} must stay (act: least_left, least_left_percent)"
            )
    return ""


def scarce_now(called: str, picture: Picture, act: Act) -> str:
    """As scarce, of one node and a later look than the plan's: others drain nodes, too."""
    state = picture.states.get(called)
    found = pools(picture.states.values(), act)
    usable = {name: pool.usable for name, pool in found.items()}
    return scarce(state.pools, usable, found) if state and not state.spare else ""


def same_faults(
    wanted: Iterable[Wanted], before: Mapping[str, Collection[str]], act: Act
) -> dict[str, str]:
    """Faults that are too common to be about one node each, and what to say of them."""
    nodes: defaultdict[str, set[str]] = defaultdict(set)
    checks = {one.fault: one.check for one in wanted if one.fault}
    for one in wanted:
        for fault in one.beside & checks.keys():  # also where something graver accuses the node
            nodes[fault].add(one.called)
    for fault in nodes:
        nodes[fault] |= set(before.get(fault, ()))
    return {
        fault: f"{len(names)} nodes have the same fault ({checks[fault]}) in {act.window_h:g} h: "
        "it is about what they share; look at power, switch, image, driver (act: same_fault)"
        for fault, names in nodes.items()
        if len(names) >= act.same_fault
    }


def last_drains(actions: Iterable[Action]) -> dict[str, Action]:
    """By the scheduler's name: our last drain of it, unless we undrained it since."""
    found: dict[str, Action] = {}
    for one in actions:
        if one.outcome in MAY_HAVE and one.verb == "drain":
            found[one.called] = one
        elif one.outcome is Outcome.DONE:
            found.pop(one.called, None)
    return found


def standing(wanted: Wanted, state: State | None, found: Gauge) -> Step:
    """What can be said of one node before the others are counted."""
    if state is None:
        return Step(wanted, Do.LEFT, f"the scheduler shows no node {wanted.called!r}")
    ours = found.drains.get(wanted.called)
    if state.held:
        mine = ours is not None and state.reason == ours.reason
        return Step(wanted, Do.ALREADY if mine else Do.LEFT, held_already(state), state)
    if why := in_use(wanted, state, ours, found):
        return Step(wanted, Do.LEFT, why, state)
    if not state.pools:
        why = "the scheduler names no partition of it: who needs it cannot be told"
        return Step(wanted, Do.HELD, why, state)
    return Step(wanted, Do.DRAIN, "", state)


def in_use(wanted: Wanted, state: State, ours: Action | None, found: Gauge) -> str:
    """Why a usable node is none of our business; empty: it is."""
    if state.reason and not state.reason.startswith(PREFIX):
        by = state.by or "somebody"
        return f"it is in service with a reason of {by}, {state.reason!r}: that is not overwritten"
    if state.spare:
        return "no job runs there: it is a control plane"
    if wanted.run == BY_HAND:
        return ""
    if ours and ours.outcome is Outcome.DONE and recent(ours, found):
        why = f"it is in service again after {ours.id}, by somebody or by a scheduler that crashed"
        return f"{why}: ack the finding, or drain it by hand"
    back = found.undone.get(wanted.called)
    if back and recent(back, found):
        return f"{back.who} undid {back.undoes}: ack the finding, or drain it by hand"
    return ""


def recent(action: Action, found: Gauge) -> bool:
    return found.at - action.at < timedelta(hours=found.window_h)


def held_already(state: State) -> str:
    since = f" since {state.since:%Y-%m-%d %H:%M}" if state.since else ""
    by = f" by {state.by}" if state.by else ""
    said = f": {state.reason}" if state.reason else ", without a reason"
    return f"{'+'.join(state.held)} already{by}{since}{said}"

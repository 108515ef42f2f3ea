"""Learning the step time of a job: several windows that agree, and again where that was wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp, log
from statistics import median

from clusterctl.triage.watching.rhythm import Beat, Heard
from clusterctl.triage.watching.state import SAME, Event, Mood, State, What, series

SCALES_S = (12.0, 24.0, 48.0, 96.0, 192.0, 384.0, 600.0)  # of windows, while nothing is known
CLEAR = 0.45  # so clear the first ones must be
LEARN, ALIKE = 8, 6  # ticks, and how many of them must agree
SPELLS = 50  # remembered
SETTLE, RECENTRE = 16, 6  # ticks


def learn(state: State, heard: Mapping[str, Heard], at: float) -> State:
    """One tick more; the state knows its step time once enough of them agree."""
    step_s = middle(heard)
    state = replace(
        state, now_s=step_s, mood=Mood.UNSEEN, learning=(*state.learning, heard)[-LEARN:]
    )
    told = [one for each in state.learning if (one := middle(each)) is not None]
    if len(told) < ALIKE:
        return state
    centre = median(told)
    if sum(abs(log(one / centre)) <= SAME for one in told) < ALIKE:
        return state
    return replace(state, hint_s=centre) if not state.checked else learnt(state, centre, at)


def learnt(state: State, step_s: float, at: float) -> State:
    beats = {
        node: beat
        for node in {name for each in state.learning for name in each}
        if (beat := of_node([each[node] for each in state.learning if node in each], step_s))
    }
    if state.well is not None and abs(log(step_s / state.well[0])) <= SAME:
        lasted = at - state.well[1]
        state = replace(state, well=None, fired_s=(*state.fired_s, lasted)[-SPELLS:])
    return replace(
        state, step_s=step_s, beats=beats, learning=(), past=(), away=None, mood=Mood.STEADY
    )


def of_node(told: Sequence[Heard], step_s: float) -> Beat | None:
    """None: it has shown the job's step less than three times."""
    fit = [one for one in told if one.period and abs(log(one.period.seconds / step_s)) <= 2 * SAME]
    if len(fit) < 3:
        return None
    channel = Counter(one.channel for one in fit).most_common(1)[0][0]
    fit = [one for one in fit if one.channel == channel]
    works = [one.work for one in fit if one.work]
    clear = median(one.period.clarity for one in fit if one.period)
    return Beat(channel, step_s, clear, median(works) if works else None)


def middle(heard: Mapping[str, Heard]) -> float | None:
    """The job's step time: the nodes' median, where at least half of them see one."""
    told = [one.period.seconds for one in heard.values() if one.period is not None]
    return median(told) if told and 2 * len(told) >= len(heard) else None


def settled(state: State) -> State:
    """What a node does in a second, by more than the few windows that it was learnt from."""
    works = series(state.past, "work")
    if len(state.past) != SETTLE or not works:
        return state
    more = median(works)
    beats = {
        node: replace(beat, work=beat.work * exp(-more)) if beat.work else beat
        for node, beat in state.beats.items()
    }
    past = tuple(
        one if one.work is None else replace(one, work=one.work - more) for one in state.past
    )
    return replace(state, beats=beats, past=past)


def recentred(state: State) -> State:
    """Learnt while the job warmed up: what it is most of the time counts."""
    steps = series(state.past, "step")
    if not state.step_s or len(steps) < RECENTRE or median(steps) >= -SAME:
        return state
    return replace(
        state, step_s=None, beats={}, past=(), away=None, hint_s=state.step_s * exp(median(steps))
    )


def relearning(state: State, event: Event) -> State:
    """Around what the steps are now."""
    well = state.well
    if well is None and event.what is not What.FASTER and event.before_s:
        well = event.before_s, event.since
    return replace(anew(state, event.now_s or state.step_s), before_s=event.before_s, well=well)


def anew(state: State, hint_s: float | None) -> State:
    """Nothing is known but where to look, and what went before."""
    return State(
        hint_s=hint_s,
        checked=True,
        spells_s=state.spells_s,
        fired_s=state.fired_s,
        before_s=state.before_s,
        well=state.well,
        quiet_until=state.quiet_until,
    )

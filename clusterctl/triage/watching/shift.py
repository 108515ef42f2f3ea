"""Whether a job's step time is still what it was.  Pure: a state and a tick make the next state.

The job's own past is the yardstick.  One window proves nothing: a shift must last longer than
windows, and than twice the longest spell that went by itself (an evaluation, a slow checkpoint).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import exp, log, sqrt
from statistics import median

from clusterctl.peers import SIGMA_PER_MAD
from clusterctl.triage.running.candidates import LEAST as LEAST_SHIFT
from clusterctl.triage.watching.rhythm import Beat, Heard

WINDOW_STEPS, WINDOW_S, WINDOW_MOST_S = 9.0, 12.0, 600.0
HOPS = 4  # ticks in a window
SCALES_S = (12.0, 24.0, 48.0, 96.0, 192.0, 384.0, 600.0)  # tried while nothing is known
CLEAR = 0.45  # while nothing is known
LEARN, ALIKE = 8, 6  # ticks, and how many of them must agree
SAME = 0.08  # as ln
STILL = 0.08  # of a period: looked for there before anywhere else
PAST = 400  # ticks kept to compare with
# More than half of the ticks of so many windows must tell of a shift: by steps, by work alone.
SPANS = (3, 6, 12, 24, 36, 48)
BY_WORK = 8
LEAST_S, LEAST_BY_WORK_S = 14.0, 60.0  # that a shift lasts before it is one
STOPPED, STOPPED_S = 2.5, 200.0  # as ln: an evaluation sends nothing, either
SIGMAS = 4.5
NINETY = 1.645  # sigmas to either side hold nine tenths of normal values
PER_MEDIAN = 1.2533  # a median of normal values is so much less sure than their mean
SEEN = 0.6  # of the ticks of a span
SPELL_TIMES, SPELL_MOST_S, SPELLS = 2.0, 1800.0, 50
MISSES = 2 * HOPS  # ticks in a row that end a spell
MIRRORED = 1.2
AGREE = 0.4  # of what the step time says, the work done must say, too, and no more than 1/AGREE
LEAST_BY_WORK, LOW = 0.12, 0.3  # as ln
SETTLE, RECENTRE = 16, 24  # ticks
MOST = 3.0  # as ln: nothing is slower than this


class Mood(StrEnum):
    """What one tick looked like."""

    STEADY = "steady"
    SLOW = "slow"
    FAST = "fast"
    UNSEEN = "unseen"


class What(StrEnum):
    """What an event is."""

    LEARNT = "learnt"
    SLOWER = "slower"
    STALLED = "stalled"
    FASTER = "faster"


@dataclass(frozen=True, slots=True)
class Event:
    """`before_s`, `now_s`: a step.  `now_s` None: no step can be seen.  `work`: against before."""

    what: What
    at: float
    before_s: float | None
    now_s: float | None
    since: float
    work: float | None = None

    @property
    def times(self) -> float | None:
        return self.now_s / self.before_s if self.now_s and self.before_s else None


@dataclass(frozen=True, slots=True)
class Tick:
    """One window against what was learnt, as ln; more is slower.  None: not seen."""

    at: float
    step: float | None
    work: float | None


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a job.  `step_s` None: not learnt.  `hint_s`: where it is looked for.

    `away`: since when and until when ticks were slow, while they are.  `spells_s`: how long they
    were before; `fired_s`: of those that were shifts, until they had gone.  `before_s`: the step
    before the latest shift, and `fired`: when that began.  `quiet_until`: nothing fires.
    """

    step_s: float | None = None
    beats: Mapping[str, Beat] = field(default_factory=dict, hash=False)
    hint_s: float | None = None
    checked: bool = False  # that no longer period is hidden behind it
    learning: tuple[Mapping[str, Heard], ...] = ()
    past: tuple[Tick, ...] = ()
    away: tuple[float, float] | None = None
    spells_s: tuple[float, ...] = ()
    fired_s: tuple[float, ...] = ()
    before_s: float | None = None
    fired: float | None = None
    mood: Mood = Mood.UNSEEN
    now_s: float | None = None
    work: float | None = None
    quiet_until: float = 0.0

    @property
    def window_s(self) -> float:
        known = self.step_s or self.hint_s
        if known is None:
            return WINDOW_S
        return min(max(WINDOW_STEPS * known, WINDOW_S), WINDOW_MOST_S)


# ----------------------------------------------------------------------------- learning


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
    gone = state.before_s and state.fired is not None
    if gone and abs(log(step_s / (state.before_s or step_s))) <= SAME:
        lasted = at - (state.fired or at)
        state = replace(state, fired=None, fired_s=(*state.fired_s, lasted)[-SPELLS:])
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


# ----------------------------------------------------------------------------- judging


def judge(state: State, heard: Mapping[str, Heard], at: float) -> tuple[State, Event | None]:
    """One tick more of a job whose step time is known.  `heard`: of the nodes with a beat."""
    now_s = middle(heard)
    works = [
        one.work / beat.work
        for node, one in heard.items()
        if (beat := state.beats.get(node)) and beat.work and one.work is not None
    ]
    work = median(works) if works else None
    done = None if work is None else -log(max(work, exp(-MOST)))
    step = log(now_s / state.step_s) if now_s and state.step_s else None
    tick = Tick(at, step if agreed(state.past, step, done) else None, done)
    state = settled(replace(state, past=(*state.past, tick)[-PAST:], now_s=now_s, work=work))
    state = spelt(replace(state, mood=mood_of(state)), at)
    for event in changes(state):
        if event is not None and (at >= state.quiet_until or event.what is What.FASTER):
            return relearning(state, event), event
    return recentred(state), None


def changes(state: State) -> Iterator[Event | None]:
    yield stopped(state)
    for windows in SPANS:
        yield shifted(state, windows)


def relearning(state: State, event: Event) -> State:
    """Around what the steps are now."""
    fired = event.since if event.what is not What.FASTER else None
    return State(
        hint_s=event.now_s or state.step_s,
        checked=True,
        spells_s=state.spells_s,
        fired_s=state.fired_s,
        quiet_until=state.quiet_until,
        before_s=event.before_s,
        fired=fired,
    )


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
    if not state.step_s or len(steps) < RECENTRE or median(steps) >= -STILL:
        return state
    return replace(
        state, step_s=None, beats={}, past=(), away=None, hint_s=state.step_s * exp(median(steps))
    )


def mood_of(state: State) -> Mood:
    """Of the latest tick alone."""
    tick = state.past[-1]
    if tick.step is not None:
        if beyond(tick.step, state.past, "step", 1):
            return Mood.SLOW if tick.step > 0 else Mood.FAST
        return Mood.STEADY
    if tick.work is not None and tick.work > LOW:
        return Mood.SLOW
    return Mood.UNSEEN


LEAST = {"step": log(1 + LEAST_SHIFT), "work": LEAST_BY_WORK}


def beyond(value: float, past: Sequence[Tick], name: str, windows: int) -> bool:
    """Whether it is a shift: an effect worth a triage, beyond chance and beyond the past."""
    return abs(value) > LEAST[name] and abs(value) > cut(series(past, name), windows)


def series(ticks: Sequence[Tick], name: str) -> list[float]:
    return [one for tick in ticks if (one := getattr(tick, name)) is not None]


def agreed(past: Sequence[Tick], step: float | None, work: float | None) -> bool:
    """Whether the work done says what the step time says, both against what they usually are."""
    if step is None or work is None:
        return True
    step, work = (
        one - median(series(past, name) or [0.0]) for one, name in ((step, "step"), (work, "work"))
    )
    return abs(step) <= SAME / 2 or AGREE <= work / step <= 1 / AGREE


def cut(values: Sequence[float], windows: int) -> float:
    """How far chance goes: by the spread, and by what was faster than usual, so no fault's work."""
    if len(values) < 2 * HOPS:
        return MOST
    middle = median(values)
    spread = SIGMA_PER_MAD * median(abs(one - middle) for one in values)
    # Where the period is now the step and now a little more, half of the ticks look calm.
    ordered = sorted(values)
    ends = ordered[len(ordered) // 20], ordered[-1 - len(ordered) // 20]
    spread = max(spread, (ends[1] - ends[0]) / (2 * NINETY))
    spread *= 1 + 3 * HOPS / len(values)
    alone = SIGMAS * (PER_MEDIAN if windows > 1 else 1.0) * spread / sqrt(windows)
    size = windows * HOPS
    fast = (median(values[at : at + size]) for at in range(0, len(values) - size + 1, size))
    return max(alone, MIRRORED * (middle - min(fast, default=middle)))


def shifted(state: State, windows: int) -> Event | None:
    """Whether most of the last so many windows differ from all before them."""
    size = windows * HOPS
    late, early = state.past[-size:], state.past[:-size]
    if len(early) < 2 * HOPS:
        return None
    lasts_s = (late[-1].at - late[0].at) / 2
    if lasts_s < max(LEAST_S, known_s(state)):
        return None
    step, work = moved(early, late, "step"), moved(early, late, "work")
    if step is not None and agreed((), step, work) and beyond(step, early, "step", windows):
        soon = step > 0 or windows > SPANS[0]  # that it is faster can wait
        return told(state, early, late, step=True) if soon else None
    if lacking(early, late, windows, lasts_s):
        return told(state, early, late, step=False)
    return None


def lacking(early: Sequence[Tick], late: Sequence[Tick], windows: int, lasts_s: float) -> bool:
    """Whether so much less work is done for so long that steps need not be seen, too."""
    work, of_late = moved(early, late, "work"), moved(early, late[len(late) // 2 :], "work")
    if work is None or of_late is None or work <= 0:
        return False
    enough = windows >= BY_WORK and lasts_s >= LEAST_BY_WORK_S and of_late < STOPPED
    return enough and beyond(work, early, "work", windows)


def stopped(state: State) -> Event | None:
    """Where nothing has been done for longer than an evaluation takes, or any pause took so far."""
    past = state.past
    place = len(past)
    while place and (work := past[place - 1].work) is not None and work >= STOPPED:
        place -= 1
    late, early = past[place:], past[:place]
    if not late or not early or late[-1].at - late[0].at < max(STOPPED_S, known_s(state)):
        return None
    return told(state, early, late, step=False)


def known_s(state: State) -> float:
    """How long a spell may last because others did: one that went by itself, or two that fired."""
    fired = sorted(state.fired_s)[-2:-1]
    return min(SPELL_TIMES * max((*state.spells_s, *fired), default=0.0), SPELL_MOST_S)


def moved(early: Sequence[Tick], late: Sequence[Tick], name: str) -> float | None:
    """By how much the late ones differ; None: too few of them are seen."""
    before, after = series(early, name), series(late, name)
    if len(after) < SEEN * len(late) or len(before) < 2 * HOPS:
        return None
    return median(after) - median(before)


def told(state: State, early: Sequence[Tick], late: Sequence[Tick], *, step: bool) -> Event:
    """As the second half of it was, which is past the change."""
    half = late[len(late) // 2 :]
    before, after = (median(series(ticks, "step") or [0.0]) for ticks in (early, half))
    works = series(half, "work")
    done = exp(median(series(early, "work")) - median(works)) if works else None
    known, at = state.step_s or 0.0, late[-1].at
    since = state.away[0] if state.away else half[0].at
    if not step:
        return Event(What.STALLED, at, known * exp(before), None, since, done)
    what = What.SLOWER if after > before else What.FASTER
    return Event(what, at, known * exp(before), known * exp(after), since, done)


def spelt(state: State, at: float) -> State:
    """Slow ticks in a row are a spell; one that went by itself is remembered."""
    if state.mood is Mood.SLOW:
        return replace(state, away=(state.away[0] if state.away else at, at))
    if state.away is None or at - state.away[1] < MISSES * state.window_s / HOPS:
        return state
    lasted = state.away[1] - state.away[0]
    return replace(state, away=None, spells_s=(*state.spells_s, lasted)[-SPELLS:])

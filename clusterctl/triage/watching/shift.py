"""Whether a job's step time is still what it was.  Pure: a state and a tick make the next state.

The job's own past is the yardstick.  One window proves nothing: a shift must last longer than
windows, and than twice the longest spell that went by itself (an evaluation, a slow checkpoint).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import exp, log, sqrt
from statistics import median

from clusterctl.peers import SIGMA_PER_MAD
from clusterctl.triage.running.candidates import LEAST as LEAST_SHIFT
from clusterctl.triage.watching.learning import SPELLS, middle, recentred, relearning, settled
from clusterctl.triage.watching.rhythm import WIRES, Heard
from clusterctl.triage.watching.state import HOPS, SAME, Event, Mood, State, Tick, What, series

PAST = 400  # ticks kept to compare with
# More than half of the ticks of so many windows must tell of a shift: by steps, by work alone.
SPANS = (3, 6, 12, 24, 36, 48)
BY_WORK = 8
LEAST_S, LEAST_BY_WORK_S = 14.0, 60.0  # that a shift lasts before it is one
SEEN = 0.6  # of the ticks of a span
# From here on an effect is worth a triage, as ln.  Work alone also changes with what is sent.
LEAST = {"step": log(1 + LEAST_SHIFT), "work": 0.08}
# One healthy job in a hundred may be accused, in hundreds of windows: tests/bench/watch_job.py.
SIGMAS = 4.5
NINETY = 1.645  # sigmas to either side hold nine tenths of normal values
PER_MEDIAN = 1.2533  # a median of normal values is so much less sure than their mean
MIRRORED = 1.2  # times what it was faster at best
AGREE = 0.4  # of what the step time says, the work done must say, too, and no more than 1/AGREE
LITTLE = 0.35  # as ln: less than any multiple
LOW = 0.3  # as ln: with so much less work a tick belongs to a spell
STOPPED, STOPPED_S = 2.5, 200.0  # as ln: an evaluation sends nothing, either
SPELL_TIMES, SPELL_MOST_S = 2.0, 1800.0
MISSES = 2 * HOPS  # ticks in a row that end a spell
MOST = 3.0  # as ln: nothing is slower than this


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
    wires = any(beat.channel in WIRES for beat in state.beats.values())
    sound = agreed(state.past, step, done, wires=wires)
    tick = Tick(at, step if sound else None, done, wires)
    state = replace(
        state, past=(*state.past, tick)[-PAST:], now_s=now_s if sound else None, work=work
    )
    state = settled(state)
    state = spelt(replace(state, mood=mood_of(state)), at)
    for event in changes(state):
        if event is not None and (at >= state.quiet_until or event.what is What.FASTER):
            return relearning(state, event), event
    return recentred(state), None


def changes(state: State) -> Iterator[Event | None]:
    yield stopped(state)
    for windows in SPANS:
        yield shifted(state, windows)


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


def agreed(past: Sequence[Tick], step: float | None, work: float | None, *, wires: bool) -> bool:
    """Whether the work done says what the step time says, both against what they usually are.

    Or against what was learnt: where all has changed since, what is usual follows the work alone.
    """
    if step is None or work is None:
        return True
    usual = (median(series(past, name) or [0.0]) for name in ("step", "work"))
    return alike(step, work, wires=wires) or alike(
        *(one - middle for one, middle in zip((step, work), usual, strict=True)), wires=wires
    )


def alike(step: float, work: float, *, wires: bool) -> bool:
    """Threads' work is asked where the period may have been taken for a multiple of it."""
    return abs(step) <= (SAME / 2 if wires else LITTLE) or AGREE <= work / step <= 1 / AGREE


def beyond(value: float, past: Sequence[Tick], name: str, windows: int) -> bool:
    """Whether it is a shift: an effect worth a triage, beyond chance and beyond the past."""
    return abs(value) > LEAST[name] and abs(value) > cut(series(past, name), windows)


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
    sound = agreed((), step, work, wires=late[-1].wires)
    if step is not None and sound and beyond(step, early, "step", windows):
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

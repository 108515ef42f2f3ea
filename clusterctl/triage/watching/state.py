"""What is known of the step time of a job that is watched, and what may happen to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from clusterctl.triage.watching.rhythm import Beat, Heard

WINDOW_STEPS, WINDOW_S, WINDOW_MOST_S = 9.0, 12.0, 600.0
HOPS = 4  # ticks in a window
SAME = 0.08  # of a step time, as ln: the same but for chance


class Mood(StrEnum):
    """What one tick looked like."""

    STEADY = "steady"
    SLOW = "slow"
    FAST = "fast"
    UNSEEN = "unseen"


class What(StrEnum):
    """What an event is."""

    LEARNT = "learnt"
    BACK = "back"
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
    wires: bool = True  # tell of the work, not threads, that a slow processor keeps busy for longer


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a job.  `step_s` None: not learnt.  `hint_s`: where it is looked for.

    `away`: since when and until when ticks were slow, while they are.  `spells_s`: how long they
    were before; `fired_s`: of those that were shifts, until they had gone.  `before_s`: the step
    before the latest change; `well`: that before the latest shift, and since when it is no more.
    `quiet_until`: nothing fires.
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
    well: tuple[float, float] | None = None
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


def series(ticks: Sequence[Tick], name: str) -> list[float]:
    return [one for tick in ticks if (one := getattr(tick, name)) is not None]

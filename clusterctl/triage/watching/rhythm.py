"""One node's counters over a window: which period they keep, and how much work they do.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from clusterctl.triage.watching.period import (
    FEWEST_LAGS,
    Likeness,
    Period,
    Series,
    found,
    held,
    likeness,
)

# What ranks send each other is the same every step; so is what a thread computes, where it is seen
# to rest between: one that spins while it waits shows no period.
WIRES = ("rdma", "sent")
CHANNELS = (*WIRES, "cpu", "power")
PREFERRED = 0.6  # of the clearest channel: wires are taken that reach it
AGREES = 0.6  # of its clarity so far: below it, a period is no longer held
WIDER, WIDEST = 8.0, 4.0  # of the steps that are expected; windows
HINTED = 0.15  # of a hint
NEAR = 0.08  # of a period that is compared with another
QUIET_BYTES_S = 20_000.0  # heartbeats, and our own lines; no gradients are that small
PAUSE, FLOOD = 0.05, 3.0  # of what a step usually sends
MOST_LOOKS = 20_000  # that are kept: twice what a node says in a quarter of an hour
LONGEST_SHARE = 0.5 / FEWEST_LAGS  # of a window; half of it is the furthest that is compared


@dataclass(slots=True)
class Looks:
    """What one channel of one node counted, look by look: of late, and not more than so many."""

    times: list[float] = field(default_factory=list)  # ends of looks, one more than `added`
    added: list[float] = field(default_factory=list)

    def add(self, begin: float, steps: Sequence[float], added: Sequence[float]) -> None:
        """After a gap the looks before it are forgotten: nobody knows what was in between."""
        if not self.times or abs(begin - self.times[-1]) > 1e-6:
            self.times, self.added = [begin], []
        self.times.extend((begin + np.cumsum(steps)).tolist())
        self.added.extend(added)

    def forget(self, before: float) -> None:
        place = max(int(np.searchsorted(self.times, before)), len(self.times) - MOST_LOOKS)
        if place > len(self.times) // 2:
            del self.times[:place], self.added[:place]

    def since(self, when: float) -> tuple[Series, Series]:
        place = int(np.searchsorted(self.times, when))
        return np.array(self.times[place:]), np.array(self.added[place:])


@dataclass(frozen=True, slots=True)
class Beat:
    """A node's own rhythm as it was learnt: by which channel, how long, how clear.

    `work`: what the channel counts in a second; None: it counts none.
    """

    channel: str
    seconds: float
    clarity: float
    work: float | None


@dataclass(frozen=True, slots=True)
class Heard:
    """One window of one node.  `period` None: nothing repeats.  `work` a second, None: unknown."""

    channel: str = ""
    period: Period | None = None
    work: float | None = None
    moves: bool = False


def first(channels: Mapping[str, Looks], since: float, hint_s: float | None = None) -> Heard:
    """Freely searched, in the channel that shows it best; the hint is taken where it is as good."""
    told = []
    for name, times, added, seen in seen_in(channels, since):
        period = found(seen, LONGEST_SHARE * float(times[-1] - times[0]))
        near = held(seen, hint_s, slack=HINTED) if period and hint_s else None
        if near and period and near.clarity >= AGREES * period.clarity:
            period = near
        if period is not None:
            told.append(Heard(name, period, work(name, times, added, period.seconds), moves=True))
    best = max((one.period.clarity for one in told if one.period), default=0.0)
    for one in told:  # in the channels' order
        if one.period and one.period.clarity >= PREFERRED * best:
            return one
    return Heard(moves=moves(channels, since))


def again(
    channels: Mapping[str, Looks], last: float, window_s: float, beat: Beat, slack: float
) -> Heard:
    """Compared with what was learnt: still so; as the work done lets expect; else as it may be.

    Steps that take twice as long want a window twice as long.
    """
    if beat.channel not in channels:
        return Heard(beat.channel, moves=moves(channels, last - window_s))
    looks = channels[beat.channel]
    told = compared(looks, last - window_s, beat, slack)
    if told.period is None and told.work and beat.work:
        wider_s = WIDER * beat.seconds * beat.work / told.work
        if window_s < wider_s <= WIDEST * window_s:
            wide = compared(looks, last - wider_s, beat, slack)
            told = wide if wide.period is not None else told
    return told


def compared(looks: Looks, since: float, beat: Beat, slack: float) -> Heard:
    times, added = looks.since(since)
    done = work(beat.channel, times, added, beat.seconds)
    seen = rhythmic(beat.channel, times, added)
    if seen is None:
        return Heard(beat.channel, None, done, moves=bool(added.any()))
    expected = beat.seconds * beat.work / done if beat.work and done else None
    longest_s = LONGEST_SHARE * float(times[-1] - times[0])
    period = best_of(seen, beat, expected, slack, longest_s)
    if period is not None:
        done = work(beat.channel, times, added, period.seconds)
    return Heard(beat.channel, period, done, moves=True)


def best_of(
    seen: Likeness, beat: Beat, expected: float | None, slack: float, longest_s: float
) -> Period | None:
    """What repeats every second repeats every other, too: so faster steps are asked for first."""
    least = AGREES * beat.clarity
    places = [beat.seconds]
    if expected is not None and expected < longest_s:
        places.insert(0 if expected < beat.seconds * (1 - slack) else 1, expected)
    for place in places:
        period = held(seen, place, slack=slack)
        if period is not None and period.clarity >= least:
            return period
    return found(seen, longest_s)


def seen_in(
    channels: Mapping[str, Looks], since: float
) -> Iterator[tuple[str, Series, Series, Likeness]]:
    for name in CHANNELS:
        if name in channels:
            times, added = channels[name].since(since)
            seen = rhythmic(name, times, added)
            if seen is not None:
                yield name, times, added, seen


def rhythmic(channel: str, times: Series, added: Series) -> Likeness | None:
    """None: nothing goes up and down there, or wires are as good as silent."""
    if len(times) < 2:
        return None
    if channel in WIRES and added.sum() < QUIET_BYTES_S * (times[-1] - times[0]):
        return None
    return likeness(times, added)


def clearly(channel: str, looks: Looks, since: float, period_s: float) -> float:
    """How clearly a channel keeps this very period; 0: not at all."""
    seen = rhythmic(channel, *looks.since(since))
    period = held(seen, period_s, slack=NEAR) if seen is not None else None
    return period.clarity if period is not None else 0.0


def moves(channels: Mapping[str, Looks], since: float) -> bool:
    return any(channels[name].since(since)[1].any() for name in channels)


def work(channel: str, times: Series, added: Series, period_s: float) -> float | None:
    """A second, over whole periods up to the last look; None: the channel counts no work.

    Pauses of two periods are left out, and what is far more than a step's share counts as such:
    checkpoints are neither slow steps nor fast ones.
    """
    whole = int((times[-1] - times[0]) / period_s) if len(added) > 1 else 0
    if channel not in (*WIRES, "cpu") or not whole:
        return None
    edges = times[-1] - period_s * np.arange(whole, -1, -1.0)
    steps = np.diff(np.interp(edges, times, np.concatenate(([0.0], np.cumsum(added)))))
    usual = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
    still = steps < PAUSE * usual
    paused = still & (np.append(still[1:], False) | np.insert(still[:-1], 0, False))
    kept = np.minimum(steps[~paused], FLOOD * usual)
    return float(kept.mean()) / period_s if kept.size else 0.0

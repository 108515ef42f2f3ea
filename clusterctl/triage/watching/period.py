"""The step time of a job, from a counter's rate that repeats: autocorrelation.  Pure.

A step computes, then talks; the rate at which bytes leave a NIC, or a main thread computes, goes up
and down once a step.  Parts of a step repeat, too (microbatches, buckets of gradients), and so do
multiples of it: the shortest lag counts at which nearly as much repeats as at any.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]

SHORTEST_LOOKS = 1.9  # Nyquist's two, less what a look may be late
FEWEST = 5  # periods in a window: fewer are a coincidence
CELLS = 4096  # of the grid at most, so that a long window costs no more than a short one
FINEST_S = 0.05
LAGS, FEWEST_LAGS = 4, 3  # multiples of the period at which a rate must repeat
# Bursts at random reach it in one window of twenty (five looks of six that agree make a period
# learnt); jobs whose steps differ by a tenth in nineteen of twenty.
LEAST = 0.42
STILL = 0.28  # where a period was before, and is looked for again
FLAT = (
    0.02  # spread of a rate weighed so, a half being its mean: below it, nothing goes up and down
)
NEARLY = 0.85  # of the best: shorter lags are preferred that reach this
SLACK = 0.06  # of a multiple: steps differ


@dataclass(frozen=True, slots=True)
class Period:
    """`clarity`: how much more alike the rate is to itself a period later than in between; 0 to 2.

    A rate that repeats exactly in short bursts has 1, a sine 2, noise about 0.
    """

    seconds: float
    clarity: float

    @property
    def confidence(self) -> float:
        """0 where noise would do as much, 1 where no step differs from the next."""
        return float(np.clip((self.clarity - STILL) / (1 - STILL), 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike a rate is to itself some time later: `values[i]` after `i * cell_s` seconds.

    `look_s`: from look to look, usually.
    """

    values: Series
    cell_s: float
    look_s: float


def likeness(times: Series, added: Series) -> Likeness | None:
    """`times`: of looks, one more than `added`, which is what each look counted.  None: nothing.

    A rate is weighed by what it is against its mean, so that one burst of a checkpoint does not
    outweigh all steps.
    """
    span = float(times[-1] - times[0]) if len(times) > 1 else 0.0
    total = float(added.sum())
    if span <= 0 or total <= 0 or len(added) < 4 * FEWEST:
        return None
    cell_s = max(FINEST_S, span / CELLS)
    grid = np.arange(times[0], times[-1], cell_s)
    rate = np.diff(np.interp(grid, times, np.concatenate(([0.0], np.cumsum(added))))) / cell_s
    middle = float(np.mean(rate))
    rate = rate / (rate + middle)
    rate -= rate.mean()
    if len(rate) < 4 * FEWEST or rate.std() < FLAT:
        return None
    size = 1 << (2 * len(rate) - 1).bit_length()
    power = np.abs(np.fft.rfft(rate, size)) ** 2
    values = np.fft.irfft(power, size)[: len(rate) // 2 + 1]
    counted = len(rate) - np.arange(len(values))
    return Likeness(values / values[0] * len(rate) / counted, cell_s, span / len(added))


def found(seen: Likeness, longest_s: float) -> Period | None:
    """The period, freely searched.  None: nothing repeats."""
    shortest_s = SHORTEST_LOOKS * seen.look_s
    rated = [(place, clarity(seen, place)) for place in tops(seen, shortest_s, longest_s)]
    best = max((value for _, value in rated), default=0.0)
    if best < LEAST:
        return None
    place = next(place for place, value in rated if value >= max(LEAST, NEARLY * best))
    return refined(seen, place)


def held(seen: Likeness, period_s: float, *, slack: float) -> Period | None:
    """The period if it still is what it was, within the slack.  None: nothing repeats there."""
    low, high = period_s * (1 - slack), period_s * (1 + slack)
    rated = [(clarity(seen, place), place) for place in tops(seen, low, high)]
    best, place = max(rated, default=(0.0, 0))
    return refined(seen, place) if best >= STILL else None


def tops(seen: Likeness, low_s: float, high_s: float) -> list[int]:
    """Lags, in cells, at which likeness is highest for a tenth of a lag around."""
    values = seen.values
    first = max(2, int(np.ceil(low_s / seen.cell_s - 0.5)))
    last = min(len(values) - 2, int(high_s / seen.cell_s + 0.5))
    if last < first:
        return []
    inside = values[first : last + 1]
    here = np.flatnonzero(
        (inside >= values[first - 1 : last]) & (inside > values[first + 1 : last + 2])
    )
    return [
        place
        for place in (here + first).tolist()
        if values[place] > 0
        and values[place] >= values[max(1, int(place * 0.9)) : int(place * 1.1) + 2].max()
    ]


def clarity(seen: Likeness, place: int) -> float:
    """Likeness at a lag and its multiples, above the valley before the first."""
    values = seen.values
    between = np.sort(values[max(1, place // 4) : max(2, 3 * place // 4 + 1)])
    valley = float(between[len(between) // 5])
    told = []
    for times in range(1, LAGS + 1):
        middle, slack = times * place, max(1, round(SLACK * times * place / 2))
        if middle + slack >= len(values):
            break
        told.append(float(values[middle - slack : middle + slack + 1].max()))
    return (sum(told) / len(told) if len(told) >= FEWEST_LAGS else 0.0) - valley


def refined(seen: Likeness, place: int) -> Period:
    """By the multiples, each told as finely as the first, and by the peaks' own shape."""
    values, period = seen.values, summit(seen.values, place)
    times = 2
    while times <= 2 * LAGS and (times + 0.5) * period < len(values) - 1:
        around = times * period
        slack = max(1.0, min(SLACK * around / 2, 0.2 * period))
        low, high = int(around - slack), int(np.ceil(around + slack))
        top = low + int(np.argmax(values[low : high + 1]))
        if top in (low, high):
            break
        period = summit(values, top) / times
        times += 1
    return Period(period * seen.cell_s, clarity(seen, place))


def summit(values: Series, place: int) -> float:
    """Between cells, by the parabola through the highest three."""
    left, middle, right = values[place - 1 : place + 2]
    bend = left - 2 * middle + right
    return place + (float(0.5 * (left - right) / bend) if bend < 0 else 0.0)

"""How far a healthy rate strays, and how likely a residual is under a slowdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lgamma, log, pi

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FAILED_LOG = -3.0  # ln of the rate that stands for a test that ran and gave nothing: 5 %
FLATTEST = 1e-5  # density anywhere: no single row is proof
TAIL_SCALE = 0.3  # of ln rate: small hold-ups are commoner than large ones
SPREAD_OF_FAULT = 0.12  # a part at 50 % does not slow each flow by the same hair
TAIL_BEFORE = 0.01  # share of tests held up by passing trouble, before looking
HABIT_CELL = 0.05  # of ln rate
HABIT_CELLS = int(-FAILED_LOG / HABIT_CELL) + 20
FREEDOMS = (3.0, 6.0, 30.0)  # of Student's t: heavy, middling, nearly Gaussian tails
NORMAL_QUARTILE = 0.6745
INNER = 0.35  # of the rows of a side, nearest to the level: faults are further out
LEANS = 1.35  # times as wide below as above; less happens by chance
LEANS_MOST = 6.0  # more is no noise: flows that meet on a link


@dataclass(frozen=True, slots=True)
class Noise:
    """Of each row: the scale of ln rate, and the share of rows held up by passing trouble.

    `habit` is the density of such trouble at the row's own residual where it was learned from its
    like (hashed flows that meet on a link halve each other), nan where it is assumed.  `lean` is
    how many times as far rates stray below their level as above: what a line bounds, leans.
    """

    sigma: Floats
    tail: Floats
    freedom: float
    habit: Floats
    usual: Floats  # sorted residuals of the rows whose flows may meet on a link
    lean: Floats

    def log_healthy(self, residual: Floats) -> Floats:
        return density(
            residual, self.sigma, self.tail, self.freedom, habit=self.habit, lean=self.lean
        )

    def log_slowed(self, residual: Floats, by: Floats, rows: NDArray[np.intp] | slice) -> Floats:
        """(rows, len(by)): ln density of residuals where something slows to exp(by)."""
        sigma = np.hypot(self.sigma[rows][:, None], SPREAD_OF_FAULT * by[None, :])
        left = residual[:, None] - by[None, :]
        habit = lower_still(left, sigma, self.habit[rows][:, None])
        tail = self.tail_under(by[None, :], self.habit[rows][:, None], self.tail[rows][:, None])
        lean = self.lean[rows][:, None]
        return density(left, sigma, tail, max(6, self.freedom), habit=habit, lean=lean)

    def log_slowed_each(self, residual: Floats, by: Floats, rows: NDArray[np.intp]) -> Floats:
        """(rows,): the same, each row with its own slowdown."""
        sigma = np.hypot(self.sigma[rows], SPREAD_OF_FAULT * by)
        habit = lower_still(residual - by, sigma, self.habit[rows])
        tail = self.tail_under(by, self.habit[rows], self.tail[rows])
        lean = self.lean[rows]
        return density(residual - by, sigma, tail, max(6, self.freedom), habit=habit, lean=lean)

    def tail_under(self, by: Floats, habit: Floats, tail: Floats) -> Floats:
        """The share of flows that meet others so badly that the slowdown itself does not show."""
        if not len(self.usual):
            return tail
        below = np.searchsorted(self.usual, by * (1 + SPREAD_OF_FAULT)) / len(self.usual)
        found: Floats = np.where(np.isfinite(habit), below, tail)
        return found


def density(
    residual: Floats,
    sigma: Floats,
    tail: Floats,
    freedom: float,
    *,
    habit: Floats | None = None,
    lean: Floats | float = 1.0,
) -> Floats:
    """Ln of (1-tail)·t + tail·(hold-ups, one-sided) + a floor."""
    scale = lgamma((freedom + 1) / 2) - lgamma(freedom / 2) - log(freedom * pi) / 2
    z = residual / np.where(residual < 0, sigma * lean, sigma)
    core = np.exp(scale - (freedom + 1) / 2 * np.log1p(z**2 / freedom)) / sigma
    core *= 2 / (1 + lean)
    below = np.minimum(residual, 0.0)
    held = np.where(
        residual < sigma, 0.8 * np.exp(below / TAIL_SCALE) / TAIL_SCALE + 0.2 / -FAILED_LOG, 0.0
    )
    low = tail * held
    if habit is not None:
        low = np.where(np.isfinite(habit), habit + TAIL_BEFORE * held, low)
    found: Floats = np.log((1 - tail) * core + low + FLATTEST)
    return found


def lower_still(left: Floats, sigma: Floats, habit: Floats) -> Floats | None:
    """What holds up healthy flows holds up slowed ones too, below the rate they are slowed to."""
    if not np.isfinite(habit).any():
        return None
    found: Floats = np.where(np.isfinite(habit) & (left > -2 * sigma), 0.0, habit)
    return found


def habit_of(
    residual: Floats,
    sigma: Floats,
    groups: Sequence[NDArray[np.int32]],
    explained: NDArray[np.bool_],
) -> Floats:
    """What share of rows, by unit of ln rate, lies at each residual well below the level.

    Rows that faults explain are left out.  Of every cell the tenth of `groups` (codes by row, such
    as the leaf they leave) that has most is left out, so that the one bad uplink is no habit.
    """
    cells = np.clip(((residual - FAILED_LOG) / HABIT_CELL).astype(np.int64), 0, HABIT_CELLS - 1)
    low = (residual < -3 * sigma) & ~explained
    least = np.full(HABIT_CELLS, np.inf)
    for codes in groups:
        number = np.unique(codes, return_inverse=True)[1].ravel()
        count = int(number.max()) + 1
        flat = np.bincount(number[low] * HABIT_CELLS + cells[low], minlength=count * HABIT_CELLS)
        table = np.sort(flat.reshape(count, HABIT_CELLS), axis=0)
        kept = count - (-(-count // 10) if count >= 4 else 0)
        least = np.minimum(least, table[:kept].sum(axis=0) * (count / kept))
    smooth = np.convolve(least, (0.25, 0.5, 0.25), mode="same")
    found: Floats = (smooth / max(int((~explained).sum()), 1) / HABIT_CELL)[cells]
    return found


def upper_sigma(residual: Floats) -> float:
    """From the upper half only: faults and congestion pull down, nothing pulls up.  0 if none."""
    upper = residual[residual >= 0]
    return float(np.median(upper)) / NORMAL_QUARTILE if len(upper) else 0.0


def lean_of(residual: Floats) -> float:
    """How many times as far values stray below zero as above; nan where that cannot be told.

    By those nearest to it, because faults and congestion lie further out.
    """
    below, above = -residual[residual < 0], residual[residual >= 0]
    if min(len(below), len(above)) < 24:
        return float("nan")
    near, half = (
        float(np.quantile(below, share) / max(float(np.quantile(above, share)), 1e-9))
        for share in (INNER, 0.5)
    )
    return max(near, half) if near > LEANS and max(near, half) < LEANS_MOST else 1.0


def freedom_of(scaled: Floats) -> float:
    """Which tails the upper half shows, in units of its own scale."""
    upper = scaled[scaled >= 0]
    if len(upper) < 100:
        return FREEDOMS[1]
    best, most = FREEDOMS[1], -np.inf
    zero = np.zeros(1)
    for freedom in FREEDOMS:
        for stretch in (0.8, 0.9, 1.0, 1.1):
            found = density(upper, np.full(1, stretch), zero, freedom).sum()
            if found > most:
                best, most = freedom, found
    return best


def width_of(values: Floats) -> float:
    """One sigma of the narrowest place where two in five gather; 0 where there are too few."""
    ordered = np.sort(values)
    part = -(-len(ordered) * 2 // 5)
    if part < 4:
        return 0.0
    # Two fifths of a Gaussian lie within 1.05 sigma; the narrowest of all places is narrower.
    return float((ordered[part - 1 :] - ordered[: len(ordered) - part + 1]).min()) / 0.95


def healthy_level(values: Floats, repeats: float) -> float:
    """Where the undisturbed values lie: the highest place where a fair share gathers.

    The median would follow the faults where more than half of the paths cross one.  `repeats` is
    one sigma that values of this kind are known to stray by at least.
    """
    ordered = np.sort(values)
    count = len(ordered)
    if count < 4:
        return float(ordered[-(count // 2) - 1]) if count else 0.0
    quarter = max(2, -(-count // 4) if count < 40 else -(-count * 3 // 20))
    widths = ordered[quarter - 1 :] - ordered[: count - quarter + 1]
    narrow = max(float(widths.min()), 1e-9)
    # Twice as wide as the narrowest, or 2 %: what lies higher still is a few lucky ones.
    at = int(np.flatnonzero(widths <= max(2 * narrow, 0.02))[-1])
    level = float(np.median(ordered[at : at + quarter]))
    for _ in range(8):
        above = ordered[ordered >= level]
        sigma = max(float(np.median(above - level)) / NORMAL_QUARTILE, repeats, 1e-4)
        level = float(np.median(ordered[ordered >= level - 2.5 * sigma]))
    return level

"""Rates that a tool rounded, spread over what they may have been rounded from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEPS = np.sort(np.outer(10.0 ** np.arange(-3, 3), (1, 2, 2.5, 5)).ravel())[::-1]
COARSE = 0.002  # of a rate; finer steps disturb nobody
NEAR = 0.2  # of ln rate around the middle: what is slower is rounded to the same step, but sparse
DIVIDES = 0.99  # of the values
FEWEST = 2  # values that show a step
GOLDEN = 0.6180339887498949  # multiples of it, modulo 1, fill every cell evenly


def unrounded(rates: Floats) -> Floats:
    """Levels and scales are of continuous values: of ties, the highest would seem the usual.

    `rates` as they are where no step is seen, nan where there is none.
    """
    fine = np.isfinite(rates) & (rates > 0)
    step = step_of(rates[fine])
    if not step:
        return rates
    place = np.arange(len(rates)) * GOLDEN % 1 - 0.5
    found: Floats = np.where(fine, np.maximum(rates + step * place, rates / 2), rates)
    return found


def step_of(rates: Floats) -> float:
    """In Gbit/s; 0.0 where rates are not rounded, or more finely than they stray."""
    if not len(rates):
        return 0.0
    values = np.unique(rates)
    middle = float(np.median(rates))
    near = np.abs(np.log(values / middle)) < NEAR
    if len(values) > len(rates) / 3 or near.sum() < FEWEST:
        return 0.0
    whole = values[near][:, None] / STEPS
    fits = (np.abs(whole - np.round(whole)) < 1e-6 * np.maximum(whole, 1)).mean(axis=0) >= DIVIDES
    step = float(STEPS[np.argmax(fits)]) if fits.any() else float(np.median(np.diff(values[near])))
    return step if step > COARSE * middle else 0.0

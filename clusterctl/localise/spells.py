"""What comes and goes: a component's rows by round, and what its own NICs explain without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HALF = float(np.log(0.5))
NORMAL = float(1 / np.sqrt(2 * np.pi))


@dataclass(frozen=True, slots=True)
class Spells:
    """Rows of several components, each one's together and in the order of their rounds.

    `starts` is where each round of each component begins, `owner` whose it is.
    """

    starts: Ints
    owner: Ints
    components: int

    def sums(self, gain: Floats) -> Floats:
        """(rounds, slowdowns): what all rows of a round say together."""
        found: Floats = np.add.reduceat(gain, self.starts)
        return found

    def total(self, by_round: Floats) -> Floats:
        """By component, of one value or a row of them for each round."""
        begins = np.searchsorted(self.owner, np.arange(self.components))
        found: Floats = np.add.reduceat(by_round, begins)
        return found


def spells(number: Ints, counts: Ints) -> Spells:
    """`number`: the dense round of each row; `counts`: rows of each component, none without."""
    owner = np.repeat(np.arange(len(counts)), counts)
    code = owner * (int(number.max(initial=0)) + 1) + number
    starts = np.flatnonzero(np.diff(code, prepend=-1))
    return Spells(starts, owner[starts], len(counts))


def flapping(by_round: Floats) -> Floats:
    """Ln likelihood ratio of each round: slow as a whole, or, as likely, not at all."""
    found: Floats = np.logaddexp(HALF, HALF + by_round)
    return found


def flapped(gain: Floats, number: Ints) -> Floats:
    """What each row of one flapping component gains, rows in the order of their rounds.

    By how surely its round was a slow one, as all rows of the round say.
    """
    one = spells(number, np.array([len(number)]))
    together = one.sums(gain[:, None])[:, 0]
    size = np.diff(np.append(one.starts, len(number)))
    odds = 1 / (1 + np.exp(-np.clip(together, -50, 50)))
    share = np.repeat(odds, size)
    found: Floats = np.log1p(share * np.expm1(np.minimum(gain, 50))) + np.repeat(HALF / size, size)
    return found


def of_parts(gain: Floats, parts: Ints, counts: Ints, lag: Floats, spread: float) -> Floats:
    """By component: ln likelihood that no more is wrong than that its NICs differ as NICs do.

    `gain`: (rows, lags) of each row if its NIC lay low by that much.  `parts`: the NIC of each row.
    """
    owner = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((parts, owner))
    fresh = (np.diff(parts[order], prepend=-1) != 0) | (np.diff(owner[order], prepend=-1) != 0)
    starts = np.flatnonzero(fresh)
    # One NIC in two lies below its like.
    weight = np.abs(np.gradient(lag)) * np.exp(-0.5 * (lag / spread) ** 2) / spread * NORMAL
    free = 1 - min(float(weight.sum()), 0.5)
    each = np.add.reduceat(gain[order], starts) + np.log(np.maximum(weight, 1e-300))
    as_it_should = np.full((len(starts), 1), np.log(free))
    told = np.concatenate([as_it_should, each], axis=1)
    top = told.max(axis=1)
    best = top + np.log(np.exp(told - top[:, None]).sum(axis=1))
    found: Floats = np.bincount(owner[order][starts], best, len(counts)).astype(np.float64)
    return found


def one_spell(by_round: Floats, rounds: Spells) -> Floats:
    """By component: ln of the mean likelihood ratio over all spells of rounds on end but the whole.

    What was slow in some rounds on end, by the same in each (a column of `by_round`), and before or
    after them was not.
    """
    begins = np.searchsorted(rounds.owner, np.arange(rounds.components))
    count = np.diff(np.append(begins, len(rounds.owner)))
    size = (rounds.components, by_round.shape[1])
    found = np.full(size, -np.inf)
    early = np.zeros(size)  # spells that began with the first round
    late = np.full(size, -np.inf)  # all others that end here
    for at in range(int(count.max(initial=0))):
        mine = np.flatnonzero(count > at)
        here = by_round[begins[mine] + at]
        early[mine] += here
        if at:
            late[mine] = here + np.logaddexp(late[mine], 0.0)
        last = (count[mine] == at + 1)[:, None]
        ended = np.where(last, late[mine], np.logaddexp(early[mine], late[mine]))
        found[mine] = np.logaddexp(found[mine], ended)
    spells_of = np.maximum(count * (count + 1) / 2 - 1, 1)
    mean: Floats = np.logaddexp.reduce(found, axis=1) - np.log(spells_of * by_round.shape[1])
    return mean

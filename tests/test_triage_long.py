"""A job looked at for long, of many, or in part: nothing overflows, nobody unseen is well."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from triage_texts import Rank, texts

from clusterctl.triage.running.candidates import beyond_chance
from clusterctl.triage.running.gpu_readings import gpus
from clusterctl.triage.running.job import gathered
from clusterctl.triage.running.live import judge
from clusterctl.triage.running.observed import Link, Mark
from clusterctl.triage.running.readings import read
from clusterctl.triage.running.wires import MOST_MARKS, lost_between
from clusterctl.triage.timeline.damage import MOST_PAIRS, pairs, spread
from clusterctl.triage.verdict import Cause


def judged(told, silent=None):
    return judge(gathered([read(node, text) for node, text in told.items()], silent or {}))


MINUTES = 6000  # looks of ten minutes


def test_ranks_that_are_alike_are_not_healthy_while_others_were_not_seen():
    """Whom all wait for is as often as not on the node that does not answer."""
    ranks = [Rank(number) for number in range(8)]
    every = judged(texts(ranks))
    assert every.cause is Cause.HEALTHY
    some = judged(texts(ranks[:6], world=8), {"n06": "timeout: no answer", "n07": "timeout"})
    assert some.cause is Cause.UNKNOWN
    assert "6 of 8 ranks" in some.evidence[0]
    assert "6-7" in some.evidence[0]


@pytest.mark.parametrize("hits", [0, 1, 9, 30, 100])
def test_luck_is_the_tail_of_the_binomial(hits):
    tail = sum(comb(100, k) * 0.1**k * 0.9 ** (100 - k) for k in range(hits, 101))
    assert beyond_chance(hits, 100, 0.1, 1) == pytest.approx(min(0.99, 1 - tail), abs=1e-9)


def test_luck_in_as_many_draws_as_ten_minutes_have_looks_is_told():
    assert beyond_chance(MINUTES // 2, MINUTES, 0.1, 8) == 0.99
    assert beyond_chance(MINUTES // 10, MINUTES, 0.1, 8) == 0.0
    assert beyond_chance(5, 10, 1.0, 2) == beyond_chance(0, 0, 0.1, 2) == 0.0


@pytest.mark.parametrize("line", ["x", "{}", '{"k": "odd"}', "[1]"])
def test_a_node_that_prints_anything_for_ever_is_told_of_in_a_few_lines(line):
    """Sixteen megabytes of it are eight million lines."""
    seen = read("n1", f"{line}\n" * 5000)
    told = [str(trouble) for trouble in seen.troubles]
    assert len(told) <= 5
    assert any("5000" in one for one in told)
    assert len(gpus(f"{line}\n" * 5000)[1]) <= 5


@pytest.mark.parametrize("count", [1, 2, 3, 50, 400])
def test_pairs_are_those_of_the_upper_triangle_thinned_out(count):
    first, second = np.triu_indices(count, 1)
    every = max(1, -(-len(first) // MOST_PAIRS))
    found = pairs(count)
    assert found[0].tolist() == first[::every].tolist()
    assert found[1].tolist() == second[::every].tolist()


def test_the_spread_of_a_hundred_thousand_workers_fits_in_memory():
    """All their pairs are eighty gigabytes."""
    values = np.random.default_rng(0).normal(0, 0.01, (100_000, 1))
    assert spread(values) == pytest.approx(0.01, rel=0.05)


class Counted(int):
    """A number that counts how often it is taken from another."""

    taken = 0

    def __sub__(self, other):
        Counted.taken += 1
        return Counted(int(self) - int(other))


def connection(marks):
    return Link("n0", 1, "a 1", "b 1", len(marks), 50.0, 50.0, 0.0, marks=marks)


def test_the_loss_of_a_long_window_is_told_by_some_of_its_looks():
    Counted.taken = 0
    near = connection({at: Mark(Counted(100 * at), 0, 0, 0) for at in range(MINUTES)})
    far = connection({at: Mark(0, Counted(98 * at), 0, 0) for at in range(MINUTES)})
    out, lost = lost_between(near, far)
    assert out == pytest.approx(100 * MINUTES, rel=0.01)
    assert lost == pytest.approx(2 * MINUTES, rel=0.01)
    assert Counted.taken <= MOST_MARKS**2

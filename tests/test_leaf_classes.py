"""Leaves that nobody named, told by the speed of pairs; and not told where that does not show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clusterctl.localise import schedule, topology
from clusterctl.localise.classes import by_rates
from clusterctl.localise.columns import MISSING, OK, UNKNOWN, Measured, Topology

LEAVES = np.repeat(np.arange(4, dtype=np.int32), 4)


def measured(far: float, *, mode: str = "exhaustive", seed: int = 3, rails: int = 2) -> Measured:
    """Sixteen nodes of four leaves; pairs of different leaves carry that share of the others'."""
    on = nobody(rails)
    rng = np.random.default_rng(seed)
    planned = schedule.plan(on, rounds=0, mode=mode, rng=rng)
    cross = LEAVES[planned.src] != LEAVES[planned.dst]
    rates = 100 * np.where(cross, far, 1.0) * np.exp(rng.normal(0, 0.01, len(cross)))
    return replace(planned, gbit_s=rates, status=np.full(len(cross), OK, dtype=np.int8))


def nobody(rails: int = 2) -> Topology:
    return topology.unknown([f"n{at:02d}" for at in range(16)], rails)


def alike(found: Topology, rail: int, *, but: tuple[int, ...] = ()) -> bool:
    """The same nodes together, whatever the numbers."""
    kept = [at for at in range(16) if at not in but]
    mine, real = found.leaf[kept, rail], LEAVES[kept]
    return bool(((mine[:, None] == mine) == (real[:, None] == real)).all())


@pytest.mark.parametrize("seed", range(5))
def test_leaves_with_less_room_upwards_are_told(seed):
    found = by_rates(nobody(), measured(0.6, seed=seed))
    assert alike(found, 0)
    assert alike(found, 1)
    assert found.origin.startswith("leaves guessed from rates")


@pytest.mark.parametrize("far", [1.0, 0.99, 0.97])
def test_where_near_is_as_fast_as_far_nothing_is_guessed(far):
    found = by_rates(nobody(), measured(far))
    assert (found.leaf == UNKNOWN).all()
    assert found.origin == nobody().origin


def test_too_few_pairs_guess_nothing():
    assert (by_rates(nobody(), measured(0.6, mode="quick")).leaf == UNKNOWN).all()


def test_a_node_whose_own_limit_hides_its_leaf_is_left_out_and_counted():
    rows = measured(0.6)
    slow = (rows.src == 5) | (rows.dst == 5)
    found = by_rates(nobody(), replace(rows, gbit_s=np.where(slow, 30.0, rows.gbit_s)))
    assert (found.leaf[5] == UNKNOWN).all()
    assert alike(found, 0, but=(5,))
    assert "1 of 16 nodes" in found.origin


def test_one_slow_way_does_not_move_a_node_to_another_leaf():
    rows = measured(0.6)
    found = by_rates(nobody(), replace(rows, gbit_s=rows.gbit_s * np.where(rows.src == 5, 0.5, 1)))
    assert alike(found, 0)


def test_a_rail_that_does_not_show_stays_unknown_beside_one_that_does():
    rows = measured(0.6)
    flat = np.where(rows.rail == 1, 100.0, rows.gbit_s)
    found = by_rates(nobody(), replace(rows, gbit_s=flat))
    assert alike(found, 0)
    assert (found.leaf[:, 1] == UNKNOWN).all()


def test_leaves_that_somebody_named_are_never_overruled():
    named = replace(nobody(), leaf=np.zeros((16, 2), dtype=np.int32), origin="labels")
    assert by_rates(named, measured(0.6)) is named


def test_half_the_tests_missing_still_tell_and_none_at_all_do_not_raise():
    rows = measured(0.6)
    gone = np.random.default_rng(1).random(len(rows.src)) < 0.4
    status = np.where(gone, MISSING, rows.status).astype(np.int8)
    assert alike(by_rates(nobody(), replace(rows, status=status)), 0)
    none = replace(rows, status=np.full(len(status), MISSING, dtype=np.int8))
    assert by_rates(nobody(), none).origin == nobody().origin

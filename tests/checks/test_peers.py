"""Majority, crowds and counters."""

from __future__ import annotations

import pytest

from clusterctl.counters import CEILINGS, NoRise, Rise, rise
from clusterctl.model import Evidence, Node
from clusterctl.peers import crowd, excess, majority, shortfall

NOW = Evidence(Node("n1"), (), seconds=10.0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([8, 8], None),
        ([8, 8, 7], 8),
        ([8, 8, 7, 7], None),
        ([8, 7, 6], None),
    ],
)
def test_a_majority_is_more_than_half_of_three_or_more(values, expected) -> None:
    assert majority(values) == expected


def test_four_values_are_no_crowd() -> None:
    assert crowd([1.0] * 4) is None
    assert crowd([1.0] * 5) is not None


def test_falling_short_is_directed_and_allows_the_usual_spread() -> None:
    peers = crowd([100.0, 101.0, 99.0, 100.5, 99.5])
    assert peers
    assert shortfall(50.0, peers, sigmas=5) == pytest.approx(0.5)
    assert shortfall(99.0, peers, sigmas=5) == 0
    assert shortfall(200.0, peers, sigmas=5) == 0
    assert excess(150.0, peers, sigmas=5) == pytest.approx(50.0)
    assert excess(50.0, peers, sigmas=5) == 0


def test_two_bad_ones_of_five_do_not_move_the_middle() -> None:
    peers = crowd([100.0, 100.0, 100.0, 1.0, 1.0])
    assert peers
    assert peers.middle == 100.0


def test_a_counter_rises_at_a_rate() -> None:
    assert rise(NOW, "x", 30, 10) == Rise(20, 2.0)


def test_a_counter_below_its_past_was_reset_and_has_no_rate() -> None:
    found = rise(NOW, "x", 3, 10)
    assert isinstance(found, Rise)
    assert (found.count, found.per_s) == (3, None)


@pytest.mark.parametrize("seconds", [None, 0.0, -1.0])
def test_no_time_no_rate(seconds) -> None:
    found = rise(Evidence(Node("n1"), (), seconds=seconds), "x", 3, 1)
    assert isinstance(found, Rise)
    assert (found.count, found.per_s) == (2, None)


def test_another_boot_is_not_compared() -> None:
    found = rise(Evidence(Node("n1"), (), seconds=1.0, same_boot=False), "x", 3, 1)
    assert isinstance(found, NoRise)
    assert not found.blind


@pytest.mark.parametrize(("name", "ceiling"), CEILINGS.items())
def test_a_counter_at_its_ceiling_is_blind_whatever_it_was(name: str, ceiling: int) -> None:
    for then in (None, 0, ceiling):
        found = rise(NOW, name, ceiling, then)
        assert isinstance(found, NoRise)
        assert found.blind

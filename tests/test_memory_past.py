"""A part's own past: what decays is named with its date, what only shakes is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from clusterctl.knowledge import chinese
from clusterctl.memory.past import LEAST_NIGHTS, onset, patience, worse
from clusterctl.memory.quantities import Quantity, named, quantities
from clusterctl.memory.series import Series, rates
from clusterctl.memory.trend import lines, slope, spark
from clusterctl.memory.yardstick import finding, words
from clusterctl.model import Status, UserError

START = datetime(2026, 1, 1, 2, tzinfo=UTC)
NIGHTS, RACKS, NODES, CARDS = 60, 4, 8, 8
BY_NAME = {one.name: one for one in quantities()}
H2D, HEAT, ECC = BY_NAME["h2d"], BY_NAME["gpu_temperature"], BY_NAME["gpu_ecc_corrected"]
LABELS = {f"n{node:02}": {"rack": f"r{node // NODES}"} for node in range(RACKS * NODES)}
VICTIM = 9 * CARDS + 3  # n09 gpu3


def fleet(level: float = 55.0, noise: float = 0.3, nights: int = NIGHTS) -> np.ndarray:
    rng = np.random.default_rng(7)
    return rng.normal(level, noise, (RACKS * NODES * CARDS, nights))


def told(numbers: np.ndarray, quantity: Quantity = H2D, load: np.ndarray | None = None) -> Series:
    names = [(node, f"gpu{card}") for node in LABELS for card in range(CARDS)]
    parts = pd.DataFrame(names[: len(numbers)], columns=["node", "part"])
    parts = parts.assign(mark="", model="H100", variant="")
    nights = tuple(START + timedelta(days=day) for day in range(numbers.shape[1]))
    return Series(quantity, parts, nights, numbers, load)


def decayed(numbers: np.ndarray, rows: object, share: float, days: int) -> np.ndarray:
    """By so much at the last night, in equal steps."""
    fall = np.clip(np.arange(numbers.shape[1]) - (numbers.shape[1] - 1 - days), 0, days) / days
    made = numbers.copy()
    made[rows] *= 1 - share * fall
    return made


def test_a_fleet_that_only_shakes_has_no_finding():
    assert worse(told(fleet()), LABELS) == []


def test_a_card_that_decays_is_named_with_its_pace():
    (found,) = worse(told(decayed(fleet(), [VICTIM], 0.09, 21)), LABELS)
    assert (found.level, found.nodes, found.parts) == ("part", ("n09",), ("gpu3",))
    said = finding(found, LABELS)
    assert said.check == "gpu_bandwidth"
    assert said.verdict.status is Status.WARN
    assert said.verdict.yardstick == "past"
    assert said.verdict.why.startswith("H2D down ")
    assert said.verdict.why.endswith(("in 2 weeks", "in 3 weeks", "in 4 weeks"))
    assert "GB/s, as on 30 nights before" in said.verdict.expected


def test_a_step_is_told_with_its_date():
    numbers = fleet()
    numbers[VICTIM, -5:] *= 0.9
    (found,) = worse(told(numbers), LABELS, quantities=len(quantities()))
    assert words(found) == f"H2D down 10 % since {START + timedelta(days=55):%Y-%m-%d}"


def test_a_rack_that_sags_is_one_finding_about_the_rack():
    rack = slice(NODES * CARDS, 2 * NODES * CARDS)
    (found,) = worse(told(decayed(fleet(), rack, 0.09, 21)), LABELS)
    said = finding(found, LABELS).verdict
    assert said.part == "rack=r1"
    assert said.node == ",".join(node for node in LABELS if LABELS[node]["rack"] == "r1")
    assert "rack=r1" in said.remedy


def test_a_node_whose_cards_all_get_hot_is_one_finding_and_the_whole_fleet_is_one():
    numbers = fleet(60, 1)
    load = np.full(numbers.shape, 90.0)
    numbers[NODES * CARDS : NODES * CARDS + CARDS, -6:] += 9
    (found,) = worse(told(numbers, HEAT, load), LABELS)
    assert (found.level, len(found.parts), found.nodes) == ("node", CARDS, ("n08",))
    everything = fleet(60, 1)
    everything[:, -6:] += 9
    (found,) = worse(told(everything, HEAT, load), LABELS)
    assert (found.level, len(found.nodes)) == ("model", RACKS * NODES)


def test_what_gets_better_is_no_finding():
    numbers = fleet()
    numbers[VICTIM, -9:] *= 1.2
    assert worse(told(numbers), LABELS) == []


def test_heat_is_compared_with_nights_of_like_load_and_without_them_with_nothing():
    numbers, load = fleet(40, 1), np.full((RACKS * NODES * CARDS, NIGHTS), 2.0)
    numbers[VICTIM, -8:] += 30
    load[VICTIM, -8:] = 97.0  # a job runs on it now
    assert worse(told(numbers, HEAT, load), LABELS) == []
    load[VICTIM] = 97.0
    assert len(worse(told(numbers, HEAT, load), LABELS)) == 1
    assert worse(told(numbers, HEAT, np.full(numbers.shape, np.nan)), LABELS) == []


def test_two_bad_nights_are_not_enough_and_a_short_past_says_nothing():
    numbers = fleet()
    numbers[VICTIM, -(LEAST_NIGHTS - 1) :] *= 0.7
    assert worse(told(numbers), LABELS) == []
    short = fleet(nights=10)
    short[VICTIM, -5:] *= 0.7
    assert worse(told(short), LABELS) == []


def test_a_part_that_was_not_read_tonight_and_one_that_is_new_are_not_judged():
    numbers = fleet()
    numbers[VICTIM, -5:] *= 0.7
    gone, new = numbers.copy(), numbers.copy()
    gone[VICTIM, -1] = np.nan
    new[VICTIM, :-6] = np.nan
    assert worse(told(gone), LABELS) == []
    assert worse(told(new), LABELS) == []


def test_a_fleet_with_many_false_starts_asks_for_more_nights():
    assert patience([], nights=30, allowed=4e-5) == LEAST_NIGHTS
    nervous = [1] * 400 + [2] * 40 + [3] * 4
    assert patience(nervous, nights=30, allowed=4e-5) > LEAST_NIGHTS
    assert patience(nervous * 10, nights=30, allowed=4e-5) > patience(
        nervous, nights=30, allowed=4e-5
    )


def test_cusum_finds_the_night_on_which_it_began():
    change = np.concatenate([np.zeros(40), np.full(10, 5.0)])
    assert onset(change, 1.0, H2D) == 40
    change[45] = np.nan
    assert onset(change, 1.0, H2D) == 40


def test_counters_are_judged_by_their_rise_a_day_and_a_reset_hides_one_night():
    counts = np.array([[0.0, 10.0, np.nan, 30.0, 5.0, 15.0]])
    made = rates(counts, np.arange(6.0))
    assert made[0, 1] == 10.0
    assert made[0, 3] == 10.0  # over two days
    assert np.isnan(made[0, [0, 2, 4]]).all()
    assert made[0, 5] == 10.0


def test_corrected_errors_that_become_tenfold_are_a_finding_and_none_at_all_is_none():
    numbers = np.zeros((RACKS * NODES * CARDS, NIGHTS))
    assert worse(told(numbers, ECC), LABELS) == []
    numbers[VICTIM, -5:] = 120.0
    (found,) = worse(told(numbers, ECC), LABELS)
    assert words(found).startswith("121 times as many corrected memory errors since")


# --------------------------------------------------------------------------- the table


@pytest.mark.parametrize("one", quantities(), ids=lambda one: one.name)
def test_every_quantity_has_a_direction_with_its_reason_and_source(one):
    from clusterctl.catalog import all_checks
    from clusterctl.memory.digest import LANES, SERIES, counters

    assert one.bad in {"up", "down"}
    assert one.scale in {"ratio", "difference", "decades"}
    assert 0 < one.least < 100
    assert all((one.says, one.reason, one.remedy, one.source))
    assert one.check in all_checks()
    assert one.field in {*SERIES[one.kind], *counters(), LANES}
    assert not one.load or one.load_within > 0


def test_a_number_is_found_by_its_friendly_name_by_kind_and_field_and_by_a_field_alone():
    known = [("Drive", "temp_c"), ("Accelerator", "temp_c"), ("Fan", "rpm")]
    assert named("gpu_temperature", known).field == "temp_c"
    assert named("Accelerator.temp_c", known).name == "gpu_temperature"
    assert named("rpm", known).kind == "Fan"
    with pytest.raises(UserError, match=r"which one: Accelerator\.temp_c, Drive\.temp_c\?"):
        named("temp_c", known)
    with pytest.raises(UserError, match="no such number; there are gpu_temperature"):
        named("temperature", known)


def test_what_is_said_of_a_decay_has_its_chinese():
    numbers = decayed(fleet(), [VICTIM], 0.09, 21)
    (found,) = worse(told(numbers), LABELS)
    said = finding(found, LABELS).verdict
    english = {said.why, said.remedy, *(one.remedy for one in quantities())}
    english |= {words(replace(found, quantity=one, change=1.0)) for one in quantities()}
    english |= {words(replace(found, quantity=one, sudden=True)) for one in quantities()}
    kept = {one for one in english if chinese.of(one) == one}
    assert kept == set()


# --------------------------------------------------------------------------- trend


def test_a_slope_has_its_interval_and_one_odd_night_does_not_bend_it():
    days = np.arange(60.0)
    numbers = 50 + days * 0.1
    numbers[30] = 500
    middle, low, high = slope(days, numbers)
    assert low <= middle <= high
    assert middle == pytest.approx(3.0)
    flat = slope(days, np.random.default_rng(1).normal(50, 1, 60))
    assert flat[1] < 0 < flat[2]
    assert np.isnan(slope(days[:3], numbers[:3])).all()


def test_lines_are_of_parts_nodes_or_labels_the_fastest_decay_first():
    numbers = decayed(fleet(), slice(0, NODES * CARDS), 0.2, 40)
    made = told(numbers)
    assert lines(made, "rack", LABELS)[0].name == "rack=r0"
    assert lines(made, "node")[0].name in {f"n{node:02}" for node in range(NODES)}
    assert len(lines(made, "part")) == len(numbers)
    hot = lines(replace(made, quantity=HEAT), "rack", LABELS)
    assert hot[-1].name == "rack=r0"  # going down is good for heat


def test_a_sparkline_shows_gaps_and_a_flat_course_in_the_middle():
    assert spark([1, 2, 3, np.nan, 8]) == "▁▂▃ █"
    assert spark([5, 5, 5]) == "▄▄▄"
    assert spark([]) == spark([np.nan]) == ""
    assert len(spark(np.arange(400.0))) == 32

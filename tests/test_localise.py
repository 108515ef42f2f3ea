"""Planted faults are named, healthy fabrics are not blamed, and no input makes it raise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fabric_sim import EASY, HARSH, Fabric, Weather, spot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clusterctl.bandwidth import measurements
from clusterctl.localise import schedule, topology
from clusterctl.localise.columns import FAILED, MISSING, OK, UNKNOWN, Measured, Topology
from clusterctl.localise.located import Floor, Located
from clusterctl.localise.muddle import with_muddle
from clusterctl.localise.paths import paths_of
from clusterctl.localise.suspects import locate
from clusterctl.model import UserError
from clusterctl.report.located import exit_code

MEDIUM = {"nodes": "n[0000-0063]", "leaf_size": 8, "uplinks": 8, "rails": 4}
SMALL = {"nodes": "n[0000-0015]", "leaf_size": 4, "uplinks": 2, "rails": 2}


def fabric(**given) -> Topology:
    return topology.parse({**MEDIUM, **given}, "topology.yml")


def measured(on: Topology, faults, weather=HARSH, *, seed=5, rounds=5) -> Measured:
    rng = np.random.default_rng(seed)
    return Fabric(on, faults, weather, seed).measure(schedule.plan(on, rounds=rounds, rng=rng))


def named(found: Located) -> list[str]:
    return [one.component for one in found.suspects]


# --------------------------------------------------------------------------- who is named


@pytest.mark.parametrize(
    ("component", "rate"),
    [
        ("host:n0017", 0.7),
        ("nic-tx:n0017/3", 0.48),
        ("nic-rx:n0017/3", 0.9),
        ("leaf:2/3", 0.8),
        ("uplink:2/3>5", 0.5),
        ("downlink:5>2/3", 0.5),
        ("spine:5", 0.8),
    ],
)
def test_one_slow_part_is_named_first_with_its_rate(component, rate):
    found = locate(fabric(), measured(fabric(), {component: rate}))
    assert named(found) == [component]
    first = found.suspects[0]
    assert first.low - 0.02 <= rate <= first.high + 0.02
    assert first.posterior > 0.9
    assert first.evidence_for
    assert first.evidence_against
    assert first.advice


def test_where_one_test_in_three_fails_no_spine_is_to_blame():
    rows = measured(fabric(), {"nic-tx:n0020/1": 0.5})
    lost = np.random.default_rng(5).random(len(rows.src)) < 0.3
    rows = replace(
        rows,
        status=np.where(lost, FAILED, rows.status),
        gbit_s=np.where(lost, np.nan, rows.gbit_s),
    )
    assert set(named(locate(fabric(), rows))) <= {"nic-tx:n0020/1"}


def test_rates_without_any_order_accuse_nobody():
    rows = measured(fabric(), {})
    rate = np.random.default_rng(6).uniform(1, 400, len(rows.src))
    found = locate(fabric(), replace(rows, gbit_s=rate))
    assert not found.suspects
    assert "scatter" in found.inconclusive[0].why


def test_a_rail_whose_uplinks_hide_what_its_nics_have_over_is_not_blamed():
    weather = replace(HARSH, cross_rate=0.94, rail_rates=(1.0, 0.97, 0.94, 0.91))
    rows = measured(fabric(), {}, weather)
    cap = np.where(rows.via >= 0, 0.9 * np.nanmedian(rows.gbit_s), np.inf)
    jitter = np.exp(np.random.default_rng(7).normal(0, 0.01, len(cap)))
    clipped = np.minimum(rows.gbit_s, cap) * jitter
    assert named(locate(fabric(), replace(rows, gbit_s=clipped))) == []


def test_several_faults_are_told_apart():
    faults = {
        "host:n0001": 0.8,
        "nic-tx:n0020/1": 0.5,
        "nic-rx:n0020/1": 0.5,
        "uplink:5/0>2": 0.6,
        "leaf:7/2": 0.9,
    }
    assert set(named(locate(fabric(), measured(fabric(), faults)))) == set(faults)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "weather",
    [
        EASY,
        HARSH,
        replace(HARSH, freedom=3.0),
        replace(HARSH, hidden="hashed", shared=True),
        replace(HARSH, hidden="sprayed"),
        replace(HARSH, missing=0.3),
        replace(HARSH, cross_rate=0.8, round_sag=0.2, rail_rates=(1, 1, 0.5, 0.5)),
        Weather(sigma=0.0, spread=0.0, hold_ups=0.0, congested=0.0),
        Weather(sigma=0.004, spread=0.0, step_gbit_s=10.0),
    ],
    ids=["easy", "harsh", "tails", "hashed", "sprayed", "missing", "tiers", "equal", "steps"],
)
def test_nobody_is_blamed_on_a_healthy_fabric(weather, seed):
    assert named(locate(fabric(), measured(fabric(), {}, weather, seed=seed))) == []


def test_a_slow_uplink_that_nobody_can_choose_is_its_leafs_also_beside_a_slow_host():
    on = fabric(nodes="n[0000-0127]", leaf_size=16, uplinks=8)
    faults = {"uplink:2/3>5": 0.5, "host:n0005": 0.5}
    alone = replace(HARSH, hidden="hashed", shared=False)
    rows = measured(on, faults, alone, rounds=12)
    assert set(named(locate(on, rows))) == {"uplinks:2/3", "host:n0005"}


def test_a_slow_leaf_of_two_rails_and_four_leaves_is_not_its_hosts():
    on = topology.parse(SMALL, "small")
    assert named(locate(on, measured(on, {"leaf:3/1": 0.9}, rounds=4))) == ["leaf:3/1"]


@pytest.mark.parametrize("cross_rate", [1.0, 0.9])
def test_a_slow_leaf_is_not_its_links_where_far_is_slower_than_near(cross_rate):
    on = fabric(nodes="n[0000-0129]", leaf_size=16, rails=1)
    weather = replace(EASY, sigma=0.02, cross_rate=cross_rate)
    rows = measured(on, {"leaf:5/0": 0.61}, weather, rounds=8)
    unsaid = np.random.default_rng(5).random(len(rows.src)) < 0.3
    found = locate(on, replace(rows, via=np.where(unsaid, UNKNOWN, rows.via)))
    assert named(found) == ["leaf:5/0"]


@pytest.mark.parametrize("seed", range(3))
def test_a_host_slow_under_load_alone_is_not_its_ports_when_single_tests_pass(seed):
    on = fabric(rails=8)
    rows = measured(on, {"host:n0017": 0.5, "uplink:3/1>4": 0.9}, seed=seed, rounds=4)
    idle = Fabric(on, {"uplink:3/1>4": 0.9}, HARSH, seed)
    for _ in range(3):
        more = asked(on, locate(on, rows), int(rows.round.max()) + 1)
        rows = schedule.join([rows, idle.measure(more)])
    assert set(named(locate(on, rows))) <= {"host:n0017", "uplink:3/1>4"}


def test_a_link_busy_for_some_rounds_on_end_is_cleared_by_the_rounds_after():
    rows = measured(fabric(), {}, rounds=8)
    link = (rows.rail == 1) & (rows.src // 8 == 3) & (rows.via == 4)
    busy = link & (rows.round < 5)
    rows = replace(rows, gbit_s=np.where(busy, 0.6 * rows.gbit_s, rows.gbit_s))
    assert len(np.unique(rows.round[busy & (rows.dst // 8 != 3)])) >= 3
    assert "uplink:3/1>4" not in named(locate(fabric(), rows))


def test_what_traffic_cannot_tell_apart_is_one_suspect_with_rivals():
    on = topology.parse({**SMALL, "leaf_size": 8, "uplinks": 4}, "two leaves")
    found = locate(on, measured(on, {"downlink:2>1/0": 0.5}, EASY, rounds=6))
    assert named(found) == ["uplink:0/0>2"]
    assert "downlink:2>1/0" in [one.component for one in found.suspects[0].rivals]
    assert found.suspects[0].posterior < 0.7
    assert "cannot tell" in found.suspects[0].advice


def test_a_leaf_that_is_slow_for_whole_rounds_is_one_leaf_and_not_its_ports():
    rows = measured(fabric(), {}, rounds=8)
    here, there = rows.src // 8 == 3, rows.dst // 8 == 3
    spell = (rows.rail == 1) & (here | there) & np.isin(rows.round, (0, 2, 3, 5, 6))
    found = locate(fabric(), replace(rows, gbit_s=np.where(spell, rows.gbit_s / 2, rows.gbit_s)))
    assert named(found) == ["leaf:3/1"]
    assert found.suspects[0].rate == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_nics_that_differ_by_three_percent_make_no_host_or_leaf_slow(seed):
    on = fabric(nodes="n[0000-0127]", rails=2)
    rows = measured(on, {}, replace(HARSH, spread=0.03), seed=seed, rounds=8)
    kinds = {one.partition(":")[0] for one in named(locate(on, rows))}
    assert not kinds & {"host", "leaf", "uplinks", "downlinks"}


@pytest.mark.parametrize("seed", range(3))
def test_rates_that_stray_further_below_than_above_accuse_nobody(seed):
    on = fabric(nodes="n[0000-0127]", rails=2)
    rows = measured(on, {}, EASY, seed=seed)
    stray = np.random.default_rng(100 + seed).normal(0, 0.03, len(rows.src))  # not the plan's draws
    leaning = replace(rows, gbit_s=rows.gbit_s * np.exp(np.where(stray > 0, stray / 3, stray)))
    assert named(locate(on, leaning)) == []


@pytest.mark.parametrize("step", [0.1, 1.0, 2.5])
def test_rates_that_a_tool_rounds_coarsely_accuse_the_slow_one_alone(step):
    on = fabric(nodes="n[0000-0127]", rails=2)
    rows = measured(on, {"nic-rx:n0100/1": 0.6}, replace(HARSH, sigma=0.02))
    rounded = np.round(rows.gbit_s * 25 / 400 / step) * step
    assert named(locate(on, replace(rows, gbit_s=rounded))) == ["nic-rx:n0100/1"]


def test_rates_that_fall_on_two_round_values_accuse_nobody():
    on = fabric(nodes="n[0000-0127]", rails=2)
    rows = measured(on, {}, EASY)
    rounded = np.round(rows.gbit_s * 24.6 / np.nanmedian(rows.gbit_s))
    assert set(rounded) == {24.0, 25.0}
    assert named(locate(on, replace(rows, gbit_s=rounded))) == []


def test_a_part_whose_every_test_fails_is_at_zero():
    rows = measured(fabric(), {}, EASY)
    dead = (rows.src == 9) & (rows.rail == 1)
    status = np.where(dead, FAILED, rows.status).astype(np.int8)
    found = locate(
        fabric(), replace(rows, status=status, gbit_s=np.where(dead, np.nan, rows.gbit_s))
    )
    assert named(found) == ["nic-tx:n0009/1"]
    assert found.suspects[0].rate == 0
    assert found.failed == dead.sum()


def test_without_a_topology_hosts_and_nics_are_still_named():
    on = fabric()
    rows = measured(on, {"nic-tx:n0017/3": 0.5, "host:n0040": 0.7}, EASY, rounds=6)
    blind = topology.unknown(on.nodes, 4)
    found = locate(blind, replace(rows, via=np.full_like(rows.via, UNKNOWN)))
    assert set(named(found)) == {"nic-tx:n0017/3", "host:n0040"}


def test_a_slow_rail_is_one_cause_and_not_many():
    weather = replace(EASY, rail_rates=(1, 1, 0.8, 1))
    found = locate(fabric(), measured(fabric(), {}, weather))
    assert named(found) == []
    assert [one.where for one in found.population] == ["rail 2"]


def test_one_node_whose_rates_are_told_too_high_makes_the_others_no_slow_kind():
    rows = measured(fabric(), {}, EASY)
    told = np.where((rows.src == 3) | (rows.dst == 3), 1.3, 1.0)
    slower = np.where((rows.src % 3 == 0) | (rows.dst % 3 == 0), 0.85, 1.0)

    assert locate(fabric(), replace(rows, gbit_s=rows.gbit_s * told)).population == ()
    (kind,) = locate(fabric(), replace(rows, gbit_s=rows.gbit_s * slower)).population
    assert kind.where.startswith("n0000,n0003,")
    assert "run alike at 86%" in kind.why


BARE = topology.parse({"nodes": "n[1-8]", "rails": 2}, "t.yml")


def four_rounds(missing, *, failed: int = 0) -> Measured:
    """Four rounds, all alike but for those that did not run; so many of them failed."""
    planned = schedule.plan(BARE, rounds=4, rng=np.random.default_rng(3))
    status = np.where(missing(planned), MISSING, OK).astype(np.int8)
    status[np.random.default_rng(1).permutation(len(status))[:failed]] = FAILED
    return replace(planned, gbit_s=np.where(status == OK, 100.0, np.nan), status=status)


@pytest.mark.parametrize(
    ("missing", "unseen"),
    [
        (lambda rows: rows.rail < 0, []),
        (lambda rows: (rows.src == 2) & (rows.rail == 1), ["nic-tx:n3/1"]),
        (lambda rows: rows.src == 2, ["nic-tx:n3/0", "nic-tx:n3/1"]),
        (lambda rows: ((rows.src == 2) | (rows.dst == 2)) & (rows.rail == 1),
         ["nic-tx:n3/1", "nic-rx:n3/1"]),
        (lambda rows: (rows.src == 2) | (rows.dst == 2), ["host:n3"]),
        (lambda rows: rows.rail == 1, ["rail 1"]),
    ],
    ids=["all ran", "one port", "a node never sent", "one rail of a node", "a node", "a rail"],
)  # fmt: skip
def test_what_no_test_reached_is_not_cleared(missing, unseen):
    rows = four_rounds(missing)
    found = locate(BARE, rows)
    assert [one.component for one in found.inconclusive] == unseen
    assert exit_code(found) == (4 if unseen else 0)
    ran = np.flatnonzero(rows.status == OK)
    only = locate(BARE, rows, sought=schedule.take(rows, ran))
    assert [one.component for one in only.inconclusive] == [
        name for name in unseen if name.startswith("host")
    ]


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (1, 0), (6, 0), (7, 4), (32, 4)])
def test_many_failures_that_no_part_explains_clear_nobody(failed, code):
    rows = four_rounds(lambda planned: planned.rail < 0, failed=failed)
    found = with_muddle(locate(BARE, rows), BARE, rows)
    assert named(found) == []
    assert exit_code(found) == code
    if code:
        assert f"{failed} of 64 tests lie well below" in found.inconclusive[-1].why


def test_two_tests_of_which_one_failed_clear_nobody():
    on, rows = measurements.read(
        "round,src,dst,rail,gbit_s\n0,a,b,0,100\n0,b,a,0,0\n", "m.csv", None
    )
    assert exit_code(with_muddle(locate(on, rows), on, rows)) != 0


def test_everything_under_the_floor_is_said_once():
    found = locate(fabric(), measured(fabric(), {}), floors=[Floor(500.0, "datasheet")])
    assert named(found) == []
    assert len(found.population) == 1
    assert found.population[0].source == "datasheet"


def test_counters_alone_convict_nobody():
    rows = measured(fabric(), {}, EASY)
    assert named(locate(fabric(), rows, priors={"nic-tx:n0017/3": 1e9})) == []


def test_the_same_rows_twice_say_no_more_than_once():
    rows = measured(fabric(), {"nic-tx:n0017/3": 0.9}, rounds=3)
    once, twice = (locate(fabric(), one) for one in (rows, schedule.join([rows, rows])))
    assert [(one.component, one.posterior) for one in once.suspects] == [
        (one.component, one.posterior) for one in twice.suspects
    ]


def test_congestion_of_one_round_is_not_a_fault():
    rows = measured(fabric(), {}, EASY, rounds=5)
    leaf = fabric().leaf[rows.src, rows.rail]
    there = fabric().leaf[rows.dst, rows.rail]
    held = (rows.round == 2) & (rows.rail == 1) & (leaf == 3) & (leaf != there)
    assert held.any()
    found = locate(fabric(), replace(rows, gbit_s=np.where(held, rows.gbit_s * 0.5, rows.gbit_s)))
    assert named(found) == []


def test_flows_that_halve_each_other_clear_no_nic_that_had_room():
    """Two flows an uplink: a NIC at 70 % shows inside its leaf only, and is asked about there."""
    on = topology.parse({"nodes": "n[000-127]", "leaf_size": 16, "uplinks": 8, "rails": 4}, "t")
    wide = replace(on, uplinks=16)
    made = schedule.plan(wide, rounds=4, rng=np.random.default_rng(2))
    made = replace(made, via=np.where(made.via >= 0, made.via % 8, made.via).astype(np.int32))
    there = Fabric(on, {"nic-tx:n027/2": 0.7}, HARSH, 2)
    rows = there.measure(made)
    found = locate(on, rows)
    for _ in range(4):
        rows = schedule.join([rows, there.measure(asked(on, found, int(rows.round.max()) + 1))])
        found = locate(on, rows)
    assert named(found) == ["nic-tx:n027/2"]
    assert found.suspects[0].low <= 0.7 <= found.suspects[0].high


def test_asking_again_comes_to_an_end_and_settles_doubt():
    on = fabric()
    there = Fabric(on, {"nic-rx:n0030/2": 0.9}, replace(HARSH, sigma=0.03), 3)
    rows = there.measure(schedule.plan(on, rounds=2, rng=np.random.default_rng(3)))
    found = locate(on, rows)
    for _ in range(14):
        if not found.confirm:
            break
        rows = schedule.join([rows, there.measure(asked(on, found, int(rows.round.max()) + 1))])
        found = locate(on, rows)
    assert not found.confirm
    assert named(found) == ["nic-rx:n0030/2"]


def asked(on: Topology, found: Located, number: int) -> Measured:
    place = {name: at for at, name in enumerate(on.nodes)}
    columns = [
        [number for _ in found.confirm],
        [place[one.src] for one in found.confirm],
        [place[one.dst] for one in found.confirm],
        [one.rail for one in found.confirm],
        [UNKNOWN if one.via is None else one.via for one in found.confirm],
    ]
    whole = [np.array(column, dtype=np.int32) for column in columns]
    count = len(found.confirm)
    return Measured(*whole, np.full(count, np.nan), np.full(count, MISSING, dtype=np.int8))


# --------------------------------------------------------------------------- nothing raises

PART = r"(host|nic-tx|nic-rx|leaf|uplink|downlink|spine|uplinks|downlinks):"


@st.composite
def anything(draw):
    nodes, rails = draw(st.integers(1, 9)), draw(st.integers(1, 3))
    leaf = np.array(
        draw(st.lists(st.integers(-1, 3), min_size=nodes * rails, max_size=nodes * rails)),
        dtype=np.int32,
    ).reshape(nodes, rails)
    uplinks = draw(st.integers(0, 3))
    on = Topology(tuple(f"n{at}" for at in range(nodes)), leaf, uplinks, "any")
    count = draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    rate = rng.choice([0.0, 1e-9, 100.0, 99.0, 50.0, 1e6], count)
    status = rng.integers(0, 3, count).astype(np.int8)
    columns = (rng.integers(0, high, count).astype(np.int32) for high in (4, nodes, nodes, rails))
    via = rng.integers(-1, max(uplinks, 1), count).astype(np.int32)
    return on, Measured(*columns, via, np.where(status == OK, rate, np.nan), status)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(anything())
def test_any_rows_give_an_answer_about_parts_that_exist(case):
    on, rows = case
    found = locate(on, rows)
    for one in found.suspects:
        assert 0 <= one.posterior <= 1
        assert 0 <= one.low <= one.rate <= one.high <= 1
        if not one.component.startswith(("spine", "uplinks", "downlinks")):
            spot(one.component, on)
    assert_side_by_side(on, found)


def assert_side_by_side(on: Topology, found: Located) -> None:
    assert all(one.src != one.dst for one in found.confirm)
    for end in ("src", "dst"):
        used = [(getattr(one, end), one.rail) for one in found.confirm]
        assert len(set(used)) == len(used)
    for one in found.confirm:
        assert {one.src, one.dst} <= set(on.nodes)
        assert 0 <= one.rail < on.leaf.shape[1]
        assert one.via is None or 0 <= one.via < max(on.uplinks, 1)


# --------------------------------------------------------------------------- the plan


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 40),
    st.integers(1, 12),
    st.integers(0, 6),
    st.integers(1, 4),
    st.sampled_from(["quick", "default", "exhaustive"]),
)
def test_no_test_of_a_round_slows_another(nodes, size, uplinks, rails, mode):
    given_ = {
        "nodes": f"n[00-{nodes - 1:02}]",
        "leaf_size": size,
        "uplinks": uplinks,
        "rails": rails,
    }
    on = topology.parse(given_, "t")
    made = schedule.plan(on, mode=mode, rng=np.random.default_rng(1))
    assert (made.src != made.dst).all()
    assert (made.status == MISSING).all()
    for end in (made.src, made.dst):
        assert once_each(made.round, end, made.rail)
        pinned = made.via >= 0
        leaf = on.leaf[end, made.rail]
        assert once_each(made.round[pinned], leaf[pinned], made.rail[pinned], made.via[pinned])
    if mode == "exhaustive":
        pairs = set(zip(made.src.tolist(), made.dst.tolist(), made.rail.tolist(), strict=True))
        assert len(pairs) == len(made.src) == nodes * (nodes - 1) * rails


def once_each(*columns) -> bool:
    keys = list(zip(*(column.tolist() for column in columns), strict=True))
    return len(set(keys)) == len(keys)


def test_who_used_one_rail_alone_is_told_whatever_the_rounds_are_called():
    on = topology.parse({"nodes": "n[0-3]", "rails": 2}, "t")
    tests = [(7, 0, 1, 0), (7, 2, 3, 0), (7, 3, 1, 1), (10**9, 0, 1, 1), (3, 2, 3, 0)]
    columns = [np.array(one, dtype=np.int32) for one in zip(*tests, strict=True)]
    none = np.full(5, UNKNOWN, dtype=np.int32)
    rows = Measured(*columns, none, np.ones(5), np.zeros(5, dtype=np.int8))
    assert paths_of(on, rows).alone.tolist() == [False, False, False, True, True]


@pytest.mark.parametrize("rounds", [1, 2, 4])
@pytest.mark.parametrize("size", [1, 2, 8])
def test_a_plan_has_as_many_rounds_as_were_wanted(rounds, size):
    on = topology.parse({"nodes": "n[1-8]", "leaf_size": size}, "t")
    made = schedule.plan(on, rounds=rounds, rng=np.random.default_rng(1))
    assert set(made.round.tolist()) == set(range(rounds))
    assert set(made.src.tolist()) == set(range(8))


def test_byes_rotate_among_odd_nodes():
    on = topology.parse({"nodes": "n[0-6]"}, "t")
    made = schedule.plan(on, rounds=7, rng=np.random.default_rng(1))
    assert np.bincount(made.src, minlength=7).min() >= 6


def test_a_round_of_single_rails_uses_each_node_once():
    on = fabric()
    made = schedule.single_rail_round(on, 9, np.random.default_rng(1))
    assert once_each(made.src)
    assert len(made.src) >= 48


@pytest.mark.parametrize(("budget_s", "rounds"), [(180, 18), (10, 1), (15, 1)])
def test_a_budget_holds_whole_rounds(budget_s, rounds):
    assert schedule.rounds_for(fabric(), budget_s, 10) == rounds


@pytest.mark.parametrize(("budget_s", "round_s"), [(9, 10), (10, 0), (10, float("nan"))])
def test_a_budget_without_a_round_is_refused(budget_s, round_s):
    with pytest.raises(UserError, match="--budget"):
        schedule.rounds_for(fabric(), budget_s, round_s)


# --------------------------------------------------------------------------- the file


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({"nodes": "n[1-4]", "leafsize": 2}, "leaf_size"),
        ({"nodes": "n[1-", "leaf_size": 2}, "nodes"),
        ({"nodes": 7}, "nodes"),
        ({"nodes": "n[1-4]", "rails": 0}, "rails"),
        ({"nodes": "n[1-4]", "uplinks": -1}, "uplinks"),
        ({"nodes": "n[1-4]", "leaf_size": True}, "leaf_size"),
        ({"nodes": "n[1-4]", "leaf_size": 2, "leaf": {"n1": 0}}, "keep one"),
        ({"nodes": "n[1-4]", "leaf": {"n9": 0}}, "n9 is not among nodes"),
        ({"nodes": "n[1-4]", "rails": 2, "leaf": {"n1": [0, 1, 2]}}, "one a rail"),
        ({"nodes": "n[1-4]", "leaf": {"n1": 0, "n[1-2]": 1}}, "n1 stands twice"),
        ({}, "nodes"),
    ],
)
def test_a_bad_topology_is_one_line_with_file_and_key(given_, says):
    with pytest.raises(UserError, match=says) as caught:
        topology.parse(given_, "topology.yml")
    assert str(caught.value).startswith("topology.yml: ")
    assert "\n" not in str(caught.value)


def test_leaves_may_differ_by_rail():
    on = topology.parse({"leaf": {"n[1-2]": [0, 1], "n[3-4]": [1, 0]}}, "t")
    assert on.nodes == ("n1", "n2", "n3", "n4")
    assert on.leaf.tolist() == [[0, 1], [0, 1], [1, 0], [1, 0]]

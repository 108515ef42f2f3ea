"""Ranks are held against those that do the same work: stages, and who stands out within one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from statistics import median

import pytest
from triage_texts import Rank, cards, texts, without_tcp

from clusterctl.triage.running.gpu_readings import gpus
from clusterctl.triage.running.job import gathered
from clusterctl.triage.running.live import judge
from clusterctl.triage.running.observed import Process
from clusterctl.triage.running.readings import read
from clusterctl.triage.running.roles import Role, mates, roles, usual, vote
from clusterctl.triage.verdict import Cause, Triage

FOUR_BY_FOUR = {"pipeline": 4}


def job(parallel: dict[str, int], change: Callable[[Rank], None] | None = None) -> list[Rank]:
    """Sixteen ranks on as many nodes."""
    ranks = [Rank(number, parallel=parallel) for number in range(16)]
    for one in ranks if change else ():
        change(one)
    return ranks


def judged(ranks: list[Rank], power: dict[int, float] | None = None) -> Triage:
    told = texts(ranks) if power is None else without_tcp(ranks)
    seen = [read(node, text) for node, text in told.items()]
    if power is not None:
        seen = [
            replace(one, gpus=tuple(gpus(cards(1800, power=power.get(at, 300.0)))[0]))
            for at, one in enumerate(seen)
        ]
    return judge(gathered(seen, {}))


def heavy_first_stage(one: Rank) -> None:
    if one.number < 4:
        one.late_as, one.late_looks, one.run = "run", 2, 0.5


def test_a_stage_with_more_to_do_is_named_and_none_of_its_ranks():
    found = judged(job(FOUR_BY_FOUR, heavy_first_stage))
    assert (found.cause, found.suspects) == (Cause.STAGE, ())
    assert "all 4 ranks of stage 0 are waited for alike, at 20 %" in found.evidence[0]


def test_within_a_stage_with_more_to_do_the_one_that_is_slow_is_named():
    ranks = job(FOUR_BY_FOUR, heavy_first_stage)
    ranks[2].late_looks = 5
    found = judged(ranks)
    assert (found.cause, found.suspects[0].ranks) == (Cause.WORKER, (2,))
    assert found.slowdown == pytest.approx(1 / 0.7, rel=0.05)
    assert any("the 3 others of stage 0: at 20 %" in line for line in found.suspects[0].why)


def test_a_stage_of_one_rank_that_computes_longer_accuses_nobody_and_one_that_sleeps_is_named():
    ranks = job({"pipeline": 16})
    ranks[0].late_as, ranks[0].run = "run", 0.5
    found = judged(ranks)
    assert (found.cause, found.suspects) == (Cause.STAGE, ())
    assert "rank 0 on n00 is all of stage 0" in found.evidence[0]
    ranks[0].late_as = "sleep"
    found = judged(ranks)
    assert (found.cause, found.suspects[0].ranks) == (Cause.WORKER, (0,))
    assert any("nobody else is of stage 0" in line for line in found.suspects[0].why)


def test_those_who_wait_for_a_late_rank_of_their_own_pipeline_are_not_it():
    ranks = job(FOUR_BY_FOUR)
    for one in ranks:
        if one.number % 4 == 1:  # data-parallel replica 1: ranks 1, 5, 9, 13
            one.late_as = "disk" if one.number == 9 else "wire"
    found = judged(ranks)
    assert (found.cause, found.suspects[0].ranks) == (Cause.DATA, (9,))
    assert any("of the same pipeline wait for it" in line for line in found.suspects[0].why)


def test_a_stage_whose_connections_carry_more_is_no_slow_nic_and_one_within_it_is():
    def heavy(one: Rank) -> None:
        one.busy = 0.7 if one.number >= 8 else 0.2

    parallel = {"pipeline": 2}
    assert judged(job(parallel, heavy)).suspects == ()
    ranks = job(parallel, heavy)
    ranks[12].busy, ranks[11].busy = 0.99, 0.9
    found = judged(ranks)
    assert (found.cause, found.suspects[0].node) == (Cause.NETWORK, "n12")
    assert any("of stage 1 to 1" in line for line in found.suspects[0].why)


def test_a_cpu_limit_of_a_whole_stage_is_nobodys_and_of_one_within_it_its_own():
    ranks = job(FOUR_BY_FOUR, lambda one: setattr(one, "held", 0.4 * (one.number < 4)))
    assert judged(ranks).suspects == ()
    ranks[3].held = 0.8
    assert judged(ranks).suspects[0].node == "n03"


def test_a_stage_that_draws_more_power_accuses_nobody_and_one_of_its_gpus_that_does_is_named():
    stage = {at: 500.0 + at for at in range(4)}
    ranks = job(FOUR_BY_FOUR)
    assert judged(ranks, stage).cause is Cause.HEALTHY
    found = judged(ranks, stage | {2: 690.0})
    assert found.suspects[0].ranks == (2,)
    assert "against the 3 others of stage 0" in found.suspects[0].why[0]


def test_too_few_of_a_role_are_held_against_all_and_that_is_said():
    ranks = job({"pipeline": 8})
    found = judged(ranks, {3: 690.0})
    assert found.suspects == ()  # its stage may have more to do
    assert any(
        "held against all 15 others, whose work may differ: too few are of stage 1" in one.why
        for one in found.ruled_out
    )


# ----------------------------------------------------------------------------- whose role is what


def process(rank: int, **parallel: float) -> Process:
    local = rank % 8
    return Process(f"n{rank // 8}", 7, rank, "", "j", "python", 32, local, parallel=parallel)


@pytest.mark.parametrize(
    ("parallel", "expected"),
    [
        ({"pipeline": 4}, Role(2, 3, 0, 3, 0)),
        ({"pipeline": 4, "tensor": 2}, Role(2, 3, 1, 1, 0)),
        ({"pipeline": 4, "tensor": 2, "stages_inside": 1}, Role(1, 3, 1, 2, 0)),
        ({"tensor": 4, "expert": 2}, Role(None, 3, 3, 4, 0)),
        ({"pipeline": 2, "tensor": 2, "context": 2}, Role(1, 3, 3, 0, 0)),
    ],
)
def test_ranks_are_numbered_as_megatron_numbers_them(parallel, expected):
    """Rank 19 of 32; tensor fastest, then context, data, pipeline, but for the other mapping."""
    found, doubts = roles([process(number, **parallel) for number in range(32)], 32)
    assert found[19] == expected
    assert doubts == []


def test_sizes_that_do_not_divide_the_ranks_or_differ_are_not_believed_and_that_is_said():
    found, doubts = roles([process(number, pipeline=5) for number in range(32)], 32)
    assert {one.stage for one in found} == {None}
    assert "pipeline 5 does not divide 32 ranks" in doubts[0]
    mixed = [process(number, pipeline=2 + 2 * (number > 3)) for number in range(32)]
    assert "ranks differ" in roles(mixed, 32)[1][0]
    assert roles([process(0, pipeline=0, tensor=0)], 32)[0][0].stage is None


def test_a_rank_whose_launcher_says_no_place_gets_it_by_order_on_its_node():
    ranks = [Process("n0", 7, at, "", "j", "python", 2, None) for at in range(2)]
    assert [one.local for one in roles(ranks, 2)[0]] == [0, 1]


@pytest.mark.parametrize("stages", [1, 2, 3, 8])
def test_what_is_usual_in_a_stage_is_the_median_of_its_others(stages):
    parts = [Role(at % stages) for at in range(8)]
    rng = Random(stages)
    values = {at: rng.choice((0.1, 0.2, rng.random())) for at in range(8) if at != 3}
    told = usual(parts, values)
    for place in values:
        others = [values.get(at, 0.0) for at in mates(parts, place)]
        assert told[place] == pytest.approx(median(others) if others else 0.0)
    assert set(usual([Role()] * 8, values).values()) == {0.0}
    assert set(usual((), values).values()) == {0.0}


def test_a_vote_takes_the_narrowest_role_that_has_enough():
    values = {f"g{at}": 100.0 + at % 2 for at in range(8)} | {"g0": 110.0}
    narrow = {name: [(("both", at // 4), f"x{at // 4}")] for at, name in enumerate(values)}
    told = vote(values, narrow, error=0.1)
    assert told is not None
    assert (told.found.name, told.among, told.alone) == ("g0", "the 3 others x0", False)
    few = {name: [((name,), f"of stage {name}")] for name in values}
    alone = vote(values, few, error=0.1)
    assert alone is not None
    assert alone.alone
    assert "too few are of stage g0" in alone.among

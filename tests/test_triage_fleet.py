"""Simulated jobs, healthy and not, as the bench of false alarms makes them by the thousand."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent / "bench"))

from triage_false_alarms import judged
from triage_fleet import Fault, Shape, run, shape, texts

from clusterctl.triage.running.candidates import beyond
from clusterctl.triage.verdict import Cause, Triage

PLAIN = Shape(
    nodes=8,
    per_node=1,
    stages=1,
    transport="tcp",
    step_s=0.5,
    shares=0.2,
    window_s=10.0,
    every_s=0.1,
    noise=0.01,
    cards=False,
    spins=False,
    saves="nobody",
    swaps=False,
    crowded=False,
)


def told(one: Shape, fault: Fault = Fault(), seed: int = 5) -> Triage:  # noqa: B008 - frozen
    return judged(texts(run(one, fault, Random(f"{one} {seed}"))))


@pytest.mark.parametrize("transport", ["tcp", "rdma"])
def test_of_many_healthy_jobs_of_all_shapes_none_accuses_anybody(transport: str) -> None:
    for number in range(15):
        rng = Random(f"{transport} {number}")
        one = replace(shape(rng), nodes=rng.choice((8, 16)), transport=transport)
        found = judged(texts(run(one, Fault(), rng)))
        assert found.suspects == (), f"{number}: {one}"


def test_a_job_over_rdma_whose_tcp_is_idle_since_it_began_does_not_hang() -> None:
    found = told(replace(PLAIN, transport="rdma", cards=True))
    assert (found.cause, found.slowdown) == (Cause.HEALTHY, 1.0)


def test_a_step_longer_than_the_window_is_not_called_a_hang_and_not_healthy() -> None:
    found = told(replace(PLAIN, step_s=300.0, spins=True))
    assert (found.cause, found.suspects) == (Cause.UNKNOWN, ())
    assert "look longer: --seconds 60" in found.evidence[0]


@pytest.mark.parametrize("saves", ["first", "all", "logs"])
def test_a_checkpoint_within_the_window_is_nobodys_fault(saves: str) -> None:
    causes = set()
    for seed in range(4):
        found = told(replace(PLAIN, saves=saves), seed=seed)
        assert found.suspects == ()
        causes.add(found.cause)
    assert Cause.CHECKPOINT in causes or saves == "logs"


def test_one_long_stretch_in_a_short_window_makes_nobody_sure_and_of_rank_0_nothing() -> None:
    """A step and a half: it may be a habit, or a log that rank 0 writes for all."""
    slow = replace(PLAIN, step_s=6.0)
    found = told(slow, Fault("sleep", 5, 0.6), seed=1)
    assert (found.suspects[0].node, found.confidence) == ("n005", 0.6)
    assert found.advice == "look again, and longer: --seconds 60"
    first = told(slow, Fault("sleep", 0, 0.6), seed=1)
    assert (first.cause, first.suspects) == (Cause.UNKNOWN, ())
    assert first.evidence[0].startswith("rank 0 on n000: all others wait for it at ")
    assert first.advice == found.advice
    longer = told(replace(slow, window_s=60.0), Fault("sleep", 0, 0.6), seed=1)
    assert (longer.suspects[0].node, longer.confidence) == ("n000", 0.99)


@pytest.mark.parametrize(
    ("kind", "size", "cause"),
    [
        ("sleep", 0.5, Cause.WORKER),
        ("compute", 0.5, Cause.WORKER),
        ("nfs", 0.5, Cause.DATA),
        ("swap", 0.5, Cause.HOST),
        ("quota", 0.5, Cause.HOST),
        ("nic", 3.0, Cause.NETWORK),
        ("loss", 0.03, Cause.NETWORK),
    ],
)
def test_who_is_guilty_is_named_through_the_same_noise(
    kind: str, size: float, cause: Cause
) -> None:
    found = told(PLAIN, Fault(kind, 5, size))
    assert found.cause is cause
    assert found.suspects[0].node == "n005"


@pytest.mark.parametrize(("kind", "size"), [("power", 1.0), ("clock", 0.5), ("port", 0.03)])
def test_who_is_guilty_is_named_where_ranks_talk_over_rdma(kind: str, size: float) -> None:
    one = replace(PLAIN, transport="rdma", cards=True, nodes=16)
    found = told(one, Fault(kind, 5, size))
    assert found.suspects[0].node == "n005"


@pytest.mark.parametrize(
    ("distance", "freedom", "chance"),  # of any table of Student's t
    [(2.353, 3, 0.05), (4.541, 3, 0.01), (3.143, 6, 0.01), (5.208, 6, 0.001), (2.326, 1e9, 0.01)],
)
def test_students_t_is_near_enough(distance: float, freedom: float, chance: float) -> None:
    assert beyond(distance, freedom) == pytest.approx(chance, rel=0.1)

"""The step time of synthetic jobs, and what is and what is not a shift of it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent / "bench"))

from synthetic_rhythm import Counted, Job, looked
from watch_job import ALARMS, run

from clusterctl.triage.watching.rhythm import Heard, Looks, first
from clusterctl.triage.watching.state import Event, What


def heard(job: Job, *, steps: float = 12.0, every_s: float = 0.1) -> Heard:
    """One window of it."""
    window_s = max(15.0, steps * job.period_s)
    return of(
        looked(job, 1.3 * window_s + 4 * job.warm * job.period_s, Random(3), every_s=every_s),
        window_s,
        job.style,
    )


def of(counted: Counted, window_s: float, style: str = "end") -> Heard:
    channels = {"cpu": Looks(), "sent": Looks()}
    channels["cpu"].add(0.0, list(counted.steps), list(counted.cpu))
    channels["sent"].add(0.0, list(counted.steps), list(counted.sent))
    if style == "alone":
        del channels["sent"]
    return first(channels, channels["cpu"].times[-1] - window_s)


@pytest.mark.parametrize("style", ["end", "alone"])
@pytest.mark.parametrize("jitter", [0.003, 0.03])
@pytest.mark.parametrize("period_s", [0.25, 0.4, 1.0, 3.7, 12.0, 60.0])
def test_the_step_time_is_found_from_a_quarter_of_a_second_to_a_minute(period_s, jitter, style):
    found = heard(Job(period_s, jitter, style=style))
    assert found.period is not None
    assert found.period.seconds == pytest.approx(period_s, rel=0.04)
    assert found.period.confidence > 0.3


def test_a_fifth_of_a_second_wants_looks_twice_as_often_as_it():
    assert heard(Job(0.2, 0.003)).period.seconds == pytest.approx(0.2, rel=0.02)
    seen = heard(Job(0.2, 0.003), every_s=0.25).period
    assert seen is None or seen.seconds > 0.45


@pytest.mark.parametrize("microsteps", [2, 4, 8])
def test_gradients_that_add_up_are_one_step(microsteps):
    """What is sent once in so many microbatches tells the step, though a thread shows parts."""
    found = heard(Job(4.0, 0.01, microsteps=microsteps))
    assert found.channel == "sent"
    assert found.period.seconds == pytest.approx(4.0, rel=0.04)


def test_bursts_without_a_rhythm_have_a_period_in_one_window_of_ten_at_most():
    counted = (looked(Job(1.0, style="silent"), 100.0, Random(seed)) for seed in range(30))
    assert sum(of(one, 80.0).period is not None for one in counted) <= 3


def test_a_job_that_does_nothing_or_the_same_all_the_time_has_no_period():
    counted = looked(Job(1.0), 60.0, Random(1))
    idle = replace(counted, sent=0 * counted.sent, cpu=0 * counted.cpu)
    assert of(idle, 40.0) == Heard()
    spins = replace(counted, sent=300 * counted.steps, cpu=1e6 * counted.steps)
    assert of(spins, 40.0).period is None
    assert of(spins, 40.0).moves


def alarms(events: list[Event]) -> list[Event]:
    return [one for one in events if one.what in ALARMS]


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(Job(1.0, 0.05), id="plain"),
        pytest.param(Job(2.0, 0.02, checkpoint_every=30, checkpoint_s=5.0), id="checkpoints"),
        pytest.param(
            Job(1.0, 0.02, checkpoint_every=90, checkpoint_s=9.0, writes=True), id="over-the-nic"
        ),
        pytest.param(Job(1.0, 0.02, evaluate_every=100, evaluate_steps=30), id="evaluations"),
        pytest.param(Job(1.0, 0.02, warm=20), id="warms-up"),
        pytest.param(Job(1.0, 0.05, microsteps=8, uneven=0.1), id="uneven"),
    ],
)
def test_healthy_jobs_are_left_alone(job):
    events = run(job, 900.0, 5, 1)
    assert any(one.what is What.LEARNT for one in events)
    assert not alarms(events)


@pytest.mark.parametrize("fault", ["waits", "dilates", "wires"])
@pytest.mark.parametrize("slower", [1.1, 1.25, 2.0])
def test_slower_steps_are_seen_and_their_size_is_told(slower, fault):
    job = Job(1.0, 0.02, fault_s=200.0, slower=slower, fault=fault)
    events = alarms(run(job, 420.0, 7, 2))
    assert len(events) == 1
    (seen,) = events
    assert seen.what is What.SLOWER
    assert 200 < seen.at < 300
    assert seen.before_s == pytest.approx(1.0, rel=0.03)
    assert seen.times == pytest.approx(slower, rel=0.05)


def stalled(seconds: float, pauses: list[tuple[float, float]]) -> list[Event]:
    """What is said of a job that does nothing at all between such moments."""
    counted = looked(Job(1.0, 0.02), seconds, Random(2))
    times = counted.steps.cumsum()
    runs = sum(((times > begin) & (times < end)).astype(float) for begin, end in pauses) == 0
    from watch_job import watched

    return watched(Job(1.0), [replace(counted, sent=counted.sent * runs, cpu=counted.cpu * runs)])


def test_a_job_that_hangs_is_a_shift_though_no_step_is_left():
    (seen,) = alarms(stalled(600.0, [(200.0, 600.0)]))
    assert seen.what is What.STALLED
    assert seen.now_s is None
    assert seen.work == pytest.approx(0.0, abs=0.1)
    assert seen.at < 500


def test_a_blip_that_passes_is_no_shift():
    assert not alarms(stalled(500.0, [(200.0, 230.0)]))


def test_pauses_that_come_again_do_not_alarm_each_time():
    pauses = [(begin, begin + 300.0) for begin in (300.0, 1000.0, 1700.0, 2400.0, 3100.0)]
    assert 1 <= len(alarms(stalled(3500.0, pauses))) <= 2


def test_what_gets_well_again_is_said_and_alarms_nobody():
    job = Job(1.0, 0.02, fault_s=200.0, slower=2.0)
    sick, well = looked(job, 500.0, Random(1)), looked(Job(1.0, 0.02), 300.0, Random(1))
    import numpy as np

    both = Counted(*(np.concatenate(one) for one in zip(parts(sick), parts(well), strict=True)))
    from watch_job import watched

    told = [one.what for one in watched(job, [both])]
    assert told == [What.LEARNT, What.SLOWER, What.LEARNT, What.FASTER, What.BACK]


def parts(counted: Counted):
    return counted.steps, counted.sent, counted.cpu


def test_a_job_without_a_rhythm_is_unknown_for_ever():
    assert run(Job(1.0, style="silent"), 400.0, 3, 1) == []

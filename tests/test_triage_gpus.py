"""What triage concludes from accelerators, and which of a node's it takes for the job's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from triage_texts import Rank, cards, changed, printed, texts, without_tcp

from clusterctl.triage.running.devices import used_by
from clusterctl.triage.running.gpu_readings import gpus
from clusterctl.triage.running.job import gathered
from clusterctl.triage.running.live import judge
from clusterctl.triage.running.observed import Seen
from clusterctl.triage.running.readings import read
from clusterctl.triage.verdict import Cause, Triage


def judged(told: dict[str, str]) -> Triage:
    return judge(gathered([read(node, text) for node, text in told.items()], {}))


def job() -> list[Rank]:
    return [Rank(number) for number in range(8)]


@pytest.mark.parametrize(
    ("clock", "mask", "says"),
    [(900, 0x40, "its hardware slows it: hw_thermal"), (900, 0, "its clock is 900 MHz")],
)
def test_a_gpu_that_is_slowed_is_named_with_its_rank(clock, mask, says):
    odd = cards(clock, mask)
    assert gpus(odd)[1] == []
    told = judge(gathered(seen_with(texts(job()), {"n05": odd}, cards(1800)), {}))
    assert (told.cause, told.suspects[0].what) == (Cause.WORKER, "gpu0 of n05")
    assert told.suspects[0].ranks == (5,)
    assert says in told.suspects[0].why[0]


def seen_with(told: dict[str, str], own: dict[str, str], usual: str) -> list[Seen]:
    return [
        replace(read(node, text), gpus=tuple(gpus(own.get(node, usual))[0]))
        for node, text in told.items()
    ]


# What a rank says of its GPU, and which of its node's two it therefore uses.
HELD = [
    ({}, "gpu0"),  # by its place on the node
    ({"visible": "1"}, "gpu1"),
    ({"devices": ["nvidia1"]}, "gpu1"),
    ({"visible": "0", "devices": ["nvidia1"]}, "gpu1"),  # as a container numbers its own
    ({"visible": "1", "devices": ["nvidia0", "nvidia1"]}, "gpu1"),  # NCCL opens all there are
]


@pytest.mark.parametrize(("cells", "used"), HELD)
def test_a_gpu_of_a_node_that_no_rank_uses_is_another_jobs(cells, used):
    """One of n05's draws more, and is slowed: that accuses somebody only where a rank uses it."""
    told = without_tcp(job())
    changed(told, {"n05"}, lambda row: {**row, **cells} if row["k"] == "rank" else row)
    for odd in (cards(1800, power=650), cards(900, 0x40, 300)):
        for index, name in enumerate(("gpu0", "gpu1")):
            both = [*gpus(cards(1800, power=300))[0], *gpus(cards(1800, power=300))[0]]
            both[index] = gpus(odd)[0][0]
            own = tuple(replace(one, index=at, minor=at) for at, one in enumerate(both))
            seen = seen_with(told, {}, cards(1800, power=300))
            seen = [replace(one, gpus=own) if one.node == "n05" else one for one in seen]
            found = judge(gathered(seen, {}))
            suspects = [one.what for one in found.suspects]
            assert suspects == ([f"{name} of n05"] if name == used else [])


def test_of_a_process_that_says_nothing_of_its_gpus_any_may_be():
    (rank,) = read("n05", texts(job())["n05"]).ranks
    pair = [replace(one, index=at, minor=7 - at) for at, one in enumerate(gpus(cards(9))[0] * 2)]
    assert used_by(replace(rank, local=None), pair) == {0, 1}
    assert used_by(replace(rank, local=None, visible="1"), pair) == {1}
    assert used_by(replace(rank, devices=("nvidia6", "nvidia7")), pair) == {0, 1}
    assert used_by(replace(rank, devices=("nvidia6",)), pair) == {1}
    assert used_by(replace(rank, devices=("nvidia6",), visible="0,1"), pair) == {1}


def test_a_job_one_of_whose_gpus_does_not_answer_is_not_called_healthy():
    lost = printed([{"k": "gpu", "index": 0, "lost": "GPU is lost"}])
    (trouble,) = gpus(lost)[1]
    assert str(trouble) == "exit: gpu0: GPU is lost"
    found = judge(gathered(seen_with(texts(job()), {"n05": lost}, cards(1800)), {}))
    assert (found.cause, found.suspects) == (Cause.UNKNOWN, ())
    assert found.evidence[0] == "gpu0 of n05 does not answer its driver: GPU is lost"


def test_without_tcp_the_rank_that_is_elsewhere_than_the_others_is_named():
    ranks = [Rank(number, does="run") for number in range(8)]
    ranks[5].does = "sleep"
    found = judged(without_tcp(ranks))
    assert (found.cause, found.suspects[0].what) == (Cause.WORKER, "rank 5 on n05")
    ranks[5].does = "disk"
    assert judged(without_tcp(ranks)).cause is Cause.DATA


def test_without_tcp_and_without_busy_accelerators_nobody_is_called_healthy():
    told = without_tcp(job())
    assert judged(told).cause is Cause.UNKNOWN
    idle = judge(gathered(seen_with(told, {}, cards(1800, use=0)), {}))
    assert idle.cause is Cause.UNKNOWN
    busy = judge(gathered(seen_with(told, {}, cards(1800)), {}))
    assert busy.cause is Cause.HEALTHY


def test_who_draws_power_while_others_look_busy_is_the_one_that_computes():
    seen = seen_with(without_tcp(job()), {"n05": cards(1800, power=650)}, cards(1800, power=300))
    found = judge(gathered(seen, {}))
    assert (found.cause, found.suspects[0].what) == (Cause.WORKER, "gpu0 of n05")
    assert "they wait, and it computes" in found.suspects[0].why[0]

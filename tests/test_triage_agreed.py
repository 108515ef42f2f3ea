"""Counters and stacks of one running job, as one answer."""

from __future__ import annotations

import pytest

from clusterctl.model import UserError
from clusterctl.triage.agreed import with_stacks
from clusterctl.triage.stacks.asked_stacks import Stacks
from clusterctl.triage.stacks.stacks import Frame, Look, Stacked
from clusterctl.triage.verdict import Cause, Suspect, Triage

REDUCES = (
    Frame("all_reduce", "torch/distributed/distributed_c10d.py", 3252),
    Frame("step", "t.py"),
)
LOCKS = (Frame("acquire", "threading.py", 12), Frame("step", "t.py", 40))


def stacks(odd):
    """Eight ranks on two nodes; `odd`: the frames of rank 5."""
    return Stacks(
        tuple(
            Stacked(
                f"n{rank // 4}",
                100 + rank,
                rank,
                "",
                looks=(Look(odd if rank == 5 else REDUCES, held_in="futex_do_wait", state="S"),)
                * 3,
            )
            for rank in range(8)
        ),
        ("n2: silent",),
    )


def slow(*ranks):
    suspect = Suspect("rank 5 on n1", ranks, "n1", 2.0, 0.8, ("all others wait for it",))
    return Triage(Cause.WORKER, 2.0, suspects=(suspect,), confidence=0.8)


def test_the_stack_of_a_suspect_is_found_among_the_ranks_of_its_node():
    """Stacks alone accuse nobody here, but say where the rank is that counters name."""
    found = with_stacks(slow(5), stacks(REDUCES))
    assert found.suspects[0].why[-1].startswith("its stack: it waits in a collective")
    assert found.unseen == ("n2: silent",)


def test_what_both_name_is_surer_and_says_where_in_code():
    found = with_stacks(slow(5), stacks(LOCKS))
    assert found.confidence > 0.8
    assert any("waits for a lock" in line for line in found.suspects[0].why)
    assert "which thread holds the lock" in found.next_step


def test_of_a_suspect_that_is_a_whole_node_no_single_stack_is_told():
    found = with_stacks(slow(), stacks(REDUCES))
    assert found.suspects == slow().suspects


def test_stacks_accuse_nobody_where_counters_find_all_alike():
    healthy = Triage(Cause.HEALTHY, 1.0, confidence=0.9)
    found = with_stacks(healthy, stacks(LOCKS))
    assert found.cause is Cause.HEALTHY
    assert any("rank 5" in line for line in found.evidence)


def test_counters_that_cannot_tell_leave_it_to_stacks():
    found = with_stacks(Triage(Cause.UNKNOWN, evidence=("no TCP",)), stacks(LOCKS))
    assert found.suspects[0].what == "rank 5"


@pytest.mark.parametrize("whose", [["--slurm", "7"], ["--pids", "n1:5"], ["--kube", "a/b"]])
def test_a_trace_of_a_job_that_ran_is_not_read_in_place_of_one_that_runs(tmp_path, whose):
    from clusterctl.cli.triage import triage

    with pytest.raises(UserError, match="one or the other"):
        triage(None, trace=[tmp_path / "x"], **{whose[0].strip("-"): whose[1]})

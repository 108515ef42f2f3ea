"""NCCL RAS, text and JSON, once and twice; answers are look-alikes of the user guide's."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterctl.model import Trouble
from clusterctl.triage.collectives.ras import snapshots
from clusterctl.triage.collectives.ras_seen import Snapshot
from clusterctl.triage.collectives.ras_verdict import triage_ras
from clusterctl.triage.verdict import Cause

HEAD = """NCCL version 2.27.3+cuda12.9 compiled with CUDA 12.9
CUDA runtime version 12090, driver version 12080

Job summary
===========

  Nodes  Processes         GPUs  Processes     GPUs
(total)   per node  per process    (total)  (total)
      2          4            1          8        8

Communicators... (0.01s)
=============

Group     Comms     Nodes     Ranks     Ranks     Ranks    Status  Errors
    #  in group  per comm  per node  per comm  in group
"""
FINE = f"""{HEAD}    0         1         2         4         8         8   RUNNING      OK

Errors
======

Warnings
========

"""
BEHIND = f"""{HEAD}    0         1         2         4         8         8   RUNNING  MISMATCH

Errors
======

Warnings
========

#0-0 (27a079b828ff1a75) MISMATCH
  Communicator ranks have different AllReduce operation counts
  7 ranks have launched up to operation %d
  Rank 5 has launched up to operation 6649 -- GPU 1 managed by process 483077 on node 10.0.0.2

"""
STOPPED = f"""{HEAD}    0         1         2       3-4         8         8   RUNNING  INCOMPLETE

Errors
======

INCOMPLETE
  Missing communicator data from 1 job process
  Process 3487984 on node 10.0.0.2 managing GPU 2

#0-0 (cf264af53edbe986) INCOMPLETE
  Missing communicator data from 1 rank
  Rank 6 -- GPU 2 managed by process 3487984 on node 10.0.0.2

Warnings
========

TIMEOUT
  Encountered 2 communication timeouts while gathering communicator data

"""
DEAD = STOPPED.replace(
    "INCOMPLETE\n  Missing communicator data from 1 job process\n",
    "DEAD\n  1 job process is considered dead (unreachable via the RAS network)\n",
)
OLD = STOPPED.replace(
    "  Rank 6 -- GPU 2 managed by process 3487984 on node 10.0.0.2", "  The missing rank: 6"
)
ERRORS = f"""{HEAD}    0         1         2         4         8         8     ABORT  ERROR

Errors
======

#0-0 (cf264af53edbe986) ERROR
  Asynchronous errors on 8 ranks
  7 ranks reported Remote process error
  Rank 3 reported Unhandled CUDA error -- GPU 3 managed by process 17 on node 10.0.0.1

Warnings
========

"""


def told(text):
    seen = list(snapshots(text))
    return triage_ras(
        [one for one in seen if isinstance(one, Snapshot)],
        unseen=[str(one) for one in seen if isinstance(one, Trouble)],
    )


def named(found):
    return {rank for one in found.suspects for rank in one.ranks}


def as_json(counts, *, missing=(), error=0, dead=False):
    ranks = [
        {
            "rank": rank,
            "host": f"10.0.0.{1 + rank // 4}",
            "pid": 100 + rank,
            "cuda_dev": rank % 4,
            "nvml_dev": rank % 4,
            "status": {
                "init_state": 0,
                "async_error": error if rank == 3 else 0,
                "finalize_called": False,
                "destroy_flag": False,
                "abort_flag": False,
            },
            "collective_counts": {"Broadcast": 3, "AllReduce": count},
        }
        for rank, count in enumerate(counts)
        if rank not in missing
    ]
    gone = [
        {
            "rank": rank,
            "host": "10.0.0.9",
            "pid": 9,
            "cuda_dev": 0,
            "nvml_dev": 0,
            "status": {"unresponsive": True, "considered_dead": dead},
        }
        for rank in missing
    ]
    return json.dumps(
        {
            "nccl_version": "2.29.1",
            "communicators_count": 1,
            "communicators": [
                {
                    "hash": "0xae94423cfbb2ef4a",
                    "secondary_hash": "0x1:0x2",
                    "size": len(counts),
                    "ranks_count": len(ranks),
                    "missing_ranks_count": len(gone),
                    "ranks": ranks,
                    "missing_ranks": gone,
                }
            ],
            "ras": {"collection_time_sec": 0.0, "timeouts_count": 0},
        },
        indent=1,
    )


@pytest.mark.parametrize(
    "second", [BEHIND % 6650, as_json([9] * 5 + [8] + [9] * 2)], ids=["text", "json"]
)
def test_a_rank_behind_in_two_looks_alike_is_stuck(second):
    once, twice = told(second), told(second + "\n" + second)
    assert named(once) == named(twice) == {5}
    assert once.confidence <= 0.5
    assert twice.confidence >= 0.9
    assert twice.suspects[0].node == "10.0.0.2"


def test_a_rank_that_caught_up_is_not_stuck():
    assert not told(as_json([9] * 7 + [8]) + as_json([20] * 7 + [19])).suspects
    found = told(as_json([9] * 8) + as_json([20] * 8))
    assert found.cause is Cause.UNKNOWN
    assert "does not hang" in found.evidence[0]


def test_all_at_the_same_number_twice_is_the_transfer_or_the_program():
    found = told(as_json([9] * 8) * 2)
    assert found.cause is Cause.NETWORK
    assert not found.suspects
    assert found.confidence <= 0.5


@pytest.mark.parametrize(
    "text", [STOPPED, OLD, as_json([9] * 8, missing=(6,))], ids=["2.27", "2.24", "json"]
)
def test_a_process_that_does_not_answer_is_named(text):
    found = told(text)
    assert named(found) == {6}
    assert 0.8 < found.confidence < 0.95


@pytest.mark.parametrize(
    "text", [DEAD, as_json([9] * 8, missing=(6,), dead=True)], ids=["text", "json"]
)
def test_a_dead_process_is_surer_than_a_silent_one(text):
    found = told(text)
    assert named(found) == {6}
    assert found.confidence >= 0.95
    assert "dead" in found.suspects[0].why[0]


def test_a_missing_rank_without_its_comma_is_read_as_nccl_2_28_writes_it():
    """jsonWriteMissingRank of src/ras/client_support.cc, 2.28.7 and 2.28.9."""
    whole = as_json([9] * 8, missing=(6,), dead=True)
    wrong = re.sub(r',(\s+"status": \{\s+"unresponsive")', r"\1", whole)
    assert wrong != whole
    with pytest.raises(ValueError, match="delimiter"):
        json.loads(wrong)
    assert named(told(wrong)) == {6}
    assert told(wrong) == told(whole)
    assert told(wrong + wrong) == told(whole + whole)


def test_a_missing_rank_of_an_unknown_process_is_named():
    text = as_json([9] * 8, missing=(6,)).replace('"10.0.0.9"', '"unknown"')
    found = told(text.replace('"pid": 9,', '"pid": -1,'))
    assert named(found) == {6}


def test_an_answer_without_its_own_timeouts_says_so():
    cut = json.loads(as_json([9] * 8))
    del cut["ras"]
    assert any("timeouts" in line for line in told(json.dumps(cut)).unseen)


@pytest.mark.parametrize("text", [ERRORS, as_json([9] * 8, error=1)], ids=["text", "json"])
def test_the_rank_with_an_error_of_its_own_is_named_and_its_victims_are_not(text):
    found = told(text)
    assert named(found) == {3}
    assert "CUDA" in found.suspects[0].why[0]
    assert not told(as_json([9] * 8, error=6)).suspects


def test_nothing_to_say_is_never_healthy():
    assert told(FINE).cause is Cause.UNKNOWN
    assert told(FINE + FINE).cause is Cause.UNKNOWN
    assert triage_ras([]).cause is Cause.UNKNOWN


def test_what_is_not_ras_s_is_said():
    for text in ("", "hello\n", "{}", "[]", '{"communicators": 7}'):
        seen = list(snapshots(text))
        assert all(isinstance(one, Trouble) for one in seen), text


def two_groups(*, whole):
    """Eight ranks in two communicators of four, and one of all; n2's second is behind in its own.

    Rank 5 of the job is rank 1 of its group.
    """
    made = json.loads(as_json([9] * 8))
    every = made["communicators"].pop()
    for group in range(2):
        ranks = [dict(one, rank=at) for at, one in enumerate(every["ranks"][4 * group :][:4])]
        for one in ranks:
            one["collective_counts"] = {"AllReduce": 7 - (one["pid"] == 105)}
        made["communicators"].append(dict(every, hash=f"0x{group}", size=4, ranks=ranks))
    made["communicators"] += [every] * whole
    return json.dumps(made)


def test_a_rank_of_a_group_is_named_by_its_number_in_the_job():
    assert named(told(two_groups(whole=True) * 2)) == {5}
    unknown = told(two_groups(whole=False) * 2)
    assert [one.what for one in unknown.suspects] == ["rank 1 of communicator 1 on 10.0.0.2"]
    assert unknown.suspects[0].ranks == ()


def test_ranks_of_unknown_processes_are_not_taken_for_each_other():
    nowhere = "  Rank 3 reported Unhandled CUDA error -- [process information not found]\n"
    two = ERRORS.replace(
        "  Rank 3 reported Unhandled CUDA error -- GPU 3 managed by process 17 on node 10.0.0.1\n",
        nowhere + nowhere.replace("Rank 3", "Rank 5"),
    )
    assert two != ERRORS
    assert named(told(two)) == {3, 5}


def test_in_the_text_a_group_that_is_not_of_all_names_no_rank_of_the_job():
    part = STOPPED.replace("3-4         8         8", "2         4         4")
    assert named(told(part)) == set()
    assert told(part).suspects[0].what == "process 3487984 on 10.0.0.2"
    old = OLD.replace("3-4         8         8", "2         4         4")
    assert named(told(old)) == set()
    behind = (BEHIND % 6650).replace("4         8         8", "2         4         4")
    (one,) = told(behind).suspects
    assert (one.what, one.ranks) == ("rank 5 of communicator 27a079b828ff1a75 on 10.0.0.2", ())


def test_timeouts_of_ras_itself_are_on_the_screen():
    assert any("2 timeouts" in line for line in told(STOPPED).unseen)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([BEHIND % 6650, STOPPED, DEAD, ERRORS, as_json([9] * 3 + [8], error=1)]),
    st.integers(0, 3000),
    st.text(max_size=5),
)
def test_any_cut_and_any_change_is_read(text, at, other):
    cut = text[: min(at, len(text) - 1)]
    told(cut)
    told(cut + other + text[len(cut) + len(other) :])


HOSTILE = [
    {"communicators": [{"missing_ranks": [{"status": {"considered_dead": True}}]}]},
    {"communicators": [{"missing_ranks": [{"rank": 1, "status": "x"}]}]},
    {"communicators": [{"missing_ranks": 3}]},
    {"communicators": [{"ranks": [], "size": 1, "hash": "0x1", "missing_ranks": "gone"}]},
    {"communicators": [{"ranks": [], "size": float("inf"), "hash": "", "missing_ranks": []}]},
]


@pytest.mark.parametrize("text", [json.dumps(one) for one in HOSTILE])
def test_a_communicator_that_is_none_costs_that_one(text):
    good = json.loads(as_json([9] * 8, missing=(6,), dead=True))
    good["communicators"] += json.loads(text)["communicators"]
    found = told(json.dumps(good))
    assert named(found) == {6}
    assert found.confidence >= 0.95
    assert any("1 communicators of RAS cannot be read" in line for line in found.unseen)


def places(told):
    """Every (container, key) of a JSON value."""
    for key in list(told) if isinstance(told, dict) else range(len(told)):
        yield told, key
        if isinstance(told[key], (dict, list)):
            yield from places(told[key])


SPOILT = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["[]", "[[]]", "{}", '{"rank": "x"}']).map(json.loads)  # each its own
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(min_value=0), SPOILT), min_size=1, max_size=3))
def test_any_value_anywhere_in_the_json_is_read(changes):
    one = json.loads(as_json([9, 9, 8], missing=(1,), error=1, dead=True))
    for at, value in changes:
        every = list(places(one))
        if every:
            inside, key = every[at % len(every)]
            inside[key] = value
    told(json.dumps(one))


@pytest.mark.parametrize(
    "one", ["{}", '{"communicators": []}', "NCCL version 2\n"], ids=["odd", "empty", "text"]
)
def test_what_answers_for_ever_is_told_of_in_a_few_lines(one):
    """64 MiB of it are a million answers."""
    found = list(snapshots(one * 5000))
    assert len(found) <= 1000
    assert any(isinstance(each, Trouble) and "more than" in each.detail for each in found)


@pytest.mark.parametrize("text", [BEHIND % 6650, as_json([9] * 8)], ids=["text", "json"])
def test_a_cut_before_the_table_is_seen(text):
    assert any(isinstance(one, Trouble) for one in snapshots(text[:300]))

"""Flight-recorder dumps: who did not come.  Pickles that would run something run nothing."""

from __future__ import annotations

import json
import pickle
import pickletools
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterctl.spelling import Unreadable
from clusterctl.triage.collectives import pickled
from clusterctl.triage.collectives.flight import flight, rank_of
from clusterctl.triage.collectives.pickled import unpickled
from clusterctl.triage.collectives.wavefront import triage_flights
from clusterctl.triage.verdict import Cause

WORLD = (0, 1, 2, 3)


def entry(seq, name="nccl:all_reduce", *, group="0", created=0, state="scheduled", **more):
    return {
        "record_id": seq,
        "pg_id": 0,
        "process_group": (group, "default_pg"),
        "collective_seq_id": seq,
        "p2p_seq_id": 0,
        "op_id": seq,
        "profiling_name": name,
        "time_created_ns": created or seq,
        "input_sizes": [[4096, 16]],
        "input_dtypes": ["Float"],
        "output_sizes": [[4096, 16]],
        "output_dtypes": ["Float"],
        "state": state,
        "time_discovered_started_ns": None,
        "time_discovered_completed_ns": 7 if state == "completed" else None,
        "retired": False,
        "timeout_ms": 600000,
        "is_p2p": False,
        **more,
    }


def dump(entries, groups=None):
    groups = groups or {"0": WORLD}
    config = {
        name: {"name": name, "desc": "default_pg", "ranks": str(list(ranks))}
        for name, ranks in groups.items()
    }
    return {"version": "2.10", "pg_config": config, "pg_status": {}, "entries": entries}


def flights(each, groups=None):
    return [flight(r, pickle.dumps(dump(said, groups), 2)) for r, said in each.items()]


def named(found):
    return {rank for one in found.suspects for rank in one.ranks}


def test_the_rank_that_never_began_what_all_others_wait_in_is_named():
    found = triage_flights(flights({0: [entry(5)], 1: [entry(5)], 2: [], 3: [entry(5)]}))
    assert found.cause is Cause.WORKER
    assert named(found) == {2}
    assert found.slowdown is None
    assert "ranks 0-1,3 wait in all_reduce of 4096x16, number 5 in group 0" in found.evidence[0]


def test_a_rank_that_cannot_end_what_its_peers_ended_is_named():
    ahead = [entry(5, state="completed"), entry(6)]
    found = triage_flights(flights({0: ahead, 1: ahead, 2: ahead, 3: [entry(5), entry(6)]}))
    assert named(found) == {3}


def test_who_waits_for_the_late_one_elsewhere_is_excused():
    """1 is missed by 0 because it waits for 2, and 2 waits for nobody."""
    groups = {"a": (0, 1), "b": (1, 2)}
    waits = {0: [entry(9, group="a")], 1: [entry(4, group="b")], 2: []}
    found = triage_flights(flights(waits, groups))
    assert named(found) == {2}


def message(name, seq=3, **more):
    return entry(0, name, group="b", is_p2p=True, p2p_seq_id=seq, created=1, **more)


def test_who_waits_for_a_message_of_another_is_excused():
    """0 misses 1, which waits for a message of 2, which sends nothing."""
    groups = {"a": (0, 1), "b": (1, 2)}
    waits = {0: [entry(9, group="a")], 1: [message("nccl:recv 0<-1")], 2: []}
    assert named(triage_flights(flights(waits, groups))) == {2}
    waits[2] = [message("nccl:send 1->0")]
    assert named(triage_flights(flights(waits, groups))) == {1}  # that message is on its way


def test_a_pipeline_that_stands_names_who_owes_a_message():
    groups = {"b": (0, 1, 2)}
    waits = {0: [message("nccl:recv 0<-1")], 1: [message("nccl:recv 1<-2")], 2: []}
    found = triage_flights(flights(waits, groups))
    assert named(found) == {2}
    assert "rank 1 waits in recv from it" in found.suspects[0].why[0]


def test_messages_that_are_all_on_their_way_are_nobody_s_fault():
    groups = {"b": (0, 1)}
    waits = {0: [message("nccl:recv 0<-1")], 1: [message("nccl:send 1->0")]}
    found = triage_flights(flights(waits, groups))
    assert found.cause is Cause.NETWORK
    assert "ranks 0-1 wait in sends and receives" in found.evidence[0]


def test_all_joined_and_none_left_is_no_rank_s_fault():
    found = triage_flights(flights({rank: [entry(5)] for rank in WORLD}))
    assert found.cause is Cause.NETWORK
    assert not found.suspects
    assert found.confidence <= 0.5


def test_a_rank_without_a_dump_is_suspected_but_not_surely():
    found = triage_flights(flights({rank: [entry(5)] for rank in (0, 1, 3)}))
    assert named(found) == {2}
    assert found.confidence < 0.7
    assert any("rank 2" in line for line in found.unseen)


@pytest.mark.parametrize(
    ("odd", "word"),
    [
        (entry(5, "nccl:_all_gather_base"), "_all_gather_base"),
        (entry(5, input_sizes=[[8192, 16]]), "8192x16"),
        (entry(5, input_dtypes=["BFloat16"]), "BFloat16"),
    ],
    ids=["operation", "size", "type"],
)
def test_a_rank_that_calls_another_thing_is_named(odd, word):
    found = triage_flights(flights({0: [entry(5)], 1: [entry(5)], 2: [entry(5)], 3: [odd]}))
    assert named(found) == {3}
    assert word in found.suspects[0].why[0]
    assert "no hardware" in found.advice


def test_members_of_an_all_to_all_may_send_different_sizes():
    """Their splits are data: of a mixture of experts no two are equal."""
    said = {r: [entry(5, "nccl:all_to_all", input_sizes=[[100 + r, 8]])] for r in WORLD}
    assert triage_flights(flights(said)).cause is Cause.NETWORK


def test_only_the_root_of_a_scatter_has_an_input():
    root = entry(5, "nccl:scatter", input_sizes=[[8, 2]])
    rest = entry(5, "nccl:scatter", input_sizes=[], input_dtypes=[])
    found = triage_flights(flights({0: [root], 1: [rest], 2: [rest], 3: [rest]}))
    assert found.cause is Cause.NETWORK
    assert not found.suspects


def test_what_ended_everywhere_is_no_mismatch():
    odd = entry(5, input_sizes=[[9]], state="completed")
    done = entry(5, state="completed")
    said = {0: [done, entry(6)], 1: [done, entry(6)], 2: [odd, entry(6)], 3: [done]}
    assert named(triage_flights(flights(said))) == {3}


def test_an_older_recorder_has_one_number_for_both():
    old = entry(5)
    old["seq_id"] = old.pop("collective_seq_id")
    assert flight(0, pickle.dumps(dump([old]), 2)).operations[0].seq == 5


def test_nothing_under_way_is_never_healthy():
    found = triage_flights(flights({r: [entry(5, state="completed")] for r in WORLD}))
    assert found.cause is Cause.UNKNOWN
    assert triage_flights([]).cause is Cause.UNKNOWN


def test_what_gloo_took_off_its_list_has_ended():
    """Gloo's operations have no events on a device, so their state stays `scheduled`."""
    done = [entry(5, "gloo:all_reduce", retired=True)]
    waits = [*done, entry(6, "gloo:all_reduce")]
    found = triage_flights(flights({0: waits, 1: waits, 2: waits, 3: done}))
    assert named(found) == {3}


def test_the_two_forms_say_the_same():
    told = dump([entry(5), entry(6)])
    assert flight(1, json.dumps(told).encode()) == flight(1, pickle.dumps(told, 2))
    assert flight(1, pickle.dumps(told, 4)) == flight(1, pickle.dumps(told, 2))


def test_json_of_a_rank_without_entries_leaves_them_out():
    told = dump([])
    del told["entries"]
    assert flight(1, json.dumps(told).encode()).operations == ()


def test_a_bad_entry_costs_that_entry():
    told = dump([entry(5), {"process_group": 7}, entry(6, collective_seq_id="x"), entry(7)])
    seen = flight(1, pickle.dumps(told, 2))
    assert [one.seq for one in seen.operations] == [5, 7]
    assert "entry 1" in seen.troubles[0].detail
    assert "1 more" in seen.troubles[0].detail


@pytest.mark.parametrize(
    ("name", "rank"),
    [("nccl_trace_rank_17", 17), ("_dump_3", 3), ("rank12.json", 12), ("README", None)],
)
def test_a_file_is_of_the_rank_that_ends_its_name(name, rank):
    assert rank_of(name) == rank


# ----------------------------------------------------------------------------- hostile files


class Runs:
    """What a hostile file is: unpickled, it would make a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return (Path.touch, (self.place,))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_run_something_runs_nothing(tmp_path, protocol):
    place = tmp_path / "ran"
    data = pickle.dumps({"version": "2.10", "entries": [Runs(place)]}, protocol)
    with pytest.raises(Unreadable, match=r"nothing of it was run|not a whole pickle|cut"):
        flight(0, data)
    assert not place.exists()
    pickle.loads(data)  # noqa: S301 - the proof that it would have
    assert place.exists()


HARMLESS = set("(X}])NKMJGqrhjusaet.")
HARMLESS |= {"\x80", "\x85", "\x86", "\x87", "\x88", "\x89", "\x8a", "\x8b", "\x8c", "\x8d"}
HARMLESS |= {"\x94", "\x95"}


@pytest.mark.parametrize(
    "opcode",
    [one for one in pickletools.opcodes if one.code not in HARMLESS],
    ids=lambda one: one.name,
)
def test_every_other_opcode_is_refused(opcode):
    data = b"\x80\x04}" + opcode.code.encode("latin-1") + b"cos\nsystem\n" * 3 + b"."
    with pytest.raises(Unreadable):
        unpickled(data)


@pytest.mark.parametrize(
    "data",
    [
        b"Nr\xff\xff\xff\xff.",  # a memo of 32 GB, for the module of the standard library
        b"X\xff\xff\xff\x7fabc.",
        b"\x8d" + b"\xff" * 8 + b".",
        b"\x8b\xff\xff\xff\x7f.",
    ],
    ids=["memo", "text", "long-text", "long-number"],
)
def test_a_few_bytes_do_not_take_the_memory(data):
    with suppress(Unreadable):
        assert unpickled(data) is None


def test_a_file_of_a_million_empty_lists_takes_no_more_than_it_may(monkeypatch):
    monkeypatch.setattr(pickled, "MOST_STEPS", 1000)
    with pytest.raises(Unreadable, match="more than 1000 steps"):
        unpickled(b"]" * 2000)


def test_a_value_that_is_endless_when_printed_is_not_printed():
    """Each list holds the one before twice: forty of them would be a terabyte of text."""
    nested = [[1]]
    for _ in range(40):
        nested = [nested, nested]
    seen = flight(0, pickle.dumps(dump([entry(5, input_sizes=nested, input_dtypes=nested)]), 2))
    assert len(seen.operations[0].sizes_in) < 1000


HUGE = 1 << 20_000  # Python refuses to print it


@pytest.mark.parametrize(
    "key", ["collective_seq_id", "time_created_ns", "input_sizes", "output_sizes", "frames"]
)
@pytest.mark.parametrize("value", [HUGE, -1, True, [[1]]], ids=["huge", "negative", "bool", "list"])
def test_a_number_that_is_none_costs_its_entry_or_its_place(key, value):
    told = {
        "input_sizes": [[4096, value]],
        "output_sizes": [[value]],
        "frames": [{"name": "step", "filename": "/home/train.py", "line": value}],
    }.get(key, value)
    bad, good = entry(5, **{key: told}), entry(6)
    (seen,) = flights({0: [bad, good]})
    found = triage_flights([seen])
    said = " ".join([*found.unseen, *found.evidence, *(w for s in found.suspects for w in s.why)])
    if key in {"input_sizes", "output_sizes", "frames"}:
        assert not seen.troubles
        one = seen.operations[0]
        assert (one.sizes_in, one.sizes_out, one.frame) in {
            ("4096x?", "4096x16", ""),
            ("4096x16", "?", ""),
            ("4096x16", "4096x16", "step (train.py)"),
        }
    else:
        assert [one.seq for one in seen.operations] == [6]
        assert f"entry 0: {key}" in said


def test_a_line_that_is_endless_when_printed_is_not_printed():
    nested = [[1]]
    for _ in range(40):
        nested = [nested, nested]
    frame = {"name": "step", "filename": "/home/train.py", "line": nested}
    seen = flight(0, pickle.dumps(dump([entry(5, frames=[frame])]), 2))
    assert seen.operations[0].frame == "step (train.py)"


def test_a_circle_is_no_trouble():
    nested = []
    nested.append(nested)
    told = dump([entry(5, frames=nested, input_sizes=nested)])
    assert len(flight(0, pickle.dumps(told, 2)).operations) == 1


WHOLE = pickle.dumps(dump([entry(5), entry(6)]), 2)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.binary(max_size=6))
def test_any_cut_and_any_change_is_read_or_refused(at, other):
    for data in (WHOLE[:at], WHOLE[:at] + other + WHOLE[at + len(other) :]):
        try:
            flight(0, data)
        except Unreadable:
            pass
        else:
            assert data != WHOLE[:at], "a cut dump passed for a whole one"


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    ),
    st.sampled_from([2, 3, 4, 5]),
)
def test_plain_data_comes_out_as_the_standard_library_wrote_it(value, protocol):
    assert unpickled(pickle.dumps(value, protocol)) == value

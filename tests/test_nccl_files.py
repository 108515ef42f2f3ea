"""Logs with NCCL_DEBUG, NCCL Inspector and the example profiler: who is late, who is lost."""

from __future__ import annotations

import io
import json
import pickle
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from clusterctl.model import Trouble, UserError
from clusterctl.report.triage import as_json, as_table
from clusterctl.triage.collectives import collective_files
from clusterctl.triage.collectives.arrival import arrivals, triage_timings
from clusterctl.triage.collectives.collective_files import (
    from_flight,
    from_inspector,
    from_logs,
    from_ras,
)
from clusterctl.triage.collectives.inspector import Timing, timings
from clusterctl.triage.collectives.log_verdict import triage_log
from clusterctl.triage.collectives.nccl_log import read_log
from clusterctl.triage.verdict import Cause


def timeout(rank, seq=9141, operation="ALLREDUCE", *, at=38, new=False):
    who = f"PG ID 0 PG GUID 0(default_pg) Rank {rank}" if new else f"Rank {rank}"
    return (
        f"[rank{rank}]:[E1016 03:31:{at}.92846338{rank} ProcessGroupNCCL.cpp:607] [{who}] Watchdog "
        f"caught collective operation timeout: WorkNCCL(SeqNum={seq}, OpType={operation}, "
        "NumelIn=19008, NumelOut=152064, Timeout(ms)=600000) ran for 600071 milliseconds before "
        "timing out."
    )


def progress(rank, enqueued):
    return (
        f"[rank{rank}]:[E1016 03:31:38.928 ProcessGroupNCCL.cpp:1664] [PG 3 Rank {rank}] Exception "
        f"(either an error or timeout) detected by watchdog at work: 9141, last enqueued NCCL "
        f"work: {enqueued}, last completed NCCL work: 9140."
    )


def began(rank, size=4, host="n001"):
    return (
        f"{host}:{900 + rank}:1257 [4] NCCL INFO comm 0x557fe785f7a0 rank {rank} nranks {size} "
        "cudaDev 4 nvmlDev 4 busId 9b000 commId 0x5ae77eb5ea4ec1ee - Init COMPLETE"
    )


def named(found):
    return {rank for one in found.suspects for rank in one.ranks}


@pytest.mark.parametrize("new", [False, True], ids=["2.2", "2.7"])
def test_the_rank_that_did_not_time_out_did_not_come(new):
    said = [*(began(rank) for rank in range(4)), *(timeout(r, new=new) for r in (0, 1, 3))]
    found = triage_log(read_log(said))
    assert named(found) == {2}
    assert found.cause is Cause.WORKER
    assert found.suspects[0].node == "n001"
    assert "rank 0 first at 1016 03:31:38" in found.evidence[0]


def test_the_rank_in_another_operation_is_named():
    said = [timeout(0), timeout(1), timeout(2), timeout(3, 9140, "BROADCAST")]
    found = triage_log(read_log([began(rank) for rank in range(4)] + said))
    assert named(found) == {3}
    assert "BROADCAST number 9140" in found.suspects[0].why[0]


def in_group(rank, member, group, seq=9141):
    """The line of a rank of the job that has another number in its group."""
    line = timeout(rank, seq, new=True)
    return line.replace(
        f"ID 0 PG GUID 0(default_pg) Rank {rank}", f"ID 2 PG GUID {group} Rank {member}"
    )


def test_a_rank_of_a_group_is_named_by_its_number_in_the_job():
    """Ranks 4 to 7 are 0 to 3 of their group."""
    said = [
        in_group(rank, rank - 4, "9(mesh_tp)", 9140 if rank == 6 else 9141) for rank in range(4, 8)
    ]
    found = triage_log(read_log([began(rank, 8) for rank in range(8)] + said))
    assert named(found) == {6}


def test_who_is_of_another_group_is_not_missed_in_this_one():
    two = [in_group(rank, rank, "9(mesh_tp)") for rank in range(4)]
    two += [in_group(rank, rank - 4, "10(mesh_tp)") for rank in range(4, 8)]
    every = [began(rank, 8) for rank in range(8)]
    for said in (two, two[:4], two[4:]):
        assert not triage_log(read_log(every + said)).suspects
    whole = [timeout(rank, new=True) for rank in range(5)]
    elsewhere = [in_group(5, 1, "10(mesh_tp)"), in_group(6, 2, "10(mesh_tp)")]
    assert named(triage_log(read_log(every + whole + elsewhere))) == {7}


def test_all_timed_out_alike_names_nobody():
    found = triage_log(read_log([began(r) for r in range(4)] + [timeout(r) for r in range(4)]))
    assert found.cause is Cause.NETWORK
    assert not found.suspects
    assert found.confidence < 0.5


def test_two_messages_on_one_line_are_two():
    log = read_log([timeout(0) + timeout(1), "\x1b[31m" + timeout(2) + "\x1b[0m"])
    assert [one.rank for one in log.timeouts] == [0, 1, 2]
    assert read_log([progress(4, 9141)]).enqueued == {("3", 4): (9141, 9140)}


def test_the_message_at_the_end_of_a_long_line_is_read(tmp_path):
    """A progress bar may stand before it, up to what is kept of a line."""
    bars = "#" * 14_000
    assert [one.rank for one in read_log([bars + timeout(0) + timeout(1)]).timeouts] == [0, 1]
    (tmp_path / "log").write_text("".join(bars + timeout(rank) + "\n" for rank in (0, 2)))
    assert "ranks 0,2" in from_logs([tmp_path / "log"]).evidence[0]


def warn(host, said):
    return f"{host}:3468:3905 [4] ib_plugin.c:1615 NCCL WARN {said}"


def test_the_peer_that_most_lost_is_named():
    lost = "NET/IB : Got completion from peer 10.0.0.7<54862> with status=12 opcode=0 len=0"
    other = "NET/IB : Got completion from peer 10.0.0.3<54862> with status=12 opcode=0 len=0"
    flushed = "NET/IB : Got completion from peer 10.0.0.4<54862> with status=5 opcode=0 len=0"
    found = triage_log(
        read_log([warn("a", lost), warn("b", lost), warn("c", other), *[warn("d", flushed)] * 9])
    )
    assert found.cause is Cause.NETWORK
    assert [one.what for one in found.suspects] == ["10.0.0.7"]
    assert "no answer to any retry" in found.suspects[0].why[1]


def test_a_peer_whose_process_ended_is_no_fault_of_the_network():
    said = [
        warn(host, "socketProgress: Connection closed by remote peer n9<42830>") for host in "ab"
    ]
    found = triage_log(read_log(said))
    assert found.cause is Cause.WORKER
    assert found.suspects[0].node == "n9"


def test_a_log_without_a_word_of_it_is_unknown():
    assert triage_log(read_log(["step 1 loss 2.3"] * 5)).cause is Cause.UNKNOWN
    assert triage_log(read_log([])).cause is Cause.UNKNOWN


LINES = "\n".join([began(0), timeout(0), timeout(1, new=True), progress(1, 9), warn("a", "x")])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(LINES)), st.text(max_size=4))
def test_any_cut_and_any_change_of_a_log_is_read(at, other):
    for text in (LINES[:at], LINES[:at] + other + LINES[at + len(other) :]):
        triage_log(read_log(text.splitlines()))


# ----------------------------------------------------------------------------- the Inspector


def inspected(rank, seq, exec_us, *, communicator="0x7f", busbw=400.0, size=4):
    return json.dumps(
        {
            "header": {"id": communicator, "rank": rank, "n_ranks": size, "nnodes": 1},
            "metadata": {"hostname": f"n{rank:03}", "pid": 7},
            "coll_perf": {
                "coll": "AllReduce",
                "coll_sn": seq,
                "coll_msg_size_bytes": 1 << 30,
                "coll_exec_time_us": exec_us,
                "coll_algobw_gbs": busbw / 2,
                "coll_busbw_gbs": busbw,
            },
        }
    )


def profiled(rank, seq, start_us, exec_us):
    shared = {"name": "AllReduce", "cat": "COLL", "id": seq, "pid": rank, "tid": 1}
    about = {"SeqNum": seq, "CommHash": 99, "Rank": rank, "Count": 4, "Datatype": "ncclFloat32"}
    return [
        json.dumps({**shared, "ph": "b", "ts": start_us, "args": about}) + ",",
        json.dumps({**shared, "ph": "e", "ts": start_us + exec_us}) + ",",
    ]


def operations(late, *, count=20, seed=3):
    """Ranks 0-3; `late` gives how much later than the others a rank comes, in microseconds."""
    chance = random.Random(seed)
    for seq in range(count):
        comes = [late.get(rank, 0) + chance.uniform(0, 50) for rank in range(4)]
        for rank in range(4):
            yield rank, seq, int(max(comes) - comes[rank] + 1000)


def read(lines):
    return [one for one in timings("f", lines) if isinstance(one, Timing)]


def test_the_last_to_come_waits_least_and_is_named():
    found = triage_timings(read(inspected(*one) for one in operations({2: 3000})))
    assert found.cause is Cause.WORKER
    assert named(found) == {2}
    assert found.suspects[0].node == "n002"
    assert found.confidence > 0.9
    screen = Console(file=io.StringIO(), width=150)
    screen.print(as_table(found))
    assert "the job goes on" in screen.file.getvalue()
    assert json.loads(as_json(found))["slowdown"] is None


def test_ranks_that_left_no_file_are_said_and_one_alone_is_compared_with_nobody():
    some = read(inspected(*one) for one in operations({}) if one[0] != 2)
    assert triage_timings(some).unseen == ("no collective of rank 2 of communicator 0x7f",)
    alone = triage_timings(read(inspected(*one) for one in operations({}) if one[0] == 1))
    assert "0 collectives that several ranks" in alone.evidence[0]
    assert "of every rank" in alone.next_step
    assert not triage_timings(read(inspected(*one) for one in operations({}))).unseen


def in_groups(*, whole):
    """Two groups of two on one node, and one of all four; the first of both groups is late."""
    for seq in range(20):
        for pid in range(4):
            group, rank = divmod(pid, 2)
            told = [(f"0x{group}", rank, 2, 100 if rank == 0 else 5000)]
            if whole:
                told.append(("0x9", pid, 4, 100 if pid == 0 else 5000))
            for name, number, size, exec_us in told:
                yield Timing(name, number, size, "AllReduce", seq, exec_us, host="n1", pid=pid + 5)


def test_two_processes_of_one_number_in_their_groups_are_two():
    found = triage_timings(list(in_groups(whole=False)))
    assert [one.what for one in found.suspects] == [
        "rank 0 of communicator 0x0",
        "rank 0 of communicator 0x1",
    ]
    assert [one.ranks for one in found.suspects] == [(), ()]


def test_a_number_in_the_group_of_all_is_the_rank_in_the_job_and_told_once():
    found = triage_timings(list(in_groups(whole=True)))
    assert [one.ranks for one in found.suspects if one.what.endswith("0x9")] == [(0,)]
    assert len(found.suspects) == 2  # the first process once, though late in two of its groups


class Counted(float):
    """A number that counts how often it is added to another."""

    added = 0

    def __radd__(self, other):
        Counted.added += 1
        return float(other) + float(self)


def test_the_work_grows_as_the_operations_do_and_not_as_their_square():
    """Of a job with ten thousand ranks one collective has ten thousand."""
    Counted.added = 0
    ranks = [Timing("0x7f", rank, 300, "AllReduce", 1, Counted(1000 + rank)) for rank in range(300)]
    assert not list(arrivals(ranks))  # of one operation nobody says "often"
    assert 300 <= Counted.added <= 10 * 300


def test_nobody_is_late_where_all_come_alike():
    found = triage_timings(read(inspected(*one) for one in operations({})))
    assert found.cause is Cause.UNKNOWN
    assert not found.suspects


def at_random(groups, ranks, count, *, wide, seed, late=None):
    """Healthy ranks that differ by chance; `late` of the first group is inside a tenth as long."""
    luck = random.Random(seed)
    return [
        Timing(
            f"0x{group}",
            rank,
            ranks,
            "AllReduce",
            seq,
            1000 * luck.lognormvariate(0, wide) / (10 if (group, rank) == (0, late) else 1),
            host=f"n{group}",
            pid=group * ranks + rank + 1,
        )
        for group in range(groups)
        for seq in range(count)
        for rank in range(ranks)
    ]


SHAPES = [(32, 2, 5, 0.3), (128, 4, 5, 0.3), (64, 2, 101, 1.0), (16, 8, 5, 0.5), (1, 2, 5, 1.0)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("groups", "ranks", "count", "wide"), SHAPES)
def test_luck_accuses_nobody_however_many_ranks_there_are(groups, ranks, count, wide, seed):
    found = triage_timings(at_random(groups, ranks, count, wide=wide, seed=seed))
    assert found.cause is Cause.UNKNOWN
    assert not found.suspects


@pytest.mark.parametrize(
    ("groups", "ranks", "count"),
    [(1, 4, 10), (1, 2, 20), (1, 8, 6), (16, 8, 5), (64, 2, 101)],
)
def test_a_late_rank_stands_out_of_luck(groups, ranks, count):
    for seed in range(3):
        found = triage_timings(at_random(groups, ranks, count, wide=0.1, seed=seed, late=1))
        assert found.cause is Cause.WORKER
        assert [one.what for one in found.suspects] == ["rank 1 of communicator 0x0"]


def test_too_few_operations_name_nobody_and_say_who_it_might_be():
    found = triage_timings(at_random(1, 2, 5, wide=0.1, seed=1, late=1))
    assert found.cause is Cause.UNKNOWN
    assert "rank 1 of communicator 0x0 came last to 5 of 5" in found.evidence[0]
    assert "more operations" in found.next_step


def test_the_root_of_a_broadcast_is_not_late_because_it_leaves_first():
    told = [
        Timing("0x0", rank, 4, "Broadcast", seq, 60 if rank == 0 else 100)
        for seq in range(50)
        for rank in range(4)
    ]
    found = triage_timings(told)
    assert not found.suspects
    assert any("Broadcast" in line for line in found.unseen)


def test_the_profiler_s_trace_says_the_same():
    events = ["[{}\n"]
    for rank, seq, exec_us in operations({1: 3000}):
        events += profiled(rank, seq, 1e6 * seq, exec_us)
    events.append(
        '{"name": "ProgressSend", "cat": "PROXY", "ph": "b", "id": 1, "pid": 3, "ts": 1},'
    )
    assert named(triage_timings(read(events))) == {1}


def test_a_group_that_is_slow_together_is_the_network_s():
    lines = [
        inspected(
            rank, seq, 1000 + rank, communicator=f"0x{group}", busbw=200 if group == 5 else 400
        )
        for group in range(8)
        for seq in range(10)
        for rank in range(4)
    ]
    found = triage_timings(read(lines))
    assert found.cause is Cause.NETWORK
    assert [one.what for one in found.suspects] == ["communicator 0x5"]
    assert found.suspects[0].slowdown == pytest.approx(2.0)


def test_a_bad_line_costs_that_line():
    seen = list(timings("f", [inspected(0, 1, 5), "{", '{"coll_perf": 1}', inspected(1, 1, 6)]))
    assert [one.rank for one in seen if isinstance(one, Timing)] == [0, 1]
    (trouble,) = (one for one in seen if isinstance(one, Trouble))
    assert "2 lines" in trouble.detail
    assert all(isinstance(one, Trouble) for one in timings("f", []))


@pytest.mark.parametrize("number", ["1" + "0" * 400, "NaN", "Infinity", "-4", "[]"])
@pytest.mark.parametrize("was", ["1000", "400.0", "1073741824"], ids=["time", "bandwidth", "size"])
def test_a_number_that_is_none_costs_its_line(was, number):
    line = inspected(0, 1, 1000)
    (seen,) = timings("f", [line.replace(was, number)])
    assert isinstance(seen, Trouble)


ONE = inspected(2, 7, 1000)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(ONE) - 1), st.text(max_size=4))
def test_any_cut_and_any_change_of_a_line_is_read(at, other):
    assert not read([ONE[:at]])
    list(timings("f", [ONE[:at] + other + ONE[at + len(other) :]]))


# ----------------------------------------------------------------------------- files


def test_files_are_read_and_judged(tmp_path):
    logs = tmp_path / "rank.log"
    logs.write_text("\n".join([*(began(r, 3) for r in range(3)), timeout(0), timeout(2)]))
    assert named(from_logs([logs])) == {1}
    traces = tmp_path / "traces"
    traces.mkdir()
    for rank in range(4):
        text = "\n".join(inspected(*one) for one in operations({3: 5000}) if one[0] == rank)
        (traces / f"n{rank}-1.log").write_text(text)
    (traces / ".hidden").write_text("x")
    assert named(from_inspector(traces)) == {3}
    (tmp_path / "ras.txt").write_text("nothing of it")
    assert from_ras([tmp_path / "ras.txt"]).unseen


def test_a_folder_that_is_empty_or_not_there_is_the_operator_s_mistake(tmp_path):
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="--flight"):
            from_flight(place)
        with pytest.raises(UserError, match="--inspector"):
            from_inspector(place)
    with pytest.raises(UserError, match="No such file"):
        from_logs([tmp_path / "none"])


def test_one_dump_that_is_too_large_costs_its_rank(tmp_path, monkeypatch):
    monkeypatch.setattr(collective_files, "MOST_DUMP_BYTES", 1000)
    (tmp_path / "nccl_trace_rank_1").write_bytes(bytes(1001))
    with pytest.raises(UserError, match="nccl_trace_rank_1 is larger than"):
        from_flight(tmp_path)
    (tmp_path / "nccl_trace_rank_0").write_bytes(pickle.dumps({"version": "2.5", "entries": []}))
    found = from_flight(tmp_path)
    assert [one for one in found.unseen if "nccl_trace_rank_1 is larger than" in one]


def test_more_than_is_read_is_refused_and_not_cut(tmp_path, monkeypatch):
    """The timeout is at a log's end: its first part alone would be a healthy job's."""
    monkeypatch.setattr(collective_files, "MOST_LINES", 3)
    monkeypatch.setattr(collective_files, "MOST_FILES", 2)
    log = tmp_path / "a.log"
    log.write_text("\n".join([began(0), began(1), began(2)]))
    from_logs([log])
    log.write_text("\n".join([began(0), began(1), began(2), timeout(0)]))
    with pytest.raises(UserError, match=r"a\.log has more than 3 lines.*tail -n 3"):
        from_logs([log])
    with pytest.raises(UserError, match=r"a\.log has more than 3 lines"):
        from_inspector(tmp_path)
    (tmp_path / "b.log").write_text(inspected(0, 1, 5))
    (line,) = [one for one in from_inspector(tmp_path).unseen if "a.log" in one]
    assert "has more than 3 lines" in line
    (tmp_path / "c.log").write_text(inspected(1, 1, 5))
    with pytest.raises(UserError, match=r"--inspector .* holds more than 2 files"):
        from_inspector(tmp_path)


def test_dumps_of_two_moments_are_not_mixed(tmp_path):
    for moment in ("first", "second"):
        (tmp_path / moment).mkdir()
        (tmp_path / moment / "dump_3").write_text("{}")
    with pytest.raises(UserError, match="both of rank 3"):
        from_flight(tmp_path)


def test_a_file_that_is_no_dump_is_told_and_the_others_are_read(tmp_path):
    entry = {"process_group": ["0", "x"], "collective_seq_id": 5, "profiling_name": "nccl:barrier"}
    config = {"0": {"name": "0", "desc": "x", "ranks": "[0, 1, 2]"}}
    for rank in range(3):
        entries = [{**entry, "time_created_ns": 5, "state": "scheduled"}] if rank else []
        told = {"version": "2.10", "pg_config": config, "entries": entries}
        (tmp_path / f"dump_{rank}").write_text(json.dumps(told))
    (tmp_path / "readme").write_text("hello")
    (tmp_path / "dump_7").write_bytes(b"\x80\x02cos\nsystem\n.")
    found = from_flight(tmp_path)
    assert named(found) == {0}
    assert any("readme" in line for line in found.unseen)
    assert any("dump_7" in line and "nothing of it was run" in line for line in found.unseen)

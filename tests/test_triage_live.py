"""What triage concludes from two readings of a job that runs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from triage_texts import Rank, Row, changed, printed, texts

from clusterctl.model import UserError
from clusterctl.triage.running import placed
from clusterctl.triage.running.ask import Wanted
from clusterctl.triage.running.candidates import highest
from clusterctl.triage.running.job import gathered
from clusterctl.triage.running.live import judge
from clusterctl.triage.running.readings import read
from clusterctl.triage.verdict import Cause, Triage


def judged(told: dict[str, str], silent: dict[str, str] | None = None, job: str = "") -> Triage:
    return judge(gathered([read(node, text) for node, text in told.items()], silent or {}, job))


def job(count: int = 8, **odd: object) -> list[Rank]:
    """Ranks alike, but for number 5 (1 of a few), whose fields are `odd`."""
    ranks = [Rank(number) for number in range(count)]
    for name, value in odd.items():
        setattr(ranks[min(5, count - 1)], name, value)
    return ranks


@pytest.mark.parametrize(
    ("state", "cause", "what"),
    [
        ("sleep", Cause.WORKER, "rank 5 on n05"),
        ("lock", Cause.WORKER, "rank 5 on n05"),
        ("device", Cause.WORKER, "rank 5 on n05"),
        ("disk", Cause.DATA, "rank 5 on n05"),
        ("pipe", Cause.DATA, "rank 5 on n05"),
    ],
)
def test_who_keeps_all_others_waiting_is_named_and_what_it_does_is_the_class(state, cause, what):
    found = judged(texts(job(late_as=state)))
    assert found.cause is cause
    assert (found.suspects[0].what, found.suspects[0].node) == (what, "n05")
    assert found.suspects[0].ranks == (5,)
    assert found.slowdown == pytest.approx(2.0, rel=0.1)
    assert "all others wait for it at 50 % of 100 moments" in found.suspects[0].why[0]


def test_a_node_all_of_whose_ranks_come_late_is_a_slow_host():
    """Two ranks a node: those of n04 are late together."""
    ranks = [Rank(number, pid=100 + number) for number in range(8)]
    for one in ranks[4:6]:
        one.late_as, one.run = "run", 0.5
    told = texts(ranks)
    seen = []
    for number in range(0, 8, 2):
        both = [read(f"n{number:02}", told[f"n{one:02}"]) for one in (number, number + 1)]
        ranks_here = both[0].ranks + both[1].ranks
        seen.append(replace(both[0], ranks=ranks_here, links=both[0].links + both[1].links))
    found = judge(gathered(seen, {}))
    assert (found.cause, found.suspects[0].what) == (Cause.HOST, "n04")
    assert found.suspects[0].ranks == (4, 5)


def test_between_two_nodes_both_ends_of_a_slow_way_are_named():
    found = judged(texts([Rank(0, busy=0.9), Rank(1)]))
    assert found.cause is Cause.NETWORK
    assert [one.what for one in found.suspects] == ["n00 sends", "n01 receives"]
    assert found.confidence == 0.5


def doubled(row: Row) -> list[Row]:
    """A connection, and another like it."""
    ends = {}
    for name in ("before", "after") if row["k"] == "link" else ():
        near, far = (row[name][end].split() for end in ("near", "far"))
        ends[name] = {**row[name], "near": f"{near[0]} 1{near[1]}", "far": f"{far[0]} 1{far[1]}"}
    return [row, {**row, **ends}] if ends else [row]


def test_a_slow_way_between_two_nodes_is_one_however_many_connections_go_it():
    told = texts([Rank(0, busy=0.9), Rank(1)])
    for node, text in told.items():
        rows = [json.loads(line) for line in text.splitlines()[:-1]]
        told[node] = printed([one for row in rows for one in doubled(row)])
    found = judged(told)
    assert found.cause is Cause.NETWORK
    assert [one.what for one in found.suspects] == ["n00 sends", "n01 receives"]


def test_a_way_on_to_a_third_node_is_not_the_other_way_of_a_slow_one():
    ranks = job(3)
    ranks[1].busy, ranks[2].moves = 0.9, 1e3  # from n02 to n00 goes as good as nothing
    assert judged(texts(ranks)).cause is not Cause.NETWORK


def test_a_late_rank_that_computes_is_a_worker_and_one_that_is_not_let_a_host():
    assert judged(texts(job(late_as="run", run=0.5))).cause is Cause.WORKER
    crowded = judged(texts(job(late_as="run", ready=0.5, foreign=[["stress", 6, 900]])))
    assert (crowded.cause, crowded.suspects[0].what) == (Cause.HOST, "n05")
    assert any("6 stress 9.0 s" in line for line in crowded.suspects[0].why)


@pytest.mark.parametrize("count", [2, 4, 8, 64])
def test_few_ranks_and_many_are_told_apart_alike(count):
    found = judged(texts(job(count, late_as="sleep")))
    assert (found.cause, found.suspects[0].ranks) == (Cause.WORKER, (min(5, count - 1),))


def test_a_cpu_limit_that_one_rank_reaches_is_its_hosts():
    ranks = job(held=0.0)
    for one in ranks:
        one.held = 0.0
    ranks[5].held = 0.6
    found = judged(texts(ranks))
    assert (found.cause, found.suspects[0].what) == (Cause.HOST, "n05")
    assert "reached its CPU limit of 2 processors 90 times" in found.suspects[0].why[0]


def test_a_cpu_limit_that_all_reach_names_nobody():
    found = judged(texts([Rank(number, held=0.4) for number in range(8)]))
    assert (found.cause, found.suspects) == (Cause.HOST, ())
    assert "8 of 8 ranks' groups reach their CPU limits alike" in found.evidence[0]


def test_threads_that_wait_for_a_processor_name_their_node_though_nobody_is_late():
    found = judged(texts(job(ready=0.4, foreign=[["hog", 4, 700]])))
    assert (found.cause, found.suspects[0].what) == (Cause.HOST, "n05")
    unseen = judged(texts(job(ready=0.4)))  # nobody had them, and nobody waits for it
    assert unseen.cause is Cause.HEALTHY


def test_a_burst_in_one_half_of_the_window_accuses_nobody():
    assert judged(texts(job(ready=0.4, ready_at_first=0.97))).cause is Cause.HEALTHY
    assert judged(texts(job(ready=0.4, ready_at_first=0.03))).cause is Cause.HEALTHY


def test_the_node_whose_connections_are_busy_is_the_slow_one():
    ranks = job(busy=0.95)
    ranks[4].busy = 0.8  # its acknowledgements queue behind the slow node's data
    found = judged(texts(ranks))
    assert (found.cause, found.suspects[0].node) == (Cause.NETWORK, "n05")
    assert found.suspects[0].what == "n05 sends"
    assert found.slowdown is not None
    assert found.slowdown > 3


def test_segments_that_all_partners_lose_are_a_nics_fault_and_its_way_is_named():
    found = judged(texts(job(deaf=0.03)))
    assert (found.cause, found.suspects[0].what) == (Cause.NETWORK, "n05 receives")
    sends = judged(texts(job(lost=0.03)))
    assert (sends.cause, sends.suspects[0].what) == (Cause.NETWORK, "n05 sends")


def test_all_nics_that_lose_at_once_are_congestion_and_nobodys_fault():
    found = judged(texts([Rank(number, lost=0.03) for number in range(8)]))
    assert (found.cause, found.suspects) == (Cause.CONGESTION, ())


@pytest.mark.parametrize("does", ["lock", "sleep", "run"])
def test_ranks_that_are_alike_are_healthy_however_slow_they_are(does):
    found = judged(texts([Rank(number, does=does) for number in range(8)]))
    assert (found.cause, found.suspects, found.slowdown) == (Cause.HEALTHY, (), 1.0)
    assert {one.cause for one in found.ruled_out} >= {Cause.WORKER, Cause.HOST, Cause.NETWORK}


def test_ranks_that_all_wait_for_files_wait_for_their_input():
    found = judged(texts([Rank(number, does="disk") for number in range(8)]))
    assert (found.cause, found.suspects) == (Cause.DATA, ())
    hangs = judged(texts([Rank(number, waits="disk", silent_ms=9e4) for number in range(8)]))
    assert (hangs.cause, hangs.suspects, hangs.slowdown) == (Cause.DATA, (), None)


def test_a_pause_that_moves_from_rank_to_rank_accuses_none_of_them():
    told = texts(job())
    for turn, node in enumerate(sorted(told)):
        rows = [json.loads(line) for line in told[node].splitlines()]
        for row in rows:
            if row["k"] == "rank":
                row["after"]["main_run_ns"] = 2e9
                for look in row["looks"]:
                    if look[0] // 3 % 8 == turn:
                        look[1:4] = ["run", 600, 600]
        told[node] = "".join(json.dumps(row) + "\n" for row in rows)
    found = judged(told)
    assert (found.cause, found.suspects) == (Cause.GC, ())


# ----------------------------------------------------------------------------- hangs


def test_who_went_silent_first_hangs_the_job():
    ranks = [Rank(number, waits="lock", silent_ms=20_000) for number in range(8)]
    ranks[5].silent_ms, ranks[5].waits = 20_300, "pipe"
    found = judged(texts(ranks))
    assert (found.cause, found.slowdown) == (Cause.WORKER, None)
    assert found.suspects[0].ranks == (5,)
    assert any("went silent 0.30 s before anyone else" in line for line in found.suspects[0].why)


def test_who_went_silent_first_is_told_by_moments_that_all_have():
    """A node that was held up looked once less, and so seems to have sent later."""
    ranks = [Rank(number, waits="lock", silent_ms=20_000) for number in range(8)]
    ranks[5].silent_ms, ranks[5].misses = 20_080, 1
    found = judged(texts(ranks))
    assert (found.suspects[0].ranks, found.confidence) == ((5,), pytest.approx(0.9))


def test_a_node_that_acknowledges_nothing_is_cut_off_and_not_its_rank():
    ranks = [Rank(number, waits="wire", silent_ms=20_000) for number in range(8)]
    ranks[5].unheard = (4, 6)
    ranks[4].silent_ms = 100.0  # it sends, again and again
    found = judged(texts(ranks))
    assert (found.cause, found.slowdown, found.suspects[0].node) == (Cause.NETWORK, None, "n05")
    assert "2 connections to it send the same data again" in found.suspects[0].why[1]


def only_met(ranks: list[Rank]) -> dict[str, str]:
    """As NCCL over RDMA: its connections carried some words when the job began."""
    told = {}
    for node, text in texts(ranks).items():
        rows = [json.loads(line) for line in text.splitlines()[:-1]]
        for row in rows:
            for mark in row.get("marks", []):
                mark[3:] = [900, 900]
        told[node] = printed(rows)
    return told


def test_connections_that_were_only_used_to_meet_do_not_tell_who_hangs():
    ranks = [Rank(number, waits="lock", silent_ms=4e6 + 900 * number) for number in range(8)]
    found = judged(only_met(ranks))
    assert (found.cause, found.slowdown, found.suspects) == (Cause.WORKER, None, ())
    ranks[5].waits = "pipe"
    found = judged(only_met(ranks))
    assert (found.suspects[0].ranks, found.confidence) == ((5,), 0.55)


def test_a_hang_in_which_one_clock_is_wrong_is_not_surely_that_nodes():
    """All went silent at once, and n02 looked 0.7 s after the others."""
    ranks = [Rank(number, waits="lock", silent_ms=20_000) for number in range(8)]
    ranks[2].clock_s = 0.7
    found = judged(texts(ranks))
    assert (found.cause, found.slowdown, found.confidence) == (Cause.WORKER, None, 0.5)
    assert "nothing came to it after that" in found.suspects[0].why[-1]


NOBODY = '{"k":"node","name":"n03","cpus":2,"ranks":0}\n{"k":"end","rows":1}\n'


def without_rank_3(waits: str) -> dict[str, str]:
    some = [Rank(one, waits=waits, silent_ms=20_000) for one in range(8) if one != 3]
    return texts(some, world=8)


def test_a_job_that_hangs_without_one_of_its_ranks_waits_for_that_one():
    found = judged(without_rank_3("lock") | {"n03": NOBODY})
    assert (found.cause, found.suspects[0].ranks, found.confidence) == (Cause.WORKER, (3,), 0.9)


@pytest.mark.parametrize("silent", [{}, {"n03": "unreachable: no route"}])
def test_a_rank_whose_node_was_not_seen_is_not_accused_of_being_nowhere(silent):
    """With `silent` empty: only seven of its eight nodes were asked."""
    hangs = judged(without_rank_3("lock"), silent)
    assert (hangs.cause, hangs.slowdown, hangs.suspects) == (Cause.WORKER, None, ())
    assert hangs.confidence == 0.5
    assert any("rank 3 of 8 nowhere to be seen" in line for line in hangs.evidence)
    assert all(f"{node}: {why}" in hangs.evidence for node, why in silent.items())
    assert judged(without_rank_3("run"), silent).cause is Cause.UNKNOWN  # a long step, perhaps


# ----------------------------------------------------------------------------- what is not seen


def test_half_the_nodes_may_be_silent_and_are_named():
    told = texts(job(late_as="sleep"))
    silent = dict.fromkeys(("n00", "n01", "n02", "n03"), "unreachable: no route")
    found = judged({node: text for node, text in told.items() if node not in silent}, silent)
    assert (found.cause, found.suspects[0].ranks) == (Cause.WORKER, (5,))
    assert "n[00-03]: unreachable: no route" in found.unseen
    assert any("ranks 0-3 of 8 not seen: 4 missing" in line for line in found.unseen)


@pytest.mark.parametrize("clock_s", [0.7, -0.7])
def test_a_node_whose_clock_is_wrong_is_not_accused_of_coming_late(clock_s):
    ranks = job(clock_s=clock_s, late_as="sleep")  # as it looks to whoever believes that clock
    found = judged(texts(ranks))
    assert found.cause is Cause.HEALTHY
    word = "slow" if clock_s > 0 else "fast"
    assert any(line.startswith(f"n05: its clock is 0.7 s {word}") for line in found.unseen)
    ranks[5].late_as, ranks[2].late_as = "", "sleep"
    assert judged(texts(ranks)).suspects[0].ranks == (2,)


def test_too_few_to_compare_is_unknown_and_never_healthy():
    told = texts(job())
    alone = {"n05": told["n05"]}
    assert judged(alone, {"n00": "unreachable: off"}).cause is Cause.UNKNOWN
    assert judged({}, {"n00": "unreachable: off"}).cause is Cause.UNKNOWN
    nobody = judged({"n03": NOBODY})
    assert nobody.cause is Cause.UNKNOWN
    assert "--pids" in nobody.advice


def test_a_rank_that_was_hardly_looked_at_is_not_known_to_be_like_the_others():
    def once(row: Row) -> Row:
        return {**row, "looks": row["looks"][:1]} if row["k"] == "rank" else row

    told = texts(job())
    changed(told, {"n05"}, once)
    found = judged(told)
    assert found.cause is Cause.UNKNOWN
    assert "when rank 5 sent was seen hardly ever" in found.evidence[0]
    changed(told, {"n00", "n01", "n02"}, once)
    found = judged(told)
    assert found.cause is Cause.UNKNOWN
    assert "only 1 moments were seen" in found.evidence[0]


def test_a_rank_whose_connections_were_not_seen_may_be_whom_all_wait_for():
    def blind(row: Row) -> Row | None:
        if row["k"] != "rank":
            return None if row["k"] == "link" else row
        return {**row, "looks": [[*look[:2], None, None, *look[4:]] for look in row["looks"]]}

    told = texts(job(late_as="sleep"))
    changed(told, {"n05"}, blind)
    found = judged(told)
    assert (found.cause, found.suspects) == (Cause.UNKNOWN, ())
    assert "when rank 5 sent was seen hardly ever" in found.evidence[0]


def test_of_nodes_that_say_nothing_any_may_have_ranks_where_nobody_says_how_many_there_are():
    def unnumbered(row: Row) -> Row:
        return {**row, "world": None, "rank": None, "label": "pid 7"} if row["k"] == "rank" else row

    told = texts([Rank(number) for number in range(4)])
    changed(told, set(told), unnumbered)
    assert judged(told).cause is Cause.HEALTHY
    found = judged(told, {"n04": "unreachable: off", "n05": "unreachable: off"})
    assert found.cause is Cause.UNKNOWN
    assert "2 nodes said nothing" in found.evidence[0]


def test_two_jobs_on_the_same_nodes_are_not_mixed():
    told = texts([Rank(number) for number in range(4)])
    told |= texts([Rank(number, job="42") for number in range(4, 6)], world=2)
    with pytest.raises(UserError, match=r"several jobs run there, say --job: .*42 \(2 ranks\)"):
        judged(told)
    with pytest.raises(UserError, match="no such job"):
        judged(told, job="43")
    assert judged(told, job="42").cause is not Cause.UNKNOWN


def test_a_spread_of_nothing_makes_any_difference_certain_and_equality_none():
    assert highest({"a": 1.0, "b": 1.0, "c": 1.0}, error=0.0).confidence == 0.0
    assert highest({"a": 1.0, "b": 1.0, "c": 1.5}, error=0.0).confidence > 0.9
    assert highest({"a": 1.0, "b": 2.0}, error=0.1) is None


# ----------------------------------------------------------------------------- where it runs

SCONTROL = (
    "JobId=77 JobName=train UserId=alice(1001) GroupId=x JobState={state} Reason=None "
    "NodeList={nodes} BatchHost=n01 NumNodes=3 WorkDir=/home/NodeList=n9"
)


def test_slurm_says_where_a_job_runs():
    found = placed.slurm("77", SCONTROL.format(state="RUNNING", nodes="n[01-03]"))
    assert list(found.wanted) == ["n01", "n02", "n03"]
    assert found.wanted["n02"] == Wanted(slurm="77")


@pytest.mark.parametrize(
    ("state", "nodes"), [("PENDING", ""), ("PENDING", "(null)"), ("COMPLETED", "n[01-03]")]
)
def test_a_job_that_does_not_run_is_the_operators_mistake(state, nodes):
    with pytest.raises(UserError, match=f"job 77 of alice, {state.lower()}"):
        placed.slurm("77", SCONTROL.format(state=state, nodes=nodes))


@pytest.mark.parametrize(
    "name",
    [
        "x JobId=99",
        "x NodeList=n9",
        "x JobState=RUNNING",
        "x\nJobId=99",
        "x\nJobId=99 JobName=y UserId=a(1) JobState=RUNNING NodeList=n9 z",
    ],
)
def test_a_jobs_name_does_not_say_where_it_runs(name):
    line = SCONTROL.format(state="RUNNING", nodes="n[01-03]")
    with pytest.raises(UserError, match="--slurm 77: scontrol tells a field twice or not at all"):
        placed.slurm("77", line.replace("JobName=train", f"JobName={name}"))
    with pytest.raises(UserError, match=r"JobId=\(a\+\)\+\$ is no number"):
        placed.slurm("77", line.replace("JobId=77", "JobId=(a+)+$"))


@pytest.mark.parametrize("text", ["n01", "n01:", "n01:x", ":1", " ", "n01:1;2"])
def test_pids_that_cannot_be_read_say_how_they_are_written(text):
    with pytest.raises(UserError, match="expected NODE:PID,PID"):
        placed.pids(text)


def test_pids_of_one_node_may_be_given_twice():
    assert placed.pids("n01:1,2 n02:3 n01:4").wanted["n01"] == Wanted(pids=(1, 2, 4))
    for wrong in ("x", "1 2", "1;reboot", ""):
        with pytest.raises(UserError, match="expected a job's number"):
            placed.slurm_id(wrong)

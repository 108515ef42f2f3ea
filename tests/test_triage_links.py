"""Probed paths: what both ends counted, who is blamed for it, what that does to a triage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations, permutations
from math import isnan
from random import Random

import pytest
from scripted import NOON
from triage_texts import Rank, texts
from typer.testing import CliRunner

from clusterctl.bandwidth.rails import rails_of
from clusterctl.cli import app
from clusterctl.cli.triage_links import moved
from clusterctl.localise.located import Inconclusive, Located, Population, Rival
from clusterctl.localise.located import Suspect as Part
from clusterctl.model import (
    Accelerator,
    Answer,
    DeviceProcess,
    Kind,
    Node,
    Observation,
    Question,
    Scheduler,
    Status,
    Trouble,
)
from clusterctl.run import Paused, admit
from clusterctl.triage.links import blame
from clusterctl.triage.links.blame import blamed
from clusterctl.triage.links.joined import CLEARED, joined
from clusterctl.triage.links.known import Links, Way
from clusterctl.triage.links.measured import measured
from clusterctl.triage.links.order import BYTES, CAP_BIT_S, PARTNERS, SHARE, partners, questions
from clusterctl.triage.links.said import Told, told
from clusterctl.triage.links.standing import on_data_network, standing
from clusterctl.triage.running.job import Job, gathered
from clusterctl.triage.running.readings import read
from clusterctl.triage.verdict import Cause, RuledOut, Suspect, Triage

NODES = tuple(f"n{number}" for number in range(6))
SENT = 200


def probed(
    nodes: Sequence[str] = NODES,
    *,
    lossy: Mapping[tuple[str, str], int] | None = None,
    queue: Mapping[str, float] | None = None,
    rng: Random | None = None,
) -> Told:
    """Every pair; `lossy`: by (source, target), either empty for all; `queue`: us, by source."""
    noise = rng or Random(1)
    ways = []
    for source, target in permutations(nodes, 2):
        lost = next(
            (
                count
                for (src, dst), count in (lossy or {}).items()
                if src in {"", source} and dst in {"", target}
            ),
            0,
        )
        wait = noise.lognormvariate(2, 0.8) + (queue or {}).get(source, 0.0)
        trip = 40 + noise.lognormvariate(2, 0.8)
        ways.append(
            Way(
                source, target, 0, SENT, lost, wait, wait * noise.uniform(1.5, 6), trip + wait, trip
            )
        )
    return Told(tuple(ways), (), {"n0": 0.01}, 1e6)


# --------------------------------------------------------------------------- what ends say


def printed(*rows: dict[str, object]) -> str:
    lines = [json.dumps(row) for row in rows]
    return "\n".join([*lines, json.dumps({"k": "end", "rows": len(lines)})]) + "\n"


def answer(text: str, code: int | None = 0) -> Answer:
    return Answer("paths", code, text, "", 1.0)


CALL = {"k": "path", "name": "n0/0>n1/0", "role": "call", "why": "", "again": 3}
CALL |= {"out": 300, "in": 190, "rate_bit_s": 250000.0}
CALL |= {"rtt_us": [40, 50, 60, 900], "forward_us": [-1000, -990, -980, -500]}
CALL |= {"backward_us": [1020, 1021, 1022, 1023], "stamped": True}
LISTEN = {"k": "path", "name": "n0/0>n1/0", "role": "listen", "why": "", "again": 0}
LISTEN |= {"out": 190, "in": 293, "send_us": [4, 5, 9, 80], "stamped": True}
COST = {"k": "cost", "cpu_s": 0.1, "seconds": 10.0}


def test_what_one_end_sent_and_the_other_never_got_is_lost_way_by_way():
    found = told({"n0": answer(printed(CALL, COST)), "n1": answer(printed(LISTEN))})
    there, back = found.ways
    assert (there.called, there.sent, there.lost) == ("n0>n1/0", 300, 7)
    assert (back.called, back.sent, back.lost) == ("n1>n0/0", 190, 0)
    assert (there.wait_us, there.wait_90_us, back.wait_us) == (10, 20, 1)  # clocks 1 ms apart
    assert (there.send_90_us, back.send_90_us) == (0.0, 9.0)
    assert found.cost == {"n0": 0.01}
    assert not found.unseen


def test_an_end_that_says_nothing_is_told_and_the_other_end_counts_what_it_sent_again():
    silent = Trouble(Kind.UNREACHABLE, "no route")
    found = told({"n0": answer(printed(CALL)), "n1": silent})
    assert [way.lost for way in found.ways] == [3, None]
    assert found.unseen == ("n1: its paths were not probed: unreachable: no route",)
    broke = {**CALL, "why": "timed out"}
    found = told({"n0": answer(printed(broke)), "n1": answer(printed(LISTEN))})
    assert found.ways[0].lost == 3
    assert found.unseen == ("n0/0>n1/0: timed out",)
    assert told({"n0": answer("", 1)}).unseen[0].startswith("n0: its paths were not probed")


def test_where_a_kernel_stamps_nothing_losses_are_told_and_the_network_is_not_ruled_out() -> None:
    times = ("rtt_us", "forward_us", "backward_us")
    call = {name: told for name, told in CALL.items() if name not in times}
    listen = printed({**LISTEN, "stamped": False})
    found = told({"n0": answer(printed(call)), "n1": answer(listen)})
    assert [(way.lost, way.wait_us) for way in found.ways] == [(7, None), (0, None)]
    links = blamed(found)
    assert not links.quiet
    (why,) = links.unseen
    assert why.startswith("n1: its kernel does not say when messages come")


def pairs(*, drift: Mapping[str, float] | None = None, mute: str = "") -> Told:
    """Every pair as its ends tell it; `drift`: us a second by which a clock runs away."""
    rows: dict[str, list[dict[str, object]]] = {node: [] for node in NODES}
    ahead = drift or {}
    for src, dst in combinations(NODES, 2):
        name = f"{src}/0>{dst}/0"
        apart = 8 * abs(ahead.get(dst, 0.0) - ahead.get(src, 0.0))
        spread = [0, apart / 2, 0.9 * apart, apart]
        call = {**CALL, "forward_us": spread, "backward_us": spread, "name": name}
        call["rtt_us"] = [40, 44, 48, 60]
        listen = {**LISTEN, "in": 300, "name": name}
        if mute in {src, dst}:
            call, listen = (
                {"k": "path", "name": name, "role": role, "why": "nobody came"}
                for role in ("call", "listen")
            )
        rows[src].append(call)
        rows[dst].append(listen)
    return told({node: answer(printed(*few)) for node, few in rows.items()})


def test_a_clock_that_runs_away_is_no_queue():
    """A crystal alone, or a clock being slewed; round trips are told by each end's own clock."""
    for drift in (50.0, 500.0):
        found = blamed(pairs(drift={"n2": drift}))
        assert not found.suspects
        assert not found.everybody
        assert "waits 4 us at most" in found.quiet


def test_a_nic_that_meets_nobody_is_told_and_the_network_not_ruled_out():
    found = blamed(pairs(mute="n3"))
    assert found.evidence == ("low-rate probe: n3 on rail 0 met none of its 5 partners",)
    assert not found.quiet
    assert "n0/0>n3/0: nobody came" in found.unseen
    assert joined(Triage(Cause.HEALTHY, 1.0), [found], RANKS).ruled_out == ()


def test_no_cut_and_no_garbage_raises():
    text = printed(CALL, COST)
    for at in range(0, len(text), 3):
        told({"n0": answer(text[:at])})
        assert "did not end within 1 s" in told({"n0": answer(text[:at], None)}).unseen[0]
        told({"n0": answer(text[:at] + "\x00{" + text[at + 2 :])})
    odd = [None, "x", [], [1], [1, 2, 3, "4"], {}, True, 1e400, -5, "\x1b[31m"]
    for name in CALL:
        for value in odd:
            blamed(
                told({"n0": answer(printed({**CALL, name: value})), "n1": answer(printed(LISTEN))})
            )
    assert told({"n0": answer(text[:-20])}).unseen
    stranger = told({"n7": answer(text)})
    assert not stranger.ways
    assert stranger.unseen == ("n7: its paths were not probed: it says nothing of them",)


# --------------------------------------------------------------------------- who is blamed


def test_the_nic_that_loses_from_all_its_partners_is_named_and_they_are_not():
    (one,) = blamed(probed(lossy={("", "n3"): 5})).suspects
    assert (one.what, one.node) == ("n3 receives", "n3")
    assert one.confidence >= 0.99
    assert "25 of 1000 segments never came (n0>n3/0 5 of 200" in one.why[0]
    assert "all other paths together 0 of 5000" in one.why[0]
    assert one.slowdown is not None
    assert isnan(one.slowdown)


def test_a_nic_that_loses_much_hides_no_other_that_loses_less():
    found = blamed(probed(lossy={("", "n3"): 40, ("n1", ""): 4}))
    assert [one.what for one in found.suspects] == ["n1 sends", "n3 receives"]
    assert "all other paths together 0 of" in found.suspects[0].why[0]


def test_the_nic_before_which_a_queue_stands_is_named_by_its_way():
    (one,) = blamed(probed(queue={"n2": 40_000.0})).suspects
    assert one.what == "n2 sends"
    assert one.confidence >= 0.99
    assert "waits 40.0 ms on the way" in one.why[0]


def test_what_a_sender_takes_to_send_is_no_queue():
    """As on a machine whose processors fall asleep: messages of some nodes leave late."""
    slow = probed(queue={"n2": 90.0})
    assert [one.what for one in blamed(slow).suspects] == ["n2 sends"]
    ways = [replace(one, send_90_us=200.0 if one.source == "n2" else 20.0) for one in slow.ways]
    assert not blamed(replace(slow, ways=tuple(ways))).suspects


def test_peers_are_weighed_once_however_many_nics_wait(monkeypatch):
    """Else it is work by the square of the NICs; and who waits alike stands in the same order."""
    weighed: list[int] = []
    once = blame.peers_of
    monkeypatch.setattr(blame, "peers_of", lambda few: weighed.append(len(few)) or once(few))
    waits = {f"n{number:02}": 9000.0 for number in (3, 7, 11)}
    found = blamed(probed([f"n{number:02}" for number in range(16)], queue=waits))
    assert [one.what for one in found.suspects] == ["n03 sends", "n07 sends", "n11 sends"]
    assert weighed == [2 * 16 - 3]


def test_one_path_that_loses_accuses_neither_of_its_ends_and_is_told():
    found = blamed(probed(lossy={("n1", "n4"): 20}))
    assert not found.suspects
    assert found.evidence == (
        "low-rate probe: n1>n4/0 lost 20 of 200 segments, and its ends lose no others'",
    )


def test_of_two_nodes_alone_both_ends_are_named_and_neither_is_sure():
    lossy = blamed(probed(("a", "b"), lossy={("a", "b"): 20})).suspects
    assert {(one.what, one.confidence) for one in lossy} == {("a sends", 0.5), ("b receives", 0.5)}
    slow = blamed(probed(("a", "b"), queue={"a": 9000.0})).suspects
    assert {one.what for one in slow} == {"a sends", "b receives"}
    assert max(one.confidence for one in slow) <= 0.5


def test_where_most_lose_or_wait_nobody_is_blamed_but_all():
    found = blamed(probed(lossy={("", ""): 8}))
    assert not found.suspects
    assert "12 of 12 NICs lose segments at once" in found.everybody
    found = blamed(probed(queue=dict.fromkeys(NODES, 9000.0)))
    assert not found.suspects
    assert "queues stand before 12 of 12 NICs" in found.everybody
    for before, after in ((HEALTHY, Cause.CONGESTION), (HOST, Cause.HOST)):
        told_by = joined(before, [found], RANKS)
        assert (told_by.cause, told_by.suspects) == (after, before.suspects)
        assert found.everybody in told_by.evidence


def test_a_healthy_fabric_accuses_somebody_less_than_once_in_a_hundred():
    """Waits of heavy tails, now and then a segment lost."""
    rng = Random(7)
    alarms = 0
    for _ in range(300):
        healthy = probed(rng=rng)
        ways = tuple(replace(one, lost=int(rng.random() < 0.05)) for one in healthy.ways)
        alarms += bool(blamed(replace(healthy, ways=ways)).suspects)
    assert alarms <= 3


def test_nothing_answered_is_not_quiet_and_rules_nothing_out():
    found = blamed(Told((), ("n0: off",), {}))
    assert found.unseen == ("n0: off", "low-rate probe: no path answered")
    assert joined(Triage(Cause.HEALTHY, 1.0), [found], RANKS).ruled_out == ()


# --------------------------------------------------------------------------- one answer

LOSS = blamed(probed(lossy={("", "n3"): 5}))
CLEAN = blamed(probed())
ROUNDS = measured(Located(measured=8), NODES, "r1")
RANKS = {node: (number,) for number, node in enumerate(NODES)}
COUNTERS = Triage(
    Cause.NETWORK,
    2.0,
    suspects=(Suspect("n3 receives", (3,), "n3", 2.0, 0.7, ("busy",)),),
    confidence=0.7,
)
HEALTHY = Triage(
    Cause.HEALTHY, 1.0, confidence=0.7, ruled_out=(RuledOut(Cause.NETWORK, "0 of 9 lost"),)
)
HOST = Triage(
    Cause.HOST, 2.0, suspects=(Suspect("n1", (1,), "n1", 2.0, 0.9, ("quota",)),), confidence=0.9
)


def test_the_same_nic_seen_twice_is_surer_and_the_other_way_of_it_is_another():
    found = joined(COUNTERS, [LOSS], RANKS)
    (one,) = found.suspects
    assert one.confidence > 0.9
    assert one.why[0] == "busy"
    assert one.why[1].startswith("low-rate probe: 25 of 1000")
    other = replace(COUNTERS, suspects=(replace(COUNTERS.suspects[0], what="n3 sends"),))
    assert [one.what for one in joined(other, [LOSS], RANKS).suspects] == [
        "n3 receives",
        "n3 sends",
    ]


def test_a_job_that_counters_cannot_explain_is_slow_by_the_nic_that_was_caught():
    for before in (HEALTHY, Triage(Cause.UNKNOWN)):
        found = joined(before, [LOSS], RANKS)
        assert found.cause is Cause.NETWORK
        assert found.suspects[0].ranks == (3,)
        assert f"the counters alone: {before.cause}" in found.evidence[-1]
        assert Cause.NETWORK not in {one.cause for one in found.ruled_out}


def test_another_cause_stays_and_the_nic_is_told_beside_it():
    found = joined(HOST, [LOSS], RANKS)
    assert (found.cause, found.suspects) == (HOST.cause, HOST.suspects)
    assert found.ruled_out[0].why.startswith("less: n3 receives (99% sure)")
    assert any("n3 receives: low-rate probe" in line for line in found.evidence)
    full = Triage(Cause.CONGESTION, 1.5, ruled_out=(RuledOut(Cause.NETWORK, "quiet"),))
    found = joined(full, [LOSS], RANKS)
    assert (found.cause, found.suspects, found.ruled_out) == (Cause.CONGESTION, (), ())


def test_what_is_clean_rules_the_network_out_with_its_figures():
    for before in (HEALTHY, HOST):
        (network,) = joined(before, [CLEAN], RANKS).ruled_out
        assert network.cause is Cause.NETWORK
        assert "0 of 6000 segments lost" in network.why
        assert "what paths carry it does not tell" in network.why
    assert joined(HEALTHY, [CLEAN], RANKS).cause is Cause.HEALTHY


def test_only_measured_rates_make_a_suspect_less_sure():
    (one,) = joined(COUNTERS, [CLEAN], RANKS).suspects
    assert one.confidence == COUNTERS.suspects[0].confidence
    assert one.why[-1].startswith("but: low-rate probe")
    (one,) = joined(COUNTERS, [ROUNDS], RANKS).suspects
    assert one.confidence == CLEARED
    assert one.why[-1].startswith("but: full rounds")
    elsewhere = replace(ROUNDS, nodes=frozenset({"n1"}))
    assert joined(COUNTERS, [elsewhere], RANKS).suspects == COUNTERS.suspects


def test_what_could_not_be_probed_is_among_what_was_not_seen():
    found = joined(HEALTHY, [Links("full rounds", frozenset(), unseen=("n5: off",))], RANKS)
    assert found.unseen == ("n5: off",)
    assert found.ruled_out == HEALTHY.ruled_out


def test_a_part_that_rounds_name_is_a_suspect_with_its_rivals():
    part = Part("nic-tx:n03/1", 0.5, 0.4, 0.6, 0.97, (Rival("leaf:1/2", 0.02),), paths=4, rounds=2)
    leaf = Part("uplink:1/0>1", 0.5, 0.4, 0.6, 0.9, paths=4, rounds=2)
    first, second = measured(Located((part, leaf), measured=8), NODES, "r1").suspects
    assert (first.what, first.node, first.slowdown) == ("n03 sends on rail 1", "n03", 2.0)
    assert first.why[1] == "it could be leaf:1/2 2% instead"
    assert (second.what, second.node) == ("uplink:1/0>1", "")
    nothing = measured(Located(missing=4), NODES, "r1", ["n1: its accelerators are in use"])
    assert not nothing.quiet
    assert nothing.unseen == (
        "full rounds: n1: its accelerators are in use",
        "full rounds: no path gave a rate (clusterctl show r1)",
    )


SCATTER = Inconclusive("*", "rates scatter by 90% where nothing is wrong: test longer, or alone")
FLOOR = Population("all of them", 20.0, 40.0, "all of them stay under the floor")


@pytest.mark.parametrize(
    "located",
    [
        pytest.param(Located(inconclusive=(SCATTER,), measured=6), id="scatter"),
        pytest.param(Located(population=(FLOOR,), measured=6), id="all-slow"),
        pytest.param(Located(inconclusive=(Inconclusive("leaf:0/1", "?"),), measured=6), id="leaf"),
        pytest.param(Located(inconclusive=(Inconclusive("host:n3", "?"),), measured=6), id="n3"),
    ],
)
def test_rounds_clear_nobody_whom_they_leave_open(located):
    links = measured(located, NODES, "r1")
    assert joined(HEALTHY, [links], RANKS).ruled_out == HEALTHY.ruled_out
    found = joined(COUNTERS, [links], RANKS)
    assert found.suspects == COUNTERS.suspects
    assert any("6 paths measured" in line for line in found.evidence)


def test_rounds_with_one_node_in_doubt_clear_the_others():
    links = measured(
        Located(inconclusive=(Inconclusive("nic-tx:n5/1", "?"),), measured=6), NODES, "r1"
    )
    assert links.nodes == frozenset(NODES) - {"n5"}
    assert joined(COUNTERS, [links], RANKS).suspects[0].confidence == CLEARED


def test_two_nodes_have_no_peers_and_one_without_a_rate_is_not_cleared():
    assert not measured(Located(measured=2), NODES[:2], "r1").quiet
    some = measured(Located(measured=6), NODES[:3], "r1")  # of which n3 is none
    assert joined(COUNTERS, [some], RANKS).suspects == COUNTERS.suspects


# --------------------------------------------------------------------------- who runs what


def looked(*states: str, troubles: Sequence[str] = ()) -> Job:
    """A rank a node, each always in one state; an empty state: no rank is there."""
    seen = []
    for number, text in enumerate(texts([Rank(n) for n in range(len(states))]).values()):
        one = read(f"n{number}", text)
        node = f"n{number}"
        ranks = tuple(
            replace(r, looks=tuple(replace(x, state=states[number]) for x in r.looks))
            for r in one.ranks
            if states[number]
        )
        blind = (Trouble(Kind.DENIED, "not root"),) if node in troubles else ()
        seen.append(replace(one, ranks=ranks, troubles=blind))
    return gathered(seen, {})


def test_only_a_node_whose_ranks_all_stand_still_is_paused():
    nodes = [Node(f"n{number}") for number in range(5)]
    stand = standing(looked("stopped", "run", "", "stopped"), nodes, "77")
    assert set(stand.paused) == {"n0", "n3"}
    assert stand.paused["n0"] == Paused(frozenset({7}), "77")
    assert [node.name for node in stand.resting] == ["n0", "n2", "n3"]
    assert [node.name for node in stand.running] == ["n1"]  # n4 did not answer: nobody asks again


def test_ranks_that_slurm_started_say_which_job_may_have_their_node():
    job = looked("stopped", "stopped")
    seen = {
        name: replace(one, ranks=tuple(replace(r, job="812") for r in one.ranks))
        for name, one in job.nodes.items()
    }
    stand = standing(replace(job, nodes=seen), [Node("n0")])
    assert stand.paused["n0"].slurm == "812"
    assert standing(job, [Node("n0")]).paused["n0"].slurm == ""  # known by its store's address


def test_a_node_whose_processes_may_not_be_looked_at_is_taken_to_be_at_work():
    stand = standing(looked("", "", troubles=["n1"]), [Node("n0"), Node("n1")], "")
    assert stand.free == {"n0"}


def test_the_network_that_the_job_itself_uses_is_probed_unless_labels_name_one():
    job = looked("run", "run", "run")
    labelled = Node("n1", labels={"rail_addresses": "10.9.0.1"})
    first, second, _ = on_data_network(job, [Node("n0"), labelled, Node("n7")])
    assert first.labels["data_address"].startswith("10.0.0.")
    assert second == labelled


def test_a_paused_job_is_nobody_whom_rounds_disturb_and_any_other_is():
    def busy(*jobs: str, pid: int = 7) -> list[Observation]:
        facts = (
            Accelerator("gpu0"),
            DeviceProcess("gpu0", pid, "python"),
            Scheduler("slurm", served=True, jobs=jobs),
        )
        return [Observation("n0", "nvml", NOON, facts)]

    def refused(seen: list[Observation], slurm: str = "") -> str:
        paused = {"n0": Paused(frozenset({7}), slurm)}
        verdicts = admit([Node("n0")], seen, force=False, paused=paused)[1]
        return "; ".join(one.why for one in verdicts.values() if one.status is Status.UNKNOWN)

    assert refused(busy()) == ""
    assert "in use by python (8)" in refused(busy(pid=8))
    assert refused(busy("job 77 of li (train, suspended)"), "77") == ""
    assert "job 78 of li" in refused(busy("job 77 of li (x, suspended)", "job 78 of li (y)"), "77")
    assert "job 770" in refused(busy("job 770"), "77")
    assert "job 77" in refused(busy("job 77"))


# --------------------------------------------------------------------------- who probes whom


@pytest.mark.parametrize("count", [2, 3, 5, 6, 40])
def test_every_nic_has_partners_and_no_path_is_asked_for_twice(count: int) -> None:
    rails = rails_of(
        [Node(f"n{n}", labels={"rail_addresses": f"10.1.0.{n} 10.2.0.{n}"}) for n in range(count)]
    )
    paths = partners(rails, 3)
    assert len({(frozenset(path[:2]), path[2]) for path in paths}) == len(paths)
    for rail in (0, 1):
        for node in range(count):
            have = sum(node in path[:2] and path[2] == rail for path in paths)
            assert min(count - 1, PARTNERS) - 1 <= have <= 2 * PARTNERS


def test_a_question_caps_what_a_node_sends_whatever_its_link_carries():
    rails = rails_of([Node(f"n{n}", address=f"10.1.0.{n}") for n in range(3)])
    asked = questions(rails, partners(rails, 3), 3, {})
    order = json.loads(asked["n0"].command[0])
    assert (order["cap_bit_s"], order["share"], order["bytes"]) == (CAP_BIT_S, SHARE, BYTES)
    assert (CAP_BIT_S, SHARE) == (1e6, 0.01)
    roles = [path["role"] for one in asked.values() for path in json.loads(one.command[0])["paths"]]
    assert sorted(roles) == ["call"] * 3 + ["listen"] * 3


class Says:
    """A transport to nodes that all say one thing."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, _node_s: float) -> Says:
        return self

    def knock(self, nodes: Sequence[Node]) -> Iterator[tuple[Node, None]]:
        return ((node, None) for node in nodes)

    @contextmanager
    def open(self, _node: Node) -> Iterator[Says]:
        yield self

    def ask(self, asked: Sequence[Question]) -> Iterator[Answer]:
        return iter([Answer(one.name, 0, self.text, "", 0.1) for one in asked])


@pytest.mark.parametrize("text", ["", "[]", '{"moving": 0', "[" * 200_000, '{"else": []}'])
def test_a_node_that_does_not_say_whether_its_job_stands_is_left_alone(text: str) -> None:
    paused = {"n1": Paused(frozenset({7}))}
    assert "nobody knows" in moved([Node("n1")], paused, Says(text))["n1"]  # type: ignore[arg-type]
    assert moved([Node("n1")], paused, Says('{"moving": []}')) == {}  # type: ignore[arg-type]


# --------------------------------------------------------------------------- the verb


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--force"], "--force: say why"),
        (["--why", "x"], "--force: say why"),
        (["--force", "--why", "x"], "nothing of triage but --probe-links loads a node"),
        (["--probe-links"], "--probe-links: say where the job runs"),
        (["--probe-links", "--trace", "x.parquet"], "--probe-links: say where the job runs"),
    ],
)
def test_loading_a_running_job_takes_force_and_a_reason(words: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["triage", *words])
    assert said in str(done.exception or done.output)

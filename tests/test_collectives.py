"""Collective operations carried out among ranks on this machine, and by ranks that misbehave."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from burning import Burning, asked, fact_of, stage, statuses
from kin import alive, ended, generation, gone, wait_for

from clusterctl.model import Collective, Kind, Node, Observation, Stage, UserError
from clusterctl.playbook import build
from clusterctl.run import planned
from clusterctl.trials.collective_rows import OPERATIONS
from clusterctl.trials.nccl_tests import factor

OLD = sorted(Path.home().glob(".pyenv/versions/3.6.*/bin/python3.6"))
NEW = sys.executable
RANKS = 3  # generations of the family: runner, script, ranks
SCRIPT = 2
MBIT = 200
ROOT = pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("tc"), reason="needs root and tc for links of a known rate"
)
TORCH = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="no PyTorch in this Python: gloo is not tried"
)


@pytest.fixture
def family(monkeypatch) -> Iterator[str]:
    mark = uuid.uuid4().hex
    monkeypatch.setenv("FAMILY", mark)
    yield mark
    assert gone(mark, 5)


def few(count: int, address: str = "127.0.0.1") -> tuple[Node, ...]:
    return tuple(Node(f"n{number}", address) for number in range(count))


def ring(operation: str = "all_reduce", **params: object) -> Stage:
    knobs = {"engine": "built-in", "sizes": ["192K"], "seconds": 0.1, **params}
    return stage(operation, **knobs)


def begun(what: Stage, nodes: tuple[Node, ...], pythons: tuple[str, ...] = ()) -> list[Burning]:
    each = pythons or (NEW,) * len(nodes)
    return [
        Burning(asked(what, nodes, index), each[index], node) for index, node in enumerate(nodes)
    ]


def carried_out(what: Stage, nodes: tuple[Node, ...], *pythons: str) -> list[Observation]:
    return [one.join() for one in begun(what, nodes, pythons)]


# ----------------------------------------------------------------------------- clean


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_brings_the_right_result(operation, family):
    first, *others = carried_out(ring(operation, sizes=["64K", "1M"]), few(3))
    assert [one.facts + one.troubles for one in others] == [(), ()]
    assert not first.troubles
    assert [fact.size_bytes for fact in first.facts] == [65520, 1048560]  # of 3 ranks, 8 bytes each
    for fact in first.facts:
        assert (fact.part, fact.operation, fact.ranks) == ("n[0-2]", operation, 3)
        assert fact.engine == "built-in TCP ring"
        assert fact.wrong == 0
        assert fact.busbw_gbyte_s == pytest.approx(fact.algbw_gbyte_s * factor(operation, 3))
        assert len(fact.samples_gbyte_s) >= 3
    assert statuses(first, *others) <= {"pass", "skip"}


def test_two_ranks_and_ranks_of_one_node_take_part(family):
    seen = carried_out(ring("all_to_all", ranks=2), few(2))
    assert seen[0].facts[0].ranks == 4
    alone = carried_out(ring("all_reduce", per="node", ranks=2), few(1))
    assert (alone[0].facts[0].ranks, alone[0].facts[0].part) == (2, "n0")


@pytest.mark.skipif(not OLD, reason="no Python 3.6 here")
def test_old_and_new_understand_each_other(family):
    old = str(OLD[0])
    assert fact_of(carried_out(ring("broadcast"), few(2), old, NEW)[0]).wrong == 0
    assert fact_of(carried_out(ring("reduce_scatter"), few(2), NEW, old)[0]).wrong == 0


def test_rails_are_ranks_of_their_own_and_may_be_tried_alone(family):
    nodes = tuple(
        Node(f"n{n}", "127.0.0.1", labels={"rail_addresses": f"127.0.1.{n + 1} 127.0.2.{n + 1}"})
        for n in range(2)
    )
    both = fact_of(carried_out(ring(), nodes)[0])
    assert (both.ranks, both.part) == (4, "n[0-1]")
    second = fact_of(carried_out(ring(rail=1), nodes)[0])
    assert (second.ranks, second.part) == (2, "n[0-1]/1")


# ----------------------------------------------------------------------------- a known rate


@pytest.fixture
def star(tmp_path) -> Iterator[list[str]]:
    """Interpreters in four name spaces on one bridge, each of which sends 200 Mbit/s."""
    mark = uuid.uuid4().hex[:6]
    names = [f"cctl-{mark}-{number}" for number in range(5)]

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    for name in names:
        ip("netns", "add", name)
    try:
        hub = names[4]
        ip("-n", hub, "link", "add", "hub", "type", "bridge")
        ip("-n", hub, "link", "set", "hub", "up")
        for number, name in enumerate(names[:4]):
            port = f"p{number}"
            # gloo takes no interface whose name has one letter.
            ip("link", "add", "eth0", "netns", name, "type", "veth", "peer", port, "netns", hub)
            ip("-n", hub, "link", "set", port, "master", "hub", "up")
            ip("-n", name, "addr", "add", f"10.9.8.{number + 1}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
            shape = f"tc qdisc add dev eth0 root tbf rate {MBIT}mbit burst 64kb latency 200ms"
            ip("netns", "exec", name, *shape.split())
        yield [interpreter(tmp_path / name, name) for name in names[:4]]
    finally:
        for name in names:
            ip("netns", "del", name)


def interpreter(path: Path, name: str) -> str:
    path.write_text(f'#!/bin/sh\nexec ip netns exec {name} {NEW} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


FOUR = tuple(Node(f"n{n}", f"10.9.8.{n + 1}") for n in range(4))
# 1448 of 1514 bytes of a full frame are ours; this machine may be busy, and never is too fast.
WIRE = MBIT / 8e3 * 1448 / 1514


@ROOT
@pytest.mark.parametrize("operation", ["all_reduce", "all_to_all", "broadcast"])
def test_busbw_is_what_one_link_carries(operation, star, family):
    """By hand: every NIC sends busbw bytes a second, whatever the operation."""
    seen = carried_out(ring(operation, sizes=["4M"]), FOUR, *star)
    fact = fact_of(seen[0])
    assert (fact.ranks, fact.wrong) == (4, 0)
    assert fact.busbw_gbyte_s < 1.05 * WIRE
    assert 0.8 * WIRE < max(fact.samples_gbyte_s) < 1.1 * WIRE


@ROOT
@TORCH
def test_gloo_agrees_with_hand_arithmetic(star, family):
    knobs = {"engine": "pytorch", "device": "cpu", "python": NEW, "sizes": ["4M"]}
    seen = carried_out(ring(**knobs), FOUR, *star)
    fact = fact_of(seen[0])
    assert fact.engine.startswith("PyTorch ")
    assert fact.engine.endswith("cpu, gloo")
    assert (fact.ranks, fact.wrong) == (4, 0)
    # Two sums of three quarters of 4 MiB leave each node: time is that over the link's rate.
    spent_s = 2 * 3 / 4 * fact.size_bytes / (WIRE * 1e9)
    assert fact.time_us / 1e6 > 0.95 * spent_s
    assert 0.75 * WIRE < max(fact.samples_gbyte_s) < 1.1 * WIRE


# ----------------------------------------------------------------------------- what goes wrong


def test_a_killed_rank_ends_all_others_with_its_name(family):
    """It is heard of: who waited for its bytes would tell that none came."""
    running = begun(ring(seconds=600.0, rounds=1000000), few(3))
    assert wait_for(lambda: len(generation(family, RANKS)) == 3)
    time.sleep(0.5)
    os.kill(generation(family, RANKS)[1], signal.SIGKILL)
    seen = [one.join() for one in running]
    said = {trouble.detail for one in seen for trouble in one.troubles}
    assert len(said) == 1
    assert "killed by signal 9" in said.pop()
    for one in seen:
        assert not one.facts
        assert [trouble.kind for trouble in one.troubles] == [Kind.EXIT]
    assert statuses(*seen) == {"unknown"}


@pytest.mark.parametrize("index", [0, 1])
def test_a_lost_node_ends_all_others_with_its_name(index, family):
    what, nodes = ring(seconds=30.0, rounds=1000000), few(3)
    running, scripts = [], []
    for at, node in enumerate(nodes):
        running.append(Burning(asked(what, nodes, at), NEW, node))
        assert wait_for(lambda at=at: len(generation(family, SCRIPT)) == at + 1)
        scripts += set(generation(family, SCRIPT)) - set(scripts)
    assert wait_for(lambda: len(generation(family, RANKS)) == 3)
    time.sleep(0.5)
    before = alive(family)
    os.kill(scripts[index], signal.SIGKILL)
    seen = [one.join() for one in running]
    assert not any(one.facts for one in seen)
    others = [one.troubles[0].detail for at, one in enumerate(seen) if at != index]
    assert others == [f"node n{index} was lost: its conversation ended"] * 2
    assert ended(before, 5)


def test_a_node_that_never_comes_is_named(family):
    probe = asked(ring(), few(3), 0)
    (order,) = probe.question.command
    words = (order.replace('"meeting_s": 30.0', '"meeting_s": 1.0'),)
    impatient = replace(probe, question=replace(probe.question, command=words))
    seen = Burning(impatient, NEW, few(1)[0]).join()
    assert "absent: n1, n2" in seen.troubles[0].detail


def test_data_that_changes_on_the_way_is_counted(family, monkeypatch):
    from clusterctl.transport import wire

    spoilt = wire.module_source("ring_tcp").replace(
        "                        got += count\n",
        "                        got += count\n"
        "                        into[got - 1] ^= got > 65536\n",
    )
    monkeypatch.setattr(wire, "module_source", swapped(wire.module_source, spoilt))
    wire.packed.cache_clear()
    try:
        seen = carried_out(ring("send_recv", sizes=["1M"]), few(2))
    finally:
        monkeypatch.undo()
        wire.packed.cache_clear()
    fact = fact_of(seen[0])
    assert fact.wrong > 0
    assert "fail" in statuses(*seen)


def swapped(real, text):
    return lambda name: text if name == "ring_tcp" else real(name)


def test_an_engine_that_is_absent_is_missing(family):
    seen = carried_out(ring(engine="nccl-tests"), few(1))
    assert seen[0].troubles[0].kind is Kind.MISSING
    assert statuses(*seen) == {"unknown"}


# ----------------------------------------------------------------------------- a playbook's words


def racked(count: int) -> tuple[Node, ...]:
    return tuple(Node(f"n{n}", labels={"rack": f"r{n // 4}"}) for n in range(count))


@pytest.mark.parametrize(
    ("per", "sizes"),
    [("all", [9]), ("node", [1] * 9), ("pair", [2] * 4), ("rack", [4, 4]), ("nothing", [9])],
)
def test_per_divides_the_nodes(per, sizes):
    (groups,) = planned(ring(per=per), racked(9), random.Random(1))
    assert [len(group) for group in groups] == sizes
    names = [node.name for group in groups for node in group]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("knobs", "why"),
    [
        ({"sizes": ["8 MB"]}, "sizes"),
        ({"sizes": []}, "sizes"),
        ({"engine": "mpi"}, "engine"),
        ({"launcher": "srun", "engine": "pytorch"}, "launcher"),
        ({"ring": "yes"}, "ring"),
        ({"rounds": 1}, "rounds"),
    ],
)
def test_a_knob_that_cannot_be_is_refused_before_anything_runs(knobs, why):
    with pytest.raises(UserError, match=f"all_reduce: .*{why}"):
        build("book.yml", {"name": "book", "stages": [{"all_reduce": knobs}]})


def test_a_playbook_may_name_sizes_and_engine():
    book = build(
        "book.yml",
        {"name": "book", "stages": [{"all_reduce": {"sizes": ["8M", "64M"], "engine": "auto"}}]},
    )
    assert book.stages[0].params["sizes"] == ["8M", "64M"]
    assert {check.name for check in book.checks} >= {"collectives"}
    assert book.stages[0].trial.yields == (Collective,)


# ----------------------------------------------------------------------------- makers' tests

SAID = (
    "# nThread 1 nGpus 1 minBytes 8388608 maxBytes 8388608 step: 2(factor) iters: 20\n"
    "n0:7:9 [0] NCCL INFO Connected NVLS tree\n"
    "n0:7:9 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[1] via P2P\n"
    "#  size  count  type  redop  root  time  algbw  busbw #wrong  time  algbw  busbw #wrong\n"
    "#  (B)  (elements)  (us)  (GB/s)  (GB/s)  (us)  (GB/s)  (GB/s)\n"
    " 8388608  2097152  float  sum  -1  100.0  83.89  146.80  0  100.0  83.89  146.80  0\n"
    "# Out of bounds values : 0 OK\n# Avg bus bandwidth    : 146.8\n"
)


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Stand-ins of programs; each notes the words it was called with."""
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    monkeypatch.setenv("PATH", f"{stubs}:{os.environ['PATH']}")

    def make(name: str, says: str = SAID, code: int = 0) -> Path:
        noted = tmp_path / f"{name}.words"
        script = f"#!/bin/sh\necho \"$NCCL_ALGO|$*\" >{noted}\ncat <<'.'\n{says}.\nexit {code}\n"
        (stubs / name).write_text(script)
        (stubs / name).chmod(0o755)
        return noted

    return make


def test_one_node_with_nccl_tests_is_tried_by_them(tool, family):
    noted = tool("all_reduce_perf")
    what = ring(engine="auto", per="node", ranks=8, ring="forced", sizes=["8M", "1G"])
    first, second = carried_out(what, few(1))[0].facts
    assert (first.engine, first.ranks, first.busbw_gbyte_s) == ("nccl-tests", 8, 146.80)
    assert (first.offload, first.algorithm) == ("NVLS", "forced")
    assert (first.in_place, second.in_place) == (False, True)
    ring_word, _, words = noted.read_text().strip().partition("|")
    assert ring_word == "Ring"
    assert "-b 8388608 -e 1073741824 -f 2" in words
    assert "-g 8" in words


@pytest.mark.parametrize("launcher", ["mpirun", "srun"])
def test_a_launcher_starts_them_on_all_nodes_from_the_first(launcher, tool, family):
    noted = tool(launcher)
    tool("all_reduce_perf")
    seen = carried_out(ring(engine="nccl-tests", launcher=launcher, ranks=4), few(2))
    assert [one.troubles for one in seen] == [(), ()]
    assert (seen[0].facts[0].ranks, seen[1].facts) == (8, ())
    words = noted.read_text()
    assert {"mpirun": "-np 8 -host 127.0.0.1:4,127.0.0.1:4", "srun": "-N 2 -w n0,n1"}[
        launcher
    ] in words
    assert "-g 1" in words


def test_a_makers_test_that_fails_is_a_trouble_and_no_rate(tool, family):
    tool("all_reduce_perf", "n0: Test NCCL failure common.cu:1127 'unhandled cuda error'\n", 3)
    seen = carried_out(ring(engine="nccl-tests", per="node", ranks=8), few(1))
    assert not seen[0].facts
    assert "Test NCCL failure" in seen[0].troubles[0].detail
    assert statuses(*seen) == {"unknown"}


def test_many_nodes_without_a_launcher_are_refused_by_name(tool, family):
    tool("all_reduce_perf")
    seen = carried_out(ring(engine="nccl-tests"), few(2))
    assert "launcher" in seen[0].troubles[0].detail

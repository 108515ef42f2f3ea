"""Two partners of the TCP trial on loopback and over a shaped link, and partners that misbehave."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest
from burning import SEED, Burning, asked, fact_of, stage, statuses
from kin import alive, ended, generation, gone, wait_for

from clusterctl.model import Kind, Node, Observation, Stage
from clusterctl.remote.tcp_streams import BACKWARD, FORWARD, shares
from clusterctl.run import questions

OLD = sorted(Path.home().glob(".pyenv/versions/3.6.*/bin/python3.6"))
NEW = sys.executable
PAIR = (Node("a", "127.0.0.1"), Node("b", "127.0.0.1"))
TRAILER = struct.Struct("<QI")  # as in remote/tcp_streams.py
IMPATIENT = {"30.0": "1.5"}  # to meet
EASILY_BORED = {"20.0": "1.0"}  # without a byte
NEVER_BORED = {"20.0": "600.0"}
RUNNER, SCRIPT, STREAMS = 1, 2, 3  # generations of the family
ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root may make network name spaces")


@pytest.fixture
def family(monkeypatch) -> Iterator[str]:
    mark = uuid.uuid4().hex
    monkeypatch.setenv("FAMILY", mark)
    yield mark
    assert gone(mark, 5)


def pair(streams: int = 2, seconds: float = 0.5) -> Stage:
    return stage("pair_bandwidth", streams=streams, seconds=seconds, engine="built-in")


def both(
    what: Stage, group: tuple[Node, Node] = PAIR, pythons: tuple[str, str] = (NEW, NEW), **how
) -> tuple[Observation, Observation]:
    """What the listener saw, and what the caller did."""
    burning = [
        Burning(asked(what, group, index, **how), python, group[index])
        for index, python in enumerate(pythons)
    ]
    listener, caller = (one.join() for one in burning)
    return listener, caller


def ports(what: Stage) -> list[int]:
    _, (probe,) = questions(what, PAIR, SEED)[0]
    return [int(port) for port in probe.question.command[2].split(",")]


def processes(streams: int) -> list[list[int]]:
    """Of one side on this machine: the streams of each."""
    return shares([[FORWARD, BACKWARD]] * streams, len(os.sched_getaffinity(0)))


def secret(what: Stage) -> bytes:
    _, (probe,) = questions(what, PAIR, SEED)[0]
    return probe.question.command[3].encode()


# ----------------------------------------------------------------------------- clean


@pytest.mark.parametrize("streams", [1, 3, 8])
def test_each_side_reports_what_it_received(streams, family):
    listener, caller = both(pair(streams))
    to_a, to_b = fact_of(listener), fact_of(caller)
    assert (to_a.part, to_b.part) == ("b>a", "a>b")
    for fact in (to_a, to_b):
        assert fact.engine == f"built-in TCP, {streams} streams"
        assert fact.gbit_s > 0.1
        assert fact.seconds == pytest.approx(0.4)
        assert len(fact.samples_gbit_s) == 20
        assert sum(fact.samples_gbit_s) / 20 == pytest.approx(fact.gbit_s, rel=0.01)
        assert fact.retransmits >= 0
    assert statuses(listener, caller) <= {"pass", "skip"}


@pytest.mark.skipif(not OLD, reason="no Python 3.6 here")
@pytest.mark.parametrize("pythons", [(str(OLD[0]), NEW), (NEW, str(OLD[0]))] if OLD else [])
def test_old_and_new_understand_each_other(pythons, family):
    assert [fact_of(one).part for one in both(pair(), pythons=pythons)] == ["b>a", "a>b"]


def test_partners_meet_by_ipv6_and_by_name(family):
    for address in ("::1", "localhost"):
        group = (Node("a", "192.0.2.1", labels={"data_address": address}), Node("b", "192.0.2.2"))
        assert [fact_of(one).part for one in both(pair(1), group)] == ["b>a", "a>b"]


# ----------------------------------------------------------------------------- what they agree on


@pytest.mark.skipif(not shutil.which("iperf3"), reason="needs iperf3")
def test_iperf3_carries_both_directions_and_each_side_reports_what_came(family):
    listener, caller = both(stage("pair_bandwidth", engine="iperf3", seconds=2.0, streams=2))
    to_a, to_b = fact_of(listener), fact_of(caller)
    assert (to_a.part, to_b.part) == ("b>a", "a>b")
    for fact in (to_a, to_b):
        assert re.fullmatch(r"iperf 3\.[\d.]+\S*, 2 streams", fact.engine)
        assert fact.gbit_s > 0.1
        assert len(fact.samples_gbit_s) >= 5


def test_both_ways_at_once_is_said_so(family):
    what = stage("pair_bandwidth", engine="built-in", seconds=0.5, directions="both")
    for fact in map(fact_of, both(what)):
        assert fact.both_ways
        assert fact.engine == "built-in TCP, 4 streams"
        assert fact.gbit_s > 0.1


def test_auto_takes_what_both_have_and_names_it(family):
    listener, caller = both(stage("pair_bandwidth", seconds=1.0, streams=2))
    assert fact_of(listener).engine == fact_of(caller).engine != ""


def test_an_engine_that_is_absent_is_missing_with_the_reason(family):
    for seen in both(stage("pair_bandwidth", engine="perftest")):
        assert not seen.facts
        assert {one.kind for one in seen.troubles} == {Kind.MISSING}
        assert "no active RDMA port" in seen.troubles[0].detail
    assert statuses(seen) == {"unknown"}


PERFTEST = """#!{python}
import socket, sys
words = sys.argv[1:]
if "--help" in words:
    sys.exit()
port = int(words[words.index("-p") + 1])
assert "mlx5_7" in words and "--use_cuda" not in " ".join(words)
if words[-1] != "127.0.0.1":
    with socket.create_server(("", port)) as server:
        server.accept()[0].recv(1)
    sys.exit()
socket.create_connection(("127.0.0.1", port), 5).close()
print({says!r})
sys.exit({code})
"""
RATES = (
    " #bytes  #iterations  BW peak[Gb/sec]  BW average[Gb/sec]  MsgRate[Mpps]\n"
    " 8388608  11000  391.20  388.50  0.005789\n"
)
TIMES = (
    " #bytes #iterations t_min[usec] t_max[usec] t_typical[usec] t_avg[usec] t_stdev[usec] "
    "99% percentile[usec] 99.9% percentile[usec]\n"
    " 64  10000  1.51  9.80  1.60  1.62  0.05  1.90  4.40\n"
)


@pytest.fixture
def rdma(tmp_path, monkeypatch):
    """One active RDMA port on the interface `lo`, and stand-ins of perftest's programs."""
    port = tmp_path / "class" / "infiniband" / "mlx5_7" / "ports" / "1"
    port.mkdir(parents=True)
    (port / "state").write_text("4: ACTIVE\n")
    (port.parents[1] / "device" / "net" / "lo").mkdir(parents=True)
    stubs = tmp_path / "bin"
    stubs.mkdir()
    monkeypatch.setenv("PATH", f"{stubs}:{os.environ['PATH']}")

    def make(name: str, says: str, code: int = 0) -> dict[str, str]:
        (stubs / name).write_text(PERFTEST.format(python=NEW, says=says, code=code))
        (stubs / name).chmod(0o755)
        return {"/sys/class": str(tmp_path / "class")}

    return make


def test_perftests_sender_reports_and_auto_prefers_it(rdma, family):
    swap = rdma("ib_write_bw", RATES)
    listener, caller = both(stage("pair_bandwidth", seconds=4.0), swap=swap)
    assert (fact_of(listener).part, fact_of(caller).part) == ("a>b", "b>a")
    for fact in (fact_of(listener), fact_of(caller)):
        assert fact.engine == "perftest ib_write_bw, 4 QPs"
        assert fact.samples_gbit_s == (388.5, 388.5)
        assert fact.size_bytes == 8 << 20


def test_perftests_latency_is_read_with_its_percentile(rdma, family):
    swap = rdma("ib_read_lat", TIMES)
    listener, caller = both(stage("pair_latency"), swap=swap)
    assert listener.facts + listener.troubles == ()
    fact = fact_of(caller)
    assert (fact.engine, fact.median_us, fact.p99_us) == ("perftest ib_read_lat", 1.60, 1.90)
    assert (fact.min_us, fact.max_us, fact.mean_us, fact.count) == (1.51, 9.80, 1.62, 10000)


def test_a_perftest_that_fails_is_a_trouble_of_that_direction_and_no_rate(rdma, family):
    swap = rdma("ib_write_bw", "Completion with error at client\n Failed status 12: wr_id 7", 1)
    for seen, part in zip(
        both(stage("pair_bandwidth", seconds=2.0), swap=swap), ("a>b", "b>a"), strict=True
    ):
        assert not seen.facts
        assert [(one.kind, one.part) for one in seen.troubles] == [(Kind.EXIT, part)]


def test_latency_is_half_a_round_trip(family):
    listener, caller = both(stage("pair_latency", seconds=0.5))
    assert listener.facts + listener.troubles == ()
    fact = fact_of(caller)
    assert (fact.part, fact.engine, fact.size_bytes) == ("b>a", "built-in TCP", 64)
    assert 0 < fact.min_us <= fact.median_us <= fact.p99_us <= fact.max_us
    assert fact.min_us <= fact.mean_us <= fact.max_us
    assert fact.count >= 10


# ----------------------------------------------------------------------------- over a real link


@pytest.fixture
def link(tmp_path):
    """Interpreters in two name spaces with a cable between; a's end sends 40 Mbit/s, b's 200."""
    names = [f"cctl-{uuid.uuid4().hex[:8]}" for _ in PAIR]

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    for name in names:
        ip("netns", "add", name)
    try:
        ip("link", "add", "v", "netns", names[0], "type", "veth", "peer", "v", "netns", names[1])
        for number, (name, rate) in enumerate(zip(names, ("40mbit", "200mbit"), strict=True), 1):
            ip("-n", name, "link", "set", "v", "up")
            ip("-n", name, "addr", "add", f"10.9.9.{number}/24", "dev", "v")
            ip("-n", name, "addr", "add", f"fd09::{number}/64", "dev", "v", "nodad")
            shape = f"tc qdisc add dev v root tbf rate {rate} burst 64kb latency 50ms"
            ip("netns", "exec", name, *shape.split())
        yield [interpreter(tmp_path / name, name) for name in names]
    finally:
        for name in names:
            ip("netns", "del", name)


def interpreter(path: Path, name: str) -> str:
    path.write_text(f'#!/bin/sh\nexec ip netns exec {name} {NEW} "$@"\n')
    path.chmod(0o755)
    return str(path)


@ROOT
@pytest.mark.skipif(not shutil.which("tc"), reason="needs tc")
@pytest.mark.parametrize("address", ["10.9.9.1", "fd09::1"])
def test_the_direction_is_named_by_who_sent_and_who_received(address, link, family):
    group = (Node("a", address), Node("b", "192.0.2.1"))
    listener, caller = both(pair(3, seconds=1.0), group, tuple(link))
    found = {fact.part: fact.gbit_s for fact in (fact_of(listener), fact_of(caller))}
    # No faster than each end may send; slower where this machine has other things to do.
    assert 0.015 < found["a>b"] < 0.045
    assert 0.075 < found["b>a"] < 0.225


# ----------------------------------------------------------------------------- a partner of our own


@contextmanager
def calling(what: Stage, number: int = 0) -> Iterator[socket.socket]:
    """One stream to a listener, greeted."""
    word = secret(what)
    peer = connected(ports(what)[0])
    peer.sendall(word + struct.pack("<I", number))
    assert peer.recv(len(word), socket.MSG_WAITALL) == word[::-1]
    with peer:
        yield peer


def connected(port: int) -> socket.socket:
    end = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=10)
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.02)


def listening(what: Stage, **swap: str) -> Burning:
    return Burning(asked(what, PAIR, 0, swap=swap), NEW, PAIR[0])


def test_warm_up_is_not_counted(family):
    """A flood in the first fifth, then a trickle."""
    what = pair(1, seconds=1.0)
    burning = listening(what)
    with calling(what) as peer:
        began, sent = time.monotonic(), 0
        while time.monotonic() < began + 0.15:
            peer.sendall(bytes(1 << 18))
            sent += 1 << 18
        while time.monotonic() < began + 1.0:
            time.sleep(0.05)
            peer.sendall(bytes(1000))
            sent += 1000
        peer.sendall(TRAILER.pack(sent, 5))
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(1 << 20):
            pass
    fact = fact_of(burning.join())
    assert fact.gbit_s < 0.001
    assert fact.retransmits == 5


def test_nobody_sends_back_while_another_stream_still_arrives(family):
    what = pair(2, seconds=0.5)
    burning = Burning(asked(what, PAIR, 0), NEW, PAIR[0])
    with calling(what, 0) as early, calling(what, 1) as late:
        for peer in (early, late):
            peer.sendall(bytes(1 << 16))
        early.sendall(TRAILER.pack(1 << 16, 0))
        early.shutdown(socket.SHUT_WR)
        early.settimeout(0.5)
        with pytest.raises(TimeoutError):
            early.recv(1)
        late.sendall(TRAILER.pack(1 << 16, 0))
        late.shutdown(socket.SHUT_WR)
        for peer in (early, late):
            peer.settimeout(10)
            while peer.recv(1 << 20):
                pass
    assert fact_of(burning.join()).gbit_s >= 0


@pytest.mark.parametrize("way", ["hangs up", "says too little", "is silent", "takes nothing"])
def test_a_partner_lost_on_the_way_is_no_measurement(way, family):
    what = pair(1, seconds=1.0)
    burning = listening(what, **EASILY_BORED)
    with calling(what) as peer:
        if way != "is silent":
            peer.sendall(bytes(1 << 20))
        if way == "says too little":
            peer.sendall(TRAILER.pack((1 << 20) + 1, 0))
        if way == "takes nothing":
            peer.sendall(TRAILER.pack(1 << 20, 0))
        if way in {"hangs up", "says too little"}:
            peer.shutdown(socket.SHUT_WR)
            peer.settimeout(10)
            assert peer.recv(1) == b""
        seen = burning.join()
    assert not seen.facts
    assert seen.troubles[0].detail == "1 of 1 streams broke off"
    assert statuses(seen) == {"unknown"}


def test_a_stream_that_stands_still_holds_up_no_other_and_is_counted(family):
    what = pair(2, seconds=0.5)
    burning = listening(what, **EASILY_BORED)
    much = 64 << 20  # more than buffers hold
    with calling(what, 0) as still, calling(what, 1) as moving:
        still.sendall(bytes(1 << 16))
        moving.sendall(bytes(much) + TRAILER.pack(much, 0))
        moving.shutdown(socket.SHUT_WR)
        moving.settimeout(20)
        while moving.recv(1 << 20):
            pass
        seen = burning.join()
    assert not seen.facts
    assert seen.troubles[0].detail == "1 of 2 streams broke off"


@pytest.mark.parametrize(
    ("streams", "both_ways", "cpus", "count"),
    [
        pytest.param(4, False, 1, 1, id="one-cpu"),
        pytest.param(4, False, 2, 1, id="two-cpus-of-both-ends"),
        pytest.param(4, True, 2, 2, id="each-way-its-own"),
        pytest.param(8, False, 96, 8, id="400-gbit-s-host"),
        pytest.param(8, True, 96, 16, id="400-gbit-s-host-both-ways"),
        pytest.param(16, True, 16, 8, id="more-streams-than-processors"),
    ],
)
def test_streams_get_processes_as_far_as_there_are_processors(streams, both_ways, cpus, count):
    turns = [[FORWARD, BACKWARD]] * streams
    if both_ways:
        turns = [[FORWARD]] * streams + [[BACKWARD]] * streams
    parts = shares(turns, cpus)
    assert len(parts) == count
    assert sorted(number for part in parts for number in part) == list(range(len(turns)))
    assert all(turns[number] == turns[part[0]] for part in parts for number in part)


@pytest.mark.parametrize("side", [0, 1])
def test_a_stream_killed_on_one_side_is_no_measurement_on_either(side, family):
    """Its end is heard of: who waited for its bytes would do so until the trial is stopped."""
    burning = [Burning(asked(pair(2, 5.0), PAIR, 0, swap=NEVER_BORED), NEW, PAIR[0])]
    assert wait_for(lambda: generation(family, SCRIPT))
    (listener,) = generation(family, SCRIPT)
    burning.append(Burning(asked(pair(2, 5.0), PAIR, 1, swap=NEVER_BORED), NEW, PAIR[1]))
    parts = processes(2)
    assert wait_for(lambda: len(generation(family, STREAMS)) == 2 * len(parts))
    time.sleep(0.2)
    sides = [[], []]
    for pid in generation(family, STREAMS):
        sides[alive(family)[pid] != listener].append(pid)
    os.kill(sides[side][0], signal.SIGKILL)
    for one in burning:
        seen = one.join()
        assert not seen.facts
        assert seen.troubles[0].detail == f"{len(parts[0])} of 2 streams broke off"


# ----------------------------------------------------------------------------- strangers


@pytest.mark.parametrize("index", [0, 1])
def test_a_partner_that_never_comes_is_a_trouble_of_its_own(index, family):
    seen = Burning(asked(pair(), PAIR, index, swap=IMPATIENT), NEW, PAIR[index]).join()
    assert not seen.facts
    (trouble,) = seen.troubles
    assert trouble.kind is Kind.EXIT
    said = ("did not come within 1 s", "cannot reach the partner at 127.0.0.1")[index]
    assert said in trouble.detail
    assert "data_address" in trouble.detail
    assert statuses(seen) == {"unknown"}


def test_a_partner_that_brings_too_few_streams_is_a_trouble(family):
    what = pair(2)
    burning = listening(what, **IMPATIENT)
    with calling(what):
        seen = burning.join()
    assert "1 of 2 streams" in seen.troubles[0].detail
    assert not seen.facts


@pytest.mark.parametrize(
    "said",
    [b"", b"GET / HTTP/1.1\r\n\r\n", bytes(4096), None, "almost"],
    ids=["silent", "http", "zeros", "hangs up", "almost"],
)
def test_strangers_at_the_port_do_not_disturb(said, family):
    what = pair()
    burning = [Burning(asked(what, PAIR, 0), NEW, PAIR[0])]
    strangers = [connected(ports(what)[0]) for _ in range(3)]
    for stranger in strangers:
        if said is None:
            stranger.close()
        else:
            stranger.sendall(secret(what)[:-1] + b"?0000" if said == "almost" else said)
    burning.append(Burning(asked(what, PAIR, 1), NEW, PAIR[1]))
    assert [fact_of(one.join()).part for one in burning] == ["b>a", "a>b"]
    for stranger in strangers:
        stranger.close()


@contextmanager
def occupied(numbers: list[int], say: bytes) -> Iterator[None]:
    """Somebody else's service at these ports, which says something or nothing."""
    servers = [socket.create_server(("0.0.0.0", number), backlog=8) for number in numbers]
    guests = []

    def serve(server: socket.socket) -> None:
        while True:
            try:
                guests.append(server.accept()[0])
                guests[-1].sendall(say)
            except OSError:
                return

    for server in servers:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
    yield
    for server in (*servers, *guests):
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()


@pytest.mark.parametrize("taken", [1, 2])
def test_partners_meet_at_another_port_where_one_is_taken(taken, family):
    what = pair()
    with occupied(ports(what)[:taken], b"220 welcome to somebody else, who talks a lot" * 9):
        assert [fact_of(one).part for one in both(what)] == ["b>a", "a>b"]


def test_no_free_port_is_a_trouble_on_both_sides(family):
    what = pair()
    with occupied(ports(what), b"220 welcome to somebody else, who talks a lot" * 9):
        listener, caller = both(what, swap=IMPATIENT)
    assert listener.facts == caller.facts == ()
    assert "cannot listen at port" in listener.troubles[0].detail
    assert "Address already in use" in listener.troubles[0].detail
    assert "somebody else" in caller.troubles[0].detail


@pytest.mark.parametrize("index", [0, 1])
def test_nothing_is_left_at_the_deadline(index, family):
    seen = Burning(asked(pair(), PAIR, index, timeout_s=1.0), NEW, PAIR[index]).join()
    assert gone(family, 0)
    assert seen.troubles[0].kind is Kind.TIMEOUT


def test_a_killed_runner_leaves_no_stream(family):
    burning = [Burning(asked(pair(2, 20.0), PAIR, i), NEW, PAIR[i]) for i in (0, 1)]
    assert wait_for(lambda: len(generation(family, STREAMS)) == 2 * len(processes(2)))
    before = alive(family)
    for runner in generation(family, RUNNER):
        os.kill(runner, signal.SIGKILL)
    assert ended(before, 5)
    for one in burning:
        assert not one.join().facts


# ----------------------------------------------------------------------------- who meets whom


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 9])
def test_everybody_is_paired_and_nobody_twice_in_a_round(count):
    nodes = [Node(f"n{i}") for i in range(count)]
    rounds = list(stage("pair_bandwidth").trial.plan(nodes, Random(3)))
    for groups in rounds:
        members = [node.name for group in groups for node in group]
        assert len(members) == len(set(members))
    met = {node.name for groups in rounds for group in groups for node in group}
    assert met == ({node.name for node in nodes} if count > 1 else set())
    assert len(rounds) == (0 if count < 2 else 1 + count % 2)


def test_every_pair_has_a_secret_and_ports_of_its_own():
    what, nodes = stage("pair_bandwidth"), [Node(f"n{i}") for i in range(200)]
    asked_of = [
        questions(what, group, SEED)[0][1][0].question.command
        for group in next(iter(what.trial.plan(nodes, Random(3))))
    ]
    assert len({command[3] for command in asked_of}) == len(asked_of)
    assert len({command[2] for command in asked_of}) == len(asked_of)
    for command in asked_of:
        assert all(20000 <= int(port) < 30000 for port in command[2].split(","))

"""What runs on a node to watch a job, on processes of this machine, by old and new Pythons."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterctl.triage.running.job import gathered
from clusterctl.triage.running.readings import read

REMOTE = Path(__file__).parent.parent / "clusterctl/remote"
OLD = Path("/root/.pyenv/versions/3.6.15/bin/python3.6")
PYTHONS = [sys.executable, *([str(OLD)] if OLD.exists() else [])]

# Rank 0 sends every 0.1 s, rank 1 answers at once; each has a shell above it and a loader below.
RANK = """
import os, socket, subprocess, sys, time
rank = int(os.environ["RANK"])
loader = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
port = int(os.environ["MASTER_PORT"]) + 1
if rank == 0:
    server = socket.create_server(("127.0.0.1", port))
    print("ready", flush=True)
    peer, _ = server.accept()
    while True:
        time.sleep(0.1)
        peer.sendall(b"x" * 50000)
        peer.recv(1)
peer = socket.create_connection(("127.0.0.1", port))
print("ready", flush=True)
while True:
    got = 0
    while got < 50000:
        got += len(peer.recv(50000 - got))
    peer.sendall(b"y")
"""


@pytest.fixture(scope="module")
def ranks() -> Iterator[list[int]]:
    """The shells' numbers."""
    started = []
    for rank in (0, 1):
        words = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
        words |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29871", "SECRET_TOKEN": "hush"}
        shell = subprocess.Popen(
            ["/bin/sh", "-c", f"'{sys.executable}' -c '{RANK}'; :"],
            env={**words, "PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(shell)
        assert shell.stdout is not None
        assert shell.stdout.readline() == b"ready\n"
    yield [one.pid for one in started]
    for one in started:
        os.killpg(one.pid, 9)
        one.wait()


def watched(python: str, **wanted: object) -> str:
    order = {"seconds": 2, "every": 0.1, "share": 1.0, "start": 0, **wanted}
    done = subprocess.run(
        [python, "look_at_job.py", json.dumps(order)],
        cwd=REMOTE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("python", PYTHONS)
def test_the_ranks_among_shells_and_loaders_are_found_and_their_connection_from_both_ends(
    ranks: list[int], python: str
) -> None:
    text = watched(python, pids=ranks)
    assert "hush" not in text  # of an environment only what was asked for leaves the node
    seen = read("here", text)
    assert seen.troubles == ()
    job = gathered([seen], {})
    assert [(one.rank, one.world, one.local) for one in job.ranks] == [(0, 2, 0), (1, 2, 1)]
    assert not {one.pid for one in job.ranks} & set(ranks)  # not the shells
    assert [one.crew for one in job.ranks] == [2, 2]  # the shell, and the loader
    (path,) = job.paths
    sent = (path.near if path.here.rank == 0 else path.far).spent
    assert sent["acked"] > 50_000
    assert {look.state for look in job.ranks[0].looks} <= {"sleep", "run", "wire"}
    assert sum(look.state == "sleep" for look in job.ranks[0].looks) > 5
    assert sum(look.state == "wire" for look in job.ranks[1].looks) > 5
    assert all(look.sent_ms is not None for one in job.ranks for look in one.looks)
    assert job.ranks[0].first_half is not None
    assert json.loads(text.splitlines()[-2])["cpu_s"] > 0


# torchrun where RANK was exported above it: it has a socket, and a number of one of its workers.
AGENT = """
import os, socket, subprocess, sys, time
wire = socket.socket()
sleeper = "import socket, time; wire = socket.socket(); print(flush=True); time.sleep(60)"
own = dict(os.environ, WORLD_SIZE="4", MASTER_PORT=os.environ["WORKERS_PORT"])
for local in range(int(os.environ["EACH"])):
    own.update(RANK=str(int(os.environ["FIRST"]) + local), LOCAL_RANK=str(local))
    one = subprocess.Popen([sys.executable, "-c", sleeper], env=own, stdout=subprocess.PIPE)
    one.stdout.readline()
    print(one.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("rank", "each", "port"),
    [("1", 2, "1"), ("2", 2, "1"), ("2", 1, "1"), ("2", 1, "2")],
    ids=["its-own", "a-workers", "its-only-workers", "another-store"],
)
def test_a_launcher_that_was_given_a_rank_is_none(rank: str, each: int, port: str) -> None:
    told = "import json, job_processes; print(json.dumps(job_processes.ranks({})[0]))"
    around = {"PATH": os.environ["PATH"], "MASTER_ADDR": "agents", "MASTER_PORT": "1"}
    around |= {"RANK": rank, "WORLD_SIZE": "2", "SLURM_LOCALID": "0"}
    around |= {"FIRST": "2", "EACH": str(each), "WORKERS_PORT": port}
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT], env=around, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert agent.stdout is not None
        workers = [int(agent.stdout.readline()) for _ in range(each)]
        found = json.loads(remotely(PYTHONS[-1], told))
    finally:
        os.killpg(agent.pid, 9)
        agent.wait()
    own = [one for one in found if one["job"].startswith("agents:")]
    places = [(2 + at, at, pid, 4) for at, pid in enumerate(workers)]
    assert [(one["rank"], one["local"], one["pid"], one["world"]) for one in own] == places


def remotely(python: str, program: str) -> str:
    done = subprocess.run(
        [python, "-c", program],
        cwd=REMOTE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(REMOTE)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


# look_at_job without its main(), on a node with more connections than are kept.
MANY = """
import json
program = open("look_at_job.py").read().rpartition("\\nmain()\\n")[0]
exec(compile(program, "look_at_job.py", "exec"))
one = {"unsent": 0, "unread": 0, "sent_ms": 5, "come_ms": 5}
job_sockets.connections = lambda inodes: {
    inode: dict(one, near="10.0.0.1 %d" % inode, far="10.0.0.2 %d" % inode) for inode in inodes
}
halves = range(LINKS_AT_MOST), range(LINKS_AT_MOST, LINKS_AT_MOST + 9)
ranks = [
    {"pid": pid, "inodes": own, "crew": [], "master": ":"} for pid, own in zip((7, 8), halves)
]
job = Job(ranks)
print(json.dumps([job.sockets(1), len(job.links), job.trouble]))
"""


@pytest.mark.parametrize("python", PYTHONS)
def test_of_connections_that_are_too_many_to_count_when_they_sent_is_seen_all_the_same(
    python: str,
) -> None:
    found, kept, trouble = json.loads(remotely(python, MANY))
    assert (found["7"][:2], found["8"][:2], kept) == ([5, 5], [5, 5], 2000)
    assert trouble == "more than 2000 connections: only so many are counted"


# As if a look took 1 ms and one at the crew, too, 21: 5 ms on average, and 1 in 100 is allowed.
PACED = """
program = open("look_at_job.py").read().rpartition("\\nmain()\\n")[0]
exec(compile(program, "look_at_job.py", "exec"))
spent = [0.0]
time.process_time = lambda: spent[0]
def look(self, moment, when):
    self.turn += 1
    spent[0] += 0.021 if self.turn % CREW_TURNS == 1 else 0.001
Job.look = look
print(paced(Job([]), {"share": 0.01, "every": 0.1}))
"""


def test_what_looking_at_loaders_takes_counts_for_how_often_is_looked() -> None:
    assert remotely(PYTHONS[0], PACED).strip() == "8"


def test_of_a_command_line_only_how_the_job_divides_itself_leaves_the_node() -> None:
    """As Megatron, NeMo and torchtitan write it; a name whose value is no number says nothing."""
    words = "--pipeline-model-parallel-size 4 --tensor_model_parallel_size=2 --token hush"
    more = "model.context_parallel_size=2 --use-tp-pp-dp-mapping --expert-model-parallel-size x"
    sleeper = "import time; time.sleep(60)"
    told = (
        "import json, sys, job_processes;"
        "print(json.dumps(job_processes.parallel(int(sys.argv[1]))))"
    )
    with subprocess.Popen([sys.executable, "-c", sleeper, *words.split(), *more.split()]) as one:
        try:
            answers = [
                subprocess.run(
                    [python, "-c", told, str(one.pid)],
                    cwd=REMOTE,
                    env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(REMOTE)},
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
                for python in PYTHONS
            ]
        finally:
            one.kill()
    expected = {"pipeline": 4, "tensor": 2, "context": 2, "stages_inside": 1}
    assert [json.loads(text) for text in answers] == [expected] * len(PYTHONS)


MOUNTSTATS = """device proc mounted on /proc with fstype proc
device nfs1:/export mounted on /data with fstype nfs4 statvers=1.1
\topts:\trw,vers=4.2,rsize=1048576
\tage:\t36124
\tevents:\t7 90 0 2 1 1 5 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
\tper-op statistics
\t        NULL: 1 1 0 44 24 0 0 0 0
\t        READ: 1300 1302 1 207680 75292 12 5200 5300 0
\t     GETATTR: 90 90 0 1 2 0 45 50 0
device none mounted on /sys with fstype sysfs
\t        READ: 7 7 7 7 7 7 7 7 7
"""


@pytest.mark.parametrize("python", PYTHONS)
def test_of_mountstats_come_the_operations_of_nfs_and_how_long_they_took(python: str) -> None:
    told = (
        "import json, sys, node_counters; found = {};"
        "node_counters.shares(found, sys.stdin.read()); print(json.dumps(found))"
    )
    done = subprocess.run(
        [python, "-c", told],
        input=MOUNTSTATS,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(REMOTE)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found == {
        "nfs./data.READ.operations": 1300,
        "nfs./data.READ.sent": 1302,
        "nfs./data.READ.timeouts": 1,
        "nfs./data.READ.rtt_ms": 5200,
        "nfs./data.GETATTR.operations": 90,
        "nfs./data.GETATTR.sent": 90,
        "nfs./data.GETATTR.timeouts": 0,
        "nfs./data.GETATTR.rtt_ms": 45,
    }


@pytest.mark.skipif(shutil.which("ethtool") is None, reason="needs ethtool")
@pytest.mark.parametrize("python", PYTHONS)
def test_a_nics_counters_are_those_that_ethtool_shows(python: str) -> None:
    told = (
        "import json, re, socket, nic_stats; nic_stats.MATTERS = re.compile('');"
        "wire = socket.socket(); every = {one: nic_stats.counted(wire, one)"
        " for one in nic_stats.ports()}; print(json.dumps(every))"
    )
    done = subprocess.run(
        [python, "-c", told],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(REMOTE)},
        capture_output=True,
        text=True,
        check=True,
    )
    every = json.loads(done.stdout)
    if not any(every.values()):
        pytest.skip("needs a port whose driver keeps counters")
    for port, counters in every.items():
        shown = subprocess.run(["ethtool", "-S", port], capture_output=True, text=True, check=False)
        names = [line.split(":")[0].strip() for line in shown.stdout.splitlines()[1:]]
        assert set(counters) <= set(names)
        queues = {name for name in names if re.match(r"[rt]x_?(?:queue_)?\d", name)}
        drops = {name for name in names if "drop" in name and "xdp" not in name}
        assert drops - queues <= set(counters)


def test_processes_of_another_slurm_job_are_left_alone(ranks: list[int]) -> None:
    seen = read("here", watched(PYTHONS[0], slurm="987654321", pids=[]))
    assert (seen.ranks, seen.troubles) == ((), ())


@pytest.mark.skipif(shutil.which("ss") is None, reason="needs ss of iproute2")
def test_connections_are_as_ss_tells_of_them(ranks: list[int]) -> None:
    (path,) = gathered([read("here", watched(PYTHONS[0], pids=ranks))], {}).paths
    told = subprocess.run(["ss", "-tinH"], capture_output=True, text=True, check=True).stdout
    lines = told.split("\n")
    near = path.near.near.replace(" ", ":")
    far = path.near.far.replace(" ", ":")
    at = next(at for at, line in enumerate(lines) if near in line and far in line)
    received = next(word for word in lines[at + 1].split() if word.startswith("bytes_received:"))
    last = path.near.marks[max(path.near.marks)].received
    assert 0 < last <= int(received.partition(":")[2])

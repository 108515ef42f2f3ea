"""A real Slurm on a node of the lab: who has the node is seen, and it is not loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from acting import drained
from campaigns import soon
from faults import clear_all
from lab import Lab

from clusterctl.act.deed import Blind, Outcome
from clusterctl.act.slurm import Slurm
from clusterctl.catalog import all_probes
from clusterctl.cli.acting import asking
from clusterctl.cli.world import Flags
from clusterctl.model import Node, Observation, Pace, Scheduler
from clusterctl.observe import observe
from clusterctl.run import Paused, admit, forced
from clusterctl.transport.ssh import Ssh
from clusterctl.transport.ssh_config import Surroundings
from clusterctl.triage.links.standing import standing
from clusterctl.triage.running.ask import JOB, Wanted, ask, questions
from clusterctl.triage.running.job import gathered
from clusterctl.triage.running.readings import read

NEEDED = ("slurmctld", "slurmd", "squeue", "munged")
LACKING = [tool for tool in NEEDED if not shutil.which(tool)]
pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(bool(LACKING), reason=f"needs Slurm; absent: {', '.join(LACKING)}"),
]

NODE = Node("n16")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CONFIG = """
ClusterName=lab
SlurmctldHost=n16
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=/run/slurm-munge/socket
CryptoType=crypto/munge
SlurmctldPort=6817
SlurmdPort=6818
StateSaveLocation=/var/lib/slurm-lab
SlurmdSpoolDir=/var/lib/slurm-lab/d
SlurmctldPidFile=/run/slurmctld-lab.pid
SlurmdPidFile=/run/slurmd-lab.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/linear
ReturnToService=2
MpiDefault=none
NodeName=n16 CPUs=1 State=UNKNOWN
PartitionName=all Nodes=n16 Default=YES MaxTime=INFINITE State=UP
"""
START = """
set -e
mkdir -p /run/slurm-munge /var/lib/slurm-lab/d /etc/slurm
dd if=/dev/urandom of=/run/slurm-munge/key bs=128 count=1 2>/dev/null
chmod 700 /run/slurm-munge; chmod 400 /run/slurm-munge/key
munged --force --socket=/run/slurm-munge/socket --key-file=/run/slurm-munge/key \
  --pid-file=/run/slurm-munge/pid --log-file=/run/slurm-munge/log --seed-file=/run/slurm-munge/seed
cat >/etc/slurm/slurm.conf
echo CgroupPlugin=cgroup/v1 >/etc/slurm/cgroup.conf  # none is used: the node has no cgroups
slurmctld >/dev/null 2>&1 </dev/null
slurmd -N n16 >/dev/null 2>&1 </dev/null
"""


@pytest.fixture
def slurm(lab: Lab) -> Iterator[Lab]:
    """A cluster of one node, n16."""
    lab.do("n16", "sh", "-c", START, stdin=CONFIG)
    yield lab
    lab.enter("n16", "sh", "-c", "pkill -9 'slurm|munged'; rm -rf /etc/slurm /var/lib/slurm-lab")
    clear_all(lab, ["n16"])


def seen(lab: Lab) -> list[Observation]:
    around = Surroundings(home=lab.folder, environ={}, login="root", config=lab.ssh_config)
    with Ssh(Pace(), around=around, rng=Random(1)) as ssh:
        return list(observe(NODE, (all_probes()["slurm"],), ssh.within(30), lambda: NOON))


def jobs(lab: Lab) -> tuple[str, ...]:
    facts = [fact for one in seen(lab) for fact in one.facts if isinstance(fact, Scheduler)]
    return facts[0].jobs if facts else ("not seen",)


def test_a_node_that_slurm_gave_to_a_job_is_not_loaded(slurm: Lab) -> None:
    def state() -> str:
        return slurm.enter("n16", "sinfo", "-h", "-o", "%T").stdout.strip()

    assert soon(lambda: state() == "idle", 30), state()
    assert jobs(slurm) == ()
    assert admit([NODE], seen(slurm), force=False) == ([NODE], {})

    slurm.do("n16", "salloc", "-J", "empty", "--no-shell")  # nothing runs: squeue alone knows
    (job,) = jobs(slurm)
    assert job.endswith("of root (empty, running)")
    ready, refused = admit([NODE], seen(slurm), force=False)
    assert ready == []
    assert refused["n16"].why == f"Slurm has given it to {job}"
    assert '--force --why "' in refused["n16"].remedy
    assert admit([NODE], seen(slurm), force=True)[0] == [NODE]
    (record,) = forced([NODE], seen(slurm), "the owner said so")
    assert (job in record.actual, record.why) == (True, "the owner said so")
    slurm.do("n16", "scancel", "--name=empty")

    slurm.do("n16", "sbatch", "-J", "train", "-o", "/dev/null", "--wrap", "sleep 300")
    assert soon(lambda: "slurmstepd: [" in " ".join(slurm.processes("n16").values()), 30)
    slurm.do("n16", "pkill", "slurmctld")
    told = seen(slurm)[0]
    assert [fact.jobs for fact in told.facts if isinstance(fact, Scheduler)] == [("job 2",)]
    assert "squeue" in str(told.troubles[0])
    slurm.do("n16", "pkill", "-9", "slurmstepd")
    assert soon(lambda: "slurmstepd: [" not in " ".join(slurm.processes("n16").values()), 10)
    why = admit([NODE], seen(slurm), force=False)[1]["n16"].why
    assert "nobody can say whether Slurm has given it to a job" in why


def test_a_job_that_slurm_suspended_is_paused_and_rounds_may_have_its_node(slurm: Lab) -> None:
    assert soon(lambda: slurm.enter("n16", "sinfo", "-h", "-o", "%T").stdout.strip() == "idle", 30)
    rank = "exec env RANK=0 WORLD_SIZE=1 sleep 300"
    slurm.do("n16", "sbatch", "-J", "train", "-o", "/dev/null", "--wrap", rank)
    assert soon(lambda: "sleep 300" in slurm.processes("n16").values(), 30)
    assert paused(slurm) == {}
    slurm.do("n16", "scontrol", "suspend", "1")
    assert soon(lambda: bool(paused(slurm)), 10)
    assert jobs(slurm)[0].endswith("of root (train, suspended)")
    stands = paused(slurm)
    assert stands["n16"].slurm == "1"
    assert admit([NODE], seen(slurm), force=False)[0] == []
    assert admit([NODE], seen(slurm), force=False, paused=stands)[0] == [NODE]


def paused(lab: Lab) -> dict[str, Paused]:
    """As `triage --slurm 1` finds it."""
    around = Surroundings(home=lab.folder, environ={}, login="root", config=lab.ssh_config)
    with Ssh(Pace(), around=around, rng=Random(1)) as ssh:
        asked = questions(Wanted(slurm="1"), 0.5, 0.0)[:1]
        (said,) = ask([(NODE, asked)], ssh.within(30), at_once=1)
    job = gathered([read("n16", said.answers[JOB].stdout)], {})
    return standing(job, [NODE], "1").paused


def test_a_node_is_drained_by_the_scontrol_of_a_host_that_ssh_reaches(slurm: Lab) -> None:
    flags = Flags(None, "", "", None, accept_new=False, ssh_config=slurm.ssh_config)
    with ExitStack() as closing:
        hands = Slurm(asking(NODE, flags, closing), "n16")
        assert soon(lambda: hands.look().states["n16"].usable, 30)
        told = hands.change("drain", hands.look().states["n16"], drained("n16"))
        assert told.outcome is Outcome.DONE
        (there,) = hands.look().states.values()
        assert (there.held, there.reason) == (("DRAIN",), drained("n16").reason)
        told = hands.change("undrain", there, drained("n16", verb="undrain"))
        assert told.outcome is Outcome.DONE
        slurm.do("n16", "pkill", "slurmctld")
        with pytest.raises(Blind, match=r"n16: scontrol: exit 1: .*slurm controller"):
            hands.look()


RANKS = """
import os, socket, time
rank, other = int(os.environ["RANK"]), None
if rank == 0:
    server = socket.create_server(("127.0.0.1", 29700))
    other, _ = server.accept()
while other is None:
    try:
        other = socket.create_connection(("127.0.0.1", 29700))
    except OSError:
        time.sleep(0.1)
while True:
    time.sleep(0.05 + 0.2 * rank)
    other.sendall(b"x" * 4096)
    got = 0
    while got < 4096:
        got += len(other.recv(4096))
"""
BATCH = """#!/bin/sh
for rank in 0 1; do RANK=$rank WORLD_SIZE=2 python3 -c '{ranks}' & done
wait
"""


def test_triage_finds_a_slurm_jobs_ranks_and_the_one_that_keeps_the_other_waiting(
    slurm: Lab,
) -> None:
    assert soon(lambda: slurm.enter("n16", "sinfo", "-h", "-o", "%T").stdout.strip() == "idle", 30)
    script = BATCH.format(ranks=RANKS)
    said = slurm.do("n16", "sbatch", "--parsable", "-J", "train", "-o", "/dev/null", stdin=script)
    job = said.strip()

    def ranks() -> int:
        return " ".join(slurm.processes("n16").values()).count("python3 -c")

    assert soon(lambda: ranks() == 2, 30)

    def triage() -> dict[str, Any]:
        command = ["triage", "-i", slurm.inventory, "-F", slurm.ssh_config, "--nodes", "n16"]
        options = ["--slurm", job, "--seconds", "3", "--no-stacks", "--format", "json"]
        done = subprocess.run(
            [sys.executable, "-m", "clusterctl", *map(str, command), *options],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    told = triage()
    assert told["class"] == "worker", json.dumps(told)
    assert told["suspects"][0]["ranks"] == [1]
    slurm.do("n16", "scancel", job)

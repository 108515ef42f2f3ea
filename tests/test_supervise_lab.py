"""The node side of a campaign on real nodes: sampled, killed, rebooted, its disk full."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from campaigns import Campaign, sleeper, soon
from faults import clear_all, inject
from lab import Lab

from clusterctl.campaign.burnt import burnt_s
from clusterctl.campaign.journal import LOST, Sample, samples, steps
from clusterctl.model import Node, Pace, Question
from clusterctl.transport import TransportError
from clusterctl.transport.ssh import Ssh
from clusterctl.transport.ssh_config import Surroundings

pytestmark = pytest.mark.lab

PLACES = ("/var/tmp", "/dev/shm", "/run")  # noqa: S108 - as remote/places.py has them
PLAN = {"every_s": 0.5, "hard_s": 120}

Begin = Callable[..., Campaign]


@pytest.fixture(scope="module")
def ssh(lab: Lab) -> Iterator[Ssh]:
    around = Surroundings(home=lab.folder, environ={}, login="root", config=lab.ssh_config)
    with Ssh(Pace(), around=around, rng=Random(1)) as ssh:
        yield ssh


@pytest.fixture
def begin(lab: Lab, ssh: Ssh) -> Iterator[Begin]:
    """Starts a campaign on a node; afterwards the node is as new."""
    used = []

    def beginning(node: str, *places: str, **plan: Any) -> Campaign:
        used.append(node)
        campaign = Campaign(ssh, Node(node), f"c-{uuid.uuid4().hex[:6]}", places)
        told = campaign.start({**PLAN, **plan})
        assert told.ok, told
        return campaign

    yield beginning
    clear_all(lab, used)


def mine(lab: Lab, node: str) -> dict[int, str]:
    """Processes of a campaign, and what its steps run."""
    return {
        pid: command
        for pid, command in lab.processes(node).items()
        if " clusterctl " in command or command.startswith("sleep ")
    }


def pid_of(lab: Lab, node: str, word: str) -> int:
    (found,) = [pid for pid, command in mine(lab, node).items() if command.endswith(f" {word}")]
    return found


def files(lab: Lab, node: str) -> str:
    return lab.do(node, "find", *PLACES, "/tmp", "/root")  # noqa: S108 - a node's, not ours


def longest_gap_s(campaign: Campaign) -> float:
    moments = [one.at_s for one in samples(campaign.records())]
    return max(later - sooner for sooner, later in pairwise(moments))


def last(campaign: Campaign) -> Sample:
    campaign.fetch()
    return list(samples(campaign.records()))[-1]


def sees(campaign: Campaign, name: str, value: object) -> bool:
    return soon(lambda: last(campaign).values.get(name) == value, 20)


def test_what_moves_on_a_node_is_sampled_and_nothing_is_left_after_collect(lab, begin):
    campaign = begin("n01")
    assert "clusterctl" in files(lab, "n01")
    assert soon(lambda: last(campaign).values["nvml"] == "ok", 30)

    values = last(campaign).values
    assert {values[f"gpu{index}.handle"] for index in range(8)} == {"ok"}
    assert values["gpu3.power_w"] == 72
    assert values["/sys/class/infiniband/mlx5_3/ports/1/state"] == "4: ACTIVE"

    inject(lab, "n01", "xid79")
    inject(lab, "n01", "symbol_errors")
    inject(lab, "n01", "mce")
    port = "/sys/class/infiniband/mlx5_3/ports/1/counters"
    assert sees(campaign, f"{port}/symbol_error", 50000)
    assert sees(campaign, f"{port}/port_rcv_errors", 900)
    assert sees(campaign, "/sys/devices/system/edac/mc/mc0/ue_count", 1)
    lines = [text for cells in campaign.of("kernel") for _, text in cells["lines"]]
    assert sum("Xid (PCI:0000:43:00): 79" in text for text in lines) == 1

    campaign.stop()
    assert campaign.collect().ok
    assert mine(lab, "n01") == {}
    assert "clusterctl" not in files(lab, "n01")


def test_only_what_changed_is_written(begin):
    campaign = begin("n02", nvml=False, kernel=".")
    campaign.until("sample", 8)
    assert not campaign.of("kernel")  # what was said before is not news
    quiet = [cells["d"] for cells in campaign.of("sample")[2:]]
    assert all(len(delta) <= 20 for delta in quiet), quiet  # eth0 carries our own questions
    assert len(campaign.of("full")) == 1


def test_a_gpu_that_never_answers_costs_only_itself(lab, begin):
    inject(lab, "n03", "nvml_hangs")
    campaign = begin("n03", lease_s=60)
    campaign.tell("run", step=sleeper())
    campaign.until("sample", 5)
    campaign.until("begin")
    assert longest_gap_s(campaign) < 2
    assert last(campaign).values["nvml"] == "starting"
    assert campaign.fetch().words["lease_left_s"] > 55


def test_a_gpu_that_stops_answering_is_a_timeout_and_its_old_values_are_gone(lab, begin):
    campaign = begin("n03")
    assert soon(lambda: "gpu0.temp_c" in last(campaign).values, 30)
    os.kill(pid_of(lab, "n03", "nvml"), signal.SIGSTOP)  # it hangs
    assert sees(campaign, "nvml", "timeout")
    assert not [name for name in last(campaign).values if name.startswith("gpu")]
    count = len(campaign.records())
    assert soon(lambda: campaign.fetch() and len(campaign.records()) > count + 3)


def test_a_killed_supervisor_leaves_nothing_running_and_another_goes_on(lab, begin):
    campaign = begin("n04", nvml=False)
    campaign.tell("run", "one", step=sleeper())
    campaign.until("sample", 4)
    os.kill(pid_of(lab, "n04", "supervisor"), signal.SIGKILL)
    assert soon(lambda: not mine(lab, "n04")), mine(lab, "n04")
    assert campaign.fetch().words["why"] == "killed"
    assert campaign.start(PLAN).words["started"] is True
    assert [ran.why for ran in steps(campaign.records())] == [LOST]


def test_a_stressor_and_the_runner_of_a_conversation_may_be_killed(lab, begin):
    """The runner's guardian then kills whatever carries the conversation's mark."""
    campaign = begin("n05", nvml=False)
    campaign.tell("run", step=sleeper())
    campaign.until("begin")
    asked = threading.Thread(target=ask_for_long, args=(campaign,))
    asked.start()
    assert soon(lambda: sum(text == "sleep 61" for text in mine(lab, "n05").values()) == 1)
    (runner,) = [p for p, text in lab.processes("n05").items() if is_runner(text)]
    os.kill(runner, signal.SIGKILL)
    asked.join(20)
    assert soon(lambda: "sleep 61" not in mine(lab, "n05").values())
    assert campaign.fetch().words["step"]["name"] == "sleeper"

    (stressor,) = [pid for pid, text in mine(lab, "n05").items() if text == "sleep 60"]
    os.kill(stressor, signal.SIGKILL)
    assert campaign.until("end")["code"] == -signal.SIGKILL
    assert campaign.fetch().words["alive"] is True


def ask_for_long(campaign: Campaign) -> None:
    with suppress(TransportError):
        campaign.ask(Question("long", ("sleep", "61"), timeout_s=70))


def is_runner(command: str) -> bool:
    return "python" in command.split(" ", maxsplit=1)[0] and " clusterctl " not in command


def test_a_reboot_is_seen_its_time_is_not_burnt_and_nothing_starts_by_itself(lab, begin):
    campaign = begin("n06", nvml=False)
    campaign.tell("soak", "s", on=True, steps=[sleeper(600)])
    campaign.until("sample", 6)
    burnt_before_s = burnt_s(campaign.records())
    assert burnt_before_s > 1
    inject(lab, "n06", "reboot", "2")
    time.sleep(2)
    lab.await_sshd(["n06"])

    told = campaign.fetch()
    assert (told.words["alive"], told.words["why"]) == (False, "the node was rebooted")
    assert told.words["boot"] != told.words["boot_then"]
    assert told.words["uptime_s"] < 60
    assert mine(lab, "n06") == {}

    assert campaign.start({**PLAN, "nvml": False}).ok
    campaign.until("sample", 12)
    assert mine(lab, "n06")
    first, second = campaign.of("start")
    assert first["boot"] != second["boot"]
    assert burnt_s(campaign.records()) == pytest.approx(burnt_before_s, abs=1.1)
    campaign.tell("run", "after", step=sleeper())
    campaign.until("sample", 18)
    assert burnt_s(campaign.records()) > burnt_before_s + 1


def test_a_full_disk_stops_the_load_and_the_reason_is_written_when_there_is_room(lab, begin):
    lab.do("n07", "mkdir", "/small")
    lab.do("n07", "mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", "/small")
    campaign = begin("n07", "/small", nvml=False)
    campaign.tell("run", step=sleeper())
    campaign.until("begin")
    lab.enter("n07", "sh", "-c", "cat /dev/zero >/small/fill")

    long = campaign.tell("run", "long", step=sleeper(env={"LONG": "x" * 9000}))
    assert "ENOSPC" in long.words["why"]
    assert campaign.fetch().words["disk"] == "ENOSPC"
    assert soon(lambda: campaign.fetch().words["step"] is None)
    refused = campaign.tell("run", step=sleeper())
    assert "ENOSPC" in refused.words["why"]
    assert not campaign.of("end")

    lab.do("n07", "rm", "/small/fill")
    assert campaign.until("end", seconds=30)["why"] == "disk"
    assert [cells["step"] for cells in campaign.of("dropped")] == ["long"]
    assert [cells["error"] for cells in campaign.of("disk")] == ["ENOSPC", ""]
    assert campaign.fetch().words["disk"] == ""


def test_a_root_that_is_full_moves_the_state_to_memory_and_says_so(lab, begin):
    inject(lab, "n08", "disk_full")
    campaign = begin("n08", nvml=False)
    folder = campaign.fetch().words["folder"]
    assert folder.startswith(PLACES[1])
    campaign.fetch()
    assert campaign.of("start")[0]["volatile"] is True
    other = Campaign(campaign.transport, Node("n08"), "other", ())
    assert other.start(PLAN).words["holder"] == campaign.name


def test_a_network_cut_loses_no_sample(lab, begin):
    campaign = begin("n09", nvml=False)
    campaign.until("sample", 2)
    lab.do("n09", "iptables", "-w", "-I", "INPUT", "-j", "DROP")
    time.sleep(5)
    lab.do("n09", "iptables", "-w", "-D", "INPUT", "-j", "DROP")
    campaign.fetch()
    assert longest_gap_s(campaign) < 2
    assert len(campaign.of("sample")) > 10

"""Campaigns on real nodes: killed, cut, rebooted, stopped; hours are seconds by playbook."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from campaign_runs import Led, load_on, traces
from campaigns import soon
from faults import clear_all, inject
from lab import Lab

from clusterctl.campaign.journal import records, samples
from clusterctl.model import Status

pytestmark = pytest.mark.lab

TWELVE = [f"n{number:02d}" for number in range(1, 13)]
STAGES = 3  # of the tests' playbook


def kill(led: Led) -> None:
    led.end()
    led.resume()


@pytest.fixture(scope="module")
def bad_days(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Led]:
    """Twelve nodes: two faulty, one busy, one cut off, one rebooted.

    Its controller is killed in every stage: at the gate, in each trial, in the soak, at the end.
    """
    inject(lab, "n03", "remap")
    inject(lab, "n07", "port_down")
    inject(lab, "n11", "stranger")
    led = Led(lab, tmp_path_factory.mktemp("twelve"), "n[01-12]", burnt_s=25)
    led.start()
    kill(led)
    for number in range(STAGES):
        led.until_stage("n01", number)
        kill(led)
    led.until("n12", "soaking")
    kill(led)
    inject(lab, "n12", "reboot", "2")
    led.until("n09", "soaking")
    lab.do("n09", "iptables", "-w", "-I", "INPUT", "-j", "DROP")
    time.sleep(6)
    lab.do("n09", "iptables", "-w", "-D", "INPUT", "-j", "DROP")
    led.until_over("n12")
    if not led.final.exists():
        kill(led)
        led.wait(150)
    yield led
    clear_all(lab, TWELVE)


def test_planted_faults_are_named_and_no_healthy_node_is_refused(bad_days):
    healthy = dict.fromkeys(TWELVE, "ACCEPT")
    assert bad_days.verdicts() == healthy | {
        "n03": "RETURN",
        "n07": "QUARANTINE",
        "n11": "INCOMPLETE",
        "n12": "QUARANTINE",
    }, bad_days.said()


def test_a_reboot_under_load_is_a_finding_and_its_time_is_not_burnt(bad_days):
    findings = {one.check: one.verdict for one in bad_days.findings("n12")}
    assert findings["unexpected_reboot"].status is Status.FAIL
    assert findings["burnt_time"].status is Status.PASS
    assert findings["burnt_time"].actual >= findings["burnt_time"].expected


def test_a_busy_node_is_left_in_peace_and_says_who_holds_it(bad_days):
    (busy,) = [one.verdict for one in bad_days.findings("n11") if one.check == "busy"]
    assert "in use by" in busy.why
    assert not (bad_days.final / "journals/n11.jsonl").exists()


def test_a_cut_and_killed_controllers_lose_no_sample(bad_days):
    for node in ("n01", "n09"):
        journal = (bad_days.final / f"journals/{node}.jsonl").read_bytes()
        moments = [one.at_s for one in samples(records(journal))]
        gaps = [later - sooner for sooner, later in pairwise(moments)]
        assert len(moments) > 25
        assert max(gaps) < 3, (node, gaps)


def test_nothing_is_left_on_any_node(lab, bad_days):
    assert bad_days.final.is_dir()
    assert traces(lab, [node for node in TWELVE if node != "n11"]) == []


def test_a_second_campaign_is_refused_and_a_lost_controller_ends_the_load(lab, tmp_path):
    first = Led(lab, tmp_path / "first", "n13", burnt_s=600, lease_s=6)
    second = Led(lab, tmp_path / "second", "n13", burnt_s=600)
    first.start()
    first.until("n13", "soaking")
    second.start()
    second.wait(60)
    (busy,) = [one.verdict for one in second.findings("n13") if one.check == "busy"]
    assert first.final.name in busy.why
    assert second.verdicts() == {"n13": "INCOMPLETE"}

    rival = Led(lab, tmp_path / "first", "n13", burnt_s=600)
    rival.path = first.path
    rival.resume()
    assert rival.wait(30) == 2
    assert "another clusterctl leads this campaign" in rival.said()

    first.end()
    assert any("cpu_burn" in text for text in load_on(lab, "n13"))
    assert soon(lambda: not any("cpu_burn" in text for text in load_on(lab, "n13")), 30)
    first.resume()
    assert soon(lambda: len(first.cases()["n13"].soaks) > 1, 60), first.said()
    (first.path / "stop").write_text("\n")
    first.wait(60)
    assert first.verdicts() == {"n13": "INCOMPLETE"}
    assert traces(lab, ["n13"]) == []


def test_ctrl_c_collects_says_incomplete_and_may_be_gone_on_with(lab, tmp_path):
    led = Led(lab, tmp_path / "one", "n14,n15", burnt_s=12)
    led.start()
    led.until("n14", "soaking")
    assert led.end(signal.SIGINT) == 130
    assert "INCOMPLETE: n[14-15]" in led.said()
    assert f"--resume {led.path}" in led.said()
    assert traces(lab, ["n14", "n15"]) == []
    burnt_s = led.cases()["n14"].course.burnt_s
    assert burnt_s > 0

    led.resume()
    led.wait(90)
    assert led.verdicts() == {"n14": "ACCEPT", "n15": "ACCEPT"}


def test_a_second_ctrl_c_leaves_at_once_and_what_it_left_ends_by_itself(lab, tmp_path):
    led = Led(lab, tmp_path / "now", "n14,n15", burnt_s=600, lease_s=6)
    led.start()
    led.until("n14", "soaking")
    os.kill(led.pid, signal.SIGINT)
    assert soon(lambda: "once more leaves at once" in led.said(), 20), led.said()
    assert led.end(signal.SIGINT, 5) == 130
    assert "left at once" in led.said()
    assert f"clusterctl stop {led.path}" in " ".join(led.said().split())
    both = ("n14", "n15")
    assert soon(
        lambda: not any("cpu_burn" in one for node in both for one in load_on(lab, node)), 30
    )

    stop = [sys.executable, "-m", "clusterctl", "stop", str(led.path), "-F", str(lab.ssh_config)]
    stopped = subprocess.run(stop, capture_output=True, text=True, timeout=90, check=False)
    assert "INCOMPLETE: n[14-15]" in stopped.stdout + stopped.stderr
    assert set(led.verdicts().values()) == {"INCOMPLETE"}
    assert traces(lab, both) == []

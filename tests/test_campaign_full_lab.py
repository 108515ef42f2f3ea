"""A controller whose disk is full under a campaign, and shared storage loaded by all at once."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from campaign_runs import Led, traces
from campaigns import soon
from lab import Lab

from clusterctl.campaign.folder import decisions
from clusterctl.campaign.journal import records, samples, steps

pytestmark = pytest.mark.lab

NODES = ["n13", "n14", "n15"]
PLAYBOOK = """
pace: {at_once: 16, node_s: 60}
stages:
  - storage_burn: {folder: /data, seconds: 2, size_mib: 8, mb_s: 4, local: true}
soak:
  hours: %s
  sample_s: 1
  tick_s: 1
  silent_s: 90
  load: [cpu_burn: {seconds: 2, engine: builtin}]
lease_s: 60
expect:
  storage_total: {gbyte_s: {value: 0.0001, source: this test}}
  burn_rate: {sigmas: {value: 1000, source: nodes that share one processor}}
"""
BURNT_S = 14
SAID = "No space left on device: no step begins"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of four MiB."""
    place = tmp_path_factory.mktemp("small")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="module")
def led(lab: Lab, small: Path, tmp_path_factory: pytest.TempPathFactory) -> Led:
    """Its disk is full while the nodes soak; it is killed and resumed; then there is room."""
    led = Led(lab, tmp_path_factory.mktemp("full"), "n[13-15]", burnt_s=BURNT_S)
    (led.folder / "runs").symlink_to(small)
    (led.folder / "burn.yml").write_text(PLAYBOOK % (BURNT_S / 3600))
    led.start()
    for node in NODES:
        led.until(node, "soaking")
    fill = small / "fill"
    with fill.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    assert soon(lambda: SAID in led.said(), 30), led.said()
    led.end()
    led.resume()
    assert soon(lambda: led.said().count(SAID) > 1, 60), led.said()
    fill.unlink()
    led.wait(90)
    return led


def test_a_full_disk_of_the_controller_costs_nothing_and_is_said_once(led):
    assert led.verdicts() == dict.fromkeys(NODES, "ACCEPT"), led.said()
    assert led.said().count(SAID) == 2, led.said()  # by two controllers
    assert "there is room again" in led.said()


def test_no_sample_that_was_acknowledged_is_lost(led):
    for node in NODES:
        journal = (led.final / f"journals/{node}.jsonl").read_bytes()
        moments = [one.at_s for one in samples(records(journal))]
        gaps = [later - sooner for sooner, later in pairwise(moments)]
        assert max(gaps) < 3, (node, gaps)


def test_shared_storage_was_loaded_by_all_at_once(led):
    begun = [one for one in decisions(led.final) if one["do"] == "order" and one["stage"] == 0]
    assert [(one["node"], one["beside"]) for one in begun] == [(node, 3) for node in NODES]
    for node in NODES:
        journal = records((led.final / f"journals/{node}.jsonl").read_bytes())
        assert [one.why for one in steps(journal) if one.name == "storage_burn"] == ["exit"]
        (total,) = [one.verdict for one in led.findings(node) if one.check == "storage_total"]
        assert "by 3 nodes" in total.actual


def test_nothing_is_left_on_any_node(lab, led):
    assert led.final.is_dir()
    assert traces(lab, NODES) == []

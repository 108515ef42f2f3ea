"""Who leads a campaign, and from where: copies of its directory, other hosts, other hands."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from campaign_runs import Led, load_on, traces
from campaigns import soon
from faults import clear_all
from lab import Lab

pytestmark = pytest.mark.lab

Leading = Callable[..., Led]
MINE = ("n13", "n14", "n15")
SECRETS = ("PRIVATE KEY", "BEGIN OPENSSH")


@pytest.fixture
def leading(lab: Lab, tmp_path: Path) -> Iterator[Leading]:
    """Campaigns by folder; whatever the test did, nobody leads them and no node burns after it."""
    begun: list[Led] = []

    def leading(folder: str, nodes: str, *, burnt_s: float) -> Led:
        begun.append(Led(lab, tmp_path / folder, nodes, burnt_s=burnt_s))
        return begun[-1]

    yield leading
    for led in begun:
        if led.controller is not None:
            led.controller.kill()
            led.controller.wait(10)
    clear_all(lab, MINE)


def copy(led: Led, twin: Led, **changed: object) -> None:
    """The run's directory as another host would have it; `changed`: of its campaign's words."""
    twin.path = twin.folder / "runs" / led.path.name
    shutil.copytree(led.path, twin.path)
    file = twin.path / "run.json"
    about = json.loads(file.read_text())
    about["campaign"] |= changed
    file.write_text(json.dumps(about))


def test_a_copied_run_takes_the_nodes_only_when_told_to_or_when_the_lease_has_lapsed(
    lab: Lab, leading: Leading
) -> None:
    first, second = (leading(name, "n13,n14", burnt_s=600) for name in ("first", "second"))
    first.start("--again", "n13")
    first.until("n13", "soaking")
    again = first.cases()["n13"].bar
    assert again is not None
    assert again["looked"] == f"0 earlier burns in {first.path.parent}"
    assert first.cases()["n14"].bar is None
    first.until("n14", "soaking")
    copy(first, second, ssh_config="/nowhere/ssh_config")
    secrets = [path for path in second.path.rglob("*") if path.is_file()]
    assert not [
        path for path in secrets if any(word.encode() in path.read_bytes() for word in SECRETS)
    ]

    second.resume()
    assert second.wait(30) == 2
    assert "/nowhere/ssh_config, which is not on this host" in second.said()
    config = ("-F", str(lab.ssh_config))
    for _ in range(2):  # while it leads, and when it was killed
        second.resume(*config)
        assert second.wait(30) == 2
        assert "is led by clusterctl on" in second.said()
        assert f"(pid {first.pid}, " in second.said()
        assert load_on(lab, "n13")
        first.end()

    second.resume(*config, "--take-over")
    assert soon(lambda: second.taken("n13", "n14"), 30), second.said()
    first.resume()
    assert first.wait(30) == 2
    assert f"(pid {second.pid}, " in first.said()

    assert second.end(signal.SIGINT) == 130
    assert f"--resume {second.path}" in second.said()
    assert traces(lab, ["n13", "n14"]) == []


def test_nodes_join_a_campaign_that_goes_on_and_leave_with_their_own_verdicts(
    lab: Lab, leading: Leading, tmp_path: Path
) -> None:
    listed = entries(lab)
    file = tmp_path / "line.yml"

    def edit(*names: str) -> None:
        file.write_text("nodes:\n" + "".join(listed[name] for name in names))

    edit("n13")
    led = leading("led", "", burnt_s=20)  # stages are slow on a busy machine, and count, too
    led.words = ["-i", str(file), *led.words[4:]]
    led.start("--watch")
    led.until("n13", "burn")
    file.write_text("nodes: [n13, {")
    assert soon(lambda: "the list of nodes stays as it was" in led.said(), 30), led.said()
    there = listed["n14"]
    listed["n14"] = re.sub(r"address: [0-9.]+", "address: 127.0.0.9", there)  # nobody is there
    edit("n13", "n14")
    assert soon(lambda: "n14 joins" in led.said(), 30), led.said()
    listed["n14"] = there
    edit("n13", "n14")
    assert soon(lambda: "n14 is reached otherwise from now on" in led.said(), 60), led.said()
    led.until("n14", "burn")  # n13 waits: nobody else is there to be its partner
    led.end()
    led.resume()
    edit("n14", "n15")
    assert soon(lambda: "n13 is no longer in the inventory: it" in led.said(), 30)
    for node in MINE:
        assert soon(lambda node=node: f"{node} leaves: ACCEPT" in led.said(), 90), led.said()
    assert len(led.cases()["n13"].orders[1].group) == 2
    assert traces(lab, MINE) == []
    assert led.controller is not None
    assert led.controller.poll() is None  # others may join

    (led.path / "stop").write_text("\n")
    led.wait(60)
    assert led.verdicts() == dict.fromkeys(MINE, "ACCEPT"), led.said()


def entries(lab: Lab) -> dict[str, str]:
    """Node -> its line of the lab's inventory."""
    lines = lab.inventory.read_text().splitlines(keepends=True)[1:]
    return {line.partition(":")[0].strip(): line for line in lines}

"""Who leads a campaign, and from where: copies of its directory, other hosts, other hands."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest
from campaign_runs import Led, load_on, traces
from campaigns import soon
from lab import Lab

pytestmark = pytest.mark.lab

SECRETS = ("PRIVATE KEY", "BEGIN OPENSSH")


def copied(led: Led, folder: Path, **changed: object) -> Led:
    """The run's directory as another host would have it; `changed`: of its campaign's words."""
    twin = Led(led.lab, folder, "none", burnt_s=1)
    twin.path = folder / "runs" / led.path.name
    shutil.copytree(led.path, twin.path)
    file = twin.path / "run.json"
    about = json.loads(file.read_text())
    about["campaign"] |= changed
    file.write_text(json.dumps(about))
    return twin


def test_a_copied_run_takes_the_nodes_only_when_told_to_or_when_the_lease_has_lapsed(
    lab: Lab, tmp_path: Path
) -> None:
    first = Led(lab, tmp_path / "first", "n13,n14", burnt_s=600, lease_s=60)
    first.start()
    first.until("n13", "soaking")
    first.until("n14", "soaking")
    second = copied(first, tmp_path / "second", ssh_config="/nowhere/ssh_config")
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

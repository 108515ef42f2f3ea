"""A fabric of 128 adapters played by ibsim and run by a real opensm: every planted fault is named.

The tools are Debian's own, and `clusterctl` runs as an operator runs it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ibfabric import NODES, PLAN, RAILS, TOOLS, Fabric, Faults, adapter, cabled, missing

from clusterctl.localise.topology import parse

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")
CLUSTERCTL = (sys.executable, "-m", "clusterctl")
FILES = ("nd", "li", "qe")

PLANTED = Faults(
    move={
        (adapter(3, 2), 1): ("leaf-p1-r3", 3),  # rails 2 and 3 of n03 swapped
        (adapter(3, 3), 1): ("leaf-p1-r2", 3),
        (adapter(5, 4), 1): ("leaf-p2-r4", 20),  # on the other pod's leaf
        (adapter(7, 1), 1): None,
        ("leaf-p1-r5", 10): None,
    },
    add={
        ("leaf-p1-r6", 20): ("leaf-p2-r6", 21),  # leaf to leaf
        ("leaf-p2-r0", 30): ("spine-3", 30),  # one uplink too many
    },
    slow={
        (adapter(9, 0), 1): "1xQDR",
        (adapter(10, 6), 1): "4xSDR",
        ("leaf-p2-r7", 9): "4xDDR",
    },
    errors=(
        ("leaf-p1-r1", 3, "SymbolErrorCounter", 77),
        (adapter(12, 5), 1, "LinkDownedCounter", 12),
    ),
)
NAMED = {
    ("fail", "cabling", "n03", "rail 2 mlx5_2, rail 3 mlx5_3"),
    ("fail", "cabling", "n05", "rail 4 mlx5_4"),
    ("fail", "cabling", "n07", "rail 1 mlx5_1"),
    ("fail", "cabling", "leaf-p1-r5", "leaf-p1-r5 > spine-2"),
    ("warn", "cabling", "leaf-p1-r6", "leaf-p1-r6 > leaf-p2-r6"),
    ("warn", "cabling", "leaf-p2-r0", "leaf-p2-r0 > spine-3"),
    ("fail", "link_width", "n09", "n09 mlx5_0/1 > leaf-p2-r0/1"),
    ("fail", "link_speed", "n10", "n10 mlx5_6/1 > leaf-p2-r6/2"),
    ("fail", "link_speed", "leaf-p2-r7", "leaf-p2-r7/9 > spine-1/16"),
    ("warn", "link_errors", "leaf-p1-r1", "leaf-p1-r1/3 < n03 mlx5_1/1"),
    ("warn", "link_errors", "n12", "n12 mlx5_5/1 < leaf-p2-r5/4"),
}
# ibsim's ports could all be 12 lanes wide, and nothing can tell it otherwise.
SIMULATED = {
    ("warn", "link_width", "fabric", "node cables"),
    ("warn", "link_width", "fabric", "cables from level 1 switches"),
}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    with Fabric(tmp_path_factory.mktemp("faulty"), PLANTED) as played:
        save(played)
        yield played


def save(played: Fabric) -> None:
    (played.folder / "nd").write_text(played.ask("ibnetdiscover"))
    (played.folder / "li").write_text(played.ask("iblinkinfo", "-l"))
    (played.folder / "qe").write_text(played.counters)
    (played.folder / "plan.yml").write_text(PLAN)
    (played.folder / "nodes.yml").write_text(
        f"nodes:\n  n[01-{NODES}]: {{address: 127.0.0.1, labels: {{transport: local}}}}\n"
    )


def run(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return spoken(folder, "fabric", *options, **environment)


def spoken(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLUSTERCTL, *words], cwd=folder, capture_output=True, text=True, check=False,
        timeout=120, env={**os.environ, **environment},
    )  # fmt: skip


def saved(*names: str) -> list[str]:
    return [word for name in names or FILES for word in ("--from", name)]


def told(done: subprocess.CompletedProcess[str]) -> set[tuple[str, str, str, str]]:
    return {
        (one["status"], one["check"], one["node"], one["part"])
        for one in json.loads(done.stdout)["findings"]
        if one["status"] not in ("pass", "skip")
    }


@pytest.fixture(scope="module")
def walked(faulty):
    """What the verb said, whose run is under `runs`."""
    faulty.wrappers(faulty.folder / "bin")
    return run(
        faulty.folder, "-i", "nodes.yml", "--plan", "plan.yml", "--ask", "n02", "--format", "json",
        "--topology", "topology.yml", "--runs-dir", "runs",
        PATH=f"{faulty.folder / 'bin'}:{os.environ['PATH']}",
    )  # fmt: skip


def test_every_planted_fault_and_nothing_else_is_named_through_a_node(walked):
    assert told(walked) == NAMED | SIMULATED, walked.stderr
    assert walked.returncode == 1
    assert "walked from n02" in json.loads(walked.stdout)["origin"]


def test_a_run_is_judged_again_offline_with_its_plan_and_its_walker(faulty, walked):
    (kept,) = (faulty.folder / "runs").glob("*-fabric-*")
    again = spoken(faulty.folder, "judge", str(kept), "--format", "json", PATH="")
    assert (again.returncode, again.stderr) == (1, "")
    assert again.stdout == walked.stdout
    refused = spoken(faulty.folder, "judge", str(kept), "--playbook", "nightly")
    assert refused.returncode == 2
    assert refused.stderr.endswith("is of a fabric, which has none\n")


@pytest.mark.lab
def test_over_ssh_the_first_node_that_can_walk_does(lab, tmp_path):
    """n01 has the tools and no way into the subnet; n02 is asked instead, and no fault is lost."""
    inside = ("nsenter", "-t", str(lab.pid("n02")), "-n")
    (tmp_path / "plan.yml").write_text(PLAN)
    with Fabric(tmp_path, PLANTED, inside) as played:
        places = {tool: f"/usr/local/sbin/{tool}" for tool in TOOLS[2:]}
        for tool, place in places.items():
            lab.do("n02", "/bin/sh", "-c", f"cat >{place}; chmod 755 {place}",
                   stdin=played.wrapper(tool))  # fmt: skip
        try:
            done = run(
                tmp_path, "-i", str(lab.inventory), "-F", str(lab.ssh_config), "--plan", "plan.yml",
                "--format", "json", "--runs-dir", "runs",
            )  # fmt: skip
        finally:
            lab.do("n02", "rm", *places.values())
    assert told(done) == NAMED | SIMULATED, done.stderr
    assert "walked from n02" in json.loads(done.stdout)["origin"]


def test_without_a_plan_the_same_cables_are_unlike_their_peers(faulty):
    done = run(faulty.folder, *saved(), "--format", "json")
    misplaced = {("warn", *rest) for _, *rest in NAMED if rest[0] == "cabling"}
    others = {one for one in NAMED if one[1] != "cabling"}
    assert told(done) == misplaced | others | SIMULATED, done.stderr
    assert done.returncode == 1


def test_a_sound_fabric_has_nothing_to_act_on(tmp_path):
    with Fabric(tmp_path) as played:
        save(played)
    done = run(tmp_path, *saved(), "--plan", "plan.yml", "--format", "json")
    assert told(done) == SIMULATED
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert len(document["cables"]) == len(cabled())
    assert document["nodes"]["n09"] == [f"leaf-p2-r{rail}" for rail in range(RAILS)]


def test_half_a_walk_is_never_a_sound_fabric(faulty, tmp_path):
    text = (faulty.folder / "nd").read_text()
    (tmp_path / "half").write_text(text[: len(text) // 2])
    done = run(tmp_path, "--from", "half", "--format", "json")
    assert ("unknown", "observed", "half", "ibnetdiscover") in told(done)
    assert done.returncode in (1, 4)


def test_the_topology_that_it_writes_is_one_that_localise_reads(faulty):
    run(faulty.folder, *saved("nd"), "--plan", "plan.yml", "--topology", "topo.yml")
    topology = parse(yaml.safe_load((faulty.folder / "topo.yml").read_text()), "topo.yml")
    assert topology.nodes == tuple(f"n{number:02d}" for number in range(1, NODES + 1))
    assert topology.leaf.shape == (NODES, RAILS)
    assert topology.uplinks == 4
    assert list(topology.leaf[:, 0]) == [0] * 8 + [1] * 8
    assert topology.leaf[6, 1] == 0, "an unplugged port is where the plan has it"
    assert topology.leaf[4, 4] == topology.leaf[15, 4] == 1, "n05 hangs on the other pod's leaf"


@pytest.mark.parametrize("columns", ["80", "200"])
def test_the_screen_is_folded_and_fits(faulty, columns):
    done = run(faulty.folder, *saved(), "--plan", "plan.yml", COLUMNS=columns)
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert len(lines) < 100
    assert all(word in done.stdout for word in ("n03", "swapped", "leaf-p2-r4/20", "spine-1/16"))


def test_what_is_no_walk_is_refused_in_one_line(tmp_path):
    (tmp_path / "nd").write_text("bash: ibnetdiscover: command not found\n")
    done = run(tmp_path, "--from", "nd")
    assert done.returncode == 2
    assert done.stderr.startswith("clusterctl: --from nd: no link in it: expected what ibnet")
    assert done.stderr.count("\n") == 1

"""Twelve planted faults, real traffic, default rounds: the right part is named first."""

from __future__ import annotations

import csv
import importlib.util
import io
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from fabric import NIC_KBIT, Net
from lab import Lab, missing

from clusterctl import catalog
from clusterctl.bandwidth import folder
from clusterctl.cli.rounds import lead
from clusterctl.cli.rounds_begun import Order, begun
from clusterctl.cli.world import Flags, now, reach, targets
from clusterctl.localise.located import Located
from clusterctl.model import Collective, Playbook, Stage
from clusterctl.run import World, load

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(bool(missing()), reason=f"no lab here: {missing()}"),
]

KNOBS = {"seconds": 0.4, "streams": 1, "engine": "built-in"}
HEALTHY_GBIT_S = NIC_KBIT / 1e6


def measured(net: Net, runs_dir: Path, **settings: object) -> Path:
    """The folder of a run over the whole fabric."""
    flags = Flags(
        [net.inventory()],
        "",
        "",
        None,
        accept_new=False,
        runs_dir=runs_dir,
        ssh_config=net.lab.ssh_config,
        seed=7,
    )
    order = Order(KNOBS, folder.Settings(**settings), None, "", "")
    return lead(begun(order, flags), flags)


def located(net: Net, runs_dir: Path, **settings: object) -> Located:
    return folder.located(measured(net, runs_dir, **settings))


Plant = Callable[[Net], None]


def harm(*components: str, share: float = 0.5) -> Plant:
    def plant(net: Net) -> None:
        for component in components:
            net.harm(component, share)

    return plant


PLANTED: dict[str, tuple[Plant, list[str]]] = {
    "a NIC sends slowly": (harm("nic-tx:n03/1"), ["nic-tx:n03/1"]),
    "a NIC receives slowly": (harm("nic-rx:n06/0"), ["nic-rx:n06/0"]),
    "a NIC both ways": (harm("nic:n11/1"), ["nic-rx:n11/1", "nic-tx:n11/1"]),
    "a host": (harm("host:n14"), ["host:n14"]),
    "a leaf": (harm("leaf:2/0"), ["leaf:2/0"]),
    "an uplink": (harm("uplink:1/0>1"), ["uplink:1/0>1"]),
    "a downlink": (harm("downlink:0>3/1"), ["downlink:0>3/1"]),
    "a spine": (harm("spine:1"), ["spine:1"]),
    "two at once": (harm("nic-rx:n16/1", "uplink:0/0>0"), ["nic-rx:n16/1", "uplink:0/0>0"]),
    "a link that flaps": (lambda net: net.flap("nic-tx:n09/1"), ["nic-tx:n09/1"]),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_the_slow_part_is_named_first(fabric: Net, tmp_path: Path, fault: str) -> None:
    plant, expected = PLANTED[fault]
    plant(fabric)

    found = located(fabric, tmp_path)

    assert sorted(one.component for one in found.suspects[: len(expected)]) == sorted(expected)
    assert all(0.2 < one.rate < 0.8 for one in found.suspects[: len(expected)])


def test_a_healthy_fabric_is_cleared_and_says_so_offline_too(fabric: Net, tmp_path: Path) -> None:
    path = measured(fabric, tmp_path, floor_gbit_s=HEALTHY_GBIT_S / 2)

    for verb in ("show", "judge"):
        command = [sys.executable, "-m", "clusterctl", verb, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "no path is slower than its peers" in done.stdout
        assert "16 pass of 16 nodes" in done.stdout


def test_where_all_are_slow_no_part_is_blamed_but_the_whole(fabric: Net, tmp_path: Path) -> None:
    fabric.harm("all", 0.5)

    found = located(fabric, tmp_path, floor_gbit_s=HEALTHY_GBIT_S * 0.8, confirm=0)

    assert found.suspects == ()
    assert found.population
    assert found.population[0].gbit_s < HEALTHY_GBIT_S * 0.6


def test_a_stopped_run_goes_on_and_a_node_that_is_off_is_missing(
    fabric: Net, tmp_path: Path
) -> None:
    fabric.lab.ask_keeper(do="off", node="n16")
    command = [sys.executable, "-m", "clusterctl", "bandwidth"]
    there = ["--runs-dir", str(tmp_path), "-F", str(fabric.lab.ssh_config)]
    knobs = ["--seconds", "0.4", "--streams", "1", "--engine", "built-in", "--seed", "7"]
    order = ["-i", str(fabric.inventory()), "--rounds", "2", "--confirm", "0", *knobs]
    try:
        first = subprocess.Popen([*command, *order, *there], stderr=subprocess.PIPE, text=True)
        while not (rounds := [path.read_text() for path in tmp_path.glob("*/measured.csv")]):
            assert first.poll() is None
            time.sleep(0.05)
        first.send_signal(signal.SIGINT)
        assert "--resume" in first.communicate()[1]
        assert first.returncode == 130

        resumed = [*command, "--resume", "2", *there, "--format", "csv"]
        done = subprocess.run(resumed, capture_output=True, text=True, check=False)
    finally:
        fabric.lab.ask_keeper(do="fresh", node="n16")
        fabric.lab.await_sshd(["n16"])

    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    kept = list(csv.DictReader(io.StringIO(rounds[0])))
    assert done.returncode == 4, done.stdout + done.stderr
    assert {row["round"] for row in rows} == {"0", "1"}
    assert [row["gbit_s"] for row in rows[: len(kept)]] == [row["gbit_s"] for row in kept]
    for row in rows:
        assert row["status"] == ("missing" if "n16" in {row["src"], row["dst"]} else "ok")
    assert any("n16: it did not answer" in row["why"] for row in rows)


PYTHON = "/usr/bin/python3"
SAME = f"{sys.version_info.major}.{sys.version_info.minor}" in str(Path(PYTHON).resolve())
TORCH = "/usr/local/bin/python-with-torch"


def lend_torch(lab: Lab, node: str) -> None:
    """The node has this machine's Python; give it the packages of the one that runs the tests."""
    site = Path(sysconfig.get_path("platlib"))
    lab.lend(node, site, "/opt/site-packages")
    lab.write(node, TORCH, f'#!/bin/sh\nexec env PYTHONPATH=/opt/site-packages {PYTHON} "$@"\n')
    lab.do(node, "chmod", "755", TORCH)


@pytest.mark.parametrize("engine", ["built-in", "pytorch"])
def test_an_all_reduce_crosses_the_fabric_at_the_rate_of_its_ports(
    fabric: Net, tmp_path: Path, engine: str
) -> None:
    """Ring of n: each port carries 2(n-1)/n of the size, and busbw is what it carries a second."""
    if engine == "pytorch" and (importlib.util.find_spec("torch") is None or not SAME):
        pytest.skip("no PyTorch for the nodes' Python here: gloo is not tried")
    trial = catalog.all_trials()["all_reduce"]
    knobs = {"engine": engine, "sizes": ["256K"], "rail": 0, "seconds": 1.0, "ranks": 1}
    more = {}
    if engine == "pytorch":
        for name in ("n01", "n05", "n09", "n13"):
            lend_torch(fabric.lab, name)
        more = {"device": "cpu", "python": TORCH}
    stage = Stage(trial, {**trial.params, **knobs, **more})
    book = Playbook("collective", stages=(stage,))
    flags = Flags([fabric.inventory()], "n[01,05,09,13]", "", None, accept_new=False)
    nodes = targets(flags)
    flags = replace(flags, ssh_config=fabric.lab.ssh_config)

    with ExitStack() as closing:
        connect = reach(book.pace, flags, nice=0, closing=closing)
        world = World(lambda _reading, node_s: connect(node_s), now, 7, "r")
        seen = load(stage, nodes, book, world, Random(7))

    facts = [fact for one in seen for fact in one.facts if isinstance(fact, Collective)]
    assert facts, [one.troubles for one in seen]
    assert all(fact.wrong == 0 for fact in facts)
    assert all(fact.nodes == ("n01", "n05", "n09", "n13") for fact in facts)
    for fact in facts:
        assert fact.busbw_gbyte_s == pytest.approx(fact.algbw_gbyte_s * 1.5, rel=0.01)
        # A port's rate in full at the most, and a burst; less where this machine is busy.
        assert 0.05 < fact.busbw_gbyte_s * 8 / HEALTHY_GBIT_S < 1.1

"""Twelve planted faults, real traffic, default rounds: the right part is named first."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fabric import NIC_KBIT, Net
from lab import missing

from clusterctl import bandwidth_folder as folder
from clusterctl.cli.rounds import Order, begun, lead
from clusterctl.cli.world import Flags
from clusterctl.localise.located import Located

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

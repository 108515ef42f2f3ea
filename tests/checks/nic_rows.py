"""Tables of the checks about NICs in depth: signal quality, settings, bonds, rails."""

from __future__ import annotations

from dataclasses import replace

from rows import Row, row
from sample_ports import IB

from clusterctl.model import BitErrors, Bond, Optic, Setting, Version

CLEAN = BitErrors(
    "mlx5_0/1",
    fec="RS-FEC",
    raw_ber=5e-10,
    effective_ber=1.5e-254,
    lane_ber=(1e-10, 1e-10, 4e-10, 5e-10),
    effective_errors=0,
)
LIGHT = Optic("mlx5_0/1", rx_mw=(2.0, 2.0, 2.0, 2.0))
DIM = replace(LIGHT, rx_mw=(2.0, 2.0, 1.2, 2.0))
PORT = {"mlx5_0/1": "warn"}

BIT_ERRORS = (
    row("clean", CLEAN, LIGHT, IB, expect={"mlx5_0/1": "pass"}),
    row("bits left wrong", replace(CLEAN, effective_ber=2e-12), expect={"mlx5_0/1": "fail"}),
    row("at the limit", replace(CLEAN, effective_ber=1e-12), expect={"mlx5_0/1": "pass"}),
    row("hard at work", replace(CLEAN, raw_ber=2e-5), expect=PORT, says="works hard"),
    row(
        "a dim lane with ten times the errors",
        replace(CLEAN, lane_ber=(1e-10, 1e-10, 2e-9, 1e-10)),
        DIM,
        expect=PORT,
        says="lane 3",
    ),
    row(
        "a dark lane is the dimmest",
        replace(CLEAN, lane_ber=(1e-10, 1e-10, 2e-9, 1e-10)),
        replace(LIGHT, rx_mw=(2.0, 2.0, 0.0, 2.0)),
        expect=PORT,
        says="lane 3",
    ),
    row(
        "where all lanes are dark none is dimmer",
        CLEAN,
        replace(LIGHT, rx_mw=(0.0, 0.0, 0.0, -0.1)),
        expect={"mlx5_0/1": "pass"},
    ),
    row("a dim lane without errors", CLEAN, DIM, expect={"mlx5_0/1": "pass"}),
    row(
        "errors on a lane with light enough",
        replace(CLEAN, lane_ber=(1e-10, 1e-10, 2e-9, 1e-10)),
        LIGHT,
        expect={"mlx5_0/1": "pass"},
    ),
    row("the device complains", replace(CLEAN, advice="Bad signal integrity"), expect=PORT),
    row(
        "errors that came since",
        replace(CLEAN, effective_errors=7),
        earlier=(CLEAN,),
        expect=PORT,
        says="since the last reading",
    ),
    row(
        "errors from before a reboot",
        replace(CLEAN, effective_errors=7),
        earlier=(CLEAN,),
        same_boot=False,
        expect={"mlx5_0/1": "pass"},
    ),
    row("no counters asked", BitErrors("mlx5_0/1", fec="RS-FEC"), expect={"mlx5_0/1": "skip"}),
    row(
        "a dark port",
        replace(CLEAN, effective_ber=1.0),
        replace(IB, state="down"),
        expect={"mlx5_0/1": "skip"},
    ),
)


def setting(name, value, next_boot=None):
    return Setting(f"mlx5_0/{name}", "mlx5_0", name, value, next_boot or value)


NIC_SETTINGS = (
    row("in force", setting("MAX_ACC_OUT_READ", "44"), expect={"mlx5_0": "pass"}),
    row("too few reads", setting("MAX_ACC_OUT_READ", "16"), expect={"mlx5_0": "warn"}),
    row(
        "a change that waits",
        setting("PCI_WR_ORDERING", "per_mkey(0)", "force_relax(1)"),
        expect={"mlx5_0": "warn"},
        says="waits for a reboot",
    ),
    row(
        "one waits, one is fine",
        setting("SRIOV_EN", "False(0)", "True(1)"),
        setting("MAX_ACC_OUT_READ", "0"),
        expect={"mlx5_0": "warn"},
    ),
    row(
        "only the next boot is told",
        Setting("mlx5_0/MAX_ACC_OUT_READ", "mlx5_0", "MAX_ACC_OUT_READ", None, "128"),
        expect={"mlx5_0": "pass"},
    ),
)

BOND = Bond(
    "bond0",
    "IEEE 802.3ad Dynamic link aggregation",
    "active",
    members={"eth0": "active", "eth1": "active"},
    rates_gbit_s={"eth0": 100.0, "eth1": 100.0},
    aggregators={"eth0": "1", "eth1": "1"},
    partner="02:00:00:00:00:01",
)
BONDS = (
    row("all up", BOND, expect={"bond0": "pass"}),
    row(
        "one leg down",
        replace(BOND, members={"eth0": "active", "eth1": "down"}),
        expect={"bond0": "fail"},
        says="eth1 down",
    ),
    row("down", replace(BOND, state="down"), expect={"bond0": "fail"}),
    row("empty", replace(BOND, members={}), expect={"bond0": "fail"}),
    row(
        "two aggregators",
        replace(BOND, aggregators={"eth0": "1", "eth1": "2"}),
        expect={"bond0": "fail"},
        says="eth1 apart",
    ),
    row(
        "the switch is silent",
        replace(BOND, partner="00:00:00:00:00:00"),
        expect={"bond0": "fail"},
    ),
    row(
        "one leg slower",
        replace(BOND, rates_gbit_s={"eth0": 100.0, "eth1": 25.0}),
        expect={"bond0": "warn"},
        says="eth1: 25",
    ),
)


def rails(name, *values, rate=400.0):
    for number, value in enumerate(values):
        device = f"mlx5_{number}"
        yield replace(IB, part=f"{device}/1", device=device, rate_gbit_s=rate)
        yield Version(name.format(device), value)


RAILS = (
    row("alike", *rails("rdma/{}/pfc", "3", "3", "3", "3"), expect={"rails": "pass"}),
    row("one lossy", *rails("rdma/{}/pfc", "3", "3", "off", "3"), expect={"mlx5_2": "warn"}),
    row(
        "one GID table of another order",
        *rails("rdma/{}/1/gids", "3 RoCE v2 IPv4", "3 RoCE v2 IPv4", "1 RoCE v2 IPv4"),
        expect={"mlx5_2": "warn"},
        says="gids",
    ),
    row(
        "one without relaxed ordering",
        *rails("pcie/{}/relaxed_ordering", "on", "on", "on", "off"),
        expect={"mlx5_3": "warn"},
        says="relaxed ordering",
    ),
    row(
        "one with another firmware",
        *rails("firmware/{}", "28.41.1000", "28.41.1000", "28.39.1002"),
        expect={"mlx5_2": "warn"},
    ),
    row(
        "the storage NIC is no rail",
        *rails("rdma/{}/pfc", "3", "3", "3"),
        replace(IB, part="mlx5_9/1", device="mlx5_9", rate_gbit_s=200.0),
        Version("rdma/mlx5_9/pfc", "off"),
        expect={"rails": "pass"},
    ),
    row(
        "another board is no rail",
        *rails("firmware/{}", "28.41", "28.41", "28.41", "22.36"),
        Version("board/mlx5_3", "MT_0000000359"),
        expect={"rails": "pass"},
    ),
    row("two are no majority", *rails("rdma/{}/pfc", "3", "off"), expect={"rails": "skip"}),
)
TABLES: dict[str, tuple[Row, ...]] = {
    "bit_errors": BIT_ERRORS,
    "nic_settings": NIC_SETTINGS,
    "bonds": BONDS,
    "rail_settings": RAILS,
}

"""Tables of the checks about ports, their modules and the paths between nodes."""

from __future__ import annotations

from dataclasses import replace

from rows import Row, gap, row
from sample_ports import DOWN, ETH, IB, NAMES

from clusterctl.model import Bandwidth, Latency, Neighbour, Optic, Port


def all_but(name, odd, usual=IB):
    return {n: (odd if n == name else usual,) for n in NAMES}


STATE = (
    row("up", IB, expect={"mlx5_0/1": "pass"}),
    row("down, alone: nobody says it should be up", DOWN, expect={"mlx5_0/1": "warn"}),
    row("switched off, alone", replace(ETH, state="down", enabled=False), expect={"eth0": "warn"}),
    row(
        "waiting for a subnet manager",
        replace(IB, state="init"),
        expect={"mlx5_0/1": "warn"},
        says="subnet manager",
    ),
    row(
        "a bridge of software is not judged",
        replace(ETH, part="docker0", pci=None, state="down"),
        expect={"docker0": "skip"},
    ),
    row("a port that does not say", replace(ETH, state="unknown"), expect={"eth0": "unknown"}),
    row(
        "fewer than the SKU has", IB, limits={"rdma_ports_active": 8}, expect={"rdma ports": "fail"}
    ),
    Row("down where peers are up", all_but("n2", DOWN), {"n2 mlx5_0/1": "fail"}),
    Row(
        "init where peers are up", all_but("n2", replace(IB, state="init")), {"n2 mlx5_0/1": "fail"}
    ),
    Row(
        "a port that does not say, where peers are up",
        all_but("n2", replace(IB, state="unknown")),
        {"n2 mlx5_0/1": "unknown"},
    ),
    Row("down on all peers is not in use", dict.fromkeys(NAMES, (DOWN,)), {"n1 mlx5_0/1": "skip"}),
    Row("up where all peers are down is fine", all_but("n2", IB, DOWN), {"n2 mlx5_0/1": "pass"}),
    Row(
        "a port that is gone is missed by its peers",
        {n: () if n == "n2" else (IB,) for n in NAMES},
        {"n2 mlx5_0/1": "fail"},
    ),
    Row("two nodes are no majority", {"n1": (IB,), "n2": (DOWN,)}, {"n2 mlx5_0/1": "warn"}),
    row(
        "as many RDMA ports as the SKU has",
        IB,
        ETH,
        limits={"rdma_ports_active": 1},
        expect={"rdma ports": "pass"},
    ),
    row(
        "Ethernet and dark ports are no active RDMA ports",
        DOWN,
        ETH,
        limits={"rdma_ports_active": 1},
        expect={"rdma ports": "fail", "mlx5_0/1": "warn"},
    ),
    row(
        "switched off is said so",
        replace(ETH, part="eth1", state="down", enabled=False),
        expect={"eth1": "warn"},
        says="switched off",
    ),
    Row(
        "a port that was not seen is not missing",
        {n: () if n == "n2" else (IB,) for n in NAMES},
        {"n2 mlx5_0/1": "unknown"},
        gaps={"n2": {Port: gap("mlx5_0/1", "mlx5_1/1")}},
        says="no answer in 20 s",
    ),
    Row(
        "the silence of a source that never tells of this port hides nothing",
        {n: () if n == "n2" else (IB,) for n in NAMES},
        {"n2 mlx5_0/1": "fail"},
        gaps={"n2": {Port: gap("eth0", "eth1")}},
    ),
    Row(
        "what it could not say of another port hides nothing of this one",
        {n: () if n == "n2" else (IB,) for n in NAMES},
        {"n2 mlx5_0/1": "fail"},
        gaps={"n2": {Port: gap("mlx5_0/1", "mlx5_1/1", part="mlx5_1/1")}},
    ),
    Row(
        "who saw no port has no say whether peers have one",
        {n: (IB,) if n in NAMES[:3] else () for n in NAMES},
        {f"{n} mlx5_0/1": "unknown" for n in NAMES[3:]},
        gaps={n: {Port: gap("mlx5_0/1")} for n in NAMES[3:]},
    ),
    row(
        "fewer than the SKU has, and not all were seen",
        IB,
        limits={"rdma_ports_active": 8},
        gaps={"n1": {Port: gap("mlx5_0/1", "mlx5_1/1")}},
        expect={"rdma ports": "unknown"},
    ),
    row(
        "fewer than the SKU has, and all of RDMA was seen",
        IB,
        limits={"rdma_ports_active": 8},
        gaps={"n1": {Port: gap("eth0")}},
        expect={"rdma ports": "fail"},
    ),
)


RATE = (
    row("as expected", IB, limits={"port_gbit_s": 400}, expect={"mlx5_0/1": "pass"}),
    row(
        "half of what is expected",
        replace(IB, rate_gbit_s=200.0),
        limits={"port_gbit_s": 400},
        expect={"mlx5_0/1": "fail"},
    ),
    row(
        "an expected speed that no port is held to",
        ETH,
        limits={"port_gbit_s": 400},
        expect={"ports": "unknown", "eth0": "skip"},
    ),
    row(
        "Ethernet held to it by name",
        ETH,
        limits={"port_gbit_s": 25, "ports": ("eth*",)},
        expect={"eth0": "fail"},
    ),
    row(
        "could do more",
        replace(IB, rate_gbit_s=200.0, rate_max_gbit_s=400.0),
        expect={"mlx5_0/1": "warn"},
    ),
    row("does all it can", replace(IB, rate_max_gbit_s=400.0), expect={"mlx5_0/1": "pass"}),
    row("nothing to compare with", IB, expect={"mlx5_0/1": "skip"}),
    row("down has no speed", DOWN, expect={"mlx5_0/1": "skip"}),
    row("half duplex", replace(ETH, duplex="half"), expect={"eth0": "fail"}),
    row(
        "silent where peers speak",
        replace(IB, rate_gbit_s=None),
        reported=frozenset({("Port", "mlx5_core", "rate_gbit_s")}),
        expect={"mlx5_0/1": "unknown"},
    ),
    Row(
        "half the rate of its peers",
        all_but("n4", replace(IB, rate_gbit_s=200.0)),
        {"n4 mlx5_0/1": "fail", "n1 mlx5_0/1": "pass"},
    ),
)


LIT = Optic("mlx5_0/1", temp_c=50.0, rx_mw=(1.0, 1.1, 0.9, 1.0))


OPTICS = (
    row("even light", LIT, IB, expect={"mlx5_0/1": "pass"}),
    row(
        "a dark lane",
        replace(LIT, rx_mw=(1.0, 0.0, 0.9, 1.0)),
        IB,
        expect={"mlx5_0/1": "fail"},
        says="lane 2",
    ),
    row("a weak lane", replace(LIT, rx_mw=(1.0, 0.5, 0.9, 1.0)), IB, expect={"mlx5_0/1": "warn"}),
    row(
        "dark where the port is down is port_state's",
        replace(LIT, temp_c=None, rx_mw=(0.0,)),
        DOWN,
        expect={"mlx5_0/1": "skip"},
    ),
    row("an alarm", replace(LIT, alarms=("rx_power_low_alarm",)), IB, expect={"mlx5_0/1": "fail"}),
    row(
        "a warning", replace(LIT, alarms=("rx_power_low_warning",)), IB, expect={"mlx5_0/1": "warn"}
    ),
    row("hot", replace(LIT, temp_c=75.0), IB, expect={"mlx5_0/1": "warn"}),
    row("a copper cable measures nothing", Optic("mlx5_0/1"), IB, expect={"mlx5_0/1": "skip"}),
    row(
        "silent where peers speak",
        replace(LIT, temp_c=None),
        IB,
        reported=frozenset({("Optic", "", "temp_c")}),
        expect={"mlx5_0/1": "unknown"},
    ),
    row(
        "an alarm isolates",
        replace(LIT, alarms=("los",)),
        IB,
        expect={"mlx5_0/1": "fail"},
        says="isolate",
    ),
    row("70 °C may be", replace(LIT, temp_c=70.0), IB, expect={"mlx5_0/1": "pass"}),
    row(
        "alarms of a port that is down are port_state's",
        replace(LIT, temp_c=None, alarms=("los",)),
        DOWN,
        expect={"mlx5_0/1": "skip"},
    ),
    row("no lane told", replace(LIT, temp_c=None, rx_mw=()), IB, expect={"mlx5_0/1": "skip"}),
)


def path(rate, part="n1>n2", **rest):
    return Bandwidth(part, "tcp", rate, **rest)


def ring(rate):
    """Seven paths at 100 Gbit/s and one at this rate."""
    return {
        f"n{i}": (path(rate if i == 3 else 100.0 + i / 10, f"n{i}>n{i + 1}"),) for i in range(8)
    }


PAIRS = (
    row("above its floor", path(95.0), limits={"gbit_s": 90}, expect={"n1>n2": "pass"}),
    row("below its floor", path(80.0), limits={"gbit_s": 90}, expect={"n1>n2": "fail"}),
    row("nothing arrived", path(0.0), expect={"n1>n2": "fail"}),
    row(
        "wrong data at full speed",
        path(95.0, wrong=1),
        limits={"gbit_s": 90},
        expect={"n1>n2": "fail"},
    ),
    row("right data, no floor and no peers", path(95.0), expect={"n1>n2": "skip"}),
    row(
        "faster than its wire",
        path(950.0),
        limits={"ceiling_gbit_s": 100},
        expect={"n1>n2": "unknown"},
    ),
    Row(
        "one slow path among peers is said of both its ends",
        ring(50.0),
        {"n3 n3>n4": "fail", "n4 n3>n4": "fail", "n1 n1>n2": "pass"},
    ),
    Row("one per cent is no fault", ring(99.0), {"n3 n3>n4": "pass"}),
    Row("ten times its peers is a broken test", ring(2000.0), {"n3 n3>n4": "unknown"}),
    row(
        "exactly its floor",
        path(90.0, wrong=0),
        limits={"gbit_s": 90, "ceiling_gbit_s": 90},
        expect={"n1>n2": "pass"},
    ),
)


def delay(median, part="n1>n2", **rest):
    return Latency(part, "tcp", 64, 1000, median, 3 * median, **rest)


def others(odd):
    return {f"n{i}": (delay(odd if i == 3 else 30.0, f"n{i}>n{i + 1}"),) for i in range(8)}


DELAYS = (
    row("below its limit", delay(1.0), limits={"p99_us": 4.2}, expect={"n1>n2": "pass"}),
    row("exactly at it", delay(1.0), limits={"p99_us": 3.0}, expect={"n1>n2": "pass"}),
    row("above it", delay(2.0), limits={"p99_us": 4.2}, expect={"n1>n2": "fail"}),
    row("in no time", delay(0.0), limits={"p99_us": 4.2}, expect={"n1>n2": "unknown"}),
    row("no limit and no peers", delay(1.0), expect={"n1>n2": "skip"}),
    Row(
        "one slow path among peers is said of both its ends",
        others(90.0),
        {"n3 n3>n4": "fail", "n4 n3>n4": "fail", "n1 n1>n2": "pass"},
    ),
    Row("twice its peers is not yet a fault", others(60.0), {"n3 n3>n4": "pass"}),
)

NEAR, FAR = Port("eth0", "eth0", "active"), Port("p1", "p1", "active")
HEARS = {"n1": Neighbour("eth0", "leaf-1", "p1"), "leaf-1": Neighbour("p1", "n1", "eth0")}
LIGHT = (1.0, 1.0)
ENDS = (
    Row(
        "both ends are well",
        {"n1": (NEAR, HEARS["n1"]), "leaf-1": (FAR, HEARS["leaf-1"])},
        {"n1 eth0": "pass", "leaf-1 p1": "skip"},
    ),
    Row(
        "the far end sends no light",
        {
            "n1": (NEAR, HEARS["n1"], Optic("eth0", tx_mw=LIGHT, rx_mw=(1.0, 0.0))),
            "leaf-1": (FAR, Optic("p1", tx_mw=(1.0, 0.0), rx_mw=LIGHT)),
        },
        {"leaf-1 p1": "fail"},
        says="sends no light",
    ),
    Row(
        "a module that says less than nothing was sent sends nothing",
        {
            "n1": (NEAR, HEARS["n1"], Optic("eth0", tx_mw=LIGHT, rx_mw=LIGHT)),
            "leaf-1": (FAR, Optic("p1", tx_mw=(-0.2, 1.0), rx_mw=LIGHT)),
        },
        {"n1 eth0": "pass", "leaf-1 p1": "skip"},
    ),
    Row(
        "down at both ends",
        {
            "n1": (replace(NEAR, state="down"), HEARS["n1"]),
            "leaf-1": (replace(FAR, state="down"),),
        },
        {"n1 eth0": "fail"},
        says="down at n1 eth0 and leaf-1 p1",
    ),
    Row(
        "a far end that nobody asked",
        {"n1": (NEAR, HEARS["n1"]), "n2": (NEAR,)},
        {"n1 eth0": "skip", "n2 node": "skip"},
    ),
    Row(
        "a far end that does not show the port",
        {"n1": (NEAR, HEARS["n1"]), "leaf-1": (replace(FAR, part="p9", device="p9"),)},
        {"leaf-1 p1": "unknown"},
    ),
)

TABLES = {
    "link_ends": ENDS,
    "optics": OPTICS,
    "pair_bandwidth": PAIRS,
    "pair_latency": DELAYS,
    "port_rate": RATE,
    "port_state": STATE,
}

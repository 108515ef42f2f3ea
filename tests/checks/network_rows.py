"""Tables of the checks about ports, their modules and the paths between nodes."""

from __future__ import annotations

from dataclasses import replace

from rows import Row, row

from clusterctl.model import Bandwidth, KernelEvent, Optic, Port

NAMES = ("n1", "n2", "n3", "n4", "n5", "n6")
IB = Port(
    "mlx5_0/1",
    "mlx5_0",
    "active",
    "infiniband",
    "linkup",
    400.0,
    driver="mlx5_core",
    pci="0000:a1:00.0",
)
ETH = Port(
    "eth0",
    "eth0",
    "active",
    "ethernet",
    rate_gbit_s=10.0,
    duplex="full",
    driver="ice",
    pci="0000:02:00.0",
)
DOWN = replace(IB, state="down", phys_state="polling", rate_gbit_s=None)


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


def counting(port=IB, **counters):
    return replace(port, counters=counters)


ERRORS = (
    row(
        "no rise",
        counting(symbol_error=7),
        earlier=(counting(symbol_error=7),),
        expect={"mlx5_0/1": "pass"},
    ),
    row("first reading is not asked", counting(symbol_error=7), expect={"mlx5_0/1": "skip"}),
    row(
        "other boot is not asked",
        counting(symbol_error=7),
        same_boot=False,
        earlier=(counting(symbol_error=0),),
        expect={"mlx5_0/1": "skip"},
    ),
    row(
        "120 symbol errors an hour may be",
        counting(symbol_error=120),
        earlier=(counting(symbol_error=0),),
        expect={"mlx5_0/1": "pass"},
    ),
    row(
        "121 may not",
        counting(symbol_error=121),
        earlier=(counting(symbol_error=0),),
        expect={"mlx5_0/1": "fail"},
    ),
    row(
        "many in many hours are few",
        counting(symbol_error=121),
        seconds=86400.0,
        earlier=(counting(symbol_error=0),),
        expect={"mlx5_0/1": "pass"},
    ),
    row(
        "a counter at its ceiling is mute, not quiet",
        counting(symbol_error=65535),
        earlier=(counting(symbol_error=65535),),
        expect={"mlx5_0/1": "unknown"},
    ),
    row(
        "one local integrity error",
        counting(local_link_integrity_errors=1),
        earlier=(counting(local_link_integrity_errors=0),),
        expect={"mlx5_0/1": "fail"},
    ),
    row(
        "one after a reset",
        counting(local_link_integrity_errors=1),
        earlier=(counting(local_link_integrity_errors=9),),
        expect={"mlx5_0/1": "fail"},
    ),
    row(
        "reset to zero is no rise",
        counting(local_link_integrity_errors=0),
        earlier=(counting(local_link_integrity_errors=9),),
        expect={"mlx5_0/1": "pass"},
    ),
    row(
        "retraining",
        counting(link_error_recovery=100),
        seconds=60.0,
        earlier=(counting(link_error_recovery=0),),
        expect={"mlx5_0/1": "warn"},
    ),
    row(
        "broken frames",
        counting(ETH, rx_crc_errors_phy=1),
        earlier=(counting(ETH, rx_crc_errors_phy=0),),
        expect={"eth0": "warn"},
    ),
    row(
        "congestion is told, never failed",
        counting(np_cnp_sent=10**9, rx_prio3_pause=10**9),
        earlier=(counting(np_cnp_sent=0, rx_prio3_pause=0),),
        expect={"mlx5_0/1": "warn"},
        says="congestion",
    ),
    row("traffic is not judged", counting(port_xmit_data=5), expect={"mlx5_0/1": "skip"}),
    row(
        "traffic between two readings is not judged",
        counting(port_xmit_data=10**12),
        earlier=(counting(port_xmit_data=0),),
        expect={"mlx5_0/1": "skip"},
    ),
    row(
        "a broken cable is isolated",
        counting(symbol_error=9999),
        earlier=(counting(symbol_error=0),),
        expect={"mlx5_0/1": "fail"},
        says="isolate",
    ),
    row(
        "a thousand marks are no congestion",
        counting(np_cnp_sent=1000),
        earlier=(counting(np_cnp_sent=0),),
        expect={"mlx5_0/1": "pass"},
    ),
)


def down(port="eth0", seconds_ago=60.0):
    return KernelEvent(port, "link", "down", f"{port}: Link is Down", seconds_ago=seconds_ago)


FLAPS = (
    row(
        "no flap",
        counting(link_downed=3),
        earlier=(counting(link_downed=3),),
        expect={"mlx5_0/1": "pass"},
    ),
    row("first reading is not asked", counting(link_downed=3), expect={"mlx5_0/1": "skip"}),
    row("counts nothing", IB, expect={"mlx5_0/1": "skip"}),
    row(
        "once a day",
        counting(link_downed=4),
        seconds=86400.0,
        earlier=(counting(link_downed=3),),
        expect={"mlx5_0/1": "warn"},
    ),
    row(
        "once within the hour we watched",
        counting(link_downed=4),
        earlier=(counting(link_downed=3),),
        expect={"mlx5_0/1": "fail"},
    ),
    row(
        "carrier changes count both ways",
        counting(ETH, carrier_changes=14),
        seconds=86400.0,
        earlier=(counting(ETH, carrier_changes=4),),
        expect={"eth0": "warn"},
        says="5 down",
    ),
    row(
        "seven flaps a day",
        counting(ETH, carrier_changes=18),
        seconds=86400.0,
        earlier=(counting(ETH, carrier_changes=4),),
        expect={"eth0": "fail"},
    ),
    row(
        "at its ceiling of 255",
        counting(link_downed=255),
        earlier=(counting(link_downed=255),),
        expect={"mlx5_0/1": "unknown"},
    ),
    row("six in the log", ETH, *[down()] * 6, expect={"eth0": "fail"}),
    row("one in the log", ETH, down(), expect={"eth0": "warn"}),
    row(
        "old ones in the log",
        counting(ETH, carrier_changes=1),
        *[down(seconds_ago=90_000)] * 6,
        earlier=(counting(ETH, carrier_changes=1),),
        expect={"eth0": "pass"},
    ),
    row(
        "another port's",
        counting(ETH, carrier_changes=1),
        *[down("eth1")] * 6,
        earlier=(counting(ETH, carrier_changes=1),),
        expect={"eth0": "pass"},
    ),
    row("five in the log", ETH, *[down()] * 5, expect={"eth0": "warn"}),
    row(
        "by the name of its network device",
        replace(IB, netdev="ib0"),
        *[down("ib0")] * 6,
        expect={"mlx5_0/1": "fail"},
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
    Row("one slow path among peers", ring(50.0), {"n3 n3>n4": "fail", "n1 n1>n2": "pass"}),
    Row("one per cent is no fault", ring(99.0), {"n3 n3>n4": "pass"}),
    Row("ten times its peers is a broken test", ring(2000.0), {"n3 n3>n4": "unknown"}),
    row(
        "exactly its floor",
        path(90.0, wrong=0),
        limits={"gbit_s": 90, "ceiling_gbit_s": 90},
        expect={"n1>n2": "pass"},
    ),
)
TABLES = {
    "link_flaps": FLAPS,
    "optics": OPTICS,
    "pair_bandwidth": PAIRS,
    "port_errors": ERRORS,
    "port_rate": RATE,
    "port_state": STATE,
}

"""Tables of the checks about the counters of ports."""

from __future__ import annotations

from dataclasses import replace

from rows import row
from sample_ports import ETH, IB, counting

from clusterctl.model import KernelEvent

ERRORS = (
    row(
        "no rise",
        counting(symbol_error=7),
        earlier=(counting(symbol_error=7),),
        expect={"mlx5_0/1": "pass"},
    ),
    row(
        "a counter that is gone is mute, not quiet",
        counting(port_rcv_errors=7),
        earlier=(counting(port_rcv_errors=7, symbol_error=7),),
        expect={"mlx5_0/1": "unknown"},
        says="symbol_error was there",
    ),
    row(
        "a counter that another driver does not have",
        counting(port_rcv_errors=7),
        same_boot=False,
        earlier=(counting(port_rcv_errors=7, symbol_error=7),),
        expect={"mlx5_0/1": "skip"},
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
        "none in the last day of its own history",
        replace(IB, downs_s_ago=(90000.0,)),
        expect={"mlx5_0/1": "pass"},
    ),
    row(
        "one in the last day of its own history",
        replace(IB, downs_s_ago=(3600.0, 90000.0)),
        expect={"mlx5_0/1": "warn"},
        says="1 down",
    ),
    row(
        "six in the last day of its own history",
        replace(IB, downs_s_ago=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)),
        expect={"mlx5_0/1": "fail"},
    ),
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

TABLES = {
    "link_flaps": FLAPS,
    "port_errors": ERRORS,
}

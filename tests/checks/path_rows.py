"""What the checks of paths within a node and of a rack's power say of which facts."""

from __future__ import annotations

from rows import Row, row

from clusterctl.model import Copy, Power

WIRE = {"h2d_gbyte_s": 48, "ceiling_h2d_gbyte_s": 63}
PATH = "host>gpu0"


def copy(gbyte_s, **rest):
    return Copy(PATH, "built-in CUDA", gbyte_s, **({"wrong": 0} | rest))


COPIES = (
    row("between floor and wire", copy(55.0), limits=WIRE, expect={PATH: "pass"}),
    row("exactly at its floor", copy(48.0), limits=WIRE, expect={PATH: "pass"}),
    row("below its floor", copy(47.0), limits=WIRE, expect={PATH: "fail"}, says="below the floor"),
    row("faster than the wire", copy(64.0), limits=WIRE, expect={PATH: "unknown"}, says="broken"),
    row("nothing arrived", copy(0.0), limits=WIRE, expect={PATH: "fail"}),
    row("wrong bytes at full speed", copy(55.0, wrong=3), limits=WIRE, expect={PATH: "fail"}),
    row("no floor and no peers", copy(55.0), expect={PATH: "skip"}),
    row("both ways at once is another number", copy(90.0, both_ways=True), expect={PATH: "skip"}),
)

RACK = {"labels": {"rack": "r1"}, "limits": {"budget_w": 1000}}


def drawn(power_w, *, whole=True):
    return Power("node", "ipmitool", power_w, whole=whole)


RACKS = (
    row("within the budget", drawn(900.0), expect={"rack=r1": "pass"}, **RACK),
    row("over it", drawn(1100.0), expect={"rack=r1": "fail"}, says="100 W more", **RACK),
    row("within, seen in part", drawn(900.0, whole=False), expect={"rack=r1": "unknown"}, **RACK),
    row("over, seen in part", drawn(1100.0, whole=False), expect={"rack=r1": "fail"}, **RACK),
    Row(
        "one was not seen",
        {"n1": (drawn(900.0),), "n2": ()},
        {"n1 rack=r1": "unknown", "n2 rack=r1": "unknown"},
        **RACK,
    ),
    row("nobody said how much", drawn(900.0), expect={"node": "skip"}, labels={"rack": "r1"}),
)

TABLES = {"gpu_bandwidth": COPIES, "rack_power": RACKS}

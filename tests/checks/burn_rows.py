"""Tables of the checks about burns."""

from __future__ import annotations

from dataclasses import replace

from rows import Row, gap, row

from clusterctl.model import (
    Burn,
)

NAMES = ("n1", "n2", "n3", "n4", "n5", "n6")

BURN = Burn(
    "cpu", "stress-ng", 60.0, amount=1e9, unit="operations", rate=100.0, rate_unit="gop_s", errors=0
)

BURN_ERRORS = (
    row("right", BURN, expect={"cpu": "pass"}),
    row("one wrong", replace(BURN, errors=1), expect={"cpu": "fail"}, says="isolate"),
    row("not checked is not right", replace(BURN, errors=None), expect={"cpu": "unknown"}),
    row("nothing computed", replace(BURN, rate=0.0), expect={"cpu": "fail"}),
    row(
        "says nothing of what it computed",
        replace(BURN, rate=None, amount=None),
        expect={"cpu": "unknown"},
    ),
    row("an amount is work too", replace(BURN, rate=None), expect={"cpu": "pass"}),
    row("all that was asked", replace(BURN, covered=0.25, asked=0.25), expect={"cpu": "pass"}),
    row("but for rounding", replace(BURN, covered=0.2499, asked=0.25), expect={"cpu": "pass"}),
    row(
        "half of what was asked is not tested",
        replace(BURN, covered=0.125, asked=0.25),
        expect={"cpu": "unknown"},
        says="12.5 % loaded",
    ),
    row(
        "six cores of a hundred gave no result",
        replace(BURN, covered=0.94, asked=1.0, detail="94 of 100 cores"),
        expect={"cpu": "unknown"},
        says="94 of 100 cores",
    ),
    row(
        "how much was loaded is not said",
        replace(BURN, covered=None, asked=1.0),
        expect={"cpu": "unknown"},
    ),
    row(
        "a wrong result counts however little was loaded",
        replace(BURN, errors=1, covered=0.01, asked=1.0),
        expect={"cpu": "fail"},
    ),
    row("nothing was loaded", replace(BURN, covered=0.0, asked=1.0), expect={"cpu": "fail"}),
)


def burned(rate):
    return {
        n: (replace(BURN, rate=rate if n == "n2" else 100.0 + i / 10),) for i, n in enumerate(NAMES)
    }


BURN_RATE = (
    row("above its floor", BURN, limits={"cpu_gop_s": 90}, expect={"cpu": "pass"}),
    row("below its floor", BURN, limits={"cpu_gop_s": 110}, expect={"cpu": "fail"}),
    row("above its ceiling", BURN, limits={"cpu_gop_s_ceiling": 99}, expect={"cpu": "unknown"}),
    row("no rate", replace(BURN, rate=None), expect={"cpu": "unknown"}),
    row("zero is not slow, it is nothing", replace(BURN, rate=0.0), expect={"cpu": "fail"}),
    row("no floor and no peers", BURN, expect={"cpu": "skip"}),
    Row("half as fast as its peers", burned(50.0), {"n2 cpu": "fail", "n1 cpu": "pass"}),
    Row("seven per cent slower", burned(93.0), {"n2 cpu": "warn"}),
    Row("one per cent slower is the same", burned(99.0), {"n2 cpu": "pass"}),
    Row("faster is no fault", burned(120.0), {"n2 cpu": "pass"}),
    Row("a hundred times faster is a broken test", burned(1e4), {"n2 cpu": "unknown"}),
    row("exactly its floor", BURN, limits={"cpu_gop_s": 100}, expect={"cpu": "pass"}),
    row(
        "exactly its ceiling",
        BURN,
        limits={"cpu_gop_s": 90, "cpu_gop_s_ceiling": 100},
        expect={"cpu": "pass"},
    ),
)
STORAGE = replace(BURN, part="storage:/scratch", rate=0.1, rate_unit="gbyte_s")


def stored(*rates):
    return {node: (replace(STORAGE, rate=r),) for node, r in zip(NAMES, rates, strict=False)}


ALL, FLOOR = "storage:/scratch", {"gbyte_s": 0.25}
STORAGE_TOTAL = (
    Row("three together", stored(0.1, 0.1, 0.1), {f"n1 {ALL}": "pass"}, limits=FLOOR),
    Row(
        "together less than it should carry", stored(0.1, 0.1),
        {f"n1 {ALL}": "fail", f"n2 {ALL}": "fail"}, limits=FLOOR, says="0.2 GB/s by 2 nodes",
    ),
    Row("no floor is no pass", stored(0.1, 0.1), {f"n1 {ALL}": "skip"}),
    Row(
        "one without a rate adds nothing", stored(0.3, None),
        {f"n1 {ALL}": "pass", f"n2 {ALL}": "skip"}, limits=FLOOR,
    ),
    Row(
        "together less, and one may have written unseen", {**stored(0.1, 0.1), "n3": (BURN,)},
        {f"n1 {ALL}": "unknown", f"n2 {ALL}": "unknown", "n3 storage": "unknown"},
        limits=FLOOR, gaps={"n3": {Burn: gap(ALL)}},
    ),
    row("no storage", BURN, expect={"storage": "skip"}),
)  # fmt: skip
TABLES = {
    "storage_total": STORAGE_TOTAL,
    "burn_errors": BURN_ERRORS,
    "burn_rate": BURN_RATE,
}

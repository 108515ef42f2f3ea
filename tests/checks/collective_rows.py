"""What the check of collective operations says of which facts."""

from __future__ import annotations

from rows import Row, row

from clusterctl.model import Collective

GIB = 1 << 30


def group(busbw, nodes="n1 n2", operation="all_reduce", **rest):
    names = tuple(nodes.split())
    words = {"size_bytes": 8 * GIB, "wrong": 0} | rest
    part = "+".join(names)
    return Collective(
        part, operation, "NCCL", names, 8 * len(names), algbw_gbyte_s=busbw / 2,
        busbw_gbyte_s=busbw, **words,
    )  # fmt: skip


def pairs(odd):
    """Six pairs at 100 GB/s or nearly, the third at this rate; each told by its first node."""
    nodes = {f"n{i}": () for i in range(12)}
    for i in range(0, 12, 2):
        rate = odd if i == 4 else 100.0 + i / 20
        nodes[f"n{i}"] = (group(rate, f"n{i} n{i + 1}"),)
    return nodes


PAIR = "n1+n2 all_reduce"
FLOOR = {"all_reduce_pair_gbyte_s": 90}
COLLECTIVES = (
    row("above its floor", group(95.0), limits=FLOOR, expect={PAIR: "pass"}),
    row("exactly at it", group(90.0), limits=FLOOR, expect={PAIR: "pass"}),
    row("below it", group(89.0), limits=FLOOR, expect={PAIR: "fail"}, says="ring: forced"),
    row("at nothing", group(0.0), expect={PAIR: "fail"}),
    row("right results, no floor, no peers", group(95.0), expect={PAIR: "skip"}),
    row("wrong results at full speed", group(95.0, wrong=1), limits=FLOOR, expect={PAIR: "fail"}),
    row(
        "wrong at a small size, right at the largest",
        group(1.0, wrong=3, size_bytes=1024),
        group(95.0),
        limits=FLOOR,
        expect={PAIR: "fail"},
        says="corruption",
    ),
    row(
        "fast, and nobody compared",
        group(95.0, wrong=None, unchecked="HCCL compared nothing"),
        limits=FLOOR,
        expect={PAIR: "unknown"},
        says="HCCL compared nothing",
    ),
    row(
        "slow, and nobody compared",
        group(50.0, wrong=None),
        limits=FLOOR,
        expect={PAIR: "fail"},
    ),
    row(
        "small messages are slow by nature",
        group(1.0, size_bytes=1024),
        group(95.0),
        limits=FLOOR,
        expect={PAIR: "pass"},
    ),
    row(
        "in place slower than out of place",
        group(95.0, in_place=False),
        group(80.0, in_place=True),
        limits=FLOOR,
        expect={PAIR: "fail"},
    ),
    row(
        "a floor of large messages says nothing of small ones",
        group(20.0, size_bytes=GIB),
        limits={**FLOOR, "floor_from_bytes": 8 * GIB},
        expect={PAIR: "skip"},
    ),
    row(
        "a floor with NVLS is none without",
        group(367.0, "n1"),
        limits={"all_reduce_nvls_node_gbyte_s": 431},
        expect={"n1 all_reduce": "skip"},
    ),
    row(
        "NVLS, and slow",
        group(367.0, "n1", offload="NVLS"),
        limits={"all_reduce_nvls_node_gbyte_s": 431},
        expect={"n1 all_reduce": "fail"},
    ),
    row(
        "faster than its wires",
        group(950.0),
        limits={"ceiling_all_reduce_pair_gbyte_s": 900},
        expect={PAIR: "unknown"},
    ),
    Row(
        "one slow pair among peers is said of both its nodes",
        pairs(90.0),
        {
            "n4 n4+n5 all_reduce": "fail",
            "n5 n4+n5 all_reduce": "fail",
            "n0 n0+n1 all_reduce": "pass",
            "n1 n0+n1 all_reduce": "pass",
        },
        says="93 %",
    ),
    Row("five per cent is no fault", pairs(95.0), {"n4 n4+n5 all_reduce": "pass"}),
    Row(
        "ten times its peers is a broken test",
        pairs(2000.0),
        {"n4 n4+n5 all_reduce": "unknown", "n5 n4+n5 all_reduce": "unknown"},
    ),
)
TABLES = {"collectives": COLLECTIVES}

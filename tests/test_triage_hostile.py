"""What nodes say may be anything: it is told, and never ends a triage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from triage_texts import Rank, cards, printed, texts

from clusterctl.triage.running.gpu_readings import gpus
from clusterctl.triage.running.job import gathered
from clusterctl.triage.running.live import judge
from clusterctl.triage.running.observed import Seen
from clusterctl.triage.running.readings import read

# What each node counts beside the job, so that all who look at that have something to look at.
COUNTED = {
    "memory.pswpin": 9,
    "memory.numa_hit": 2e6,
    "memory.numa_miss": 9,
    "nic.eth0.rx_packets": 2e6,
    "ethtool.eth0.rx_discards_phy": 2,
    "rdma.mlx5_0/1.port_xmit_data": 9e6,
    "nfs./d.READ.operations": 50,
    "nfs./d.READ.rtt_ms": 99,
    "disk.sda.reads": 9,
    "disk.sda.read_ms": 99,
    "now.backlog.eth0": 5,
}
CELLS = (
    *("NaN", "1e999", "1e300", "1e-300", "-5", "0", "null", "[]", "{}", "true", "1" * 400),
    *(json.dumps(text) for text in ("x", "\u00b2", "\x1b[2J")),
)
Rows = list[dict[str, object]]
Place = tuple[str | int, ...]


@pytest.fixture(scope="module")
def said() -> dict[str, Rows]:
    """Of four nodes: one is late, and one divides itself otherwise than the rest say."""
    ranks = [Rank(number, held=0.2, counted=COUNTED) for number in range(4)]
    ranks[2].late_as, ranks[1].parallel = "disk", {"pipeline": 2, "tensor": 1}
    return {node: [fuller(row) for row in rows_of(text)] for node, text in texts(ranks).items()}


def fuller(row: dict[str, object]) -> dict[str, object]:
    """With cells that not every job has; of looks only some, since most are alike."""
    match row["k"], row.get("looks"):
        case "rank", list(looks):
            crew = {"crew": 1, "crew_before": {"read_bytes": 0}, "crew_after": {"read_bytes": 9}}
            held = {"visible": "0,1", "devices": ["nvidia0"], "crew_looks": {"disk": 3}}
            return {**row, **crew, **held, "looks": looks[:24]}
        case "foreign", _:
            return {**row, "most": [["stress", 6, 900]]}
    return row


def rows_of(text: str) -> Rows:
    return [json.loads(line) for line in text.splitlines()[:-1]]


def places(cell: object, at: Place = ()) -> Iterator[Place]:
    """Ways to every cell that holds no other; of a list within a row, the first and the last."""
    if isinstance(cell, dict) and cell:
        for name, one in cell.items():
            yield from places(one, (*at, name))
    elif isinstance(cell, list) and cell:
        for place in sorted({0, len(cell) - 1}) if at else range(len(cell)):
            yield from places(cell[place], (*at, place))
    else:
        yield at


def with_cell(rows: Rows, at: Place, cell: str) -> str:
    """As printed, with a text, which need be no JSON, in place of one cell."""
    number, *inner, name = at
    row = json.loads(json.dumps(rows[int(number)]))
    here = row
    for step in inner:
        here = here[step]
    here[name] = "ODD"
    told = [row if place == number else other for place, other in enumerate(rows)]
    return printed(told).replace('"ODD"', cell)


def believed(seen: dict[str, Seen]) -> None:
    """Judged, and told in lines that a screen has room for."""
    found = judge(gathered(list(seen.values()), {}, Rank.job))
    for line in (*found.evidence, *(why for one in found.suspects for why in one.why)):
        assert len(line) < 400, line


@pytest.mark.parametrize("cell", CELLS)
def test_no_value_of_any_cell_raises(said: dict[str, Rows], cell: str) -> None:
    """Nor of one of a few nodes, so that it is held against the others, and they against it."""
    seen = {
        node: replace(read(node, printed(rows)), gpus=tuple(gpus(cards(1800))[0]))
        for node, rows in said.items()
    }
    for at in places(said["n02"]):
        odd = read("n02", with_cell(said["n02"], at, cell))
        believed(seen | {"n02": replace(odd, gpus=seen["n02"].gpus)})
    struck = rows_of(cards(1700, 0x40, errors=3))
    for at in places(struck):
        found, _ = gpus(with_cell(struck, at, cell))
        believed(seen | {"n02": replace(seen["n02"], gpus=tuple(found))})


@pytest.mark.parametrize("value", [0, -5, 1e-300, 1e300])
def test_no_value_of_the_same_cell_of_most_nodes_raises(
    said: dict[str, Rows], value: float
) -> None:
    """So that it is what is usual, and their spread."""
    names = ("ready_ns", "main_run_ns", "busy_us", "segments_out", "us", *COUNTED)
    for name in names:
        seen = {}
        for at, (node, rows) in enumerate(said.items()):
            own = value * (1 + at) if at < 3 else 9e9
            told = [
                {**row, "after": {**after, name: own}}
                if isinstance(after := row.get("after"), dict) and name in after
                else row
                for row in rows
            ]
            seen[node] = read(node, printed(told))
        believed(seen)
    for power, clock in ((value, 1800.0), (400.0, value)):
        odd = gpus(cards(clock, power=power))[0], gpus(cards(clock, 0x40, 3 * power))[0]
        believed({node: replace(one, gpus=tuple(odd[node == "n02"])) for node, one in seen.items()})


def test_no_cut_and_no_garbage_raises_and_every_cut_is_seen(said: dict[str, Rows]) -> None:
    text = printed(said["n02"])
    others = {node: read(node, printed(rows)) for node, rows in said.items() if node != "n02"}
    struck = cards(1700, 0x40, errors=3)
    rng = Random(5)
    for _ in range(60):
        at = rng.randrange(len(text) - 1)
        seen = read("n02", text[:at])
        assert seen.troubles
        believed(others | {"n02": seen})
        odd = rng.choice('"[]{}:,0\x00é-e\u00b2')
        at_card = rng.randrange(len(struck) - 1)
        found, _ = gpus(struck[:at_card] + odd + struck[at_card + 1 :])
        flipped = read("n02", text[:at] + odd + text[at + 1 :])
        believed(others | {"n02": replace(flipped, gpus=tuple(found))})
        assert gpus(struck[:at_card])[1]

"""A campaign's folder as its controller leaves it, of any size, that no node took part in.

Readings are those of a real sweep of lab nodes, said again by every node as itself; journals are
made up.  Of every hundred nodes one is too hot, one counts ECC errors, one was cut short, and one
booted anew.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fleet import said
from synthetic_journals import journal

from clusterctl import playbook
from clusterctl.campaign.folder import DECISIONS, journal_of, prepare, reading_of
from clusterctl.model import Node, Run
from clusterctl.store import Recorder, describe
from clusterctl.transport.replay import Heard, line

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
PER_RACK = 8
ODD = {3: "hot", 6: "ecc", 9: "short", 12: "reboot"}  # of every hundred nodes
BOOK = {
    "name": "burnin-72h",
    "about": "72 hours of load, made up",
    "stages": [{"cpu_burn": {"seconds": 1200}}, {"gpu_burn": {"seconds": 1200}}],
    "soak": {"hours": 72, "load": [{"gpu_burn": {"seconds": 1200}}]},
}


def kind(number: int) -> str:
    return ODD.get(number % 100, "well")


def folder(
    runs: Path, count: int, sample: Sequence[Heard], *, hours: float = 72.0, link: bool = True
) -> Path:
    """`sample`: what one node said.  `link`: like journals are one file by many names."""
    nodes = tuple(
        Node(f"n{number:05d}", labels={"rack": f"r{(number - 1) // PER_RACK + 1:03}",
                                       "unit": str(number % PER_RACK + 1)})
        for number in range(1, count + 1)
    )  # fmt: skip
    book = playbook.build("synthetic", {**BOOK, "soak": {**BOOK["soak"], "hours": hours}})  # type: ignore[dict-item]
    recorder = Recorder(runs, "20260301T080000-burnin-72h-5eed")
    opening = Run("20260301T080000-burnin-72h-5eed", book, nodes, 7, START, START, (), (),
                  verb="burnin", complete=False)  # fmt: skip
    recorder.begin({**describe(opening), "campaign": {}})
    prepare(recorder.path)
    kinds = {
        "well": {"hours": hours + 2 / 3},
        "hot": {"hours": hours + 2 / 3, "hot": 24.0},
        "ecc": {"hours": hours + 2 / 3, "ecc_at": round(hours * 200)},
        "short": {"hours": hours / 3},
        "reboot": {"hours": hours + 2 / 3, "reboot_at": round(hours * 150)},
    }
    made: dict[str, Path] = {}
    for number, node in enumerate(nodes, 1):
        which, path = kind(number), journal_of(recorder.path, node.name)
        if which not in made:
            with path.open("wb") as file:
                file.writelines(journal(**kinds[which]))  # type: ignore[arg-type]
            made[which] = path
        else:
            (os.link if link else shutil.copyfile)(made[which], path)
        for reading in ("before", "after"):
            texts = "".join(line(one) + "\n" for one in said(node, sample))
            at = reading_of(recorder.path, node.name, reading)
            at.write_text(texts)
            when = START + timedelta(hours=73 if reading == "after" else 0)
            os.utime(at, (when.timestamp(), when.timestamp()))
    with (recorder.path / DECISIONS).open("w") as file:
        for number, node in enumerate(nodes, 1):
            for hour, decision in decided(kind(number), hours):
                at = (START + timedelta(hours=hour)).isoformat()
                file.write(json.dumps({"node": node.name, "at": at, **decision}) + "\n")
    return recorder.path


def decided(which: str, hours: float) -> list[tuple[float, dict[str, object]]]:
    why = "gave up: no answer" if which == "short" else "burnt"
    orders = [
        (0.1, {"do": "order", "id": f"s{stage}.1", "stage": stage, "group": ["?"], "index": 0})
        for stage in (0, 1)
    ]
    return [
        (0.0, {"do": "gate", "forced": ""}),
        (0.1, {"do": "start", "base": 0}),
        *orders,
        (0.7, {"do": "soak", "id": "soak1"}),
        (hours + 0.9, {"do": "end", "why": why}),
        (hours + 0.9, {"do": "stopped"}),
        (hours + 1.0, {"do": "read"}),
        (hours + 1.0, {"do": "done"}),
    ]

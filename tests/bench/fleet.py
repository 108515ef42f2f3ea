#!/usr/bin/env python3
"""A sweep of a fleet without its network: what hearing, judging, keeping and showing it cost here.

    tests/bench/fleet.py --nodes 1250

Two lab nodes of eight GPUs and eight ports are swept for real (root only; or give `--run`, the
folder of such a run).  What they said is then said again for every node of the fleet, with names,
serials and a share of faults of its own, through the transport that replays; the nightly playbook
judges it, the store keeps it, the reports show it, and the next night reads it back for its
counters.  wall and CPU of each step, and the highest resident memory until its end.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lab"))

from lab import start, stop

from clusterctl import run as flow
from clusterctl import store
from clusterctl.cli import collect_rarely
from clusterctl.cli.finish import write
from clusterctl.cli.options import Format
from clusterctl.cli.start import Provisional
from clusterctl.judge import Past, judge
from clusterctl.model import Answer, Kind, Node, Trouble
from clusterctl.playbook import load, skus
from clusterctl.transport import Shell, Transport
from clusterctl.transport.replay import Heard, Recording, Replay

T = TypeVar("T")
RACK = 8
# Every so many nodes: what it says instead, or that it says nothing at all.
DARK, BAD_ECC, PORT_DOWN, FULL, XID = 97, 41, 53, 67, 31
BOOT = re.compile(r"(?m)^boot\t[0-9a-f]{8}(-)")
XID_LINE = "line\t{at}\t0\tNVRM: Xid (PCI:0000:18:00): 79, pid=0, GPU has fallen off the bus.\n"


class Fleet:
    """A transport on which every node says what the sample said, as itself."""

    def __init__(self, sample: Sequence[Heard]) -> None:
        self.sample = sample

    def open(self, node: Node) -> AbstractContextManager[Shell]:
        return Replay(said(node, self.sample)).open(node)

    def knock(self, nodes: Iterable[Node]) -> Iterator[tuple[Node, Trouble | None]]:
        for node in nodes:
            dark = number(node) % DARK == 0
            yield node, Trouble(Kind.UNREACHABLE, "no answer within 5 s") if dark else None


def number(node: Node) -> int:
    return int(node.name[1:])


def said(node: Node, sample: Sequence[Heard]) -> Iterator[Heard]:
    for heard in sample:
        if heard.answer is not None:
            text = own(node, heard.answer)
            yield replace(heard, node=node.name, answer=replace(heard.answer, stdout=text))


def own(node: Node, answer: Answer) -> str:
    place = number(node)
    text = answer.stdout.replace("GPU-5a5a0001", f"GPU-5a5a{place:04x}")
    text = text.replace("16500001", f"165{place:05d}")
    text = BOOT.sub(rf"boot\t{place:08x}\1", text)
    match answer.name:
        case "nvml" if place % BAD_ECC == 0:
            return text.replace('"ecc_uncorrected_volatile":0', '"ecc_uncorrected_volatile":3', 1)
        case "sysfs_rdma" if place % PORT_DOWN == 0:
            return text.replace("/state\t4: ACTIVE", "/state\t1: DOWN", 1)
        case "mounts" if place % FULL == 0:
            rows = [row.split("\t") for row in text.split("\n")]
            full = [[*row[:3], "0", *row[4:]] if row[0] == "stat" else row for row in rows]
            return "\n".join("\t".join(row) for row in full)
        case "kernel_log" if place % XID == 0:
            head, _, rest = text.partition("window\t")
            text = f"{head}{XID_LINE.format(at=1000 + place)}window\t{rest}"
            return text.rstrip().rpartition("\t")[0] + f"\t{text.rstrip().count(chr(10))}\n"
    return text


def recorded(folder: Path) -> Path:
    """The folder of a real sweep of two lab nodes."""
    lab, holder = start(2)
    try:
        subprocess.run(
            [
                *(sys.executable, "-m", "clusterctl", "sweep", "-i", str(lab.inventory)),
                *("-F", str(lab.ssh_config), "--runs-dir", str(folder)),
            ],
            stdout=subprocess.DEVNULL,
            check=False,
        )
    finally:
        stop(holder)
    return next(folder.glob("*/run.json")).parent


def timed(step: str, work: Callable[[], T]) -> T:
    wall, cpu = time.monotonic(), time.process_time()
    result = work()
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{step:42}{wall:9.2f}{cpu:9.2f}{peak:11.0f}", flush=True)
    return result


def bench(sample: Sequence[Heard], count: int, folder: Path) -> None:
    book = load("nightly")
    nodes = [
        Node(f"n{place:05d}", labels={"rack": f"r{place // RACK}", "leaf": f"l{place // 32}"})
        for place in range(1, count + 1)
    ]
    recorder = store.Recorder(folder, "bench")
    recorder.begin({})
    provisional = Provisional(book, {node.name: node for node in nodes})

    def reach(reading: str, _node_s: float) -> Transport:
        return Recording(Fleet(sample), partial(recorder.hear, reading))

    world = flow.World(reach, lambda: datetime.now(UTC), 7, "bench", skus())
    telling = replace(world, tell=lambda _reading, _out, seen: provisional.fails(seen))
    probes = {probe.name: probe for probe in book.probes}
    asked = [(node, book.probes) for node in nodes]
    print(f"{count} nodes; load {Path('/proc/loadavg').read_text().split()[0]}")
    print(f"{'':42}{'wall s':>9}{'CPU s':>9}{'peak MiB':>11}")
    began = time.monotonic()
    seen = timed(
        "hear: parse, record, judge each for now",
        lambda: flow.look("now", asked, book, 90.0, telling),
    )
    found = timed("judge", lambda: judge(book, nodes, seen, probes=probes, skus=world.skus))
    run = flow.Run(
        "bench", book, tuple(nodes), 7, world.clock(), world.clock(), tuple(seen), tuple(found)
    )
    timed("store", lambda: recorder.finish(run))
    text = timed("report: table", lambda: shown(run, Format.TABLE))
    print(f"{'in all':42}{time.monotonic() - began:9.2f}")
    timed("report: JSON", lambda: shown(run, Format.JSON))
    kept = timed("read its readings back", lambda: store.observed(store.find(folder, "bench")))
    assert kept == run.observations
    past = Past(kept, 86400.0)
    timed(
        "judge, with the night before",
        lambda: judge(book, nodes, seen, probes=probes, skus=world.skus, past=past),
    )
    facts = sum(len(one.facts) for one in seen)
    print(f"{facts} facts, {len(found)} findings; the end of the table:")
    print("\n".join(text.strip().split("\n")[-3:]))


def shown(run: flow.Run, form: Format) -> str:
    file = StringIO()
    write(run, form, file, verbose=False)
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--nodes", type=int, default=1250)
    parser.add_argument("--run", type=Path, help="a recorded sweep of lab nodes")
    given = parser.parse_args()
    collect_rarely()
    with tempfile.TemporaryDirectory(prefix="clusterctl-bench-") as name:
        folder = Path(name)
        kept = store.stored(given.run or recorded(folder / "sample"))
        first = kept.about["nodes"][0]["name"]
        sample = [heard for heard in kept.heard("now") if heard.node == first]
        bench(sample, given.nodes, folder / "runs")


if __name__ == "__main__":
    main()

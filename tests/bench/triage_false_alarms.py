#!/usr/bin/env python3
"""How often triage accuses somebody of a healthy job, and how often it finds who is guilty.

    PYTHONPATH=tests/bench tests/bench/triage_false_alarms.py --jobs 1000
    PYTHONPATH=tests/bench tests/bench/triage_false_alarms.py --dumps DIR...

Simulated jobs of triage_fleet.py, each of its own size and noise, through the judge as it is; or
what real nodes of healthy jobs said, kept by `triage_lab.py --dump DIR --dump-all`.  A false alarm
is any suspect in the answer (those that only the ruled-out part tells do not count).  Recall: of
jobs with a cause planted at one rank, those whose first suspect is on that rank's node.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

from triage_fleet import Fault, run, shape, texts

from clusterctl.triage.running.gpu_readings import gpus
from clusterctl.triage.running.job import gathered
from clusterctl.triage.running.live import judge
from clusterctl.triage.running.readings import read
from clusterctl.triage.verdict import Cause, Triage

# kind, transports, magnitudes: of a step's work, but for `loss` and `port`: of the packets
PLANTED = (
    ("compute", "tcp", (0.1, 0.2, 0.5, 1.0)),
    ("sleep", "tcp", (0.1, 0.2, 0.5, 1.0)),
    ("disk", "tcp", (0.1, 0.2, 0.5, 1.0)),
    ("nfs", "tcp", (0.1, 0.2, 0.5, 1.0)),
    ("swap", "tcp", (0.1, 0.2, 0.5, 1.0)),
    ("cpu", "tcp", (0.1, 0.2, 0.5, 1.0)),
    ("quota", "tcp", (0.1, 0.2, 0.5, 1.0)),
    ("nic", "tcp", (0.5, 1.0, 3.0, 10.0)),
    ("loss", "tcp", (0.003, 0.01, 0.03, 0.1)),
    ("clock", "rdma", (0.1, 0.2, 0.5, 1.0)),
    ("power", "rdma", (0.1, 0.2, 0.5, 1.0)),
    ("sleep", "rdma", (0.1, 0.2, 0.5, 1.0)),
    ("port", "rdma", (0.003, 0.01, 0.03, 0.1)),
)


def judged(told: dict[str, tuple[str, str]]) -> Triage:
    seen = []
    for node, (job, cards) in told.items():
        one = read(node, job)
        seen.append(replace(one, gpus=tuple(gpus(cards)[0])) if cards else one)
    return judge(gathered(seen, {}))


def healthy(jobs: int, seed: int) -> Iterator[tuple[str, Triage]]:
    for number in range(jobs):
        rng = Random(f"healthy {seed} {number}")
        one = shape(rng)
        yield f"{number} {one}", judged(texts(run(one, Fault(), rng)))


def kept(folders: list[Path]) -> Iterator[tuple[str, Triage]]:
    for folder in folders:
        for path in sorted(folder.glob("*.json")):
            if path.name.startswith(("healthy-", "all-slow-")):
                told = json.loads(path.read_text())
                yield str(path), judged({node: (text, "") for node, text in told.items()})


def alarms(found: Iterator[tuple[str, Triage]], *, verbose: bool) -> None:
    causes: Counter[str] = Counter()
    false = total = 0
    for label, told in found:
        total += 1
        causes[str(told.cause)] += 1
        if told.suspects:
            false += 1
            one = told.suspects[0]
            print(f"FALSE {label}: {told.cause}, {one.what}, {one.confidence:.2f}: {one.why}")
        elif verbose and told.cause is not Cause.HEALTHY:
            print(f"{label}: {told.cause}: {told.evidence}")
    shown = ", ".join(f"{name} {count}" for name, count in causes.most_common())
    print(f"{total} healthy jobs: {false} accuse somebody; classes: {shown}", flush=True)


def recall(jobs: int, seed: int) -> None:
    print(f"\n{'planted':8} {'over':5}  named first, of {jobs}, by magnitude")
    for kind, transport, sizes in PLANTED:
        cells = []
        for size in sizes:
            good = 0
            for number in range(jobs):
                rng = Random(f"{kind} {transport} {size} {seed} {number}")
                one = replace(shape(rng), transport=transport, saves="nobody")
                # one step and a half in the window, at least
                one = replace(one, step_s=min(one.step_s, 4.0), cards=transport == "rdma")
                while one.world > 128:
                    one = replace(one, nodes=one.nodes // 2)
                fault = Fault(kind, rng.randrange(one.world), size)
                found = judged(texts(run(one, fault, rng)))
                node = f"n{fault.rank // one.per_node:03}"
                good += bool(found.suspects) and found.suspects[0].node == node
            cells.append(f"{size:g}: {good}")
        print(f"{kind:8} {transport:5}  " + "   ".join(f"{cell:>10}" for cell in cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--planted", type=int, default=20, help="jobs of each cause and magnitude")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dumps", type=Path, nargs="*", default=[])
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    if given.dumps:
        alarms(kept(given.dumps), verbose=given.verbose)
        sys.exit()
    if given.jobs:
        alarms(healthy(given.jobs, given.seed), verbose=given.verbose)
    if given.planted:
        recall(given.planted, given.seed)


if __name__ == "__main__":
    main()

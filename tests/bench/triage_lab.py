#!/usr/bin/env python3
"""Whether triage names what is wrong with a real job: a confusion matrix of planted causes.

    PYTHONPATH=tests:tests/lab:tests/bench tests/bench/triage_lab.py --engine gloo --repeat 20

Run as root: eight nodes of the lab, a rank of a real job on each (see triage_job.py and
triage_bed.py).  Causes take turns, each time at another rank.  `--dump FOLDER` keeps the nodes'
answers, `--cost` measures instead what triage costs the job.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from random import Random

from lab import Lab, start, stop
from triage_bed import PLANTS, Bed, Plant, bed, neighbours_end

from clusterctl.model import Node, Pace
from clusterctl.transport.ssh import Ssh
from clusterctl.transport.ssh_config import Surroundings
from clusterctl.triage.ask import JOB, Said, Wanted, ask, questions

HEAD_S = 2.0


def heard(lab: Lab, nodes: list[Node], seconds: float) -> list[Said]:
    around = Surroundings(home=lab.folder, environ={}, login="root", config=lab.ssh_config)
    with Ssh(Pace(), around=around, rng=Random(1), nice=19) as ssh:
        asked = questions(Wanted(), seconds, time.time() + HEAD_S)
        return ask([(node, asked[:1]) for node in nodes], ssh.within(seconds + 40), at_once=64)


def kept(said: list[Said], folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    told = {one.node: one.answers[JOB].stdout for one in said if JOB in one.answers}
    (folder / f"{name}.json").write_text(json.dumps(told))


def planted(bed: Bed, plant: Plant, victim: str, settle_s: float) -> None:
    plant.plant(bed, victim)
    time.sleep(settle_s)


def healed(bed: Bed) -> None:
    neighbours_end(bed)
    bed.heal()
    bed.await_steps(3)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--engine", choices=("gloo", "ring"), default="gloo")
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="between the readings")
    parser.add_argument("--settle", type=float, default=4.0, help="before the first reading")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--dump", type=Path)
    given = parser.parse_args()
    lab, holder = start(given.ranks)
    names = list(lab.nodes)
    job = bed(lab, names, given.engine)
    try:
        lab.await_sshd()
        job.begin()
        job.await_steps(5)
        print(f"step {job.recent_s(names[0]):.3f} s", flush=True)
        nodes = [Node(name) for name in names]
        rng = Random(7)
        for turn in range(given.repeat):
            for plant in PLANTS:
                if given.only and plant.name not in given.only:
                    continue
                victim = rng.choice(names)
                healed(job)
                planted(job, plant, victim, given.settle)
                said = heard(lab, nodes, given.seconds)
                step = job.recent_s(names[0], 5)
                print(f"{turn} {plant.name} at {victim}: step {step:.3f} s", flush=True)
                if given.dump:
                    kept(said, given.dump, f"{plant.name}-{victim}-{turn}")
    finally:
        job.end()
        stop(holder)


if __name__ == "__main__":
    main()

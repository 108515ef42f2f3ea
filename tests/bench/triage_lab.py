#!/usr/bin/env python3
"""Whether triage names what is wrong with a real job: a confusion matrix of planted causes.

    PYTHONPATH=tests:tests/lab:tests/bench tests/bench/triage_lab.py --engine gloo --repeat 20

Run as root: eight nodes of the lab, a rank of a real job on each (see triage_job.py and
triage_bed.py).  Causes take turns, each time at another rank, by counters alone: no stacks.  Right
is a class that is expected and, where there is a culprit, its node as the first suspect.
`--cost PAIRS` measures instead what triage takes from the job's steps.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from random import Random
from statistics import median

from lab import Lab, start, stop
from triage_bed import PLANTS, Bed, Plant, bed

from clusterctl.model import Node, Pace
from clusterctl.transport.ssh import Ssh
from clusterctl.transport.ssh_config import Surroundings
from clusterctl.triage.running.ask import JOB, Said, Wanted, ask, questions
from clusterctl.triage.running.job import gathered
from clusterctl.triage.running.live import judge
from clusterctl.triage.running.readings import read
from clusterctl.triage.verdict import Triage

HEAD_S = 1.5
DRAWS = 4000


def heard(lab: Lab, nodes: list[Node], seconds: float) -> list[Said]:
    around = Surroundings(home=lab.folder, environ={}, login="root", config=lab.ssh_config)
    with Ssh(Pace(), around=around, rng=Random(1), nice=19) as ssh:
        asked = questions(Wanted(), seconds, time.time() + HEAD_S)
        return ask([(node, asked[:1]) for node in nodes], ssh.within(seconds + 40), at_once=64)


def judged(said: list[Said]) -> Triage:
    silent = {one.node: str(one.trouble) for one in said if one.trouble}
    seen = [read(one.node, one.answers[JOB].stdout) for one in said if JOB in one.answers]
    return judge(gathered(seen, silent))


def kept(said: list[Said], folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    told = {one.node: one.answers[JOB].stdout for one in said if JOB in one.answers}
    (folder / f"{name}.json").write_text(json.dumps(told))


def right(plant: Plant, victim: str, found: Triage) -> bool:
    if str(found.cause) not in plant.expected:
        return False
    if not plant.culprit:
        return not found.suspects
    return bool(found.suspects) and found.suspects[0].node == victim


def matrix(rows: dict[str, Counter[str]], good: Counter[str]) -> str:
    names = sorted({name for row in rows.values() for name in row})
    lines = [f"{'planted':12} {'right':>8}  " + "  ".join(f"{name:>12}" for name in names)]
    for plant, row in rows.items():
        cells = "  ".join(f"{row[name] or '·':>12}" for name in names)
        lines.append(f"{plant:12} {good[plant]:>3} of {row.total():<2}  {cells}")
    return "\n".join(lines)


def repeated(job: Bed, given: argparse.Namespace) -> None:
    names = list(job.nodes)
    nodes = [Node(name) for name in names]
    rng = Random(given.seed)
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    good: Counter[str] = Counter()
    for turn in range(given.repeat):
        for plant in PLANTS:
            if given.only and plant.name not in given.only:
                continue
            victim = rng.choice(names)
            plant.plant(job, victim)
            time.sleep(given.settle)
            said = heard(job.lab, nodes, given.seconds)
            found = judged(said)
            step = job.recent_s(names[0], 5)
            job.heal(victim)
            fine = right(plant, victim, found)
            rows[plant.name][str(found.cause)] += 1
            good[plant.name] += fine
            named = found.suspects[0].what if found.suspects else "nobody"
            word = "right" if fine else "WRONG"
            print(
                f"{turn} {plant.name} at {victim}, step {step:.2f} s: {found.cause}, {named}, "
                f"{found.confidence:.2f}: {word}",
                flush=True,
            )
            if given.dump and (given.dump_all or not fine):
                kept(said, given.dump, f"{plant.name}-{victim}-{turn}")
            job.await_steps(3)
        print(matrix(rows, good), flush=True)


def again(folder: Path) -> None:
    """What nodes said, judged by the judge as it is now."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    good: Counter[str] = Counter()
    for plant in PLANTS:
        for path in sorted(folder.glob(f"{plant.name}-n[0-9]*-*.json")):
            victim, turn = path.stem.removeprefix(f"{plant.name}-").split("-")
            told = json.loads(path.read_text())
            found = judge(gathered([read(node, text) for node, text in told.items()], {}))
            rows[plant.name][str(found.cause)] += 1
            good[plant.name] += right(plant, victim, found)
            if not right(plant, victim, found):
                named = found.suspects[0].what if found.suspects else "nobody"
                print(f"{turn} {plant.name} at {victim}: {found.cause}, {named}: WRONG")
    print(matrix(rows, good))


def cost(job: Bed, given: argparse.Namespace) -> None:
    """Spans follow each other in an order that chance decides: with triage reading, and without."""
    names = list(job.nodes)
    nodes = [Node(name) for name in names]
    rng = Random(given.seed)
    with_it: list[float] = []
    without: list[float] = []
    for _ in range(given.cost):
        rates = {}
        for reading in rng.sample((True, False), 2):
            before, began = len(job.steps(names[0])), time.monotonic()
            if reading:
                heard(job.lab, nodes, given.seconds)
            time.sleep(max(0.0, began + given.seconds + HEAD_S + 4 - time.monotonic()))
            seconds = time.monotonic() - began
            rates[reading] = seconds / (len(job.steps(names[0])) - before)
        with_it.append(rates[True])
        without.append(rates[False])
    shares = [one / other - 1 for one, other in zip(with_it, without, strict=True)]
    noise = [one / other - 1 for one, other in zip(without[1:], without[:-1], strict=True)]
    for name, values in (("while it reads", shares), ("between spans without", noise)):
        drawn = sorted(median(rng.choices(values, k=len(values))) for _ in range(DRAWS))
        low, high = drawn[DRAWS // 40], drawn[-DRAWS // 40]
        print(f"{name:24} {median(values):+.2%} a step, 95 %: {low:+.2%} to {high:+.2%}")
    span = given.seconds + HEAD_S + 4
    print(f"over five minutes with one triage of {span:.0f} s: {median(shares) * span / 300:+.3%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--engine", choices=("gloo", "ring"), default="gloo")
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="between the readings")
    parser.add_argument("--settle", type=float, default=3.0, help="before the first reading")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--cost", type=int, default=0, help="pairs of spans, instead")
    parser.add_argument("--dump", type=Path, help="keep what nodes said where triage was wrong")
    parser.add_argument("--dump-all", action="store_true")
    parser.add_argument("--again", type=Path, help="judge what --dump-all kept, instead")
    given = parser.parse_args()
    if given.again:
        again(given.again)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    lab, holder = start(given.ranks)
    job = bed(lab, list(lab.nodes), given.engine)
    try:
        lab.await_sshd()
        job.begin()
        job.await_steps(5)
        print(f"{given.engine}, {given.ranks} ranks, step {job.recent_s('n01'):.3f} s", flush=True)
        if given.cost:
            cost(job, given)
        else:
            repeated(job, given)
    finally:
        job.end()
        stop(holder)


if __name__ == "__main__":
    main()

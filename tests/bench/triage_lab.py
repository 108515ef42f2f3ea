#!/usr/bin/env python3
"""Whether triage names what is wrong with a real job: a confusion matrix of planted causes.

    PYTHONPATH=tests:tests/lab:tests/bench tests/bench/triage_lab.py --engine gloo --repeat 20

Run as root: eight nodes of the lab, a rank of a real job on each (see triage_job.py and
triage_bed.py).  Causes take turns, each time at another rank, by counters alone, or with `--stacks`
together with them, as the command answers.  Right is a class that is expected and, where there is a
culprit, its node as the first suspect.  With `--dump DIR` what nodes said is kept, and a cell that
is kept there already is not run again: judged by the judge as it is, it counts as before; so twenty
rounds may take several sittings.  One folder for each engine, with stacks or without.
`--cost PAIRS` measures instead what triage takes from the job's steps.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from lab import Lab, start, stop
from triage_bed import PLANTS, Bed, Plant, bed, tell_cost

from clusterctl.model import Node, Pace
from clusterctl.transport.ssh import Ssh
from clusterctl.transport.ssh_config import Surroundings
from clusterctl.triage.agreed import with_stacks
from clusterctl.triage.running.ask import JOB, Said, Wanted, ask, questions
from clusterctl.triage.running.job import Job, gathered
from clusterctl.triage.running.live import judge
from clusterctl.triage.running.readings import read
from clusterctl.triage.stacks.asked_stacks import Looking, ask_stacks
from clusterctl.triage.stacks.spy import binaries
from clusterctl.triage.verdict import Triage

HEAD_S = 1.5


def ssh(lab: Lab) -> Ssh:
    around = Surroundings(home=lab.folder, environ={}, login="root", config=lab.ssh_config)
    return Ssh(Pace(), around=around, rng=Random(1), nice=19)


def heard(lab: Lab, nodes: list[Node], seconds: float) -> list[Said]:
    with ssh(lab) as reach:
        asked = questions(Wanted(), seconds, time.time() + HEAD_S)
        return ask([(node, asked[:1]) for node in nodes], reach.within(seconds + 40), at_once=64)


def judged(told: Mapping[str, str], silent: Mapping[str, str]) -> tuple[Job, Triage]:
    job = gathered([read(node, text) for node, text in told.items()], silent)
    return job, judge(job)


def answered(bed: Bed, given: argparse.Namespace) -> tuple[dict[str, str], Triage]:
    """What nodes said, and what triage makes of it, with their stacks where they are wanted."""
    nodes = [Node(name) for name in bed.nodes]
    said = heard(bed.lab, nodes, given.seconds)
    told = {one.node: one.answers[JOB].stdout for one in said if JOB in one.answers}
    job, found = judged(told, {one.node: str(one.trouble) for one in said if one.trouble})
    if not given.stacks:
        return told, found
    pids = {rank.node: {"pids": [rank.pid]} for rank in job.ranks}
    looking = Looking({}, binaries=binaries(), by_node=pids)
    with ssh(bed.lab) as reach:
        return told, with_stacks(found, ask_stacks(nodes, looking, reach.within, at_once=64))


@dataclass(frozen=True, slots=True)
class Cell:
    """One turn of one cause.  `verdict`: class and first suspect's node, as it was answered."""

    plant: Plant
    turn: int
    victim: str
    verdict: tuple[str, str]

    @property
    def stem(self) -> str:
        return f"{self.plant.name}-{self.victim}-{self.turn}"

    @property
    def right(self) -> bool:
        cause, node = self.verdict
        culprit = self.victim if self.plant.culprit else ""
        return cause in self.plant.expected and node == culprit


def verdict(found: Triage) -> tuple[str, str]:
    return str(found.cause), (found.suspects[0].node or "?") if found.suspects else ""


def keep(cell: Cell, told: Mapping[str, str], folder: Path) -> None:
    """What nodes said last, and at once: a cell whose run was cut short is run again."""
    (folder / f"{cell.stem}.verdict").write_text(" ".join(cell.verdict))
    part = folder / f"{cell.stem}.part"
    part.write_text(json.dumps(told))
    part.rename(folder / f"{cell.stem}.json")


def kept(plant: Plant, turn: int | str, folder: Path, *, stacks: bool) -> list[Cell]:
    """Judged by the judge as it is; with stacks, which are not kept, as it was answered."""
    cells = []
    for path in sorted(folder.glob(f"{plant.name}-n[0-9]*-{turn}.json")):
        victim, number = path.stem.removeprefix(f"{plant.name}-").split("-")
        if stacks:
            answer = path.with_suffix(".verdict").read_text().split(" ")
            cells.append(Cell(plant, int(number), victim, (answer[0], answer[1])))
            continue
        _, found = judged(json.loads(path.read_text()), {})
        cells.append(Cell(plant, int(number), victim, verdict(found)))
    return cells


def matrix(cells: Sequence[Cell]) -> str:
    names = sorted({cell.verdict[0] for cell in cells})
    lines = [f"{'planted':12} {'right':>8}  " + "  ".join(f"{name:>12}" for name in names)]
    for plant in dict.fromkeys(cell.plant for cell in cells):
        own = [cell for cell in cells if cell.plant is plant]
        row = Counter(cell.verdict[0] for cell in own)
        good = sum(cell.right for cell in own)
        shown = "  ".join(f"{row[name] or '·':>12}" for name in names)
        lines.append(f"{plant.name:12} {good:>3} of {len(own):<2}  {shown}")
    return "\n".join(lines)


def repeated(job: Bed, given: argparse.Namespace, done: list[Cell]) -> None:
    names = list(job.nodes)
    for turn in range(given.repeat):
        fresh = [one for one in wanted(given) if (one.name, turn) not in places(done)]
        for plant in fresh:
            victim = Random(f"{given.seed} {turn} {plant.name}").choice(names)
            began = time.monotonic()
            plant.plant(job, victim)
            time.sleep(given.settle)  # and HEAD_S more, until all nodes are connected and begin
            told, found = answered(job, given)
            step = job.recent_s(names[0], 5)
            job.heal(victim)
            job.await_steps(3)
            cell = Cell(plant, turn, victim, verdict(found))
            done.append(cell)
            print(
                f"{turn} {plant.name} at {victim}, step {step:.2f} s: {' '.join(cell.verdict)}, "
                f"{found.confidence:.2f}, {time.monotonic() - began:.1f} s: {word(cell)}",
                flush=True,
            )
            if given.dump:
                keep(cell, told, given.dump)
        if fresh:
            print(matrix(done), flush=True)


def wanted(given: argparse.Namespace) -> list[Plant]:
    return [plant for plant in PLANTS if not given.only or plant.name in given.only]


def places(done: Sequence[Cell]) -> set[tuple[str, int]]:
    return {(cell.plant.name, cell.turn) for cell in done}


def word(cell: Cell) -> str:
    return "right" if cell.right else "WRONG"


def again(folder: Path) -> None:
    """What nodes said, judged by the judge as it is now."""
    cells = [cell for plant in PLANTS for cell in kept(plant, "*", folder, stacks=False)]
    for cell in cells:
        if not cell.right:
            shown = " ".join(cell.verdict)
            print(f"{cell.turn} {cell.plant.name} at {cell.victim}: {shown}: WRONG")
    print(matrix(cells))


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
    share = tell_cost(rng, with_it, without, "while it reads")
    span = given.seconds + HEAD_S + 4
    print(f"over five minutes with one triage of {span:.0f} s: {share * span / 300:+.3%}")


def begun(given: argparse.Namespace) -> list[Cell]:
    """Cells of this bed that are kept already.  Raises SystemExit where they are of another bed."""
    if not given.dump:
        return []
    given.dump.mkdir(parents=True, exist_ok=True)
    bed_file = given.dump / "bed"
    this = f"{given.engine}, {given.ranks} ranks, {given.seconds:g} s, stacks: {given.stacks}"
    if bed_file.exists() and bed_file.read_text() != this:
        raise SystemExit(f"{given.dump} holds rounds of {bed_file.read_text()}; this is {this}")
    bed_file.write_text(this)
    return [
        cell
        for turn in range(given.repeat)
        for plant in wanted(given)
        for cell in kept(plant, turn, given.dump, stacks=given.stacks)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--engine", choices=("gloo", "ring"), default="gloo")
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=6.0, help="between the readings")
    parser.add_argument("--settle", type=float, default=0.5, help="before it connects")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--cost", type=int, default=0, help="pairs of spans, instead")
    parser.add_argument("--stacks", action="store_true", help="look at stacks, too")
    parser.add_argument("--dump", type=Path, help="keep what nodes say; skip what is kept there")
    parser.add_argument("--again", type=Path, help="judge what --dump kept, instead")
    given = parser.parse_args()
    if given.again:
        again(given.again)
        return
    done = begun(given)
    if not given.cost and all(
        (one.name, turn) in places(done) for one in wanted(given) for turn in range(given.repeat)
    ):
        print(matrix(done))
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
            repeated(job, given, done)
    finally:
        job.end()
        stop(holder)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Sixty nights of a fleet: is every fault on the page of its first morning, and silence else?

    tests/bench/nights.py --nights 60 --nodes 1250

nights_fleet.py says what the nodes say and what was planted; the sweep's own judge, store and
memory do the rest, night after night.  Prints what was told of each planted thing and when, what
was told of nothing planted, precision, recall, nights to notice, and CPU seconds a night.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from nights_fleet import DAY_S, PROBES, START, Fleet, Planted, attributed

from clusterctl import playbook
from clusterctl.catalog import all_checks, all_probes, all_trials
from clusterctl.cli import collect_rarely
from clusterctl.cli.finish import finish
from clusterctl.judge import NO_PAST, Past, judge
from clusterctl.memory import nights
from clusterctl.memory.life import CHANGES, Stage, Told
from clusterctl.memory.yardstick import OwnPast
from clusterctl.model import Observation, Playbook, Run, Status
from clusterctl.run import as_probe
from clusterctl.store import Recorder, describe

COPIES = as_probe(all_trials()["gpu_bandwidth"])  # measured where no job was
TIDYING = (Stage.CLEARED,)  # good news, of what was told before
AFTER = 30  # nights after which nobody speaks any more of what was mended


def book() -> Playbook:
    """The nightly one, of the probes that these nodes answer."""
    probes = tuple(all_probes()[name] for name in PROBES)
    kinds = {kind for probe in probes for kind in probe.yields}
    checks = [one for one in all_checks().values() if set(one.wants) <= kinds]
    return replace(playbook.load("nightly"), probes=probes, checks=tuple(checks))


@dataclass(frozen=True)
class Line:
    """One change on the page of a night, and what planted thing it is about, if any."""

    night: int
    told: Told
    about: Planted | None


@dataclass(frozen=True)
class Seen:
    """`floors`: (node, check, part) that a limit failed, by night."""

    lines: list[Line]
    floors: list[set[tuple[str, str, str]]]
    spent_s: list[float]


def live(fleet: Fleet, runs: Path) -> Seen:
    """Every night of the fleet, as `clusterctl sweep` has it from the answers on."""
    own, found = book(), Seen([], [], [])
    before: list[Observation] = []
    for night in range(fleet.nights):
        seen = fleet.night(night)
        began = time.process_time()
        run = judged(own, fleet, night, (seen, before), runs)
        recorder = Recorder(runs, run.id)
        recorder.begin(describe(run))
        folder = finish(run, recorder)
        page = nights.read(folder)
        found.spent_s.append(time.process_time() - began)
        if page is None:
            raise SystemExit(f"{folder}: has no page")
        found.lines.extend(
            Line(night, one, blamed(one, fleet, night)) for one in page.told if one.stage in CHANGES
        )
        found.floors.append(
            {
                (one.verdict.node, one.check, one.verdict.part)
                for one in run.findings
                if one.verdict.status in {Status.FAIL, Status.WARN}
                and one.verdict.yardstick == "floor"
            }
        )
        before = seen
    return found


def judged(
    own: Playbook,
    fleet: Fleet,
    night: int,
    readings: tuple[list[Observation], list[Observation]],
    runs: Path,
) -> Run:
    """`readings`: of this night and of the one before."""
    seen, before = readings
    at = START + timedelta(days=night)
    probes = {probe.name: probe for probe in (*own.probes, COPIES)}
    past = Past(before, DAY_S) if before else NO_PAST
    wide = replace(own, checks=(*own.checks, all_checks()["gpu_bandwidth"]))
    names = frozenset(check.name for check in wide.checks)
    findings = judge(
        *(wide, fleet.nodes, seen),
        probes=probes,
        skus=playbook.skus(),
        past=past,
        own_past=OwnPast(runs, names, at),
    )
    return Run(
        id=f"{at:%Y%m%dT%H%M%S}-nightly-{night:04x}",
        playbook=own,
        nodes=fleet.nodes,
        seed=7,
        started=at,
        finished=at + timedelta(minutes=4),
        observations=tuple(seen),
        findings=tuple(findings),
        past_s=past.seconds,
    )


def blamed(one: Told, fleet: Fleet, night: int) -> Planted | None:
    """What was planted where the line points, then or shortly before; the narrowest."""
    names = set(one.life.verdict.node.split(","))
    fits = [
        (len(nodes), place)
        for place, (planted, nodes) in enumerate(attributed(fleet.story, fleet.nodes))
        if names <= nodes and planted.first <= night < planted.last + AFTER
    ]
    return fleet.story[min(fits)[1]] if fits else None


# --------------------------------------------------------------------------- the score


@dataclass(frozen=True)
class Score:
    """`waited`: nights from the first to the first line, of what was noticed at all."""

    lines: int
    astray: list[Line]
    waited: dict[str, int | None]
    faults: int
    first_morning: int
    findings: dict[str, int]
    loud: list[int]
    quiet: int


def score(fleet: Fleet, seen: Seen) -> Score:
    of: dict[int, list[Line]] = {}
    for line in seen.lines:
        if line.about is not None and line.told.stage not in TIDYING:
            of.setdefault(id(line.about), []).append(line)
    waited: dict[str, int | None] = {}
    findings: dict[str, int] = {}
    for place, one in enumerate(fleet.story):
        lines = of.get(id(one), [])
        name = f"{place:02} {one.kind} {one.name}"
        waited[name] = lines[0].night - one.first if lines else None
        findings[name] = len({line.told.life.key for line in lines})
    faults = [name for name in waited if " fault " in name]
    quiet = list(quiet_nights(fleet))
    spoke = {line.night for line in seen.lines}
    return Score(
        lines=len(seen.lines),
        astray=[line for line in seen.lines if line.about is None],
        waited=waited,
        faults=len(faults),
        first_morning=sum(waited[name] == 0 for name in faults),
        findings=findings,
        loud=[night for night in quiet if night in spoke],
        quiet=len(quiet),
    )


def quiet_nights(fleet: Fleet) -> Iterator[int]:
    """Nights on which nothing planted begins, goes on getting worse, or was mended of late."""
    for night in range(fleet.nights):
        stirring = any(
            one.first <= night < one.last + 7
            if one.kind in {"flap", "rollout", "leaf", "decay"}
            else night == one.first or (one.last <= night < one.last + 7 and one.kind == "fault")
            for one in fleet.story
        )
        if not stirring:
            yield night


def floor_night(one: Planted, fleet: Fleet, seen: Seen) -> int | None:
    """The first night on which a limit of its own was passed on its nodes."""
    names = {fleet.nodes[place].name for place in one.nodes}
    for night, hit in enumerate(seen.floors):
        if night >= one.first and any(node in names for node, _, _ in hit):
            return night
    return None


def report(fleet: Fleet, seen: Seen) -> None:
    told = score(fleet, seen)
    print(f"{'planted':26}{'node':>12}{'first':>7}{'told':>6}{'floor':>7}  stages, checks")
    for (name, waited), one in zip(told.waited.items(), fleet.story, strict=True):
        lines = [line for line in seen.lines if line.about is one]
        words = Counter(f"{line.told.stage} {line.told.life.check}" for line in lines)
        shown = ", ".join(f"{count}x {word}" for word, count in words.items())
        who = fleet.nodes[min(one.nodes)].name + (
            f"+{len(one.nodes) - 1}" if len(one.nodes) > 1 else ""
        )
        floor = floor_night(one, fleet, seen)
        when = "never" if waited is None else str(one.first + waited)
        past = "-" if floor is None else str(floor)
        print(f"{name:26}{who:>12}{one.first:7}{when:>6}{past:>7}  {shown}")
    for line in told.astray[:20]:
        verdict = line.told.life.verdict
        print(
            f"astray: night {line.night}: {line.told.stage} {line.told.life.check} "
            f"{verdict.node[:40]} {verdict.part}: {verdict.actual}: {verdict.why}"
        )
    summary(told, seen)


def summary(told: Score, seen: Seen) -> None:
    right = told.lines - len(told.astray)
    waits = [wait for name, wait in told.waited.items() if " fault " in name and wait is not None]
    heard = sum(wait is not None for wait in told.waited.values())
    mean = sum(waits) / len(waits) if waits else 0.0
    spent_s = sum(seen.spent_s) / len(seen.spent_s)
    print(f"faults on the page of their first morning: {told.first_morning} of {told.faults}")
    print(f"recall: {heard} of {len(told.waited)} planted things were told")
    print(f"precision: {right} of {told.lines} lines are about something planted")
    print(f"nights to notice a fault: {mean:.2f} on average")
    silent = len(seen.spent_s) - len({line.night for line in seen.lines})
    print(f"nights without anything planted: {told.quiet}, of them with a line: {len(told.loud)}")
    print(f"nights on which nothing was printed: {silent} of {len(seen.spent_s)}")
    print(f"CPU a night: {spent_s:.1f} s, at most {max(seen.spent_s):.1f} s")


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--nights", type=int, default=60)
    parser.add_argument("--nodes", type=int, default=1250)
    parser.add_argument("--calm", action="store_true", help="plant nothing")
    parser.add_argument("--runs", type=Path, help="keep the runs here")
    given = parser.parse_args(words)
    collect_rarely()
    fleet = Fleet(given.nodes, given.nights, story=() if given.calm else None)
    with tempfile.TemporaryDirectory(prefix="clusterctl-nights-") as name:
        report(fleet, live(fleet, given.runs or Path(name)))


if __name__ == "__main__":
    main()

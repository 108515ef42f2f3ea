#!/usr/bin/env python3
"""How often `watch-job` cries wolf, and how soon it sees a real shift, over synthetic jobs.

PYTHONPATH=.:tests/bench tests/bench/watch_job.py --jobs 300
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from statistics import median

from synthetic_rhythm import Counted, Job, drawn, looked

from clusterctl.triage.watching.asked import JOB
from clusterctl.triage.watching.samples import Part
from clusterctl.triage.watching.state import Event, What
from clusterctl.triage.watching.watched import ALARMS, Watched
from clusterctl.triage.watching.watched import Job as Watching

LINE_S = 5.0
HEALTHY_S, HEALTHY_STEPS = 3600.0, 150
BEFORE_STEPS, BEFORE_S, AFTER_STEPS, AFTER_S = 90, 300.0, 150, 300.0


def watched(job: Job, counted: list[Counted]) -> list[Event]:
    """What the watch says of it, as lines of its nodes come in."""
    watch = Watching(cool_down_s=0.0)
    reads = ("cpu",) if job.style == "alone" else ("cpu", "sent")
    events = []
    for number in range(len(counted)):
        watch.nodes[f"n{number}"] = Watched(f"n{number}", reads=reads)
    places, ends = [0] * len(counted), [0.0] * len(counted)
    at = 0.0
    while all(place < len(one.steps) for place, one in zip(places, counted, strict=True)):
        at += LINE_S
        for number, one in enumerate(counted):
            first, begin = places[number], ends[number]
            while places[number] < len(one.steps) and ends[number] < at:
                ends[number] += one.steps[places[number]]
                places[number] += 1
            cut = slice(first, places[number])
            added = {"cpu": tuple(one.cpu[cut]), "sent": tuple(one.sent[cut])}
            if job.style == "alone":
                del added["sent"]
            if places[number] > first:
                part = Part(begin, tuple(one.steps[cut]), 0.0, added)
                watch.nodes[f"n{number}"].counts(part, JOB, at)
        event = watch.tick(at)
        if event is not None:
            events.append(event)
    return events


def run(job: Job, seconds: float, seed: int, nodes: int) -> list[Event]:
    """All nodes keep the same steps; each is looked at in its own moments."""
    counted = [looked(job, seconds, Random(seed)) for _ in range(nodes)]
    return watched(job, counted)


def told_of(events: Sequence[Event]) -> str:
    return ", ".join(
        f"{one.what} at {one.at:.0f} s: {one.before_s and round(one.before_s, 3)} to "
        f"{one.now_s and round(one.now_s, 3)}, work {one.work and round(one.work, 2)}"
        for one in events
    )


def healthy(count: int, first: int, nodes: int, *, loud: bool) -> None:
    told: Counter[str] = Counter()
    hours = 0.0
    for seed in range(first, first + count):
        job = drawn(Random(seed))
        seconds = max(HEALTHY_S, HEALTHY_STEPS * job.period_s)
        events = run(job, seconds, seed, nodes)
        hours += seconds / 3600
        learnt = [one.now_s or 0.0 for one in events if one.what is What.LEARNT]
        alarms = sum(one.what in ALARMS for one in events)
        told["false"] += alarms > 0
        told["alarms"] += alarms
        told["faster"] += any(one.what is What.FASTER for one in events)
        told[kind(learnt[-1] / job.period_s if learnt else 0.0)] += 1
        if loud and (alarms or not learnt):
            print(seed, job, told_of(events), flush=True)
    print(
        f"{count} healthy jobs, {hours:.0f} h: {told['false']} with a false shift "
        f"({told['alarms']} in all), {told['faster']} said to be faster; learnt: "
        f"{told['step']} the step, {told['part']} a part of it, {told['several']} several, "
        f"{told['nothing']} nothing",
        flush=True,
    )


def kind(ratio: float) -> str:
    """What was learnt, against the true step."""
    if not ratio:
        return "nothing"
    return "part" if ratio < 0.77 else "several" if ratio > 1.3 else "step"


def ailing(rng: Random, slower: float) -> tuple[Job, float, float]:
    """A job that gets slower, when it does, and how long it is watched after that."""
    job = drawn(rng)
    before = max(BEFORE_S, BEFORE_STEPS * job.period_s)
    fault = rng.choice(("waits", "dilates", "wires"))
    if job.style == "alone" and fault == "wires":
        fault = "waits"
    after = max(AFTER_S, AFTER_STEPS * job.period_s * slower)
    return replace(job, fault_s=before, slower=slower, fault=fault), before, after


def slow(count: int, first: int, nodes: int, slower: float, *, loud: bool) -> None:
    steps, delays_s, sizes, told = [0.0], [0.0], [], Counter[str]()
    for seed in range(first, first + count):
        job, before, after = ailing(Random(seed), slower)
        events = run(job, before + after, seed, nodes)
        told["early"] += any(one.what in ALARMS and one.at < before for one in events)
        told["ready"] += any(one.what is What.LEARNT and one.at < before for one in events)
        hits = [one for one in events if one.what in ALARMS and one.at >= before]
        if hits:
            told["seen"] += 1
            delays_s.append(hits[0].at - before)
            steps.append(delays_s[-1] / job.period_s / slower)
            sizes += [hits[0].times / slower] if hits[0].times else []
        elif loud:
            print("missed", seed, job, told_of(events), flush=True)
    ninth = sorted(steps)[int(0.9 * (len(steps) - 1))]
    right = sum(0.93 < one < 1.07 for one in sizes)
    print(
        f"slower by {slower:.2f}: {told['seen']} of {count} seen ({told['ready']} had learnt "
        f"before), {told['early']} too early; after {median(steps[1:] or steps):.0f} steps, nine "
        f"of ten within {ninth:.0f}; {median(delays_s[1:] or delays_s):.0f} s; size right within "
        f"7 %: {right} of {len(sizes)}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--first", type=int, default=1000, help="seed")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--loud", action="store_true", help="tell of each job that went wrong")
    parser.add_argument("--only", choices=("healthy", "slow", ""), default="")
    given = parser.parse_args()
    if given.only != "slow":
        healthy(given.jobs, given.first, given.nodes, loud=given.loud)
    if given.only != "healthy":
        for slower in (1.1, 1.25, 2.0):
            slow(given.jobs, given.first, given.nodes, slower, loud=given.loud)


if __name__ == "__main__":
    main()

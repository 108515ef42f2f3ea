"""Triage on planted jobs: a confusion matrix, workers found, false alarms, and what is missed.

.venv/bin/python tests/bench/triage/score.py --jobs 200
.venv/bin/python tests/bench/triage/score.py --causes worker --mild --steps 5 --jobs 200
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from jobs import CAUSES, LEAST_COST, Job, drawn, made

from clusterctl.triage.timeline.classify import classify
from clusterctl.triage.timeline.operations import dense
from clusterctl.triage.timeline.trace_files import rows
from clusterctl.triage.verdict import Triage


def named(job: Job, found: Triage) -> bool:
    """Whether the first suspect is the planted part; true where the plant has none."""
    truth = job.truth
    first = found.suspects[0] if found.suspects else None
    if job.plan.cause == "worker":
        want = f"dp {truth['dp']} stage {truth['stage']}"
        return first is not None and first.what == want
    if job.plan.cause == "host":
        return first is not None and truth["first_rank"] in first.ranks
    if "what" in truth:
        return any(truth["what"] == one.what for one in found.suspects)
    return True


def costly(cause: str, given: argparse.Namespace) -> Iterator[tuple[int, Job]]:
    """(seed, job); a plant that costs the job nothing to speak of is none (a worker's stays)."""
    for seed in count(given.first):
        job = made(drawn(seed, cause, steps=given.steps, mild=given.mild))
        if cause in {"healthy", "worker"} or job.slowdown >= 1 + LEAST_COST:
            yield seed, job


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--jobs", type=int, default=20, help="of each cause")
    asked.add_argument("--causes", nargs="*", default=list(CAUSES))
    asked.add_argument("--first", type=int, default=1000, help="the first seed")
    asked.add_argument("--steps", type=int, default=None)
    asked.add_argument("--mild", action="store_true", help="workers slowed by 5 to 15 percent")
    asked.add_argument("--misses", type=int, default=8, help="told of, of each cause")
    given = asked.parse_args()
    table: dict[str, Counter[str]] = {}
    culprits: Counter[str] = Counter()
    spent = 0.0
    for cause in given.causes:
        table[cause] = Counter()
        told = 0
        for seed, job in islice(costly(cause, given), given.jobs):
            begun = time.perf_counter()
            found = classify(dense(rows(job.columns))).triage
            spent += time.perf_counter() - begun
            table[cause][str(found.cause)] += 1
            right = str(found.cause) == cause
            culprits[cause] += right and named(job, found)
            if not (right and named(job, found)) and told < given.misses:
                told += 1
                who = found.suspects[0].what if found.suspects else ""
                p = job.plan
                print(
                    f"  {cause} seed {seed} -> {found.cause} {who}: dp {p.dp} pp {p.pp} mb "
                    f"{p.microbatches} steps {p.steps} {p.schedule} {p.noise} {p.sigma:.3f}"
                    f"{' relative' if p.relative else ''}, truly {job.slowdown:.3f}, said "
                    f"{found.slowdown or 0:.3f}; {job.truth}"
                )
        print(f"{cause}: {dict(table[cause])}", flush=True)
    show(table, culprits, given.jobs)
    print(f"{spent / sum(sum(row.values()) for row in table.values()):.3f} s a job")


def show(table: dict[str, Counter[str]], culprits: Counter[str], jobs: int) -> None:
    heads = [*CAUSES, "unknown"]
    print(f"{'planted':>16} " + " ".join(f"{head[:8]:>8}" for head in heads) + "  culprit")
    for cause, row in table.items():
        cells = " ".join(f"{row[head] or '':>8}" for head in heads)
        print(f"{cause:>16} {cells}  {culprits[cause]}/{jobs}")
    if "worker" in table:
        hits = culprits["worker"]
        wrong = sum(row["worker"] for cause, row in table.items() if cause != "worker")
        said = table["worker"]["worker"] + wrong
        precision, recall = hits / max(said, 1), hits / jobs
        score = 2 * precision * recall / max(precision + recall, 1e-9)
        print(f"worker: precision {precision:.3f} recall {recall:.3f} F1 {score:.3f}")
    if "healthy" in table:
        alarms = jobs - table["healthy"]["healthy"]
        print(f"false alarms on healthy jobs: {alarms} of {jobs}")


if __name__ == "__main__":
    main()

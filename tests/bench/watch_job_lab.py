#!/usr/bin/env python3
"""A real job gets slower midway: does `watch-job` notice, triage by itself, and name the node?

    PYTHONPATH=tests:tests/lab:tests/bench tests/bench/watch_job_lab.py [TIMES]

Run as root: four nodes of the lab, a rank of a ring on each; one gets 2 % of a processor once its
steps are learnt and have a past of 35 s.  Prints what was told and when.  Exit 1: not noticed, or
another node named, or something left on a node.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "lab")]

from lab import Lab, start, stop  # noqa: E402 - the path comes first
from test_watch_job_lab import CALM, NODES, begun, heard, until  # noqa: E402
from triage_bed import Bed, at_work  # noqa: E402

PAST_S, LEARN_S, NOTICE_S = 35.0, 150.0, 240.0
QUOTA, SLOWED = 0.02, "n03"


def main(times: int = 3) -> int:
    lab, holder = start(len(NODES))
    try:
        right = sum(once(lab, number) for number in range(1, times + 1))
    finally:
        stop(holder)
    sys.stdout.write(f"named {right} of {times} times\n")
    return int(right < times)


def once(lab: Lab, number: int) -> bool:
    with (
        at_work(lab, NODES, steps=3, sleep_s=CALM) as job,
        tempfile.TemporaryDirectory() as folder,
    ):
        return watched(job, Path(folder), number)


def watched(job: Bed, folder: Path, number: int) -> bool:
    before = {node: set(job.lab.processes(node)) for node in NODES}
    watch = begun(job.lab, folder)
    began = time.monotonic()
    try:
        until(lambda: kinds(folder) & {"learnt"}, LEARN_S)
        learnt_s = time.monotonic() - began
        time.sleep(PAST_S)
        job.limit(SLOWED, QUOTA)
        planted = time.monotonic()
        until(lambda: kinds(folder) & {"triage"}, NOTICE_S)
        noticed_s = time.monotonic() - planted
    except AssertionError:
        sys.stdout.write(f"{number}: only {sorted(kinds(folder))}\n")
        return False
    finally:
        watch.send_signal(signal.SIGINT)
        watch.communicate(timeout=30)
        job.limit(SLOWED, 0)
    (told,) = (one["triage"] for one in heard(folder) if one["event"] == "triage")
    suspects = [one["node"] for one in told["suspects"]]
    shift = sorted(kinds(folder) & {"slower", "stalled"})
    left = {node: set(job.lab.processes(node)) for node in NODES} != before
    sys.stdout.write(
        f"{number}: learnt in {learnt_s:.0f} s; {shift} and triaged {noticed_s:.0f} s after the "
        f"quota: {told['class']} {suspects[:1]}{'; something is left' if left else ''}\n"
    )
    sys.stdout.flush()
    return told["class"] == "host" and suspects[:1] == [SLOWED] and not left


def kinds(folder: Path) -> set[object]:
    return {one["event"] for one in heard(folder)}


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))

#!/usr/bin/env python3
"""How long it takes to read and judge the journals of a campaign, and in how much memory.

    tests/bench/campaign_judge.py --nodes 1000 --hours 72

A sample every 10 s of eight GPUs and eight ports a node; like journals are one file by many names,
so 1,000 nodes need no 19 GB, unless `--copies`.  Readings come from a sweep of two lab nodes (root
only; or give `--run`, the folder of such a sweep).
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lab"))

from fleet import recorded
from synthetic_campaign import folder

from clusterctl import store
from clusterctl.acceptance import decide, shipped_rules
from clusterctl.cli import collect_rarely
from clusterctl.rejudge import again


def peak_mib() -> tuple[float, float]:
    """Of this process, and of the largest of its children."""
    mine, theirs = (
        resource.getrusage(who).ru_maxrss / 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return mine, theirs


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--hours", type=float, default=72.0)
    parser.add_argument("--run", type=Path, help="a recorded sweep of lab nodes")
    parser.add_argument("--copies", action="store_true", help="a file of its own for every node")
    parser.add_argument("--keep", type=Path, help="leave the campaign in this folder")
    given = parser.parse_args()
    collect_rarely()
    with tempfile.TemporaryDirectory(prefix="clusterctl-bench-") as name:
        place = given.keep or Path(name)
        kept = store.stored(given.run or recorded(place / "sample"))
        first = kept.about["nodes"][0]["name"]
        sample = [heard for heard in kept.heard("now") if heard.node == first]
        path = folder(place, given.nodes, sample, hours=given.hours, link=not given.copies)
        size = sum(file.stat().st_size for file in (path / "journals").iterdir())
        load = Path("/proc/loadavg").read_text().split()[0]
        print(f"{given.nodes} nodes of {given.hours:g} h, {size / 1e9:.1f} GB; load {load}")
        before, began = spent_s(), time.monotonic()
        run = again(store.stored(path), place, None)
        seconds = time.monotonic() - began
        mine, theirs = peak_mib()
        counted = Counter(str(one.decision) for one in decide(run, shipped_rules()))
        print(f"read and judged in {seconds:.1f} s, {spent_s() - before:.1f} s of CPU")
        print(f"highest resident memory: {mine:.0f} MiB here, {theirs:.0f} MiB in a child")
        print(", ".join(f"{count} {word}" for word, count in sorted(counted.items())))


def spent_s() -> float:
    """CPU of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()

"""How long 1,280 nodes by 8 rails by 6 rounds take to judge, and how much memory: run by hand.

python tests/bench/localise_speed.py
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from fabric_sim import Fabric, draw_faults

from clusterctl.bandwidth import measurements
from clusterctl.localise import schedule, topology
from clusterctl.localise.columns import STATUSES
from clusterctl.localise.suspects import locate


def main() -> None:
    on = topology.parse(
        {"nodes": "n[0000-1279]", "leaf_size": 32, "uplinks": 32, "rails": 8}, "bench"
    )
    rng = np.random.default_rng(1)
    faults = draw_faults(on, 20, rng)
    rows = Fabric(on, faults, seed=1).measure(schedule.plan(on, rounds=6, rng=rng))
    lines = [",".join(measurements.COLUMNS)]
    for at in range(len(rows.src)):
        via = "" if rows.via[at] < 0 else rows.via[at]
        lines.append(
            f"{rows.round[at]},{on.nodes[rows.src[at]]},{on.nodes[rows.dst[at]]},"
            f"{rows.rail[at]},{rows.gbit_s[at]:.3f},{via},{STATUSES[rows.status[at]]}"
        )
    text = "\n".join(lines)
    wall, cpu = time.perf_counter(), time.process_time()
    _, read = measurements.read(text, "bench", on)
    between = time.process_time()
    found = locate(on, read)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    right = {one.component for one in found.suspects} & set(faults)
    print(
        f"{len(read.src)} tests: read {between - cpu:.2f} s, judged "
        f"{time.process_time() - between:.2f} s of CPU, {time.perf_counter() - wall:.2f} s in all, "
        f"{peak:.0f} MiB; {len(right)} of {len(faults)} faults named among "
        f"{len(found.suspects)} suspects, {len(found.confirm)} tests to confirm"
    )


main()

"""What the sampler costs a node: CPU time of all its processes, from /proc, in the lab.

Eight GPUs through the stub library, eight ports, everything that is sampled by default, every
10 s.  Run as root: PYTHONPATH=tests:tests/lab python tests/bench/sampler.py [seconds] [every_s]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from random import Random

from campaigns import Campaign
from lab import start, stop

from clusterctl.campaign.journal import samples
from clusterctl.model import Node, Pace
from clusterctl.transport.ssh import Ssh
from clusterctl.transport.ssh_config import Surroundings


def spent_s(lab, node: str) -> dict[str, float]:
    """Command -> seconds on a CPU, of every process of the campaign in the node."""
    found = {}
    for pid, command in lab.processes(node).items():
        if " clusterctl " in command:
            nanoseconds = sum(
                int((task / "schedstat").read_text().split()[0])
                for task in Path(f"/proc/{pid}/task").iterdir()
            )
            found[command.rpartition(" ")[2]] = nanoseconds / 1e9
    return found


def main(seconds: float = 300.0, every_s: float = 10.0) -> None:
    lab, holder = start(1)
    try:
        lab.await_sshd()
        around = Surroundings(home=lab.folder, environ={}, login="root", config=lab.ssh_config)
        transport = Ssh(Pace(), around=around, rng=Random(1))
        campaign = Campaign(transport, Node("n01"), "bench", ())
        assert campaign.start({"every_s": every_s, "hard_s": seconds + 600}).ok
        time.sleep(3 * every_s)  # the first samples are full ones
        before = spent_s(lab, "n01")
        time.sleep(seconds)
        after = spent_s(lab, "n01")
        campaign.fetch()
        found = list(samples(campaign.records()))
        count = seconds / every_s
        total_s = sum(after.values()) - sum(before.values())
        values = found[-1].values
        print(f"{len(found)} samples of {len(values)} values; nvml: {values['nvml']}")
        for name, spent in after.items():
            print(f"  {name:12} {1000 * (spent - before.get(name, 0.0)) / count:6.2f} ms a sample")
        print(f"  all          {1000 * total_s / count:6.2f} ms, {total_s / seconds:.3%} of a core")
        print(f"journal: {len(campaign.got)} bytes")
        campaign.clear()
    finally:
        stop(holder)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))

#!/usr/bin/env python3
"""What `triage --probe-links` takes from the steps of a job that runs, in pairs of spans.

    PYTHONPATH=tests:tests/lab:tests/bench tests/bench/probe_cost.py --pairs 20

Run as root on an idle machine: a real job on nodes of the lab.  Spans of equal length follow each
other in an order that chance decides, one of a pair with the low-rate probe over the real ssh, one
without.  `--dose 10` sends ten times what is asked for, and lets it take ten times the processor:
what that costs, divided by ten, is seen where the probe itself is lost in the noise.  The nodes
share this machine's processors, and with them what the controller and sshd take.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from contextlib import ExitStack
from random import Random
from statistics import median

from lab import start, stop
from triage_bed import Bed, bed, tell_cost

from clusterctl.bandwidth.rails import rails_of
from clusterctl.cli import world
from clusterctl.cli.world import Flags
from clusterctl.model import Pace
from clusterctl.triage.links import order
from clusterctl.triage.links.said import told
from clusterctl.triage.stacks.asked_stacks import Reach, put

REST_S = 6.0  # in each span, with nothing


def probe(flags: Flags, reach: Reach, seed: int, dose: float) -> float:
    """The greatest share of one processor that it took on a node."""
    nodes = world.targets(flags)
    rails = rails_of(nodes)
    limits = {"cap_bit_s": order.CAP_BIT_S * dose, "cpu": order.CPU * dose}
    asked = order.questions(rails, order.partners(rails, seed), seed, limits)
    found = told(put(asked, nodes, reach, at_once=len(nodes)))
    if found.unseen:
        print("\n".join(found.unseen), file=sys.stderr)
    return max(found.cost.values(), default=0.0)


def paired(job: Bed, flags: Flags, reach: Reach, given: argparse.Namespace) -> None:
    rng, first = Random(given.seed), job.nodes[0]
    with_it: list[float] = []
    without: list[float] = []
    costs = []
    span_s = 0.0
    for number in range(given.pairs):
        steps = {}
        for probing in rng.sample((True, False), 2):
            before, began = len(job.steps(first)), time.monotonic()
            if probing:
                costs.append(probe(flags, reach, given.seed + number, given.dose))
                span_s = max(span_s, time.monotonic() - began + REST_S)
            time.sleep(max(REST_S, began + span_s - time.monotonic()))
            seconds = time.monotonic() - began
            steps[probing] = seconds / (len(job.steps(first)) - before)
        with_it.append(steps[True])
        without.append(steps[False])
    share = tell_cost(rng, with_it, without, "while it probes")
    five = share * span_s / 300
    print(f"over five minutes with one probe of {span_s:.0f} s: {five:+.3%}, dose {given.dose:g}")
    print(f"it took {median(costs):.2%} of one processor on a node, at most {max(costs):.2%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--engine", choices=("gloo", "ring"), default="ring")
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--dose", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    lab, holder = start(given.ranks)
    job = bed(lab, list(lab.nodes), given.engine)
    try:
        lab.await_sshd()
        job.begin()
        job.await_steps(5)
        print(f"{given.engine}, {given.ranks} ranks, step {job.recent_s('n01'):.3f} s", flush=True)
        flags = Flags([lab.inventory], "", "", None, accept_new=False, ssh_config=lab.ssh_config)
        with ExitStack() as closing:
            reach = world.reach(Pace(at_once=64), flags, nice=19, closing=closing)
            paired(job, flags, reach, given)
    finally:
        job.end()
        stop(holder)


if __name__ == "__main__":
    main()

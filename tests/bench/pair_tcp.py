#!/usr/bin/env python3
"""Built-in TCP against iperf3 over one veth pair, equal streams, paired and interleaved.

    tests/bench/pair_tcp.py [--pairs 12] [--seconds 3] [--streams 4] [--rate 1gbit]

Each pair runs both engines right after one another, in an order that alternates: what else this
machine does then meets both.  Printed are the ratios built-in / iperf3, their median, and the
interval of the median of 10,000 resamples.  Needs root, iproute2 and iperf3.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from burning import Burning, asked, stage

from clusterctl.model import Bandwidth, Node

GROUP = (Node("a", "10.9.7.1"), Node("b", "10.9.7.2"))
RESAMPLES = 10000


@contextmanager
def link(rate: str) -> Iterator[list[str]]:
    """Interpreters in two name spaces with a cable between; `rate` empty: not shaped."""
    names = [f"cctl-{uuid.uuid4().hex[:8]}" for _ in GROUP]

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            ip("netns", "add", name)
        try:
            ip(
                "link",
                "add",
                "v",
                "netns",
                names[0],
                "type",
                "veth",
                "peer",
                "v",
                "netns",
                names[1],
            )
            pythons = []
            for number, name in enumerate(names, 1):
                ip("-n", name, "addr", "add", f"10.9.7.{number}/24", "dev", "v")
                ip("-n", name, "link", "set", "v", "up")
                if rate:
                    shape = f"tc qdisc add dev v root tbf rate {rate} burst 256kb latency 50ms"
                    ip("netns", "exec", name, *shape.split())
                path = Path(folder, name)
                path.write_text(f'#!/bin/sh\nexec ip netns exec {name} {sys.executable} "$@"\n')
                path.chmod(0o755)
                pythons.append(str(path))
            yield pythons
        finally:
            for name in names:
                ip("netns", "del", name)


def measure(engine: str, options: argparse.Namespace, pythons: list[str]) -> dict[str, float]:
    """Direction -> Gbit/s.  iperf3 leaves out a second, we a fifth: both run as long beside it."""
    seconds = options.seconds / 0.8 if engine == "built-in" else options.seconds + 1
    what = stage("pair_bandwidth", engine=engine, streams=options.streams, seconds=seconds)
    burning = [
        Burning(asked(what, GROUP, index), python, GROUP[index])
        for index, python in enumerate(pythons)
    ]
    found = {}
    for one in burning:
        seen = one.join()
        if seen.troubles:
            sys.exit(f"{engine}: {seen.troubles[0]}")
        found |= {fact.part: fact.gbit_s for fact in seen.facts if isinstance(fact, Bandwidth)}
    return found


def interval(ratios: list[float], rng: random.Random) -> tuple[float, float]:
    """The middle 95 % of the medians of resamples."""
    medians = sorted(
        statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES)
    )
    return medians[RESAMPLES // 40], medians[-RESAMPLES // 40]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--rate", default="", help="of tc tbf, 1gbit; empty: not shaped")
    options = parser.parse_args()
    ratios = []
    with link(options.rate) as pythons:
        for number in range(options.pairs):
            order = ("built-in", "iperf3") if number % 2 else ("iperf3", "built-in")
            told = {engine: measure(engine, options, pythons) for engine in order}
            for part in sorted(told["iperf3"]):
                ours, theirs = told["built-in"][part], told["iperf3"][part]
                ratios.append(ours / theirs)
                print(f"{number + 1:3} {part}  built-in {ours:8.3f}  iperf3 {theirs:8.3f} Gbit/s"
                      f"  ratio {ratios[-1]:.3f}", flush=True)  # fmt: skip
    low, high = interval(ratios, random.Random(1))
    shape = options.rate or "not shaped"
    print(f"{shape}, {options.streams} streams, {len(ratios)} ratios: median "
          f"{statistics.median(ratios):.3f}, 95 % {low:.3f} to {high:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()

"""Twelve lab nodes burnt whole, then with the controller killed at random moments: same verdicts?

    campaign_kills.py [KILLS] [SEED] [BURNT_S]     20 kills, one after the other, in one campaign

A campaign of 25 s of load, as it is unless said, is over before the twelfth or so.

Prints when and in which phases each kill met the nodes.  Exit 1: a verdict differs.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "lab")]

from campaign_runs import Led, traces  # noqa: E402 - the path comes first
from faults import clear_all, inject  # noqa: E402
from lab import Lab, start, stop  # noqa: E402

from clusterctl.cli.campaigns import opened  # noqa: E402
from clusterctl.report.campaign_lines import stage  # noqa: E402
from clusterctl.store import stored  # noqa: E402

TWELVE = "n[01-12]"
MOST_S = 900.0
FAULTS = (("n03", "remap"), ("n07", "port_down"), ("n11", "stranger"))


def main(kills: int = 20, seed: int = 7, burnt_s: int = 25) -> int:
    lab, holder = start(12)
    try:
        plain = burn(lab, 0, Random(seed), burnt_s)
        clear_all(lab, lab.nodes)
        killed = burn(lab, kills, Random(seed), burnt_s)
    finally:
        stop(holder)
    sys.stdout.write(f"uninterrupted: {plain}\n{kills} kills: {killed}\n")
    return int(plain != killed)


def burn(lab: Lab, kills: int, rng: Random, burnt_s: float) -> dict[str, str]:
    for node, fault in FAULTS:
        inject(lab, node, fault)
    with tempfile.TemporaryDirectory() as folder:
        led = Led(lab, Path(folder), TWELVE, burnt_s=burnt_s)
        led.start()
        book = opened(stored(led.path)).playbook
        for number in range(kills):
            # Short lives meet the gate only where the machine is busy; long ones every stage.
            time.sleep(rng.uniform(0.2, rng.choice((4.0, 12.0, 30.0))))
            if led.final.exists():
                sys.stdout.write(f"over before kill {number + 1}\n")
                break
            led.end()
            met = Counter(stage(case, book) for case in led.cases().values())
            sys.stdout.write(f"kill {number + 1}: {dict(met)}\n")
            led.resume()
        led.wait(MOST_S)
        left = traces(lab, [node for node in lab.nodes if node != "n11"])
        sys.stdout.write(f"left on nodes: {left}\n")
        return led.verdicts()


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))

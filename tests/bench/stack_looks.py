"""How often stacks alone name the rank that never waits, and a healthy one.  Run by hand:

python tests/bench/stack_looks.py [TRIES]

Simulated ranks are found in a collective with the probability f in each look, at moving lines else.
"""

from __future__ import annotations

import random
import sys

from clusterctl.triage.stacks.places import stays
from clusterctl.triage.stacks.stack_verdict import triage_stacks
from clusterctl.triage.stacks.stacks import Frame, Look, Stacked

REDUCES = (
    Frame("all_reduce", "torch/distributed/distributed_c10d.py", 3252),
    Frame("step", "train.py", 41),
    Frame("main", "train.py", 9),
)


def look(number, waits, chance):
    if waits:
        frames, state, held_in = REDUCES, "S", "futex_do_wait"
    else:
        name, line = chance.choice("abcdef"), chance.randrange(99)
        frames, state, held_in = (Frame(name, "train.py", line), *REDUCES[1:]), "R", ""
    return Look(frames, not waits, state, held_in, number * 3, number * 5)


def job(ranks, looks, share, chance, *, late=None):
    return [
        Stacked(
            *(f"n{rank // 8}", rank, rank, ""),
            looks=tuple(
                look(number, rank != late and chance.random() < share, chance)
                for number in range(looks)
            ),
        )
        for rank in range(ranks)
    ]


def main(tries):
    chance = random.Random(5)
    print("ranks  share  looks  named where all are alike  the late one named  ... it alone")
    for ranks in (4, 8, 64):
        for share in (0.3, 0.6, 0.9):
            for looks in (3, 10):
                false = found = alone = 0
                for _ in range(tries):
                    healthy = triage_stacks(stays(job(ranks, looks, share, chance)))
                    false += bool(healthy.suspects)
                    told = triage_stacks(stays(job(ranks, looks, share, chance, late=0)))
                    names = [one.ranks for one in told.suspects]
                    found += (0,) in names
                    alone += names == [(0,)]
                rates = "  ".join(f"{count / tries:18.1%}" for count in (false, found, alone))
                print(f"{ranks:5}  {share:5}  {looks:5}  {rates}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)

"""Every core at full load, every result checked."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from functools import cache
from random import Random

from clusterctl.model import Burn, Group, Node, Params, Question, Round, Trial
from clusterctl.trials.rows import parse

ABOUT = "every core, results checked: stress-ng --verify where present, else built in"
SLACK_S = 30.0


def plan(nodes: Sequence[Node], _rng: Random) -> Iterator[Round]:
    """One round of singles: every node at once."""
    yield tuple((node,) for node in nodes)


@cache
def digest(seed: int) -> str:
    """What one chunk of the built-in kernel gives on a healthy core; as in remote/burn_cpu.py.

    IEEE 754 doubles, SHA-256 and integer powers are the same on every architecture we know.
    """
    state, value, big = struct.pack("<Q", seed), 1.0 + seed % 97, 3 + seed % 89
    for step in range(2000):
        state = hashlib.sha256(state).digest()
        value = (value * 1.000000119 + step) % 1048576.0
        if step % 100 == 0:
            big = pow(big, 65537, (1 << 521) - 1)
    return hashlib.sha256(state + struct.pack("<d", value) + str(big).encode()).hexdigest()


def ask(_group: Group, _index: int, seed: int, params: Params) -> Question:
    seconds = float(str(params["seconds"]))
    return Question(
        "cpu_burn",
        (str(seconds), str(seed), digest(seed), str(params["engine"])),
        script="burn_cpu",
        modules=("trial",),
        timeout_s=seconds + SLACK_S,
    )


TRIALS = (
    Trial(
        "cpu_burn",
        ABOUT,
        plan,
        ask,
        parse,
        yields=(Burn,),
        params={"seconds": 60.0, "engine": "auto"},
    ),
)

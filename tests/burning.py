"""Trials carried out on this machine, and what it takes to break one while it runs."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from scripted import NOON

from clusterctl.catalog import all_checks, all_trials
from clusterctl.judge import judge
from clusterctl.model import Fact, Group, Node, Observation, Playbook, Probe, Stage
from clusterctl.observe import observe
from clusterctl.run import as_probe, questions
from clusterctl.transport.local import Local

HERE = Node("here", "127.0.0.1")
SEED = os.getpid()  # ports follow from it: two runs of the tests on one machine must not meet


def stage(name: str, **params: object) -> Stage:
    trial = all_trials()[name]
    return Stage(trial, {**trial.params, **params})


def asked(
    what: Stage,
    group: Group = (HERE,),
    index: int = 0,
    *,
    swap: Mapping[str, str] | None = None,
    timeout_s: float = 50.0,
) -> Probe:
    """The question to one member of a group; `swap` exchanges words of its command."""
    _, (probe,) = questions(what, group, SEED)[index]
    words = tuple((swap or {}).get(word, word) for word in probe.question.command)
    return replace(probe, question=replace(probe.question, command=words, timeout_s=timeout_s))


@dataclass
class Burning:
    """A trial under way in a thread of ours: break it, join it, look at what was seen."""

    probe: Probe
    python: str
    node: Node = HERE
    seen: Observation | None = None
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self) -> None:
        local = Local(60, nice=0, pythons=self.python)
        (self.seen,) = observe(self.node, [self.probe], local, lambda: NOON)

    @property
    def running(self) -> bool:
        return self.thread.is_alive()

    def join(self) -> Observation:
        self.thread.join(70)
        assert self.seen is not None, "the trial did not come back"
        return self.seen


def fact_of(seen: Observation) -> Fact:
    assert not seen.troubles, seen.troubles
    (fact,) = seen.facts
    return fact


def statuses(*seen: Observation) -> set[str]:
    """What all checks say of one trial on some nodes, and whether it could see there."""
    trial = all_trials()[seen[0].probe]
    checks = tuple(c for c in all_checks().values() if set(c.wants) <= set(trial.yields))
    nodes = [Node(one.node) for one in seen]
    book = Playbook("test", checks=checks)
    found = judge(book, nodes, seen, probes={trial.name: as_probe(trial)})
    return {str(one.verdict.status) for one in found if one.check != "reachable"}


# ----------------------------------------------------------------------------- breaking things


def flip_words(pid: int, word: bytes) -> int:
    """Change one bit of every copy of `word` that the process may write; how many there were."""
    found = 0
    for start, end in regions(pid):
        with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory, suppress(OSError):
            memory.seek(start)
            held = memory.read(end - start)
            at = held.find(word)
            while at >= 0:
                memory.seek(start + at)
                memory.write(bytes([word[0] ^ 1]))
                found += 1
                at = held.find(word, at + 1)
    return found


def flip_a_bit(pid: int, rng: random.Random) -> None:
    """One bit somewhere in the largest region that the process may write."""
    start, end = max(regions(pid), key=lambda region: region[1] - region[0])
    at = rng.randrange(start, end)
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
        memory.seek(at)
        byte = memory.read(1)
        memory.seek(at)
        memory.write(bytes([byte[0] ^ 1 << rng.randrange(8)]))


def regions(pid: int) -> list[tuple[int, int]]:
    found = []
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, rights, *_ = line.split()
        if rights.startswith("rw"):
            start, end = (int(number, 16) for number in span.split("-"))
            found.append((start, end))
    return found


def scratch_of(pid: int, folder: Path) -> Path | None:
    """The way to the file without a name that the process holds open in a folder."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            target = str(link.readlink())
            if target.startswith(f"{folder}/") and target.endswith(" (deleted)"):
                return link
    return None


def scribble(path: Path, rng: random.Random) -> None:
    """Four kilobytes somewhere in the file become something else."""
    with suppress(OSError, ValueError), path.open("r+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(rng.randrange(0, size - 4096))
        file.write(rng.randbytes(4096))
        os.fsync(file.fileno())

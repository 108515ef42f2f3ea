"""What triage answers, whatever it looked at: one class, its suspects, what was ruled out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Cause(StrEnum):
    """Why a job is slow.  A job that hangs is slow without end: `slowdown` None."""

    WORKER = "worker"  # one (DP rank, pipeline stage) cell computes slower than its peers
    HOST = "host"  # all ranks of one node do
    STAGE = "stage-imbalance"  # one pipeline stage was given more work than the others
    SEQUENCE = "sequence-length"  # microbatches differ in work
    DATA = "data-loading"  # accelerators wait for input
    GC = "gc"  # pauses of the interpreter, rank after rank
    CHECKPOINT = "checkpoint"  # every rank pauses at once, every so many steps
    NETWORK = "network"  # one group's or link's transfers are slow
    CONGESTION = "congestion"  # everyone's transfers are slow at once
    HEALTHY = "healthy"
    UNKNOWN = "unknown"


# A workload or a fabric that everybody shares: drain nobody for it.
NO_CULPRIT = frozenset(
    {Cause.STAGE, Cause.SEQUENCE, Cause.CONGESTION, Cause.HEALTHY, Cause.UNKNOWN}
)

NEXT: Mapping[Cause, str] = {
    Cause.WORKER: "look at the suspect's accelerator first (clocks, throttle reasons, ECC, power), "
    "then swap it for a spare and compare the step time",
    Cause.HOST: "look at the node, not at one accelerator: CPU quota, frequency, memory, PCIe, "
    "neighbours; drain it if a sweep finds nothing",
    Cause.STAGE: "no node is at fault: move layers off the slow stage (the last one often carries "
    "the loss layer) or change the partition",
    Cause.SEQUENCE: "no node is at fault: balance microbatches by the sum of squared sequence "
    "lengths instead of by tokens",
    Cause.DATA: "look at the data loader: number of workers, prefetch, and the storage it reads",
    Cause.GC: "collect garbage on all ranks at the same step (gc.disable, then gc.collect every N)",
    Cause.CHECKPOINT: "write checkpoints asynchronously, or less often; check the file system",
    Cause.NETWORK: "test the suspect's links: `clusterctl localise` on a bandwidth run, port "
    "counters of both ends",
    Cause.CONGESTION: "no node is at fault: look at the fabric (PFC, ECN, other jobs on the same "
    "leaves) before touching any host",
    Cause.HEALTHY: "nothing wrong here: compare with an earlier run of the same job, if there is "
    "one, before looking further",
    Cause.UNKNOWN: "give it more to see: more steps, every rank, every operation",
}


@dataclass(frozen=True, slots=True)
class Suspect:
    """A part that slows the job, likeliest first among its like.

    `what`: as a person names it (`dp 0 stage 0`, `n017`, `n017 mlx5_3`).  `ranks`: global ranks.
    `node`: empty where nobody knows.  `slowdown`: of this part against its peers, 2.4: takes 2.4
    times as long; None: it does not move at all.  `confidence`: 0 to 1.  `why`: evidence, a
    sentence each, the strongest first.
    """

    what: str
    ranks: tuple[int, ...] = ()
    node: str = ""
    slowdown: float | None = None
    confidence: float = 0.0
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuledOut:
    """A class that was looked for and is not it; `share`: of the lost time, where measured."""

    cause: Cause
    why: str
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Triage:
    """The whole answer.

    `slowdown`: of the job against what it would be without its stragglers, 1.0: nothing lost;
    None: it hangs, or nobody can say (`cause` tells which); nan: it goes on, with an unknown loss.
    `share`: of the lost time, by class, what repairing only that would give back; shares overlap,
    so they need not add up to 1.  `evidence`: for the class, where no suspect carries it.
    `next_step`: empty: NEXT of the class.  `unseen`: what was asked and not seen, rows that could
    not be read: never silently dropped.
    Raises ValueError where a suspect is named for a class that has no culprit.
    """

    cause: Cause
    slowdown: float | None = None
    share: Mapping[Cause, float] = field(default_factory=dict)
    suspects: tuple[Suspect, ...] = ()
    ruled_out: tuple[RuledOut, ...] = ()
    confidence: float = 0.0
    evidence: tuple[str, ...] = ()
    next_step: str = ""
    unseen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.suspects and self.cause in NO_CULPRIT:
            raise ValueError(f"{self.cause} has no culprit, so {self.suspects[0].what} is none")

    @property
    def advice(self) -> str:
        return self.next_step or NEXT[self.cause]

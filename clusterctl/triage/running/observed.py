"""What was seen of a job that runs: its nodes, ranks, connections and accelerators.  Pure data.

Numbers are between the two readings unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from clusterctl.model import Trouble

Counters = Mapping[str, float]
STATES = frozenset(
    {"run", "sleep", "lock", "wire", "pipe", "file", "disk", "child", "device", "stopped", "other"}
)


@dataclass(frozen=True, slots=True)
class Look:
    """A rank's main thread at one moment; `moment` is the same number on every node.

    `sent_ms`, `come_ms`: since data last went out and came in, over any of its connections.
    """

    moment: int
    state: str  # one of STATES; empty: it has ended
    sent_ms: float | None = None
    come_ms: float | None = None
    unread: int = 0  # bytes that came and that it has not read
    unsent: int = 0  # bytes that nobody has acknowledged
    behind_ms: float = 0.0  # after the moment that it was looked at


@dataclass(frozen=True, slots=True)
class Limit:
    """How often and how long its group was refused CPU time; `allowed` in processors."""

    held_s: float
    times: int
    allowed: float | None
    group: str


@dataclass(frozen=True, slots=True)
class Process:
    """One rank.  `spent` is what was counted between the readings; names as in job_processes.py.

    `spent` None: it ended, or another has its number now; `first_half`: of it, until the middle.
    `crew`: its data loaders and the like.
    """

    node: str
    pid: int
    rank: int | None
    label: str
    job: str
    name: str
    world: int | None
    local: int | None
    parallel: Counters = field(default_factory=dict, hash=False)  # sizes, by its command line
    log: str = ""
    devices: tuple[str, ...] = ()
    visible: str = ""
    spent: Counters | None = None
    first_half: Counters | None = None
    crew: int = 0
    crew_spent: Counters = field(default_factory=dict, hash=False)
    crew_looks: Counters = field(default_factory=dict, hash=False)
    looks: tuple[Look, ...] = ()
    limit: Limit | None = None

    @property
    def called(self) -> str:
        return f"rank {self.rank}" if self.rank is not None else self.label or f"pid {self.pid}"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a connection's end had counted at a moment, since it was made.  Bytes of data only."""

    out: int  # segments sent
    come: int  # segments
    acked: int  # bytes that the other end has for sure
    received: int  # bytes


@dataclass(frozen=True, slots=True)
class Link:
    """One TCP connection of a rank, by what it did between its first and its last look.

    `near` and `far`: "address port".  Shares are of the looks.  None: the kernel does not count it.
    `marks`: by moment.
    """

    node: str
    pid: int
    near: str
    far: str
    looks: int
    rtt_us: float
    rtt_least_us: float | None
    unsent: float
    spent: Counters = field(default_factory=dict, hash=False)
    marks: Mapping[int, Mark] = field(default_factory=dict, hash=False)
    mss_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class Gpu:
    """Means over the window; `reasons`: every reason that slowed it at any moment."""

    index: int
    minor: int  # of its /dev/nvidia3
    lost: str = ""
    power_w: float | None = None
    limit_w: float | None = None
    clock_mhz: float | None = None
    temp_c: float | None = None
    use_percent: float | None = None
    reasons: tuple[str, ...] = ()
    nvlink_bytes: float | None = None  # both ways, in the window
    nvlink_errors: float | None = None  # corrected or sent again, in the window
    pcie_replays: float | None = None
    pcie_errors: float | None = None  # corrected, in the window
    pcie_bytes_s: float | None = None  # both ways
    pcie_gen: int | None = None
    pcie_width: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """One node.  `seconds` 0: no rank of the job is here.  `troubles`: what was not seen of it."""

    node: str
    cpus: int = 1
    seconds: float = 0.0
    ticks: float = 100.0
    spent: Counters = field(default_factory=dict, hash=False)
    now: Counters = field(default_factory=dict, hash=False)
    foreign: tuple[tuple[str, int, float], ...] = ()  # command, processes, seconds of CPU
    ranks: tuple[Process, ...] = ()
    links: tuple[Link, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    troubles: tuple[Trouble, ...] = ()

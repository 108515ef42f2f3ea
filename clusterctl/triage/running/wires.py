"""Each NIC's traffic of the job, by way, from both ends of the job's own connections.

A connection is judged by how long it was busy, and by what it carried while busy: what a step asks
of it is the same for its peers.  Both ends count segments, so what one sent and the other never
got was lost, whoever sent it again.  (struct tcp_info, linux/tcp.h; RFC 4898 has the same counts.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from clusterctl.peers import SIGMA_PER_MAD
from clusterctl.triage.running.job import Job
from clusterctl.triage.running.observed import Link, Process

# Messages that only say "I am ready" tell nothing of a rate: what moved less than this share of
# what the busiest moved is no data.
DATA = 0.05
FEWEST_MARKS, MOST_MARKS = 4, 200
ETHERNET_MSS = 1448.0
FEWEST_SEGMENTS = 100  # below it, one segment under way is a loss of a per cent
SENDS, RECEIVES = "sends", "receives"


@dataclass(frozen=True, slots=True)
class Flow:
    """One direction of a connection between two nodes."""

    source: Process
    target: Process
    bytes: float
    busy: float  # share of the window with something on its way, but for a reader that lags
    seconds: float  # the window
    rtt_us: float
    out: float  # segments sent, acknowledgements among them, while both ends were looked at
    lost: float | None  # of these never came; None: the ends were never looked at together
    mss_bytes: float = ETHERNET_MSS
    rtt_least_us: float = 0.0

    @property
    def rate(self) -> float | None:
        """Bytes a second while busy."""
        return self.bytes / (self.busy * self.seconds) if self.busy * self.seconds > 0 else None

    @property
    def own_loss(self) -> float:
        """The share that TCP itself makes a path lose, to learn what it carries.

        Mathis et al., CCR 1997: rate = MSS / RTT * sqrt(1.5 / loss).  Nothing where no queue
        stands, which is what TCP would overflow.
        """
        if self.rtt_us < 2 * self.rtt_least_us:
            return 0.0
        window_bytes = (self.rate or 0.0) * self.rtt_us / 1e6
        share = min(1.0, self.mss_bytes / window_bytes) if window_bytes > 0 else 1.0
        return min(1.0, 1.5 * share * share)

    @property
    def ends(self) -> frozenset[str]:
        return frozenset((self.source.node, self.target.node))


@dataclass(frozen=True, slots=True)
class Nic:
    """One node's connections one way."""

    node: str
    way: str  # sends, receives
    flows: tuple[Flow, ...]

    @property
    def called(self) -> str:
        return f"{self.node} {self.way}"

    @property
    def busy(self) -> float:
        return max((flow.busy for flow in self.flows), default=0.0)

    @property
    def out(self) -> float:
        return sum(flow.out for flow in self.flows if flow.lost is not None)

    @property
    def lost(self) -> float:
        return sum(flow.lost for flow in self.flows if flow.lost is not None)

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """(segments sent, lost) with each partner, the one that loses the greatest share first."""
        sums: defaultdict[frozenset[str], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for flow in self.flows:
            if flow.lost is not None and flow.out >= FEWEST_SEGMENTS:
                sums[flow.ends][0] += flow.out
                sums[flow.ends][1] += flow.lost
        return sorted(
            ((out, lost) for out, lost in sums.values()), key=lambda one: -one[1] / one[0]
        )


def flows(job: Job) -> list[Flow]:
    """Both directions of every connection between two nodes."""
    found = []
    for path in job.paths:
        if path.here.node == path.there.node:
            continue
        for source, target, near, far in (
            (path.here, path.there, path.near, path.far),
            (path.there, path.here, path.far, path.near),
        ):
            found.append(flow(source, target, near, far, job.nodes[source.node].seconds))
    return found


def flow(source: Process, target: Process, near: Link, far: Link, seconds: float) -> Flow:
    spent = near.spent
    busy_s = max(0.0, spent.get("busy_us", 0.0) - spent.get("receiver_us", 0.0)) / 1e6
    out, lost = lost_between(near, far)
    busy = min(1.0, busy_s / seconds) if seconds else 0.0
    moved, mss = spent.get("acked", 0.0), near.mss_bytes or ETHERNET_MSS
    least = near.rtt_least_us or 0.0
    return Flow(source, target, moved, busy, seconds, near.rtt_us, out, lost, mss, least)


def lost_between(near: Link, far: Link) -> tuple[float, float | None]:
    """(segments sent, those that surely never came) while both ends were looked at.

    Two looks at one moment are some milliseconds apart, and what was sent in between seems lost or
    found: that scatters, where loss grows.  So its slope counts (Theil, 1950), less its scatter.
    """
    shared = sorted(near.marks.keys() & far.marks.keys())
    if len(shared) < FEWEST_MARKS:
        return near.spent.get("segments_out", 0.0), None
    shared = shared[:: -(-len(shared) // MOST_MARKS)]  # every pair of them is looked at
    gone = [near.marks[one].out - far.marks[one].come for one in shared]
    places = range(len(shared))
    slope = median(
        (gone[late] - gone[early]) / (shared[late] - shared[early])
        for early in places
        for late in places[early + 1 :]
    )
    off = [gone[at] - slope * shared[at] for at in places]
    middle = median(off)
    scatter = SIGMA_PER_MAD * median(abs(one - middle) for one in off)
    span = shared[-1] - shared[0]
    out = near.marks[shared[-1]].out - near.marks[shared[0]].out
    return float(out), min(float(out), max(0.0, slope * span - 2 * scatter))


def data(told: Sequence[Flow]) -> list[Flow]:
    most = max((one.bytes for one in told), default=0.0)
    return [one for one in told if one.bytes > DATA * most]


def nics(told: Iterable[Flow]) -> list[Nic]:
    by_way: defaultdict[tuple[str, str], list[Flow]] = defaultdict(list)
    for one in told:
        by_way[one.source.node, SENDS].append(one)
        by_way[one.target.node, RECEIVES].append(one)
    return [Nic(node, way, tuple(found)) for (node, way), found in sorted(by_way.items())]

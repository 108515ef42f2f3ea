"""What a candidate for the cause is, and how sure the figures make us of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import erfc, exp, fsum, hypot, inf, isfinite, lgamma, log, log1p, sqrt
from statistics import median

from clusterctl.peers import SIGMA_PER_MAD
from clusterctl.triage.verdict import Cause, Suspect

# A share of the time below this is not called slow: half of what the analysis of ByteDance's jobs
# calls a straggling job, a slowdown of 1.1 (Lin et al., OSDI 2025), and the least that triage has
# to find.
LEAST = 0.05
# Of a hundred healthy jobs one may be accused.  Two readings never prove more.
SURE = MOST_SURE = 0.99
FAR = 1e9  # times the peers' spread: beyond it, the error is all there is


@dataclass(frozen=True, slots=True)
class Candidate:
    """One explanation.  `share`: of the time, that the job loses by it; `suspects`: may be none."""

    cause: Cause
    share: float
    confidence: float
    why: tuple[str, ...]
    suspects: tuple[Suspect, ...] = ()
    stuck: bool = False  # nothing moves at all
    next_step: str = ""
    doing: str = ""  # the state of the suspect's main thread, where that is what is told

    @property
    def slowdown(self) -> float | None:
        return None if self.stuck else slower(self.share)

    @property
    def weight(self) -> float:
        return self.share * self.confidence


def slower(share: float) -> float:
    """How many times as long all of it takes; what a window does not show beyond 20 is not said."""
    return 1 / (1 - min(max(share, 0.0), 0.95))


@dataclass(frozen=True, slots=True)
class Outlier:
    """A value far above its peers: by how much, and how sure that is no chance."""

    name: str
    value: float
    middle: float
    confidence: float

    @property
    def excess(self) -> float:
        return self.value - self.middle


def highest(
    values: Mapping[str, float],
    *,
    error: float,
    among: int = 0,
    of: Collection[str] | None = None,
) -> Outlier | None:
    """The highest of at least three, against the others' median and spread.

    `error`: what one value is unsure by, by how it was counted.  The chance that the highest of so
    many stands out so far by itself (Student's t, Bonferroni) is what confidence lacks to 1.  `of`:
    who may be it; the rest are only its peers.  `among`: so many were looked through for it.
    """
    if len(values) < 3:
        return None
    name = max(values if of is None else of, key=lambda one: values[one])
    peers = peers_of([value for one, value in values.items() if one != name])
    sure = above(values[name], peers, error=error, among=among or len(values))
    return Outlier(name, values[name], peers.middle, sure)


@dataclass(frozen=True, slots=True)
class Peers:
    """`spread`: as one sigma of normal values."""

    count: int
    middle: float
    spread: float
    most: float


def peers_of(values: Sequence[float]) -> Peers:
    """At least one."""
    middle = median(values)
    spread = SIGMA_PER_MAD * median(abs(value - middle) for value in values)
    return Peers(len(values), middle, spread, max(values))


def above(value: float, peers: Peers, *, error: float, among: int) -> float:
    """How sure it is that a value stands out of its peers by no chance; see `highest`."""
    scale = hypot(peers.spread, error)
    if scale <= 0:
        return MOST_SURE if value > peers.middle else 0.0
    # A spread of few is itself unsure, an error by counting is not (Welch, Satterthwaite).
    wider = min(scale / peers.spread, FAR) if peers.spread > 0 else inf
    freedom = (peers.count - 1) * wider**4
    chance = among * beyond((value - peers.middle) / scale, freedom)
    return min(MOST_SURE, max(0.0, 1 - chance))


def beyond(distance: float, freedom: float) -> float:
    """The chance of Student's t to be beyond a distance: as of a normal one, brought nearer.

    Wallace, Annals of Mathematical Statistics 30 (1959): within 1 % from three degrees on.
    """
    if distance <= 0:
        return 0.5
    if isfinite(freedom):
        grown = freedom * log1p(distance * distance / freedom)
        distance = (8 * freedom + 1) / (8 * freedom + 3) * sqrt(grown)
    return 0.5 * erfc(distance / sqrt(2))


def beyond_chance(hits: int, of: int, chance: float, among: int) -> float:
    """1 less the probability that one of `among` gets so many of the draws by luck (binomial)."""
    if not of or not 0 < chance < 1:
        return 0.0
    # By logarithms: of a thousand draws the number of ways is beyond what a float holds.
    ways = lgamma(of + 1)
    tail = fsum(
        exp(
            ways
            - lgamma(number + 1)
            - lgamma(of - number + 1)
            + number * log(chance)
            + (of - number) * log1p(-chance)
        )
        for number in range(hits, of + 1)
    )
    return min(MOST_SURE, max(0.0, 1 - among * tail))


def percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 or share <= 0 else f"{100 * share:.1f} %"


def listed(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

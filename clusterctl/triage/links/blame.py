"""Which NIC loses or holds back what little was sent, against the others of the same probe.  Pure.

A NIC is named where it does so to most of its partners and others do not: one path alone may be
anything between its ends.  Nothing here tells a rate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import median

from clusterctl.triage.links.known import Links, Way
from clusterctl.triage.links.said import Told
from clusterctl.triage.running.candidates import (
    MOST_SURE,
    SURE,
    Peers,
    above,
    listed,
    peers_of,
    percent,
)
from clusterctl.triage.running.of_wires import FEWEST_LOST, LOSS
from clusterctl.triage.running.wires import RECEIVES, SENDS
from clusterctl.triage.verdict import Suspect

HOW = "low-rate probe"
MOST_ALONE = 4  # NICs that met nobody
ONE_PATH = 0.5  # of confidence: which of its two ends it is, nothing tells


@dataclass(frozen=True, slots=True)
class Nic:
    node: str
    rail: int
    way: str
    ways: tuple[Way, ...]

    @property
    def called(self) -> str:
        return f"{self.node} {self.way}" + (f" on rail {self.rail}" if self.rail else "")

    @property
    def sent(self) -> int:
        return sum(one.sent for one in self.ways if one.lost is not None)

    @property
    def lost(self) -> int:
        return sum(map(lost, self.ways))

    @property
    def waits(self) -> list[float]:
        return [one.wait_us for one in self.ways if one.wait_us is not None]


def lost(one: Way) -> int:
    return one.lost or 0


def blamed(told: Told) -> Links:
    """What the probe says of the job's network."""
    every = nics(told.ways)
    found: dict[tuple[str, int, str], Suspect] = {}
    full: list[str] = []
    for one, why in (*losing(every, full), *waiting(every, full)):
        key = (one.node, one.rail, one.way)
        old = found.get(key)
        found[key] = (
            Suspect(one.called, (), one.node, float("nan"), why[0], (why[1],))
            if old is None
            else merged(old, *why)
        )
    alone = [] if full else single(told.ways, found)
    alone += [f"{HOW}: {one}" for one in told.alone[:MOST_ALONE]]
    if len(told.alone) > MOST_ALONE:
        alone.append(f"{HOW}: … and {len(told.alone) - MOST_ALONE} more NICs")
    suspects = tuple(sorted(found.values(), key=lambda one: -one.confidence))
    figures = quiet(told)
    answered = any(way.sent or way.rtt_us for way in told.ways)
    unseen = told.unseen if answered else (*told.unseen, f"{HOW}: no path answered")
    clears = "" if told.alone or told.unstamped else figures
    met = {node for way in told.ways for node in (way.source, way.target)} if clears else set()
    return Links(
        HOW, frozenset(met), suspects, tuple(alone), "; ".join(full), clears, unseen=unseen
    )


def merged(old: Suspect, sure: float, why: str) -> Suspect:
    confidence = min(SURE, 1 - (1 - old.confidence) * (1 - sure))
    return Suspect(
        old.what,
        old.ranks,
        old.node,
        old.slowdown,
        max(confidence, old.confidence),
        (*old.why, why),
    )


def nics(ways: Sequence[Way]) -> list[Nic]:
    by_nic: defaultdict[tuple[str, int, str], list[Way]] = defaultdict(list)
    for one in ways:
        by_nic[one.source, one.rail, SENDS].append(one)
        by_nic[one.target, one.rail, RECEIVES].append(one)
    return [Nic(*key, tuple(few)) for key, few in sorted(by_nic.items())]


# ----------------------------------------------------------------------------- loss


def losing(every: Sequence[Nic], full: list[str]) -> Iterator[tuple[Nic, tuple[float, str]]]:
    """NICs that lose what most of their partners send them, or they send to most."""
    bad = [one for one in every if one.lost >= FEWEST_LOST and share(one) > LOSS]
    if len(bad) > 2 and 2 * len(bad) > len(every):
        full.append(
            f"{HOW}: {len(bad)} of {len(every)} NICs lose segments at once: the fabric is full, or "
            "sick as a whole"
        )
        return
    ill = {way.called for one in bad for way in one.ways}
    well = {way.called: way for one in every for way in one.ways if way.called not in ill}
    sent, gone = (sum(told) for told in ((w.sent for w in well.values()), map(lost, well.values())))
    elsewhere = min(0.5, max(LOSS, gone / sent if sent else 0.0))
    for one in bad:
        sure = more_than_chance(one.lost, one.sent, elsewhere, len(every))
        if sure < SURE:
            continue
        if len(one.ways) < 2:
            sure = ONE_PATH
        by = ", ".join(f"{way.called} {way.lost or 0} of {way.sent}" for way in worst(one))
        rest = f"all other paths together {gone} of {sent}"
        yield one, (sure, f"{HOW}: {one.lost} of {one.sent} segments never came ({by}); {rest}")


def share(one: Nic) -> float:
    """Of the partner that loses second most: what one path does may be its other end's doing."""
    told = sorted((((way.lost or 0) / way.sent) for way in one.ways if way.sent), reverse=True)
    return told[min(1, len(told) - 1)] if told else 0.0


def more_than_chance(lost: int, sent: int, chance: float, among: int) -> float:
    """1 less the most that luck makes one of `among` lose so many (Chernoff, 1952)."""
    share = min(lost / sent, 1 - 1e-9) if sent else 0.0
    if share <= chance:
        return 0.0
    far = share * log(share / chance) + (1 - share) * log((1 - share) / (1 - chance))
    return min(MOST_SURE, max(0.0, 1 - among * exp(-sent * far)))


def single(ways: Sequence[Way], named: Collection[tuple[str, int, str]]) -> list[str]:
    """Paths that lose and whose ends do not: something between them, which nothing here names."""
    return [
        f"{HOW}: {one.called} lost {one.lost} of {one.sent} segments, and its ends lose no others'"
        for one in ways
        if (one.lost or 0) >= FEWEST_LOST
        and not {(one.source, one.rail, SENDS), (one.target, one.rail, RECEIVES)} & set(named)
        and more_than_chance(one.lost or 0, one.sent, LOSS, len(ways)) >= SURE
    ]


def worst(one: Nic) -> list[Way]:
    return sorted(one.ways, key=lambda way: -(way.lost or 0))[:3]


# ----------------------------------------------------------------------------- queues


def waiting(every: Sequence[Nic], full: list[str]) -> Iterator[tuple[Nic, tuple[float, str]]]:
    """The NIC before which a queue stands.

    The median message to or from most of its partners waits longer than a round trip takes, longer
    than its sender takes to send, and longer than one in ten waits elsewhere.
    """
    told = {one: median(one.waits) for one in every if one.waits}
    trip = quickest(every)
    held = {one for one, wait in told.items() if wait > trip and most(one, trip)}
    if len(held) > 2 and 2 * len(held) > len(told):
        middle = us(median(told[one] for one in held))
        full.append(
            f"{HOW}: queues stand before {len(held)} of {len(told)} NICs (median {middle}): "
            "everybody's transfers wait"
        )
        return
    rest = {one: wait for one, wait in told.items() if one not in held}
    usual = median([way.wait_90_us or 0.0 for one in rest for way in one.ways] or [0.0])
    peers = peers_of(list(rest.values())) if len(rest) > 1 else None
    beside = f", with others {us(median(rest.values()))}" if rest else ""
    for one in filter(held.__contains__, told):  # in their order: a set has none
        sure = stands_out(told[one], peers, max(usual, trip / 2))
        if len(one.ways) < 2:
            sure = min(sure, ONE_PATH)
        elif sure < SURE or told[one] < usual:
            continue
        paths = listed([way.called for way in one.ways], 3)
        trips = max(way.rtt_us or 0.0 for way in one.ways)
        yield (
            one,
            (
                sure,
                (
                    f"{HOW}: what it {one.way} waits {us(told[one])} on the way (median of "
                    f"{paths}){beside}; round trips to {us(trips)}, the quickest of all {us(trip)}"
                ),
            ),
        )


def quickest(every: Sequence[Nic]) -> float:
    """A round trip where nothing stands in a queue: of a quarter of the paths, at most half."""
    least = sorted(way.rtt_least_us for one in every for way in one.ways if way.rtt_least_us)
    return least[len(least) // 4] if least else 0.0


def stands_out(value: float, peers: Peers | None, error: float) -> float:
    if peers is None:
        return ONE_PATH
    return above(value, peers, error=error, among=peers.count + 1) if value >= peers.most else 0.0


def most(one: Nic, trip: float) -> bool:
    """A message may have waited in its sender: nobody knows when within a send it left."""
    held = [way for way in one.ways if (way.wait_us or 0.0) > max(trip, way.send_90_us)]
    return 2 * len(held) > len(one.waits)


def us(value: float) -> str:
    return f"{value / 1e3:.1f} ms" if value >= 1000 else f"{value:.0f} us"


# ----------------------------------------------------------------------------- what is well


def quiet(told: Told) -> str:
    """The figures of everybody, for what was ruled out; empty: nobody saw anything."""
    sent = sum(way.sent for way in told.ways)
    gone = sum(map(lost, told.ways))
    waits = [way.wait_us for way in told.ways if way.wait_us is not None]
    trips = [way.rtt_us for way in told.ways if way.rtt_us is not None]
    if not sent or not trips:
        return ""
    cost = max(told.cost.values(), default=0.0)
    return (
        f"{HOW}: {len(told.ways)} ways: {gone} of {sent} segments lost, round trips "
        f"{us(median(trips))} in the middle and {us(max(trips))} at most, waits {us(max(waits))} "
        f"at most; it took {told.rate_bit_s / 1e3:.0f} kbit/s a path and {percent(cost)} of a "
        "processor at most; what paths carry it does not tell"
    )

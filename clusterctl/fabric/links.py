"""Which cables of a fabric are slow, not up, or garble what they carry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from clusterctl.fabric.tree import Cable, End, Fabric
from clusterctl.model import Finding, Severity, Status, Verdict
from clusterctl.peers import LEAST_VOTERS, majority
from clusterctl.probes.ib_rates import SPEEDS

WIDTH, SPEED, STATE, ERRORS = "link_width", "link_speed", "link_state", "link_errors"
BOTH_ENDS = "what both ends support, as iblinkinfo says"
CABLE = "clean and reseat the cable at both ends, {near} and {far}; then swap it"
DIAGS = "infiniband-diags, etc/error_thresholds"
# Since somebody cleared them last, so that they speak of a cable only where they are many.
LIMITS = {
    "SymbolErrorCounter": 10,
    "LinkErrorRecoveryCounter": 10,
    "LinkDownedCounter": 10,
    "PortRcvErrors": 10,
    "PortRcvRemotePhysicalErrors": 100,
    "PortRcvSwitchRelayErrors": 100,
    "PortXmitDiscards": 100,
    "PortXmitConstraintErrors": 100,
    "PortRcvConstraintErrors": 100,
    "LocalLinkIntegrityErrors": 10,
    "ExcessiveBufferOverrunErrors": 10,
    "VL15Dropped": 100,
}


@dataclass(frozen=True, slots=True)
class Rate:
    """Lanes, or Gbit/s of one: what a cable does and, where a tool says it, what it could."""

    cable: Cable
    does: float
    could: float | None

    @property
    def short(self) -> bool:
        return self.could is not None and self.does < self.could


def link_findings(fabric: Fabric) -> Iterator[Finding]:
    """Tier by tier: hosts' cables have peers among hosts', leaves' among leaves'."""
    tiers: defaultdict[str, list[Cable]] = defaultdict(list)
    for cable in fabric.cables:
        tiers[tier(fabric, cable)].append(cable)
    for name, cables in tiers.items():
        widths = [Rate(c, c.width, c.width_could) for c in cables if c.width is not None]
        speeds = [
            Rate(c, c.speed_gbit_s, c.speed_could_gbit_s)
            for c in cables
            if c.speed_gbit_s is not None
        ]
        yield from rates(name, WIDTH, widths)
        yield from rates(name, SPEED, speeds)
        yield from states(name, cables)


def tier(fabric: Fabric, cable: Cable) -> str:
    if cable.near.kind == "node":
        return "node cables"
    if cable.near.kind == "host":
        return "cables of other hosts"
    return f"cables from level {fabric.levels.get(cable.near.box, 0)} switches"


def rates(name: str, check: str, known: Sequence[Rate]) -> Iterator[Finding]:
    """Below what both ends could do; where most of a tier is, that is one finding of the tier."""
    short = [rate for rate in known if rate.short]
    usual = majority(rate.does for rate in known)
    whole = len(known) >= LEAST_VOTERS and 2 * len(short) > len(known)
    if whole:
        yield stratum(name, check, short, len(known))
    slow = []
    for rate in known:
        if rate.short and not whole and rate.could is not None:
            slow.append(slower(rate, check, rate.could, BOTH_ENDS, "floor"))
        elif usual is not None and rate.does < usual:
            slow.append(slower(rate, check, usual, f"most {name}", "peers"))
    yield from slow
    if known and not slow and not whole:
        said = f"{len(known)} {name} at {spelt(check, usual)}"
        status = Status.SKIP if usual is None else Status.PASS
        why = "too few that agree to compare with" if usual is None else ""
        yield Finding(check, Verdict("fabric", name, status, actual=said, why=why))


def spelt(check: str, value: float | None) -> str:
    if value is None:
        return "various"
    if check == WIDTH:
        return f"{value:g}x"
    word = next((word for word, gbit_s in SPEEDS.items() if gbit_s == value), "")
    return f"{word} ({value:g} Gbit/s a lane)".lstrip()


def stratum(name: str, check: str, short: Sequence[Rate], total: int) -> Finding:
    could = max(rate.could for rate in short if rate.could is not None)
    does = majority(rate.does for rate in short)
    why = f"{len(short)} of {total} could do more: one setting or make, not {len(short)} faults"
    return Finding(
        check,
        Verdict(
            "fabric",
            name,
            Status.WARN,
            f"{spelt(check, could)} at best",
            spelt(check, does),
            why,
            "see which width and speed the switches and adapters are set to allow",
            Severity.OBSERVE,
            BOTH_ENDS,
            "floor",
        ),
    )


def slower(rate: Rate, check: str, wanted: float, source: str, yardstick: str) -> Finding:
    cable = rate.cable
    return Finding(
        check,
        Verdict(
            cable.near.box,
            cable.part,
            Status.FAIL,
            spelt(check, wanted),
            spelt(check, rate.does),
            "",
            CABLE.format(near=cable.near, far=cable.far),
            Severity.ISOLATE,
            source,
            yardstick,
        ),
    )


def states(name: str, cables: Sequence[Cable]) -> Iterator[Finding]:
    told = [cable for cable in cables if cable.state]
    idle = [cable for cable in told if cable.state != "active"]
    for cable in idle:
        remedy = (
            "is the subnet manager running? sminfo asks"
            if cable.state in ("init", "armed")
            else CABLE.format(near=cable.near, far=cable.far)
        )
        yield Finding(
            STATE,
            Verdict(
                cable.near.box, cable.part, Status.FAIL, "active", cable.state, "", remedy,
                Severity.ISOLATE, "a cabled port is active", "floor",
            ),
        )  # fmt: skip
    if told and not idle:
        said = f"{len(told)} {name} active"
        yield Finding(STATE, Verdict("fabric", name, Status.PASS, actual=said))


@dataclass(frozen=True, slots=True)
class Before:
    """An earlier walk's counters that were not zero, by GUID and port; `hours` ago."""

    counters: Mapping[tuple[str, str], Mapping[str, int]]
    hours: float


def error_findings(
    fabric: Fabric, *, asked: bool, before: Before | None = None
) -> Iterator[Finding]:
    """With both ends named: the counter stands at one, and the fault may be at either."""
    if not asked:
        why = "error counters were not asked for"
        yield Finding(ERRORS, Verdict("fabric", "counters", Status.SKIP, why=why))
        return
    bad = [
        found
        for cable in fabric.cables
        for end, other in ((cable.near, cable.far), (cable.far, cable.near))
        if (found := over(end, other, before))
    ]
    yield from bad
    if not bad:
        said = f"no counter over its limit on {len(fabric.cables)} cables"
        yield Finding(ERRORS, Verdict("fabric", "counters", Status.PASS, actual=said, source=DIAGS))


def since(end: End, names: Iterable[str], before: Before | None) -> str:
    """Whether they still rise, which says more than how many they are."""
    if before is None:
        return "counted since they were last cleared"
    was = before.counters.get((end.guid, end.port), {})
    rises = {name: end.counters[name] - was.get(name, 0) for name in names}
    ago = f"the last walk, {before.hours:.1f} h ago"
    if any(rise < 0 for rise in rises.values()):
        return f"cleared since {ago}"
    risen = ", ".join(f"+{rise} {name}" for name, rise in rises.items() if rise)
    return f"{risen} since {ago}" if risen else f"none of them since {ago}"


def over(end: End, other: End, before: Before | None) -> Finding | None:
    high = {
        name: count
        for name, count in sorted(end.counters.items())
        if count > LIMITS.get(name, count)
    }
    if not high:
        return None
    return Finding(
        ERRORS,
        Verdict(
            end.box,
            f"{end} < {other}",
            Status.WARN,
            ", ".join(f"{name} ≤ {LIMITS[name]}" for name in high),
            ", ".join(f"{name} {count}" for name, count in high.items()),
            f"seen at {end}; the other end is {other}; {since(end, high, before)}",
            CABLE.format(near=end, far=other) + "; clear them: ibqueryerrors -k; look again",
            Severity.OBSERVE,
            DIAGS,
            "floor",
        ),
    )

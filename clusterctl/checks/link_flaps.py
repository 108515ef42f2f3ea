"""Does a network link go down and come back?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from clusterctl.counters import NoRise, rise
from clusterctl.kernel_log import recent
from clusterctl.model import Check, Evidence, KernelEvent, Limit, Port, Severity, Verdict
from clusterctl.verdicts import (
    before,
    facts_of,
    failing,
    passing,
    skipping,
    source_of,
    threshold,
    unknown,
    warning,
)

DAY_S = 86400
# How many changes of each counter make one flap: carrier_changes counts down and up.
COUNTERS = {
    "link_downed": 1,
    "link_down_events_phy": 1,
    "carrier_down_count": 1,
    "link_down_events": 1,  # bnxt_en
    "number_of_link_down_events": 1,  # AMD nicctl
    "carrier_changes": 2,
    "link_up_count": 1,  # Huawei hccn_tool: link_stat
}
REMEDY = "reseat or swap the cable or module at both ends; then look at the switch port"


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        earlier = before(evidence, Port)
        logged = downs(evidence)
        for port in facts_of(evidence, Port):
            names = {port.part, port.device, port.netdev or port.part}
            seen = sum(logged[name] for name in names)
            seen += sum(ago_s <= DAY_S for ago_s in port.downs_s_ago or ())
            yield flaps(evidence, port, earlier.get(port.part), seen)


def downs(evidence: Evidence) -> Counter[str]:
    """How often the kernel logged each link as down in the last day."""
    return Counter(
        event.part
        for event in facts_of(evidence, KernelEvent)
        if event.kind == "link" and event.code.lower() == "down" and recent([event], DAY_S)
    )


def flaps(evidence: Evidence, port: Port, then: Port | None, logged: int) -> Verdict:
    limit, source = threshold(evidence, "per_day"), source_of(evidence, "per_day")
    if logged > limit:
        return flapping(evidence, port, f"{logged} in a day", "floor")
    counted = [(name, port.counters[name]) for name in COUNTERS if name in port.counters]
    past = then.counters if then else {}
    rises = {name: rise(evidence, name, now, past.get(name)) for name, now in counted}
    known = {name: found for name, found in rises.items() if not isinstance(found, NoRise)}
    worst = max((-(-found.count // COUNTERS[name]) for name, found in known.items()), default=0)
    rates = [found.per_s / COUNTERS[name] for name, found in known.items() if found.per_s]
    if worst and max(rates, default=0.0) * DAY_S > limit:
        return flapping(evidence, port, f"{worst} since the last reading", "past")
    if worst or logged:
        return warning(
            evidence,
            port.part,
            expected="no flap",
            actual=f"{max(worst, logged)} down",
            why="the link went down and came back",
            remedy="watch this link; if it happens again, " + REMEDY,
            source=source,
            yardstick="past" if worst else "floor",
        )
    return quiet(evidence, port, list(rises.values()), limit)


def flapping(evidence: Evidence, port: Port, actual: str, yardstick: str) -> Verdict:
    return failing(
        evidence,
        port.part,
        expected=f"≤ {threshold(evidence, 'per_day'):g} flaps a day",
        actual=actual,
        why="the link keeps going down",
        remedy=REMEDY,
        severity=Severity.ISOLATE,
        source=source_of(evidence, "per_day"),
        yardstick=yardstick,
    )


def quiet(evidence: Evidence, port: Port, rises: Sequence[object], limit: float) -> Verdict:
    """No flap seen: PASS only where a counter was read twice, or the port keeps a history."""
    if port.downs_s_ago is not None:
        return passing(
            evidence, port.part, "none in its own history", expected=f"≤ {limit:g} a day"
        )
    stuck = [found for found in rises if isinstance(found, NoRise)]
    if not rises:
        return skipping(evidence, port.part, "this port counts no flaps")
    if len(stuck) < len(rises):
        return passing(evidence, port.part, "no flap", expected=f"≤ {limit:g} a day")
    if blind := next((found for found in stuck if found.blind), None):
        return unknown(
            evidence,
            port.part,
            blind.why,
            remedy="clear the port's counters (perfquery -R), then sweep again",
        )
    return skipping(evidence, port.part, stuck[0].why)


CHECKS = (
    Check(
        name="link_flaps",
        asks="Does a network link keep going down and coming back?",
        wants=(Port,),
        uses=(KernelEvent,),
        judge=judge,
        limits={
            "per_day": Limit(
                5, "azurehpc-health-checks: more than 5 in 24 h", "also as a rate between readings"
            )
        },
    ),
)

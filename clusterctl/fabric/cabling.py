"""Is every cable where the plan has it?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace

from clusterctl.fabric.plan import Plan, Spot
from clusterctl.fabric.tree import Cable, Fabric
from clusterctl.model import Finding, Severity, Status, Verdict

CHECK = "cabling"
LEAST_SHARED = 3  # cables that are gone together before it is their leaf that is gone
Actual = Mapping[int, Cable]


def cabling(fabric: Fabric, plan: Plan) -> Iterator[Finding]:
    """At least one finding a node.  What is only unlike its peers is a warning, not a failure."""
    taken = {
        Spot(cable.far.box, cable.far.port): cable.near
        for cable in fabric.cables
        if cable.far.kind == "switch"
    }
    planned: defaultdict[str, dict[int, Spot]] = defaultdict(dict)
    there: defaultdict[str, dict[int, Cable]] = defaultdict(dict)
    for (node, rail), spot in plan.at.items():
        planned[node][rail] = spot
    for (node, rail), cable in fabric.at.items():
        there[node][rail] = cable
    gone = yield from absent_switches(fabric, plan)
    for node in fabric.nodes:
        wanted, actual = planned[node], there[node]
        if not wanted:
            why = "not in the plan" if plan.sure else "cabled like no other node: no plan to tell"
            yield Finding(CHECK, Verdict(node, "cables", Status.SKIP, why=why))
            continue
        found = list(of_node(fabric, plan, node, wanted, actual))
        for rail in sorted(wanted.keys() - actual.keys()):
            spot = wanted[rail]
            one = finding(
                plan, node, occupant(fabric, node, rail), expected=f"on {spot}",
                actual="no cable", why=absent(taken, spot), status=Status.FAIL,
                remedy=f"seat or trace the cable between {node} rail {rail} and {spot}",
            )  # fmt: skip
            found.append(replace(one, shared=gone.get(spot.leaf, "")))
        yield from found or [
            Finding(
                CHECK,
                Verdict(node, "cables", Status.PASS, actual=f"{len(wanted)} of {len(wanted)} right",
                        source=plan.origin),
            )
        ]  # fmt: skip
    yield from unplanned(fabric, plan)
    yield from uplinks(fabric, plan, gone)


def absent_switches(fabric: Fabric, plan: Plan) -> Generator[Finding, None, dict[str, str]]:
    """One finding for a switch of which nothing is seen; gives what explains its cables."""
    hung = {cable.far.box for cable in fabric.cables} | {cable.near.box for cable in fabric.cables}
    nodes = set(fabric.nodes)
    planned = Counter(spot.leaf for (node, _), spot in plan.at.items() if node in nodes)
    planned.update(spine for _, spine in plan.uplinks)
    gone = {}
    for leaf, count in planned.items():
        if leaf in hung or count < LEAST_SHARED:
            continue
        gone[leaf] = f"{leaf}: no cable of it is seen"
        yield finding(
            plan, leaf, "the whole switch", expected=cables(count), actual="no cable",
            why="the switch is off, or not in this fabric, or goes by another name",
            remedy="look at the switch, its power and the name that it gives itself",
        )  # fmt: skip
    return gone


def unplanned(fabric: Fabric, plan: Plan) -> Iterator[Finding]:
    """Devices that the plan gives no rail."""
    known = {id(cable) for cable in fabric.at.values()}
    for cable in fabric.cables:
        if cable.near.kind == "node" and cable.far.kind == "switch" and id(cable) not in known:
            yield finding(
                plan, cable.near.box, cable.near.device, expected="no cable", actual="plugged in",
                why="extra link: the plan has no rail for this device",
                remedy="unplug it, or add the device to rails in the plan", status=Status.WARN,
            )  # fmt: skip


def occupant(fabric: Fabric, node: str, rail: int) -> str:
    cable = fabric.at.get((node, rail))
    device = cable.near.device if cable else fabric.rails[rail] if rail < len(fabric.rails) else ""
    return f"rail {rail} {device}".rstrip()


def absent(taken: Mapping[Spot, object], spot: Spot) -> str:
    if spot.port and spot in taken:
        return f"in {spot} sits {taken[spot]}"
    return "missing link: nothing is seen at this port, or the port is down"


def of_node(
    fabric: Fabric, plan: Plan, node: str, wanted: Mapping[int, Spot], actual: Actual
) -> Iterator[Finding]:
    wrong = {
        rail: cable
        for rail, cable in actual.items()
        if rail in wanted and cable.far.box != wanted[rail].leaf
    }
    for one, other in swapped(wrong, wanted):
        yield finding(
            plan,
            node,
            f"{occupant(fabric, node, one)}, {occupant(fabric, node, other)}",
            expected=f"on {wanted[one]}, {wanted[other]}",
            actual=f"on {wrong.pop(one).far}, {wrong.pop(other).far}",
            why=f"rails {one} and {other} are swapped",
            remedy=f"swap the two cables at {node}",
        )
    for rail, cable in wrong.items():
        yield finding(
            plan,
            node,
            occupant(fabric, node, rail),
            expected=f"on {wanted[rail]}",
            actual=f"on {cable.far}",
            why="wrong leaf",
            remedy=f"move the cable from {cable.far} to {wanted[rail]}",
        )
    for rail, cable in actual.items():
        spot = wanted.get(rail)
        if spot is None:
            yield finding(
                plan, node, occupant(fabric, node, rail), expected="no cable",
                actual=f"on {cable.far}", why="extra link: the plan has none here",
                remedy="unplug it, or write it into the plan", status=Status.WARN,
            )  # fmt: skip
        elif spot.leaf == cable.far.box and spot.port and spot.port != cable.far.port:
            yield finding(
                plan, node, occupant(fabric, node, rail), expected=f"on {spot}",
                actual=f"on {cable.far}", why="right leaf, wrong port",
                remedy="move the cable, or write the port into the plan", status=Status.WARN,
            )  # fmt: skip


def swapped(wrong: Actual, wanted: Mapping[int, Spot]) -> list[tuple[int, int]]:
    """Rails each of which ends where the other should."""
    found: list[tuple[int, int]] = []
    used: set[int] = set()
    for one in sorted(wrong):
        for other in sorted(wrong):
            crossed = (
                one < other
                and not {one, other} & used
                and wrong[one].far.box == wanted[other].leaf
                and wrong[other].far.box == wanted[one].leaf
            )
            if crossed:
                found.append((one, other))
                used |= {one, other}
    return found


def uplinks(fabric: Fabric, plan: Plan, gone: Mapping[str, str]) -> Iterator[Finding]:
    """From leaf to spine, and whatever joins two switches otherwise."""
    there: defaultdict[tuple[str, str], list[Cable]] = defaultdict(list)
    for cable in fabric.between():
        there[cable.near.box, cable.far.box].append(cable)
    if not plan.uplinks:
        if there:
            why = "the plan names no spines" if plan.sure else "no number that most leaves share"
            part = "between switches"
            yield Finding(CHECK, Verdict("fabric", part, Status.SKIP, why=why))
        return
    bad = 0
    for (leaf, spine), count in plan.uplinks.items():
        have = there.pop((leaf, spine), [])
        if len(have) == count:
            continue
        bad += 1
        more = len(have) > count
        ports = ", ".join(f"{cable.near} > {cable.far}" for cable in have)
        told = finding(
            plan, leaf, f"{leaf} > {spine}", expected=cables(count),
            actual=cables(len(have)) + (f": {ports}" if ports else ""),
            why="extra link" if more else "missing link, or its port is down",
            remedy=f"trace the cables between {leaf} and {spine}",
            status=Status.WARN if more else Status.FAIL,
        )  # fmt: skip
        yield replace(told, shared=gone.get(leaf) or gone.get(spine, ""))
    beyond = Counter(len(many) for many in there.values())
    levels = {fabric.levels.get(box, 0) for box in {b for pair in plan.uplinks for b in pair}}
    for (one, other), many in there.items():
        if {fabric.levels.get(one, 0), fabric.levels.get(other, 0)} <= levels:
            bad += 1
            yield finding(
                plan, one, f"{one} > {other}", expected="no cable",
                actual=", ".join(cable.part for cable in many),
                why="extra link: these two switches should not be joined",
                remedy="trace it and unplug it, or write it into the plan", status=Status.WARN,
            )  # fmt: skip
    if not bad:
        said = f"{len(plan.uplinks)} pairs of leaf and spine right"
        said += f"; {beyond.total()} pairs above them not in the plan" if there else ""
        verdict = Verdict("fabric", "uplinks", Status.PASS, actual=said, source=plan.origin)
        yield Finding(CHECK, verdict)


def cables(count: int) -> str:
    return "1 cable" if count == 1 else f"{count} cables" if count else "no cable"


def finding(
    plan: Plan,
    node: str,
    part: str,
    *,
    expected: str,
    actual: str,
    why: str,
    remedy: str,
    status: Status = Status.FAIL,
) -> Finding:
    sure = plan.sure and status is Status.FAIL
    return Finding(
        CHECK,
        Verdict(
            node,
            part,
            status if plan.sure else Status.WARN,
            expected,
            actual,
            why if plan.sure else f"{why}; unlike its peers",
            remedy,
            Severity.ISOLATE if sure else Severity.OBSERVE,
            plan.origin,
            "floor" if plan.sure else "peers",
        ),
    )

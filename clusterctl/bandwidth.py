"""Paths between nodes, round by round: who sends to whom, what came of it, what it says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clusterctl import catalog
from clusterctl.localise.columns import FAILED, MISSING, OK, UNKNOWN, Measured, Topology
from clusterctl.localise.located import Floor, Located, Test
from clusterctl.model import (
    WHOLE_NODE,
    Bandwidth,
    DeviceProcess,
    Finding,
    Node,
    Observation,
    Pace,
    PcieDevice,
    Playbook,
    Probe,
    Question,
    Severity,
    Stage,
    Status,
    Trouble,
    Verdict,
)
from clusterctl.rails import Rails
from clusterctl.run import SLACK_S, World, as_probe, look
from clusterctl.trials.flows import Flow, ask_flow, meeting

CHECK = "paths"
TRIAL = "pair_bandwidth"
WELL_BELOW = 0.10  # of the rate of its like, as the check of pairs has it: gpu-fryer
PASSING = 0.10  # of tests: the most that passing trouble holds up where links are healthy
SOURCE = "rate of a path = min over the parts it crosses (NetBouncer, 007: flows over known paths)"


@dataclass(frozen=True, slots=True)
class Row:
    """One directed measurement, planned or made; `src` and `dst` index the topology's nodes."""

    round: int
    src: int
    dst: int
    rail: int
    via: int = UNKNOWN
    status: int = MISSING
    gbit_s: float | None = None
    engine: str = ""
    samples_gbit_s: tuple[float, ...] = ()
    retransmits: int | None = None
    why: str = ""  # it has no rate


def playbook(pace: Pace, params: Mapping[str, object]) -> Playbook:
    """Who holds an accelerator is read; then pairs are measured with these knobs."""
    probes = [
        probe
        for probe in catalog.all_probes().values()
        if {DeviceProcess, PcieDevice} & set(probe.yields)
    ]
    trial = catalog.all_trials()[TRIAL]
    return Playbook(
        "bandwidth",
        "paths between nodes, round by round",
        pace=pace,
        probes=tuple(probes),
        stages=(Stage(trial, {**trial.params, **params}),),
        origin="built in",
    )


# ----------------------------------------------------------------------------- a round


def rows_of(planned: Measured) -> list[Row]:
    columns = (planned.round, planned.src, planned.dst, planned.rail, planned.via)
    return [Row(*cells) for cells in zip(*(column.tolist() for column in columns), strict=True)]


def asked_again(tests: Iterable[Test], topology: Topology, after: int) -> list[Row]:
    """What localisation wants to know next, in the rounds after that one."""
    place = {name: at for at, name in enumerate(topology.nodes)}
    return [
        Row(
            after + 1 + test.round,
            place[test.src],
            place[test.dst],
            test.rail,
            UNKNOWN if test.via is None else test.via,
        )
        for test in tests
    ]


def fly(rows: Sequence[Row], rails: Rails, stage: Stage, world: World, pace: Pace) -> list[Row]:
    """One round with real traffic, all pairs side by side; the rows with what came of them."""
    flows = list(paired(rows))
    if not flows:
        return []
    asked: dict[str, tuple[Node, list[Probe]]] = {}
    probe = as_probe(stage.trial)
    for there, back in flows:
        for listener in (True, False):
            node = rails.nodes[there.dst if listener else there.src]
            question = ask(there, back, rails, stage, world.seed, listener=listener)
            asked.setdefault(node.name, (node, []))[1].append(replace(probe, question=question))
    longest = max(probe.question.timeout_s for _, probes in asked.values() for probe in probes)
    reading = f"round-{rows[0].round:03d}"
    pace = replace(pace, at_once=max(pace.at_once, len(asked)))  # no partner waits for a turn
    book = Playbook("bandwidth", pace=pace)
    seen = look(reading, list(asked.values()), book, longest + SLACK_S, world)
    return outcomes(flows, rails, seen)


def paired(rows: Iterable[Row]) -> Iterator[tuple[Row, Row | None]]:
    """There and back between two ports; None: nobody asks for the way back."""
    waiting: dict[tuple[int, int, int], Row] = {}
    for row in rows:
        other = waiting.pop((row.dst, row.src, row.rail), None)
        if other is not None:
            yield other, row
        else:
            waiting[row.src, row.dst, row.rail] = row
    for row in waiting.values():
        yield row, None


def spelled(row: Row, rails: Rails) -> str:
    ends = (f"{rails.nodes[end].name}/{row.rail}" for end in (row.src, row.dst))
    return ">".join(ends)


def ask(
    there: Row, back: Row | None, rails: Rails, stage: Stage, seed: int, *, listener: bool
) -> Question:
    """The caller's address says which spine brings data back; the listener's, which takes it."""
    caller, called = spelled(there, rails).split(">")
    params = stage.params
    way = "forward" if back is None else str(params["directions"])
    address = rails.address(there.dst, there.rail, there.via)
    flow = Flow(
        caller,
        called,
        address,
        bind=rails.address(there.src, there.rail, there.via if back is None else back.via),
        listens_at=address,
    )
    secret, ports = meeting(f"{seed} {there.round} {caller} {called}")
    return ask_flow(
        flow,
        listener=listener,
        secret=secret,
        ports=ports,
        seconds=float(str(params["seconds"])),
        streams=int(str(params["streams"])),
        engine=str(params["engine"]),
        memory=str(params["memory"]),
        way=way,
        name=f"{caller}>{called}",
    )


def outcomes(
    flows: Sequence[tuple[Row, Row | None]], rails: Rails, seen: Sequence[Observation]
) -> list[Row]:
    facts: dict[str, Bandwidth] = {}
    troubles: dict[str, list[tuple[str, Trouble]]] = {}
    for one in seen:
        for fact in one.facts:
            if isinstance(fact, Bandwidth):
                facts[fact.part] = fact
        troubles.setdefault(one.probe, []).extend((one.node, found) for found in one.troubles)
    made = []
    for there, back in flows:
        asked = spelled(there, rails)
        for row in (there, back):
            if row is not None:
                why = troubles.get(asked, [])
                made.append(outcome(row, facts.get(spelled(row, rails)), why))
    return made


def outcome(row: Row, fact: Bandwidth | None, troubles: Sequence[tuple[str, Trouble]]) -> Row:
    """A path whose node did not answer was not tried; one that was and gave nothing has failed."""
    if fact is not None:
        return replace(
            row,
            status=OK,
            gbit_s=fact.gbit_s,
            engine=fact.engine,
            samples_gbit_s=fact.samples_gbit_s,
            retransmits=fact.retransmits,
        )
    silent = [(node, found) for node, found in troubles if found.part == WHOLE_NODE]
    told = silent or list(troubles)
    why = "; ".join(f"{node}: {found}" for node, found in told) or "neither end told a rate"
    return replace(row, status=MISSING if silent else FAILED, why=why)


# ----------------------------------------------------------------------------- all rounds


def measured(rows: Sequence[Row]) -> Measured:
    """As localisation reads it."""
    return Measured(
        np.array([row.round for row in rows], dtype=np.int32),
        np.array([row.src for row in rows], dtype=np.int32),
        np.array([row.dst for row in rows], dtype=np.int32),
        np.array([row.rail for row in rows], dtype=np.int32),
        np.array([row.via for row in rows], dtype=np.int32),
        np.array([np.nan if row.gbit_s is None else row.gbit_s for row in rows], dtype=np.float64),
        np.array([row.status for row in rows], dtype=np.int8),
    )


def by_round(rows: Iterable[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row.round, []).append(row)
    return found


def without(rows: Sequence[Row], refused: Mapping[int, str]) -> tuple[list[Row], list[Row]]:
    """(rows to fly, rows that cannot: an end of theirs is not to be loaded)."""
    able, idle = [], []
    for row in rows:
        why = refused.get(row.src) or refused.get(row.dst)
        if why:
            idle.append(replace(row, why=why))
        else:
            able.append(row)
    return able, idle


# ----------------------------------------------------------------------------- what it says


def floors(gbit_s: float | None) -> list[Floor]:
    return [] if gbit_s is None else [Floor(gbit_s, "--floor, of the operator")]


def findings(located: Located, rows: Sequence[Row], topology: Topology) -> list[Finding]:
    """Suspects fail, also those that belong to no node; what is not clear is unknown."""
    found = [
        *(*suspected(located), *doubted(located), *shared(located)),
        *muddled(located, rows, topology),
    ]
    blamed = {one.verdict.node for one in found}
    heard: dict[int, list[float]] = {}
    whys: dict[int, str] = {}
    for row in rows:
        for end in (row.src, row.dst):
            if row.gbit_s is not None:
                heard.setdefault(end, []).append(row.gbit_s)
            else:
                whys.setdefault(end, row.why)
    for at, name in enumerate(topology.nodes):
        if at in heard and name not in blamed:
            found.append(Finding(CHECK, cleared(name, heard[at])))
        elif at not in heard:
            why = whys.get(at, "it had no partner in any round")
            found.append(Finding(CHECK, unmeasured(name, why)))
    return found


def shares(rows: Sequence[Row], topology: Topology) -> NDArray[np.float64]:
    """Of each test, by the median of its rail and of those within or between leaves; failed: -1."""
    rate = np.array([np.nan if row.gbit_s is None else row.gbit_s for row in rows])
    ends = np.array([(row.src, row.dst, row.rail) for row in rows], dtype=np.int64).reshape(-1, 3)
    src, dst, rail = ends.T
    like = 2 * rail + (topology.leaf[src, rail] == topology.leaf[dst, rail])
    made = np.full(len(rows), np.nan)
    for one in np.unique(like):
        mine = (like == one) & np.isfinite(rate)
        if mine.any():
            made[mine] = rate[mine] / max(float(np.median(rate[mine])), 1e-12)
    made[[row.status == FAILED for row in rows]] = -1.0
    return made


def crosses(row: Row, component: str, topology: Topology) -> bool:
    """Whether a test may have crossed it; one whose spine is not known may have crossed any."""
    kind, _, rest = component.partition(":")
    words = re.split(r"[/>]", rest)
    if kind in {"host", "nic-tx", "nic-rx"}:
        ends = {"host": (row.src, row.dst), "nic-tx": (row.src,), "nic-rx": (row.dst,)}[kind]
        rail = words[1] if len(words) > 1 else str(row.rail)
        return rail == str(row.rail) and words[0] in {topology.nodes[end] for end in ends}
    here, there = (str(topology.leaf[end, row.rail]) for end in (row.src, row.dst))
    via = words[-1] if row.via == UNKNOWN else str(row.via)
    rail = str(row.rail)
    if kind == "leaf":
        return words in ([here, rail], [there, rail])
    if here == there:
        return False
    path = {
        "uplink": [here, rail, via],
        "downlink": [words[0] if row.via == UNKNOWN else via, there, rail],
        "spine": [via],
        "uplinks": [here, rail],
        "downlinks": [there, rail],
    }
    return words == path.get(kind)


def unexplained(located: Located, rows: Sequence[Row], topology: Topology) -> list[Row]:
    """Tests well below their like that cross no suspect."""
    slow = shares(rows, topology) < 1 - WELL_BELOW
    named = [one.component for one in located.suspects]
    return [
        row
        for row, is_slow in zip(rows, slow.tolist(), strict=True)
        if is_slow and not any(crosses(row, one, topology) for one in named)
    ]


def muddled(located: Located, rows: Sequence[Row], topology: Topology) -> Iterator[Finding]:
    """Passing trouble holds up a few tests; where it is many, nobody was cleared by the rest."""
    slow, tried = unexplained(located, rows, topology), sum(row.status != MISSING for row in rows)
    if len(slow) <= PASSING * tried:
        return
    hidden = any(row.via == UNKNOWN for row in rows if topology.uplinks != 1)
    why = "no part explains them: congestion, noise, or more than one stream on a link"
    if hidden:
        why += ", which is likely where the fabric chooses the spine (ECMP)"
    yield Finding(
        CHECK,
        Verdict(
            "all paths",
            "paths",
            Status.UNKNOWN,
            expected=f"≤ {PASSING:.0%} of tests {WELL_BELOW:.0%} below their like",
            actual=f"{len(slow)} of {tried}",
            why=why,
            remedy="measure again when the fabric is idle; say via0_addresses, … if spines can be "
            "chosen; more --rounds average it out",
            severity=Severity.OBSERVE,
            source="gpu-fryer: 10 % below peers fails; passing trouble: 1 to 10 % of tests",
            yardstick="peers",
        ),
    )


def node_of(component: str) -> str:
    """The node a component belongs to; else the component itself: fabric has no node."""
    kind, _, rest = component.partition(":")
    return rest.split("/")[0] if kind in {"host", "nic-tx", "nic-rx"} else component


def suspected(located: Located) -> Iterator[Finding]:
    for one in located.suspects:
        yield Finding(
            CHECK,
            Verdict(
                node_of(one.component),
                one.component,
                Status.FAIL,
                expected="100 % of its peers' rate",
                actual=f"{one.rate:.0%} ({one.low:.0%} to {one.high:.0%})",
                why=f"posterior {sure(one.posterior)}: {len(one.evidence_for)} slow tests across "
                f"it, {len(one.evidence_against)} that clear the rest",
                remedy=one.advice,
                severity=Severity.ISOLATE,
                source=SOURCE,
                yardstick="peers",
            ),
        )


def sure(posterior: float) -> str:
    """Never 1: nothing is that sure."""
    return f"{min(posterior, 0.9999):.3f}" if posterior < 0.9995 else "> 0.999"


def doubted(located: Located) -> Iterator[Finding]:
    for one in located.inconclusive:
        yield Finding(
            CHECK,
            Verdict(
                node_of(one.component),
                one.component,
                Status.UNKNOWN,
                expected="a clear answer",
                actual="" if one.posterior is None else f"posterior {sure(one.posterior)}",
                why=one.why,
                remedy="measure again: more rounds, or --confirm",
                severity=Severity.OBSERVE,
                source=SOURCE,
            ),
        )


def shared(located: Located) -> Iterator[Finding]:
    for one in located.population:
        expected = one.expected_gbit_s
        yield Finding(
            CHECK,
            Verdict(
                f"all of {one.where}",
                "paths",
                Status.FAIL,
                expected="" if expected is None else f"≥ {expected:.4g} Gbit/s",
                actual=f"{one.gbit_s:.4g} Gbit/s",
                why=one.why,
                remedy="one cause for all: configuration, driver, cabling or the engine; "
                "not so many broken parts",
                severity=Severity.OBSERVE,
                source=one.source,
                yardstick="floor",
            ),
        )


def cleared(name: str, rates: Sequence[float]) -> Verdict:
    return Verdict(
        name,
        "paths",
        Status.PASS,
        actual=f"{min(rates):.4g} to {max(rates):.4g} Gbit/s over {len(rates)} paths",
        source=SOURCE,
        yardstick="peers",
    )


def unmeasured(name: str, why: str) -> Verdict:
    return Verdict(
        name,
        "paths",
        Status.UNKNOWN,
        expected="a rate on at least one path",
        actual="none",
        why=why,
        remedy="see why, and measure again",
        severity=Severity.OBSERVE,
        source="what was not measured is not healthy",
    )

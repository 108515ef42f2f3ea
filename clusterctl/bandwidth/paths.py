"""Paths between nodes, round by round: who sends to whom, what came of it, what it says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clusterctl import catalog
from clusterctl.bandwidth.measurements import FASTEST_GBIT_S
from clusterctl.bandwidth.rails import Rails
from clusterctl.localise.columns import FAILED, MISSING, OK, UNKNOWN, Measured, Topology
from clusterctl.localise.located import Test
from clusterctl.model import (
    WHOLE_NODE,
    Bandwidth,
    DeviceProcess,
    Node,
    Observation,
    Pace,
    PcieDevice,
    Playbook,
    Probe,
    Question,
    Stage,
    Trouble,
)
from clusterctl.run import SLACK_S, World, as_probe, look
from clusterctl.trials.flows import Flow, ask_flow, meeting

TRIAL = "pair_bandwidth"
# Conversations stand open, so partners start together; what a controller needs to send so many
# programs is the rest.  A dead path holds up its whole round for this long.
MEETING_S, MEETING_NODE_S = 10.0, 0.01
COUNTING = ("sysfs_rdma", "ethtool", "ip_addresses")  # what ports count, and whose rail they are


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
    why: str = ""  # it has no rate, or some of its runs gave none


def playbook(pace: Pace, params: Mapping[str, object]) -> Playbook:
    """Who holds an accelerator is read; then pairs are measured with these knobs."""
    probes = [
        probe
        for probe in catalog.all_probes().values()
        if {DeviceProcess, PcieDevice} & set(probe.yields)
    ]
    probes += [one for one in counting() if one not in probes]
    trial = catalog.all_trials()[TRIAL]
    return Playbook(
        "bandwidth",
        "paths between nodes, round by round",
        pace=pace,
        probes=tuple(probes),
        stages=(Stage(trial, {**trial.params, **params}),),
        origin="built in",
    )


def counting() -> list[Probe]:
    known = {**catalog.all_probes(), **catalog.named_probes()}
    return [known[name] for name in COUNTING]


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
        meeting_s=MEETING_S + MEETING_NODE_S * len(rails.nodes),
    )


def outcomes(
    flows: Sequence[tuple[Row, Row | None]], rails: Rails, seen: Sequence[Observation]
) -> list[Row]:
    # By question, too: whoever is asked of one path is not believed of another.
    facts: dict[tuple[str, str], Bandwidth] = {}
    troubles: dict[str, list[tuple[str, Trouble]]] = {}
    for one in seen:
        for fact in one.facts:
            if isinstance(fact, Bandwidth):
                facts[one.probe, fact.part] = fact
        troubles.setdefault(one.probe, []).extend((one.node, found) for found in one.troubles)
    made = []
    for there, back in flows:
        asked = spelled(there, rails)
        for row in (there, back):
            if row is not None:
                why = troubles.get(asked, [])
                made.append(outcome(row, facts.get((asked, spelled(row, rails))), why))
    return made


def outcome(row: Row, fact: Bandwidth | None, troubles: Sequence[tuple[str, Trouble]]) -> Row:
    """A path whose node did not answer was not tried; one that was and gave nothing has failed.

    One of whose runs some failed has the rate of the others, and why.
    """
    if fact is not None and fact.gbit_s > FASTEST_GBIT_S:
        why = f"{fact.gbit_s:g} Gbit/s is not a rate; expected 0 to {FASTEST_GBIT_S:g}"
        return replace(row, status=FAILED, why=why)
    if fact is not None:
        own = (f"{node}: {found}" for node, found in troubles if found.part == fact.part)
        return replace(
            row,
            status=OK,
            gbit_s=fact.gbit_s,
            engine=fact.engine,
            samples_gbit_s=fact.samples_gbit_s,
            retransmits=fact.retransmits,
            why="; ".join(own),
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

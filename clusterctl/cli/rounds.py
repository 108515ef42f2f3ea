"""A run of `bandwidth` from its flags to its folder: begun, led, resumed."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clusterctl import bandwidth, store
from clusterctl import bandwidth_counters as counters
from clusterctl import bandwidth_folder as folder
from clusterctl.bandwidth import Row
from clusterctl.bandwidth_counters import Hint
from clusterctl.bandwidth_findings import findings, floors
from clusterctl.cli import world as ambient
from clusterctl.cli.finish import finish
from clusterctl.cli.localise import given, one_count, seconds
from clusterctl.cli.progress import Progress
from clusterctl.cli.screen import tell
from clusterctl.cli.world import Flags
from clusterctl.localise import schedule
from clusterctl.localise.classes import by_rates
from clusterctl.localise.columns import UNKNOWN, Topology
from clusterctl.localise.suspects import locate
from clusterctl.model import (
    WHOLE_NODE,
    Finding,
    Node,
    Observation,
    Pace,
    Playbook,
    Run,
    UserError,
)
from clusterctl.rails import Rails, rails_of

if TYPE_CHECKING:
    from clusterctl.localise.located import Located
    from clusterctl.run import Paused, World

WHOLE_RUN_S = 7 * 86400.0  # a conversation is held open; each round has its own deadline
ROUND_EXTRA_S = 4.0  # beside the seconds each way: partners meet, answers come
LOAD_NICE = 0
PATH = re.compile(
    r"(?P<src>[^\s>/@]+)>(?P<dst>[^\s>/@]+)(?:/(?P<rail>\d{1,9}))?(?:@(?P<via>\d{1,9}))?"
)


@dataclass(frozen=True, slots=True)
class Order:
    """What the operator asked for; `params` are the knobs of the trial."""

    params: Mapping[str, object]
    settings: folder.Settings
    topology: Path | None
    budget: str
    only: str


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A run whose plan is on disk.  `rows`: every test planned; `done`: those that ran.

    `paused`: what stands still on a node and may have it; `moved`: asked before each round, nodes
    where it goes on, and why they are to be left alone.
    """

    recorder: store.Recorder
    opening: Run
    rails: Rails
    settings: folder.Settings
    rows: list[Row]
    done: list[Row]
    paused: Mapping[str, Paused] = field(default_factory=dict)
    moved: Callable[[], Mapping[str, str]] = dict


def begun(order: Order, flags: Flags, chosen_nodes: Sequence[Node] = ()) -> UnderWay:
    """Plan it and write the plan; nothing was asked of a node yet.  Raises UserError.

    `chosen_nodes`: instead of those that the flags select.
    """
    ambient.logs()
    nodes = tuple(chosen_nodes) or ambient.targets(flags)
    refuse_one_machine(nodes)
    rails = rails_of(nodes, given(order.topology))
    book = bandwidth.playbook(Pace(at_once=max(128, len(nodes))), order.params)
    book = ambient.paced(book, None)
    reason = book.stages[0].trial.refuse(book.stages[0].params)
    if reason:
        raise UserError(f"--{reason}")
    seed = secrets.randbits(32) if flags.seed is None else flags.seed
    settings = replace(budgeted(order, rails.topology), only=order.only)
    rows = chosen(order.only, rails) if order.only else planned(settings, rails, seed)
    if not rows:
        raise UserError("no two nodes share a rail: there are no paths to measure")
    recorder = store.Recorder(ambient.runs(flags.runs_dir), ambient.new_id(book))
    now = ambient.now()
    opening = Run(
        recorder.final.name, book, nodes, seed, now, now, (), (),
        verb="bandwidth", forced=flags.force, why=flags.why, complete=False,
    )  # fmt: skip
    recorder.begin(store.describe(opening))
    try:
        folder.write_topology(recorder.path, rails.topology)
        folder.write_settings(recorder.path, settings)
        folder.write_plan(recorder.path, rows, rails.topology.nodes)
    except OSError as error:
        raise UserError(f"{recorder.path}: {error.strerror}") from None
    return UnderWay(recorder, opening, rails, settings, rows, [])


def refuse_one_machine(nodes: tuple[Node, ...]) -> None:
    machines = {"here" if ambient.is_here(node) else node.host for node in nodes}
    if len(machines) < 2:
        raise UserError(
            f"{nodes[0].name} is one machine: there are no paths between nodes to measure; "
            "`clusterctl burnin` loads its own ports, and paths need two nodes or more"
        )


def budgeted(order: Order, topology: Topology) -> folder.Settings:
    """Rounds that fit into the budget.  Raises UserError."""
    one_count(order.settings.rounds, order.budget, order.settings.mode)
    if not order.budget:
        return order.settings
    round_s = 2 * float(str(order.params["seconds"])) + ROUND_EXTRA_S
    rounds = schedule.rounds_for(topology, seconds(order.budget), round_s)
    return replace(order.settings, rounds=rounds)


def planned(settings: folder.Settings, rails: Rails, seed: int) -> list[Row]:
    made = schedule.plan(
        rails.topology,
        rounds=settings.rounds,
        mode=settings.mode,  # type: ignore[arg-type]  # one of its three words
        rng=np.random.default_rng(seed),
    )
    rows = bandwidth.rows_of(made)
    return rows if rails.spines else [replace(row, via=UNKNOWN) for row in rows]


def chosen(only: str, rails: Rails) -> list[Row]:
    """`n03>n07/1@0 …`: one round a path, so that none disturbs another.  Raises UserError."""
    place = {name: at for at, name in enumerate(rails.topology.nodes)}
    rows = []
    for number, word in enumerate(only.replace(",", " ").split()):
        found = PATH.fullmatch(word)
        if found is None or len({found["src"], found["dst"]} & place.keys()) < 2:
            raise UserError(f"--only {word}: expected two selected nodes, such as n03>n07/1@0")
        rail, via = int(found["rail"] or 0), int(found["via"] or UNKNOWN)
        if via != UNKNOWN and not rails.spines:
            raise UserError(
                f"--only {word}: the fabric chooses the spine; leave out @{via}, or give every "
                "node its label via0_addresses and so on"
            )
        if rail >= rails.topology.leaf.shape[1] or via >= rails.spines:
            raise UserError(f"--only {word}: no such rail or spine; both count from 0")
        rows.append(Row(number, place[found["src"]], place[found["dst"]], rail, via))
    return rows


def resumed(reference: str, flags: Flags) -> UnderWay:
    """A run that was stopped, as its folder tells it.  Raises UserError."""
    ambient.logs()
    found = store.find(ambient.runs(flags.runs_dir), reference)
    if not folder.is_bandwidth(found.path):
        raise UserError(f"{found.id}: is a {found.about['verb']}, not a run of bandwidth")
    if found.complete:
        raise UserError(f"{found.id}: is complete; `clusterctl show {found.id}` shows it")
    from clusterctl.playbook import build

    book = build(str(found.path / "run.json"), found.about["playbook"])
    book = ambient.paced(book, None)
    opening = Run(
        found.id, book, found.nodes(), found.about["seed"], found.started, found.started, (), (),
        verb="bandwidth", forced=found.about["forced"], complete=False,
    )  # fmt: skip
    rails = replace(rails_of(opening.nodes), topology=folder.topology(found.path))
    recorder = store.Recorder(found.path.parent, found.path.name.removesuffix(store.PARTIAL))
    names = rails.topology.nodes
    rows = folder.read_rows(found.path / "plan.csv", names)
    done = folder.whole_rounds(found.path, rows, names)
    return UnderWay(recorder, opening, rails, folder.settings(found.path), rows, done)


# ----------------------------------------------------------------------------- leading it


def lead(going: UnderWay, flags: Flags) -> Path:
    """Every round that is left, then those that make sure; the folder of the finished run."""
    recorder = going.recorder
    progress = Progress(
        lambda seen: any(one.troubles for one in seen), terminal=sys.stderr.isatty()
    )
    with progress, ExitStack() as closing:
        world = held(going, flags, progress, closing)
        try:
            before, refused = admitted(going, world)
            rows, located, topology = measure(going, world, refused, before)
        except KeyboardInterrupt:
            recorder.close()
            tell(
                "\nclusterctl: stopped; nothing is left running.  Go on with "
                f"`clusterctl bandwidth --resume {recorder.path}`.\n"
            )
            raise
    run = finished(going, world.clock(), before, (located, rows, topology))
    names = going.rails.topology.nodes
    try:
        folder.write_located(recorder.path, located)
        folder.write_matrix(recorder.path, rows, names)
    except OSError as error:
        tell(f"clusterctl: {recorder.path}: {error.strerror}\n")
    path = finish(run, recorder)
    tell(f"run: {path}\n")
    return path


def held(going: UnderWay, flags: Flags, progress: Progress, closing: ExitStack) -> World:
    """Conversations that last as long as the run, every answer recorded as it comes."""
    from functools import partial

    from clusterctl.playbook import skus
    from clusterctl.run import World
    from clusterctl.transport import Transport
    from clusterctl.transport.held import Held
    from clusterctl.transport.replay import Recording

    pace = going.opening.playbook.pace
    connect = ambient.reach(pace, flags, nice=LOAD_NICE, closing=closing)
    shells = Held(connect(WHOLE_RUN_S))
    closing.callback(shells.close)

    def recorded(reading: str, node_s: float) -> Transport:
        return Recording(shells.within(node_s), partial(going.recorder.hear, reading))

    return World(
        reach=recorded,
        clock=ambient.now,
        seed=going.opening.seed,
        run_id=going.opening.id,
        skus=skus(),
        tell=progress.tell,
    )


def admitted(going: UnderWay, world: World) -> tuple[list[Observation], dict[int, str]]:
    """What the nodes said first, and whom it tells us to leave in peace."""
    from clusterctl.run import admit, look

    book = going.opening.playbook
    asked = [(node, book.probes) for node in going.opening.nodes]
    before = look("before", asked, book, book.pace.node_s, world)
    _, refused = admit(going.opening.nodes, before, force=going.opening.forced, paused=going.paused)
    place = {name: at for at, name in enumerate(going.rails.topology.nodes)}
    return before, {place[name]: f"{name}: {verdict.why}" for name, verdict in refused.items()}


def measure(
    going: UnderWay, world: World, refused: Mapping[int, str], before: Sequence[Observation]
) -> tuple[list[Row], Located, Topology]:
    """What was measured, what it says, and on which leaves: guessed where nobody said."""
    topology, path = going.rails.topology, going.recorder.path
    rows, done = list(going.rows), list(going.done)
    earlier = folder.hints(path)
    confirmed = 0
    while True:
        ended = {row.round for row in done}
        for number, few in sorted(bandwidth.by_round(rows).items()):
            if number not in ended:
                done += one_round(going, world, few, refused)
        guessed = by_rates(topology, bandwidth.measured(done))
        if guessed is not topology:
            topology = guessed
            folder.write_topology(path, topology)
        counted = counted_since(going, world, before, f"counters-{confirmed}", earlier)
        located = judged_by(topology, done, going.settings, counted)
        if not located.confirm or confirmed >= going.settings.confirm:
            return done, located, topology
        confirmed += 1
        last = max(row.round for row in rows)
        rows += bandwidth.asked_again(located.confirm, topology, last)
        folder.write_plan(path, rows, topology.nodes)


def counted_since(
    going: UnderWay, world: World, before: Sequence[Observation], reading: str,
    earlier: Sequence[Hint],
) -> list[Hint]:  # fmt: skip
    """What the ports of nodes that answered counted since, on disk before it is used.

    `earlier`: what they had counted when the run was stopped; `before` is newer than that.
    """
    from clusterctl.run import look

    book, silent = going.opening.playbook, unheard(before)
    asked = [(one, bandwidth.counting()) for one in going.opening.nodes if one.name not in silent]
    now = look(reading, asked, book, book.pace.node_s, world)
    found = counters.merged(earlier, counters.hints(going.rails, before, now))
    folder.write_hints(going.recorder.path, found)
    return found


def unheard(seen: Sequence[Observation]) -> set[str]:
    """Nodes that could not be asked at all: asking them again would only cost time."""
    return {one.node for one in seen if any(item.part == WHOLE_NODE for item in one.troubles)}


def judged_by(
    topology: Topology, rows: list[Row], settings: folder.Settings, hints: Sequence[Hint]
) -> Located:
    """Located, with what their ports counted beside the suspects."""
    measured = bandwidth.measured(rows)
    made = locate(
        topology,
        measured,
        floors=floors(settings.floor_gbit_s),
        priors=counters.priors(hints),
        sought=measured if settings.only else None,
    )
    said = counters.said(hints)
    suspects = (replace(one, counters=said.get(one.component, ())) for one in made.suspects)
    return replace(made, suspects=tuple(suspects))


def one_round(
    going: UnderWay, world: World, rows: list[Row], refused: Mapping[int, str]
) -> list[Row]:
    """Flown and kept; whoever is refused, or whose paused job goes on, is not loaded."""
    book: Playbook = going.opening.playbook
    names = going.rails.topology.nodes
    moved = {names.index(name): f"{name}: {why}" for name, why in going.moved().items()}
    able, idle = bandwidth.without(rows, {**refused, **moved})
    made = [*bandwidth.fly(able, going.rails, book.stages[0], world, book.pace), *idle]
    folder.append(going.recorder.path, made, names)
    return made


def finished(
    going: UnderWay,
    now: datetime,
    before: list[Observation],
    said: tuple[Located, list[Row], Topology],
) -> Run:
    found = judged(going.opening, before, *said)
    return replace(
        going.opening,
        finished=now,
        observations=tuple(before),
        findings=tuple(found),
        complete=True,
    )


def judged(
    run: Run, before: list[Observation], located: Located, rows: list[Row], topology: Topology
) -> list[Finding]:
    """Who answered, and what the paths say."""
    from clusterctl.judge import judge

    probes = {probe.name: probe for probe in run.playbook.probes}
    found = judge(run.playbook, run.nodes, before, probes=probes)
    return [*found, *findings(located, rows, topology)]


def rejudged(path: Path) -> tuple[Run, Located, list[Row], Topology]:
    """A stored run judged again from what it measured, offline.  Raises UserError."""
    found = store.stored(path)
    topology = folder.topology(path)
    rows = folder.read_rows(path / "measured.csv", topology.nodes)
    settings = folder.settings(path)
    made = judged_by(topology, rows, settings, folder.hints(path))
    if not rows:
        raise UserError(f"{found.id}: no round ended; `clusterctl bandwidth --resume {found.id}`")
    run = store.load(found) if found.complete else unfinished(found)
    before = said_before(found, run)
    run = replace(run, findings=tuple(judged(run, before, made, rows, topology)))
    return run, made, rows, topology


def said_before(found: store.Stored, run: Run) -> list[Observation]:
    """What the nodes said before the first round, from the recording."""
    from clusterctl.run import World, look
    from clusterctl.transport.replay import Replay

    world = World(
        reach=lambda reading, _node_s: Replay(found.heard(reading)),
        clock=lambda: found.started,
        seed=run.seed,
        run_id=found.id,
    )
    book = run.playbook
    return look("before", [(n, book.probes) for n in run.nodes], book, book.pace.node_s, world)


def unfinished(found: store.Stored) -> Run:
    from clusterctl.playbook import build

    book = build(str(found.path / "run.json"), found.about["playbook"])
    return Run(
        found.id, book, found.nodes(), found.about["seed"], found.started, found.started, (), (),
        verb="bandwidth", forced=found.about["forced"], complete=False,
    )  # fmt: skip

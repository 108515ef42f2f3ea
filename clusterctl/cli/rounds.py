"""A run of `bandwidth` led from its plan to its folder: round by round, with those to make sure."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.bandwidth import counters, folder
from clusterctl.bandwidth import paths as bandwidth
from clusterctl.bandwidth.counters import Hint
from clusterctl.bandwidth.paths import Row
from clusterctl.cli import world as ambient
from clusterctl.cli.finish import finish
from clusterctl.cli.progress import Progress
from clusterctl.cli.rounds_begun import UnderWay
from clusterctl.cli.rounds_judged import judged, judged_by
from clusterctl.cli.screen import tell
from clusterctl.cli.world import Flags
from clusterctl.localise.classes import by_rates
from clusterctl.localise.columns import Topology
from clusterctl.model import WHOLE_NODE, Observation, Playbook, Run

if TYPE_CHECKING:
    from clusterctl.localise.located import Located
    from clusterctl.run import World

WHOLE_RUN_S = 7 * 86400.0  # a conversation is held open; each round has its own deadline
LOAD_NICE = 0


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

"""From flags to a finished run, interrupted or not."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from clusterctl.cli import world as ambient
from clusterctl.cli.cron import nobody, turn
from clusterctl.cli.finish import finish
from clusterctl.cli.progress import Progress
from clusterctl.cli.screen import tell
from clusterctl.cli.terms import Terms
from clusterctl.cli.world import Flags
from clusterctl.model import Node, Observation, Playbook, Run, Status, UserError

if TYPE_CHECKING:
    from clusterctl.judge import Past
    from clusterctl.run import World

PASSIVE_NICE, LOAD_NICE = 19, 0  # the least that there is: a sweep meets running jobs
ATTENDED = Terms()


def carry_out(
    verb: Literal["sweep", "burnin"], name: str, flags: Flags, terms: Terms = ATTENDED
) -> Run:
    """Load files, run, keep the run.  Raises UserError before anything is asked of a node."""
    from clusterctl.limits import check_labels
    from clusterctl.playbook import load, skus
    from clusterctl.run import refuse_absent_partners
    from clusterctl.store import Recorder

    ambient.logs()
    playbook = ambient.paced(load(name) if verb == "burnin" else passive(name), flags.at_once)
    chosen = ambient.targets(flags, playbook.select)
    playbook = ambient.with_bmcs(playbook, chosen)
    refuse_absent_partners(playbook, chosen)
    check_labels(chosen, skus())
    folder = ambient.runs(flags.runs_dir)
    judged = Provisional(playbook, {node.name: node for node in chosen})
    progress = Progress(judged.fails, terminal=sys.stderr.isatty() and not terms.quiet)
    alone = turn(folder, flags) if verb == "sweep" else nullcontext()
    with alone, progress, ExitStack() as closing:
        recorder = Recorder(folder, ambient.new_id(playbook))
        world = ambient.build(
            playbook,
            recorder,
            flags,
            tell=nobody if terms.quiet else progress.tell,
            nice=PASSIVE_NICE if verb == "sweep" else LOAD_NICE,
            closing=closing,
            terms=terms,
        )
        world = world if terms.quiet else replace(world, begin=progress.begin)
        recorder.begin(opening(verb, playbook, chosen, world, force=flags.why))
        try:
            run = go(verb, playbook, chosen, world, flags)
        except KeyboardInterrupt:
            recorder.close()
            sys.stderr.write(f"\n{progress.line()}\n" if progress.reading else "\n")
            tell(
                f"clusterctl: stopped; nothing is left running.  Judge what was heard with "
                f"`clusterctl judge {recorder.path}`, or start the same command again.\n"
            )
            raise
        kept = finish(run, recorder)
    if not terms.quiet:
        tell(f"run: {kept}\n")
    return run


def passive(name: str) -> Playbook:
    """A playbook that a sweep may carry out.  Raises UserError."""
    from clusterctl.playbook import load

    playbook = load(name)
    if playbook.stages or playbook.soak:
        raise UserError(f"{playbook.origin}: has stages, which load hardware: use burnin")
    return playbook


def opening(
    verb: Literal["sweep", "burnin"],
    playbook: Playbook,
    nodes: Sequence[Node],
    world: World,
    *,
    force: str,
) -> dict[str, object]:
    """What the run's directory says before the first answer."""
    from clusterctl.store import describe

    start = world.clock()
    return describe(
        Run(
            world.run_id,
            playbook,
            tuple(nodes),
            world.seed,
            start,
            start,
            (),
            (),
            verb=verb,
            forced=bool(force),
            why=force,
        )
    )


def go(
    verb: Literal["sweep", "burnin"],
    playbook: Playbook,
    nodes: Sequence[Node],
    world: World,
    flags: Flags,
) -> Run:
    from clusterctl import run
    from clusterctl.judge import NO_PAST
    from clusterctl.memory.yardstick import own_past

    past_of = own_past(ambient.runs(flags.runs_dir), playbook, world.clock())
    world = replace(world, own_past=past_of)
    if verb == "burnin":
        return run.burnin(playbook, nodes, world, force=flags.why)
    earlier_run, past = last_reading(playbook, nodes, flags, world) or ("", NO_PAST)
    return run.sweep(playbook, nodes, world, past=past, earlier_run=earlier_run)


def last_reading(
    playbook: Playbook, nodes: Sequence[Node], flags: Flags, world: World
) -> tuple[str, Past] | None:
    """The newest run of this playbook: counters are judged as rates since then."""
    from clusterctl import store
    from clusterctl.judge import Past

    names = [node.name for node in nodes]
    found = store.newest(ambient.runs(flags.runs_dir), playbook.name, names)
    if found is None:
        return None
    seconds = (world.clock() - found.started).total_seconds()
    try:
        return found.id, Past(store.observed(found), seconds)
    except UserError as error:
        tell(f"clusterctl: {error}; counters start afresh\n")
        return None


@dataclass(frozen=True, slots=True)
class Provisional:
    """What can be said of one node before the others have answered."""

    playbook: Playbook
    nodes: Mapping[str, Node]

    def fails(self, seen: list[Observation]) -> bool:
        from clusterctl.judge import judge

        checks = tuple(check for check in self.playbook.checks if check.scope == "node")
        probes = {probe.name: probe for probe in self.playbook.probes}
        ours = [one for one in seen if one.probe in probes]
        alone = [self.nodes[one.node] for one in ours[:1]]
        findings = judge(replace(self.playbook, checks=checks), alone, ours, probes=probes)
        return any(one.verdict.status is Status.FAIL for one in findings)

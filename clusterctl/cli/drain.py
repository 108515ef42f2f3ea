"""clusterctl drain: take nodes out of service, for a run's findings or an operator's word."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterctl.cli import acting, options
from clusterctl.cli import world as ambient
from clusterctl.cli.acting import Telling, Way
from clusterctl.cli.language import Lang
from clusterctl.cli.screen import tell
from clusterctl.cli.world import Flags
from clusterctl.model import Node, Run, UserError

if TYPE_CHECKING:
    from clusterctl.act.deed import Hands, Wanted
    from clusterctl.act.journal import Journal, Log
    from clusterctl.act.whom import Spared
    from clusterctl.model import Act


@dataclass(frozen=True, slots=True)
class Asked:
    """Who should go and who is spared; `nodes`: all that the breaker of a hook counts."""

    nodes: Sequence[Node]
    wanted: Sequence[Wanted]
    spared: Sequence[Spared]
    act: Act


def drain(
    nodes: Annotated[str, typer.Argument(help="These, e.g. n[001-002]; with --run: of it.")] = "",
    *,
    why: Annotated[str, typer.Option("--why", help="Your reason, where no run gives one.")] = "",
    run: Annotated[
        str, typer.Option("--run", help="For its findings: an id, the start of one, or last.")
    ] = "",
    yes: acting.Yes = False,
    inventory: options.Inventory = None,
    playbook: options.PlaybookName = None,
    by: acting.Through = None,
    slurm_host: acting.SlurmHost = "",
    hook: acting.HookPath = None,
    hook_timeout: acting.HookTime = 60.0,
    context: acting.Context = "",
    kubeconfig: acting.Kubeconfig = None,
    runs_dir: options.RunsDir = None,
    accept_new: options.AcceptNew = False,
    ssh_config: options.SshConfig = None,
    _lang: Lang = None,
) -> None:
    """Take nodes out of service; says what it would do, and with --yes does it."""
    ambient.logs()
    if bool(run) == bool(why) or (why and not nodes):
        raise UserError('drain: give NODES --why "…", or --run RUN for what that run found')
    way = Way(by, slurm_host, hook, hook_timeout, context, kubeconfig)
    flags = Flags(inventory, nodes, "", None, accept_new, runs_dir, ssh_config)
    asked = of_run(run, playbook, way, flags) if run else of_operator(why, playbook, way, flags)
    raise typer.Exit(drain_nodes(asked, way, flags, Telling(sys.stdout), yes=yes))


def of_operator(why: str, playbook: str | None, way: Way, flags: Flags) -> Asked:
    """Raises UserError."""
    from clusterctl.act.whom import by_hand
    from clusterctl.inventory import load
    from clusterctl.playbook import load as book_of

    chosen = ambient.targets(flags)
    every = load(flags.inventory) if flags.inventory else chosen
    wanted = tuple(by_hand(chosen, way.label, acting.operator(), why))
    return Asked(every, wanted, (), book_of(playbook or "nightly").act)


def of_run(name: str, playbook: str | None, way: Way, flags: Flags) -> Asked:
    """Raises UserError."""
    from clusterctl import store

    found = store.find(ambient.runs(flags.runs_dir), name)
    asked = of_findings(store.load(found), found.path, playbook, way, flags)
    if not flags.nodes:
        return asked
    from clusterctl.inventory import pick

    names = {node.name for node in pick(found.nodes(), flags.nodes)}
    return replace(
        asked,
        wanted=[one for one in asked.wanted if one.node in names],
        spared=[one for one in asked.spared if one.node in names],
    )


def of_findings(run: Run, folder: Path, playbook: str | None, way: Way, flags: Flags) -> Asked:
    """What a run's own playbook, or another, says of its findings.  Raises UserError."""
    from clusterctl.act.whom import whom
    from clusterctl.playbook import load

    act = load(playbook).act if playbook else run.playbook.act
    silenced = acting.acknowledged(run, folder, ambient.runs(flags.runs_dir))
    wanted, spared = whom(run, act, label=way.label, silenced=silenced, now=ambient.now())
    return Asked(run.nodes, wanted, spared, act)


def after_sweep(run: Run, way: Way, flags: Flags, code: int, telling: Telling, *, yes: bool) -> int:
    """`sweep --drain`: the sweep's exit code, or a graver one.  What it found is told already."""
    from clusterctl.report.accounts import EXIT_BUG, EXIT_FAIL, EXIT_UNKNOWN

    try:
        folder = ambient.runs(flags.runs_dir) / run.id
        asked = of_findings(run, folder, None, way, flags)
        found = drain_nodes(asked, way, flags, telling, yes=yes) if asked.wanted else 0
        if not asked.wanted and not telling.quiet:
            tell("drain: nothing was found that takes a node out of service\n", telling.file)
    except UserError as error:
        tell(f"clusterctl: --drain: {error}\n")
        found = EXIT_UNKNOWN
    return next((one for one in (EXIT_BUG, EXIT_FAIL, EXIT_UNKNOWN) if one in {code, found}), code)


def drain_nodes(asked: Asked, way: Way, flags: Flags, telling: Telling, *, yes: bool) -> int:
    """Plan, and with `yes` do it; the exit code.  Raises UserError before anything is changed."""
    from clusterctl.act import journal
    from clusterctl.act.deed import Blind

    runs_dir = ambient.runs(flags.runs_dir)
    with ExitStack() as closing:
        writer = closing.enter_context(journal.writing(runs_dir, ambient.holder())) if yes else None
        log = journal.read(runs_dir / journal.NAME)
        hands = acting.hands(way, asked.nodes, log, flags, closing)
        try:
            return planned(asked, hands, log, writer, telling)
        except Blind as error:
            return acting.blind(error)


def planned(asked: Asked, hands: Hands, log: Log, writer: Journal | None, telling: Telling) -> int:
    """Without a `writer` nothing is changed.  Raises UserError and Blind."""
    from clusterctl.act.agenda import carry_out, drains, looked_again
    from clusterctl.act.breaker import Do, gauge, plan
    from clusterctl.report import actions

    picture = hands.look()
    if writer:
        acting.settled(log, hands, picture, writer)
    found = gauge(picture, asked.act, log.of(hands.by), ambient.now(), log.damaged.values())
    steps = plan(asked.wanted, picture, asked.act, found)
    deeds = drains(steps)
    if telling.quiet and not deeds and all(one.do is not Do.HELD for one in steps):
        return actions.exit_code(steps, (), picture)
    telling.tell(*actions.planned(steps, asked.spared, deeds, hands))
    telling.tell(*actions.troubles(picture), *actions.breaker_lines(found, steps))
    if writer:
        acting.tripped(writer, steps)
    if not deeds or not writer:
        telling.tell(actions.DRY if deeds else actions.NOTHING)
        return actions.exit_code(steps, (), picture)
    ending = carry_out(deeds, hands, writer, acting.actor(), looked_again(hands, asked.act))
    done = acting.done(ending, telling)
    return actions.exit_code(steps, done, picture)

"""clusterctl undrain: back into service what we took out, once it is proven; or undo an action."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from clusterctl.cli import acting, options
from clusterctl.cli import world as ambient
from clusterctl.cli.acting import Way
from clusterctl.cli.language import Lang
from clusterctl.cli.world import Flags
from clusterctl.model import Node, UserError

if TYPE_CHECKING:
    from clusterctl.act.deed import Action, Hands, Picture
    from clusterctl.act.journal import Journal, Log
    from clusterctl.act.release import Release


def undrain(
    nodes: Annotated[str, typer.Argument(help="These, e.g. n[001-002].")] = "",
    *,
    undo: Annotated[
        str, typer.Option("--undo", help="An action's id: as it was before, if untouched since.")
    ] = "",
    yes: acting.Yes = False,
    inventory: options.Inventory = None,
    playbook: options.PlaybookName = "nightly",
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
    """Put back what we drained, where its check passed under load since (`burnin --again`)."""
    from clusterctl.act import journal
    from clusterctl.act.deed import Blind

    ambient.logs()
    if bool(nodes) == bool(undo):
        raise UserError("undrain: give NODES, or --undo ACTION from `clusterctl status`")
    way = Way(by, slurm_host, hook, hook_timeout, context, kubeconfig)
    flags = Flags(inventory, nodes, "", None, accept_new, runs_dir, ssh_config)
    chosen = ambient.targets(flags) if nodes else ()
    directory = ambient.runs(runs_dir)
    with ExitStack() as closing:
        writer = (
            closing.enter_context(journal.writing(directory, ambient.holder())) if yes else None
        )
        log = journal.read(directory / journal.NAME)
        if undo:
            action = log.action(undo)
            way = way.of_action(action)
            chosen = beside(action, way, flags)
        try:
            hands = acting.hands(way, chosen, log, flags, closing)
            if undo:
                same_place(action, hands)
            picture = hands.look()
        except Blind as error:
            raise typer.Exit(acting.blind(error)) from None
        if writer:
            acting.settled(log, hands, picture, writer)
        found = (
            undone(undo, log, hands, picture, playbook)
            if undo
            else proven(chosen, log, hands, picture, flags)
        )
        raise typer.Exit(carried(found, hands, picture, writer))


def beside(action: Action, way: Way, flags: Flags) -> tuple[Node, ...]:
    """The action's node, and for a script, which shows none, those that the breaker must count.

    Raises UserError where that is asked of it and they are not known.
    """
    from clusterctl.inventory import load

    mine = Node(action.node, labels={way.label: action.called})
    if way.chosen is not acting.By.HOOK:
        return (mine,)
    if action.verb == "undrain" and not flags.inventory:
        raise UserError(
            f"{action.id}: undoing it takes a node out: give -i INVENTORY, so that it is known "
            "how many stay"
        )
    fleet = load(flags.inventory) if flags.inventory else ()
    return (mine, *(node for node in fleet if node.name != mine.name))


def same_place(action: Action, hands: Hands) -> None:
    """Raises UserError: another cluster may have a node of that name."""
    if action.by == acting.By.KUBERNETES and hands.where != action.where:
        raise UserError(
            f"{action.id}: it was done in {action.where}, this is {hands.where}: give its --context"
        )


def proven(
    chosen: Sequence[Node], log: Log, hands: Hands, picture: Picture, flags: Flags
) -> list[Release]:
    from clusterctl.act.proof import proof
    from clusterctl.act.release import release
    from clusterctl.act.whom import called

    names = [(node.name, called(node, hands.label)) for node in chosen]
    runs_dir = ambient.runs(flags.runs_dir)
    return release(names, picture, log.of(hands.by), partial(proof, runs_dir))


def undone(
    name: str, log: Log, hands: Hands, picture: Picture, playbook: str | None
) -> list[Release]:
    """Raises UserError where there is no such action."""
    from clusterctl.act.breaker import gauge
    from clusterctl.act.release import undoing
    from clusterctl.playbook import load

    action, act = log.action(name), load(playbook or "nightly").act
    every = log.of(hands.by)
    found = gauge(picture, act, every, ambient.now(), log.damaged.values())
    return [undoing(action, picture.states.get(action.called), every, found)]


def carried(
    found: Sequence[Release], hands: Hands, picture: Picture, writer: Journal | None
) -> int:
    """Without a `writer` nothing is changed; the exit code: 1 where a node asked for stays out."""
    from clusterctl.act.agenda import carry_out
    from clusterctl.report import actions

    telling = acting.Telling(sys.stdout)
    telling.tell(*actions.released(found, hands))
    refused = any(one.refused for one in found)
    deeds = [one.deed for one in found if one.deed is not None]
    if not deeds or not writer:
        telling.tell(actions.DRY if deeds else actions.NOTHING)
        return actions.exit_code((), (), picture, refused=refused)
    done = acting.done(carry_out(deeds, hands, writer, acting.actor()), telling)
    return actions.exit_code((), done, picture, refused=refused)

"""clusterctl status: what is out of service, by whom and why, and what the breaker holds."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from enum import StrEnum
from typing import Annotated

import typer

from clusterctl.cli import acting, options
from clusterctl.cli import world as ambient
from clusterctl.cli.acting import Way
from clusterctl.cli.language import Lang
from clusterctl.cli.screen import tell
from clusterctl.cli.world import Flags


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


def status(
    *,
    form: Annotated[
        Format, typer.Option("--format", help="How the answer is written.")
    ] = Format.TABLE,
    inventory: options.Inventory = None,
    playbook: options.PlaybookName = "nightly",
    by: acting.Through = None,
    slurm_host: acting.SlurmHost = "",
    hook: acting.HookPath = None,
    context: acting.Context = "",
    kubeconfig: acting.Kubeconfig = None,
    runs_dir: options.RunsDir = None,
    accept_new: options.AcceptNew = False,
    ssh_config: options.SshConfig = None,
    _lang: Lang = None,
) -> None:
    """What we drained, since when, by which run and check; what others did; the breaker."""
    from clusterctl.act import journal
    from clusterctl.act.breaker import gauge, last_drains
    from clusterctl.act.deed import Blind
    from clusterctl.inventory import load
    from clusterctl.playbook import load as book_of
    from clusterctl.report import actions
    from clusterctl.report.accounts import EXIT_PASS, EXIT_UNKNOWN

    ambient.logs()
    act = book_of(playbook or "nightly").act
    flags = Flags(inventory, "", "", None, accept_new, runs_dir, ssh_config)
    log = journal.read(ambient.runs(runs_dir) / journal.NAME)
    way = Way(by, slurm_host, hook, context=context, kubeconfig=kubeconfig)
    picture = found = None
    trouble = ""
    with ExitStack() as closing:
        nodes = load(inventory) if inventory else ()
        hands = acting.hands(way, nodes, log, flags, closing)
        seen = bool(nodes) or way.chosen is not acting.By.HOOK  # a script shows no nodes
        try:
            picture = hands.look() if seen else None
            every, damaged = log.of(hands.by), log.damaged.values()
            found = gauge(picture, act, every, ambient.now(), damaged) if picture else None
        except Blind as error:
            trouble = str(error)
    lines = actions.standing(picture, log.of(hands.by), last_drains(log.of(hands.by)))
    if form is Format.JSON:
        record = actions.as_records(lines, found, log, trouble)
        sys.stdout.write(json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    else:
        telling = acting.Telling(sys.stdout)
        telling.tell(*actions.status_lines(lines, log))
        telling.tell(*(actions.breaker_lines(found) if found else ()))
        telling.tell(*(actions.troubles(picture) if picture else ()))
    if not seen:
        tell("clusterctl: a hook shows no nodes: give -i INVENTORY to see how they stand\n")
    if trouble:
        tell(f"clusterctl: {trouble}; how the nodes stand now is not known\n")
    raise typer.Exit(EXIT_UNKNOWN if trouble or (picture and picture.troubles) else EXIT_PASS)

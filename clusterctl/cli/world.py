"""Building the real world: inventory, transports, clock, seed, run directory."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.cli.language import spoken
from clusterctl.cli.screen import said, tell
from clusterctl.model import Node, Pace, Playbook, UserError

if TYPE_CHECKING:
    from contextlib import ExitStack

    from clusterctl.cli.terms import Terms
    from clusterctl.lock import Holder
    from clusterctl.run import Tell, World
    from clusterctl.store import Recorder
    from clusterctl.transport import Transport
    from clusterctl.transport.ssh_config import Surroundings

EXIT_NO_NODE = 3
REDFISH = "redfish"


@dataclass(frozen=True, slots=True)
class Flags:
    """What the operator said about whom to talk to and how."""

    inventory: Sequence[Path] | None
    nodes: str
    select: str
    at_once: int | None
    accept_new: bool
    runs_dir: Path | None = None
    ssh_config: Path | None = None
    force: bool = False
    why: str = ""
    seed: int | None = None
    take_over: bool = False
    watch: bool = False
    again: str = ""  # nodes that are burnt again after repair


def now() -> datetime:
    return datetime.now(UTC)


def logs() -> None:
    """Warnings and tracebacks go to stderr; stdout is the answer."""
    lang = spoken()  # as threads cannot tell

    def in_language(record: logging.LogRecord) -> bool:
        record.msg, record.args = said(record.getMessage(), lang), ()
        return True

    ours = logging.StreamHandler(sys.stderr)
    ours.addFilter(in_language)
    logging.basicConfig(level=logging.WARNING, format="clusterctl: %(message)s", handlers=[ours])


def person() -> str:
    """Who is behind sudo, where somebody is."""
    import getpass

    return os.environ.get("SUDO_USER") or getpass.getuser()


def targets(flags: Flags, default: str = "", *, switches: bool = False) -> tuple[Node, ...]:
    """The nodes selected, by `default` where no flag says; exit 3 if none.  Raises UserError.

    `switches`: those of role switch, which are nodes to no other verb.
    """
    from clusterctl.inventory import load
    from clusterctl.inventory.select import select as by_labels

    if not flags.inventory and not flags.nodes:
        raise UserError("no nodes: give -i INVENTORY, or --nodes n[001-016]")
    known = load(flags.inventory or (), nodes=flags.nodes)
    chosen = tuple(
        node for node in by_labels(known, flags.select or default) if switches == is_switch(node)
    )
    if not chosen:
        tell("clusterctl: no node selected; `clusterctl nodes -i …` lists them\n")
        raise SystemExit(EXIT_NO_NODE)
    return chosen


def paced(playbook: Playbook, at_once: int | None) -> Playbook:
    """With `--at-once` in force and known to fit into the open-files limit.  Raises UserError."""
    import resource
    from dataclasses import replace

    from clusterctl.transport.ssh import check_limits

    pace = replace(playbook.pace, at_once=at_once) if at_once else playbook.pace
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    check_limits(pace.at_once, hard if hard != resource.RLIM_INFINITY else 1 << 20)
    return replace(playbook, pace=pace)


def with_bmcs(playbook: Playbook, nodes: Sequence[Node]) -> Playbook:
    """With the BMCs asked, too, where the inventory says who may ask one.  Raises UserError."""
    from dataclasses import replace

    from clusterctl.catalog import named_probes
    from clusterctl.cli.bmc import access_to, asks, refuse_unready

    if asks(playbook.probes) or not any(node.labels.get("bmc_user") for node in nodes):
        return playbook
    for node in nodes:
        access_to(node, "")  # what the inventory says wrong is told before anything is asked
    refuse_unready()
    return replace(playbook, probes=(*playbook.probes, named_probes()[REDFISH]))


def reach(
    pace: Pace, flags: Flags, *, nice: int, closing: ExitStack
) -> Callable[[float], Transport]:
    """The transport for a node deadline: SSH, or this very machine.  Raises UserError."""
    from random import Random

    from clusterctl.transport.local import Local
    from clusterctl.transport.route import Routed
    from clusterctl.transport.ssh import Ssh

    ssh = Ssh(
        pace,
        around=surroundings(flags),
        rng=Random(),  # noqa: S311 - spreads connects, hides nothing
        accept_new=flags.accept_new,
        passphrase=ask_passphrase,
        nice=nice,
    )
    closing.enter_context(ssh)

    def with_deadline(node_s: float) -> Transport:
        return Routed(Local(node_s, nice=nice), ssh.within(node_s), is_here)

    return with_deadline


def surroundings(flags: Flags) -> Surroundings:
    """Whose keys and which ssh configuration."""
    import getpass

    from clusterctl.transport.ssh_config import Surroundings

    return Surroundings(
        home=Path.home(),
        environ=dict(os.environ),
        login=getpass.getuser(),
        config=flags.ssh_config,
    )


def ask_passphrase(path: str) -> str | None:
    """Asked once for all nodes, and only where somebody is there to answer."""
    import getpass

    return getpass.getpass(f"passphrase of {path}: ") if sys.stdin.isatty() else None


def is_switch(node: Node) -> bool:
    return node.labels.get("role") == "switch"


def is_here(node: Node) -> bool:
    return node.labels.get("transport") == "local"


def build(
    playbook: Playbook,
    recorder: Recorder,
    flags: Flags,
    *,
    tell: Tell,
    nice: int,
    closing: ExitStack,
    terms: Terms | None = None,
) -> World:
    """Everything ambient, every answer recorded as it comes.  Raises UserError."""
    from functools import partial

    from clusterctl.fanout import endless
    from clusterctl.playbook import skus
    from clusterctl.run import World
    from clusterctl.transport.budget import Budgeted
    from clusterctl.transport.replay import Recording

    connect = reach(playbook.pace, flags, nice=nice, closing=closing)
    if any(probe.name == REDFISH for probe in playbook.probes):
        from clusterctl.cli.bmc import beside

        connect = beside(connect)

    def recorded(reading: str, node_s: float) -> Transport:
        transport: Transport = connect(node_s)
        if terms is not None:
            transport = Budgeted(transport, node_s, connect, terms.talking_s)
        return Recording(transport, partial(recorder.hear, reading))

    return World(
        reach=recorded,
        clock=now,
        seed=secrets.randbits(32) if flags.seed is None else flags.seed,
        run_id=recorder.final.name,
        skus=skus(),
        tell=tell,
        left_s=terms.asking_s if terms else endless,
    )


def runs(given: Path | None) -> Path:
    from clusterctl.store import default_runs_dir

    return given or default_runs_dir(dict(os.environ))


def holder() -> Holder:
    """Who we are to somebody whom our lock keeps out."""
    import shlex

    from clusterctl.lock import Holder

    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return Holder(os.getpid(), os.uname().nodename, f"{now():%Y-%m-%d %H:%M:%S} UTC", command)


def new_id(playbook: Playbook) -> str:
    """Sorts by time, reads like a name, never twice the same."""
    return f"{now():%Y%m%dT%H%M%S}-{playbook.name}-{secrets.token_hex(2)}"

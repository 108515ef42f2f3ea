"""From flags to a run over switches, and over the nodes at the other ends of their links."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from clusterctl.cli import world as ambient
from clusterctl.cli.screen import tell
from clusterctl.cli.start import last_reading
from clusterctl.cli.world import Flags
from clusterctl.model import Node, Playbook, Probe, Run, UserError
from clusterctl.transport import Transport

PASSIVE_NICE = 10
CHECKS = ("port_errors", "optics", "link_ends")
ENDS = ("sysfs_rdma", "ethtool", "lldp", "roce_qos")  # what a node is asked about its own ends
PASSWORD = "CLUSTERCTL_SWITCH_PASSWORD"  # noqa: S105 - where it is, not what


def playbook() -> Playbook:
    from clusterctl import catalog

    known = {**catalog.all_probes(), **catalog.fabric_probes(), **catalog.named_probes()}
    return Playbook(
        "switches",
        about="ports, errors, light and neighbours of switches",
        probes=tuple(known[name] for name in ("switch", *ENDS)),
        checks=tuple(catalog.all_checks()[name] for name in CHECKS),
        origin="clusterctl switches",
    )


def ask(flags: Flags, ends: str) -> Run:
    """Raises UserError before anything is asked."""
    from clusterctl.cli.finish import finish
    from clusterctl.cli.progress import Progress
    from clusterctl.judge import NO_PAST, judge
    from clusterctl.run import World, look
    from clusterctl.store import Recorder, describe
    from clusterctl.transport.replay import Recording
    from clusterctl.transport.route import Routed

    ambient.logs()
    book = ambient.paced(playbook(), flags.at_once)
    chosen = ambient.targets(flags, switches=True)
    refuse_strange(chosen)
    hosts = ambient.targets(replace(flags, select="", nodes=ends)) if ends else ()
    nodes = (*chosen, *hosts)
    over_netmiko = switches(flags)
    recorder = Recorder(ambient.runs(flags.runs_dir), ambient.new_id(book))
    progress = Progress(lambda _seen: False, terminal=sys.stderr.isatty())
    with progress, ExitStack() as closing:
        connect = ambient.reach(book.pace, flags, nice=PASSIVE_NICE, closing=closing)

        def reach(reading: str, node_s: float) -> Transport:
            routed = Routed(over_netmiko, connect(node_s), ambient.is_switch)
            return Recording(routed, partial(recorder.hear, reading))

        world = World(reach, ambient.now, 0, recorder.final.name, tell=progress.tell)
        begun = Run(world.run_id, book, nodes, 0, world.clock(), world.clock(), (), ())
        recorder.begin(describe(begun))
        past = last_reading(book, nodes, flags, world)
        asked = [(node, probes_of(node, book)) for node in nodes]
        seen = look("now", asked, book, book.pace.node_s, world)
    findings = judge(
        book, nodes, seen,
        probes={probe.name: probe for probe in book.probes}, past=past[1] if past else NO_PAST,
    )  # fmt: skip
    run = replace(
        begun,
        finished=ambient.now(),
        observations=tuple(seen),
        findings=tuple(findings),
        earlier_run=past[0] if past else "",
        past_s=past[1].seconds if past else None,
    )
    tell(f"run: {finish(run, recorder)}\n")
    return run


def refuse_strange(nodes: Sequence[Node]) -> None:
    """Raises UserError for a switch that nobody knows how to talk to."""
    from clusterctl.probes.switch import COMMANDS
    from clusterctl.yaml_files import nearest

    for node in nodes:
        given = node.labels.get("platform", "")
        if given not in COMMANDS:
            known = nearest(given, COMMANDS) if given else f"; say one of {', '.join(COMMANDS)}"
            raise UserError(f"{node.origin}: {node.name}: platform: {given!r} is not known{known}")


def probes_of(node: Node, book: Playbook) -> tuple[Probe, ...]:
    ours = ambient.is_switch(node)
    return tuple(probe for probe in book.probes if (probe.name == "switch") == ours)


def switches(flags: Flags) -> Transport:
    """Raises UserError where netmiko is not installed."""
    import getpass

    from clusterctl.cli.passwords import given
    from clusterctl.probes.switch import COMMANDS

    try:
        from clusterctl.transport.switch import Switches
    except ImportError:
        raise UserError(
            "switches are asked with netmiko: pip install 'clusterctl[switches]'"
        ) from None
    commands = {platform: tuple(table) for platform, table in COMMANDS.items()}
    return Switches(
        commands,
        password=given(PASSWORD),
        ssh_config=flags.ssh_config,
        login=getpass.getuser(),
    )

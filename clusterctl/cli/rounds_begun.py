"""A run of `bandwidth` from its flags to a plan on disk, or from a folder to go on with."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clusterctl import store
from clusterctl.bandwidth import folder
from clusterctl.bandwidth import paths as bandwidth
from clusterctl.bandwidth.paths import Row
from clusterctl.bandwidth.rails import Rails, rails_of
from clusterctl.cli import world as ambient
from clusterctl.cli.localise import given, one_count, seconds
from clusterctl.cli.world import Flags
from clusterctl.localise import schedule
from clusterctl.localise.columns import UNKNOWN, Topology
from clusterctl.model import Node, Pace, Run, UserError

if TYPE_CHECKING:
    from clusterctl.run import Paused

ROUND_EXTRA_S = 4.0  # beside the seconds each way: partners meet, answers come
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

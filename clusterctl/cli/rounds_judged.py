"""What the rounds of a run of `bandwidth` say: as they end, and again from its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from clusterctl import store
from clusterctl.bandwidth import counters, folder
from clusterctl.bandwidth import paths as bandwidth
from clusterctl.bandwidth.counters import Hint
from clusterctl.bandwidth.findings import findings, floors
from clusterctl.bandwidth.paths import Row
from clusterctl.localise.columns import Topology
from clusterctl.localise.located import Located
from clusterctl.localise.suspects import locate
from clusterctl.model import Finding, Observation, Run, UserError


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

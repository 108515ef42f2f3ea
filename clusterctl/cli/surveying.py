"""From flags to a fabric and what is to be said of it: asked of nodes, or read from files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from clusterctl.cli import world as ambient
from clusterctl.cli.options import Format
from clusterctl.cli.screen import columns, printed, tell
from clusterctl.cli.world import Flags
from clusterctl.fabric.links import Before
from clusterctl.fabric.plan import Plan
from clusterctl.fabric.tree import Fabric
from clusterctl.model import Finding, Node, Observation, Run, UserError
from clusterctl.store import Stored

PASSIVE_NICE = 10


@dataclass(frozen=True, slots=True)
class Surveyed:
    fabric: Fabric
    findings: Sequence[Finding]
    plan: Plan | None


def ask_nodes(flags: Flags, plan_file: Path | None, ask: str) -> Surveyed:
    """Raises UserError before anything is asked of a node."""
    from clusterctl.cli.finish import finish
    from clusterctl.cli.progress import Progress
    from clusterctl.fabric import folder as fabric_folder
    from clusterctl.fabric import survey
    from clusterctl.inventory import pick
    from clusterctl.store import Recorder, describe

    ambient.logs()
    plan = planned(plan_file)
    book = ambient.paced(survey.playbook(), flags.at_once)
    nodes = ambient.targets(flags)
    walkers = pick(nodes, ask) if ask else ()
    runs = ambient.runs(flags.runs_dir)
    recorder = Recorder(runs, ambient.new_id(book))
    progress = Progress(lambda _seen: False, terminal=sys.stderr.isatty())
    with progress, ExitStack() as closing:
        world = ambient.build(
            book, recorder, flags, tell=progress.tell, nice=PASSIVE_NICE, closing=closing
        )
        begun = Run(world.run_id, book, nodes, world.seed, world.clock(), world.clock(), (), ())
        recorder.begin(describe(begun))
        names, last = [node.name for node in walkers], last_run(nodes, runs, book.name)
        kept = fabric_folder.Kept(names, last, str(plan_file or ""))
        fabric_folder.write(recorder.path, kept)
        seen, asked = survey.survey(nodes, book, world, walkers)
    whole = judged(begun, seen, asked, plan, last_walk(runs, last, begun.started))
    run = replace(
        begun,
        finished=world.clock(),
        observations=tuple(seen),
        findings=tuple(whole.findings),
    )
    tell(f"run: {finish(run, recorder)}\n")
    return whole


def refuse(run_id: str, playbook: str | None, page: Path | None, form: Format) -> None:
    """What a run of `fabric` is not judged with.  Raises UserError."""
    if playbook is not None:
        raise UserError(f"--playbook {playbook}: {run_id} is of a fabric, which has none")
    if page is not None:
        raise UserError(f"--html {page}: {run_id} is of a fabric, which has no page: --format json")
    if form is Format.JSONL:
        raise UserError(f"--format jsonl: {run_id} is of a fabric: json")


def again(found: Stored, runs: Path) -> Surveyed:
    """A run of `fabric` judged again on what its nodes said.  Raises UserError."""
    from clusterctl.fabric import folder as fabric_folder
    from clusterctl.rejudge import survey_again

    kept = fabric_folder.read(found.path)
    plan = fabric_folder.plan(found.path, kept)
    run, asked = survey_again(found, kept.walkers)
    before = last_walk(runs, kept.before, found.started)
    return judged(run, run.observations, asked, plan, before)


def judged(
    run: Run,
    seen: Sequence[Observation],
    asked: Sequence[str],
    plan: Plan | None,
    before: Before | None,
) -> Surveyed:
    from clusterctl.fabric import survey
    from clusterctl.judge import judge
    from clusterctl.playbook import skus

    walk = f"the subnet as walked from {', '.join(asked)}"
    found = discovered(run.nodes, seen, plan, walk, before)
    probes = survey.probes(run.playbook)
    settings = judge(run.playbook, run.nodes, seen, probes=probes, skus=skus())
    return replace(found, findings=[*found.findings, *settings])


def planned(path: Path | None) -> Plan | None:
    from clusterctl.fabric.plan import load

    return load(path) if path else None


def last_run(nodes: Sequence[Node], runs: Path, name: str) -> str:
    """The newest run of these nodes by that name; empty: none."""
    from clusterctl import store

    found = store.newest(runs, name, [node.name for node in nodes])
    return found.id if found else ""


def last_walk(runs: Path, run_id: str, started: datetime) -> Before | None:
    """Error counters as that run heard them; None where it heard none or is gone."""
    from clusterctl import store
    from clusterctl.fabric.survey import counted, counters

    if not run_id:
        return None
    try:
        found = store.find(runs, run_id)
        seen = store.observed(found)
    except UserError as error:
        tell(f"clusterctl: {error}; errors are told without the last walk's\n")
        return None
    if not counted(seen):
        return None
    return Before(counters(seen), (started - found.started).total_seconds() / 3600)


def read_files(paths: Sequence[Path], flags: Flags, plan_file: Path | None) -> Surveyed:
    """The nodes: the inventory's, else the plan's, else every host that the files name."""
    from clusterctl.cli.texts import read_text
    from clusterctl.fabric.survey import understood

    plan = planned(plan_file)
    nodes: tuple[Node, ...] = ()
    if flags.inventory or flags.nodes:
        nodes = ambient.targets(flags)
    elif plan is not None:
        nodes = tuple(Node(name) for name in plan.nodes())
    seen = [understood(path.name, read_text(path), ambient.now()) for path in paths]
    if not any(one.facts for one in seen):
        raise UserError(
            f"--from {paths[0]}: no link in it: expected what ibnetdiscover, iblinkinfo -l or "
            "ibqueryerrors prints"
        )
    names = ", ".join(path.name for path in paths)
    return discovered(nodes, seen, plan, f"the subnet as saved in {names}")


def discovered(
    nodes: Sequence[Node],
    seen: Sequence[Observation],
    plan: Plan | None,
    walk: str,
    before: Before | None = None,
) -> Surveyed:
    from clusterctl.fabric.found import discover
    from clusterctl.fabric.survey import counted, evidence
    from clusterctl.fabric.verdict import unread, verdicts

    fabric = discover(
        evidence(nodes, seen),
        walk=walk,
        rails=plan.rails if plan else (),
        nodes=tuple(node.name for node in nodes),
    )
    findings = verdicts(fabric, plan, nodes, counters=counted(seen), before=before)
    return Surveyed(fabric, [*findings, *unread(nodes, seen)], plan)


def show(
    found: Surveyed,
    form: Format,
    output: Path | None,
    topology: Path | None,
    *,
    verbose: bool,
) -> int:
    """The exit code.  Raises UserError where a file cannot be written."""
    from clusterctl.fabric.plan import infer
    from clusterctl.report import fabric as report

    if topology is not None:
        expected = (found.plan or infer(found.fabric)).at
        leaves = {place: spot.leaf for place, spot in expected.items()}
        write(topology, report.topology(found.fabric, leaves))
    text = written(found, form, verbose=verbose)
    if output is not None:
        write(output, text)
    else:
        sys.stdout.write(text)
    return report.exit_code(found.findings)


def written(found: Surveyed, form: Format, *, verbose: bool) -> str:
    from clusterctl.report import fabric as report

    if form is Format.JSON:
        return report.as_json(found.fabric, found.findings)
    if form is Format.CSV:
        return report.as_csv(found.findings)
    wide = columns(sys.stdout)
    return printed(report.screen(found.fabric, found.findings, columns=wide, verbose=verbose))


def write(path: Path, text: str) -> None:
    from clusterctl.cli.finish import write_whole

    try:
        write_whole(path, text)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None

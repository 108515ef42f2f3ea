"""From flags to a fabric and what is to be said of it: asked of nodes, or read from files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from clusterctl.cli import world as ambient
from clusterctl.cli.options import Format
from clusterctl.cli.screen import columns, printed, tell
from clusterctl.cli.world import Flags
from clusterctl.fabric import Fabric
from clusterctl.fabric_links import Before
from clusterctl.fabric_plan import Plan
from clusterctl.model import Finding, Node, Observation, Run, UserError

PASSIVE_NICE = 10


@dataclass(frozen=True, slots=True)
class Surveyed:
    fabric: Fabric
    findings: Sequence[Finding]
    plan: Plan | None


def ask_nodes(flags: Flags, plan: Plan | None, ask: str) -> Surveyed:
    """Raises UserError before anything is asked of a node."""
    from clusterctl import survey
    from clusterctl.cli.finish import finish
    from clusterctl.cli.progress import Progress
    from clusterctl.inventory import pick
    from clusterctl.judge import judge
    from clusterctl.store import Recorder, describe

    ambient.logs()
    book = ambient.paced(survey.playbook(), flags.at_once)
    nodes = ambient.targets(flags)
    walkers = pick(nodes, ask) if ask else ()
    recorder = Recorder(ambient.runs(flags.runs_dir), ambient.new_id(book))
    progress = Progress(lambda _seen: False, terminal=sys.stderr.isatty())
    with progress, ExitStack() as closing:
        world = ambient.build(
            book, recorder, flags, tell=progress.tell, nice=PASSIVE_NICE, closing=closing
        )
        begun = Run(world.run_id, book, nodes, world.seed, world.clock(), world.clock(), (), ())
        recorder.begin(describe(begun))
        seen, asked = survey.survey(nodes, book, world, walkers)
    walk = f"the subnet as walked from {', '.join(asked)}"
    found = discovered(nodes, seen, plan, walk, last_walk(nodes, flags, book.name, begun))
    settings = judge(book, nodes, seen, probes=survey.probes(book), skus=world.skus)
    whole = replace(found, findings=[*found.findings, *settings])
    run = replace(
        begun,
        finished=world.clock(),
        observations=tuple(seen),
        findings=tuple(whole.findings),
    )
    tell(f"run: {finish(run, recorder)}\n")
    return whole


def last_walk(nodes: Sequence[Node], flags: Flags, name: str, run: Run) -> Before | None:
    """Error counters as the newest run of these nodes heard them."""
    from clusterctl import store
    from clusterctl.survey import counted, counters

    found = store.newest(ambient.runs(flags.runs_dir), name, [node.name for node in nodes])
    if found is None:
        return None
    try:
        seen = store.observed(found)
    except UserError as error:
        tell(f"clusterctl: {error}; errors are told without the last walk's\n")
        return None
    if not counted(seen):
        return None
    return Before(counters(seen), (run.started - found.started).total_seconds() / 3600)


def read_files(paths: Sequence[Path], flags: Flags, plan: Plan | None) -> Surveyed:
    """The nodes: the inventory's, else the plan's, else every host that the files name."""
    from clusterctl.survey import understood

    nodes: tuple[Node, ...] = ()
    if flags.inventory or flags.nodes:
        nodes = ambient.targets(flags)
    elif plan is not None:
        nodes = tuple(Node(name) for name in plan.nodes())
    seen = [understood(path.name, text_of(path), ambient.now()) for path in paths]
    if not any(one.facts for one in seen):
        raise UserError(
            f"--from {paths[0]}: no link in it: expected what ibnetdiscover, iblinkinfo -l or "
            "ibqueryerrors prints"
        )
    names = ", ".join(path.name for path in paths)
    return discovered(nodes, seen, plan, f"the subnet as saved in {names}")


def text_of(path: Path) -> str:
    from clusterctl.cli.texts import read_text

    return read_text(path)


def discovered(
    nodes: Sequence[Node],
    seen: Sequence[Observation],
    plan: Plan | None,
    walk: str,
    before: Before | None = None,
) -> Surveyed:
    from clusterctl.fabric_found import discover
    from clusterctl.fabric_verdict import unread, verdicts
    from clusterctl.survey import counted, evidence

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
    from clusterctl.fabric_plan import infer
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
    from clusterctl.cli.finish import beside

    try:
        draft = beside(path)
        draft.write_text(text, encoding="utf-8")
        if draft != path:
            draft.replace(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None

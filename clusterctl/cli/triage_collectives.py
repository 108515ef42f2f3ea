"""What `triage` is given about a job's collectives and stacks: files, or nodes to ask."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from clusterctl.cli import options
from clusterctl.cli.finish import page_in, write_whole
from clusterctl.cli.screen import show
from clusterctl.model import UserError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from clusterctl.cli.triage_past import Around
    from clusterctl.cli.world import Flags
    from clusterctl.model import Node
    from clusterctl.triage.one_question import Reach
    from clusterctl.triage.past.known import Past
    from clusterctl.triage.stacks.asked_stacks import Stacks
    from clusterctl.triage.timeline.whatif import Study
    from clusterctl.triage.verdict import Triage

FlightFolder = Annotated[
    Path | None,
    typer.Option("--flight", help="Folder of PyTorch flight-recorder dumps, one a rank."),
]
RasAnswers = Annotated[
    list[str] | None,
    typer.Option("--ras", help="What `ncclras -v` said, as files; or a node of the job to ask."),
]
InspectorFolder = Annotated[
    Path | None,
    typer.Option("--inspector", help="Folder of NCCL Inspector's or its profiler's JSON."),
]
LogFiles = Annotated[
    list[Path] | None,
    typer.Option("--log", help="Log of the job, or one a rank; NCCL_DEBUG helps."),
]
WithStacks = Annotated[
    bool | None,
    typer.Option(
        "--stacks/--no-stacks",
        help="Look at every rank's stack; does not stop the job.  [default: of a job that runs]",
    ),
]
Looks = Annotated[int, typer.Option("--looks", min=1, max=100, help="Stacks of each rank.")]
ApartS = Annotated[
    float, typer.Option("--apart", min=0.0, max=60.0, help="Seconds between looks at stacks.")
]
NativeFrames = Annotated[
    bool,
    typer.Option("--native", help="C frames, too: stops each rank 50 to 80 ms for every look."),
]
SpyFolder = Annotated[
    Path | None,
    typer.Option(
        "--py-spy-dir",
        envvar="CLUSTERCTL_PY_SPY_DIR",
        help="py-spy binaries for nodes of other architectures.",
    ),
]


@dataclass(frozen=True, slots=True)
class Given:
    """Files, and nodes for --ras and --stacks."""

    flight: Path | None = None
    ras: Sequence[str] = ()
    inspector: Path | None = None
    log: Sequence[Path] = ()
    stacks: bool = False
    looks: int = 3
    apart_s: float = 1.0
    native: bool = False
    spy_folder: Path | None = None

    @property
    def any(self) -> bool:
        return bool(self.flight or self.ras or self.inspector or self.log or self.stacks)


Live = Callable[[], "tuple[list[Triage], Stacks | None]"]


def answer(
    given: Given,
    flags: Flags,
    form: options.Format,
    page: Path | None,
    *,
    there: Around,
    runs_at: str | None,
    live: Live | None = None,
) -> NoReturn:
    """Judges all of it, writes one answer, and leaves with its exit code.  Raises UserError."""
    from clusterctl.cli.triage_past import looked_back
    from clusterctl.report import past, triage
    from clusterctl.triage.combined import combined

    if live is None:
        answers, stacks = judge_given(given, flags)
    else:
        answers, stacks = live()
        answers += judge_given(replace(given, stacks=False), flags)[0]
    found, then = looked_back(combined(answers), there, runs_at)
    if page is not None:
        write_page(found, None, page, past.as_text(then))
    if form is options.Format.JSON:
        sys.stdout.write(triage.as_json(found, {"past": past.as_data(then)}))
    elif form is options.Format.CSV:
        sys.stdout.write(triage.as_csv(found))
    else:
        show(*parts(found, then, stacks))
    raise typer.Exit(triage.exit_code(found))


def parts(found: Triage, then: Past, stacks: Stacks | None) -> Iterator[RenderableType]:
    """What a person reads of an answer: who, then and now, where in the code."""
    from clusterctl.report import past, triage

    yield triage.as_table(found)
    yield past.as_lines(then)
    if stacks is not None and stacks.ranks:
        from clusterctl.report.stacks import as_tree
        from clusterctl.triage.stacks.places import stays

        yield as_tree(stays(stacks.ranks))


def write_page(found: Triage, study: Study | None, page: Path, then: Sequence[str]) -> None:
    """Raises UserError."""
    from clusterctl.report import timeline

    try:
        write_whole(page, page_in(timeline.page(found, study, then), None))
    except OSError as error:
        raise UserError(f"{page}: {error.strerror}") from None


def beside(traces: Triage, given: Given, flags: Flags) -> Triage:
    """The answer of a timeline and of all else that was given, as one.  Raises UserError."""
    from clusterctl.triage.combined import combined

    return combined([traces, *judge_given(given, flags)[0]])


def judge_given(given: Given, flags: Flags) -> tuple[list[Triage], Stacks | None]:
    """One answer for each kind of evidence, and the stacks, to be shown.  Raises UserError."""
    from clusterctl.triage.collectives import collective_files as files

    found: list[Triage] = []
    if given.flight:
        found.append(files.from_flight(given.flight))
    if given.inspector:
        found.append(files.from_inspector(given.inspector))
    if given.log:
        found.append(files.from_logs(given.log))
    here = [Path(one) for one in given.ras if Path(one).is_file()]
    asked = [one for one in given.ras if Path(one) not in here]
    if here:
        found.append(files.from_ras(here))
    if not asked and not given.stacks:
        return found, None
    with ExitStack() as closing:
        nodes, reach, at_once = connected(flags, closing)
        found += [ask_node(name, nodes, reach) for name in asked]
        stacks = look(given, nodes, reach, at_once=at_once) if given.stacks else None
    if stacks is not None:
        found.append(stacks.triage())
    return found, stacks


def connected(flags: Flags, closing: ExitStack) -> tuple[tuple[Node, ...], Reach, int]:
    from clusterctl.cli import world
    from clusterctl.model import Playbook

    world.logs()
    book = world.paced(Playbook("triage"), flags.at_once)
    nodes = world.targets(flags)
    return nodes, world.reach(book.pace, flags, nice=10, closing=closing), book.pace.at_once


def ask_node(name: str, nodes: Sequence[Node], reach: Reach) -> Triage:
    """Raises UserError where it is neither a file nor a node."""
    from clusterctl.triage.stacks.asked_stacks import ask_ras

    for node in nodes:
        if node.name == name:
            return ask_ras(node, reach)
    raise UserError(f"--ras {name}: neither a file nor one of the nodes selected")


def look(given: Given, nodes: Sequence[Node], reach: Reach, *, at_once: int) -> Stacks:
    from clusterctl.triage.stacks.asked_stacks import Looking, ask_stacks
    from clusterctl.triage.stacks.spy import binaries

    looking = Looking({}, given.looks, given.apart_s, given.native, binaries(given.spy_folder))
    return ask_stacks(nodes, looking, reach, at_once=at_once)

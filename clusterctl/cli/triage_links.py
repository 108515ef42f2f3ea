"""triage --probe-links: full rounds where nothing of a job runs, a few small messages elsewhere."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterctl.model import Node, Question, Trouble, UserError

if TYPE_CHECKING:
    from clusterctl.cli.world import Flags
    from clusterctl.run import Paused
    from clusterctl.triage.links.known import Links
    from clusterctl.triage.one_question import Reach
    from clusterctl.triage.running.job import Job
    from clusterctl.triage.verdict import Triage

ProbeLinks = Annotated[
    bool,
    typer.Option(
        "--probe-links",
        help="Probe the job's paths: a few small messages where it runs, rounds of bandwidth where "
        "it is paused or nothing runs.",
    ),
]
Force = Annotated[
    bool,
    typer.Option("--force", help="With --probe-links: rounds where the job runs, too; it suffers."),
]
Why = Annotated[str, typer.Option("--why", help="Why --force; it is recorded.")]

SECONDS = 2.0  # each way, of a round
STREAMS = 4
CONFIRM = 1  # rounds that may follow to make sure
ASK_S = 10.0
FEWEST = 3  # nodes of which one can differ from the others
REASONS = 4  # why paths were not measured


@dataclass(frozen=True, slots=True)
class Probing:
    """What the operator said about probing; `runs_at`: where rounds are kept."""

    wanted: bool = False
    force: bool = False
    why: str = ""
    runs_at: str | None = None


def probing(*, wanted: bool, force: bool, why: str, runs_at: str | None) -> Probing:
    """Raises UserError."""
    if force != bool(why.strip()):
        raise UserError('--force: say why, for the record: --force --why "…"; one needs the other')
    if force and not wanted:
        raise UserError("--force: nothing of triage but --probe-links loads a node")
    return Probing(wanted, force, why.strip(), runs_at)


def with_links(found: Triage, job: Job, probed: Sequence[Links]) -> Triage:
    from clusterctl.triage.links.joined import joined

    ranks: dict[str, tuple[int, ...]] = {}
    for one in job.ranks:
        if one.rank is not None:
            ranks[one.node] = (*ranks.get(one.node, ()), one.rank)
    return joined(found, probed, ranks)


def probed(
    job: Job, nodes: Sequence[Node], asked: Probing, flags: Flags, reach: Reach, *, slurm: str
) -> list[Links]:
    """What cannot be probed is said, and costs the triage nothing else."""
    from clusterctl.triage.links.blame import HOW
    from clusterctl.triage.links.known import Links
    from clusterctl.triage.links.standing import on_data_network, standing

    stand = standing(job, on_data_network(job, nodes), slurm)
    running, resting = ((), stand.nodes) if asked.force else (stand.running, stand.resting)
    # Who alone rests has nobody for a round, and two that run have nobody to differ from.
    company = running if len(running) >= FEWEST and len(resting) != 1 else stand.nodes
    found: list[Links] = []
    try:
        if running:
            found.append(light(company, reach))
        if len(resting) > 1:
            found.append(full(resting, stand.paused, asked, flags, reach))
    except UserError as error:
        found.append(Links(HOW, frozenset(), unseen=(f"paths were not probed: {error}",)))
    if len(stand.nodes) < 2:
        found.append(Links(HOW, frozenset(), unseen=("paths were not probed: one node has none",)))
    return found


def light(nodes: Sequence[Node], reach: Reach) -> Links:
    """A few small messages on every path of a plan.  Raises UserError."""
    from clusterctl.bandwidth.rails import rails_of
    from clusterctl.triage.links.blame import blamed
    from clusterctl.triage.links.order import partners, questions
    from clusterctl.triage.links.said import told
    from clusterctl.triage.one_question import put

    rails = rails_of(nodes)
    seed = secrets.randbits(32)
    asked = questions(rails, partners(rails, seed), seed, {})
    few = [node for node in nodes if node.name in asked]
    return blamed(told(put(asked, few, reach, at_once=max(1, len(few)))))


def full(
    nodes: Sequence[Node],
    paused: Mapping[str, Paused],
    asked: Probing,
    flags: Flags,
    reach: Reach,
) -> Links:
    """Rounds of bandwidth, kept as a run.  Raises UserError."""
    from clusterctl.bandwidth import folder
    from clusterctl.bandwidth.findings import gave_out
    from clusterctl.cli import rounds, rounds_begun
    from clusterctl.localise.columns import OK
    from clusterctl.triage.links.measured import measured

    if asked.runs_at and "://" in asked.runs_at:
        raise UserError(f"--runs-dir {asked.runs_at}: rounds are kept on a disk: give a folder")
    where = replace(
        flags,
        runs_dir=Path(asked.runs_at) if asked.runs_at else None,
        force=asked.force,
        why=asked.why,
    )
    order = rounds_begun.Order(
        {"seconds": SECONDS, "streams": STREAMS, "engine": "auto"},
        folder.Settings("quick", confirm=CONFIRM),
        None,
        "",
        "",
    )
    going = rounds_begun.begun(order, where, nodes)
    if not asked.force:
        going = replace(going, paused=paused, moved=lambda: moved(nodes, paused, reach))
    path = rounds.lead(going, where)
    every = [node.name for node in nodes]
    rows = folder.read_rows(path / "measured.csv", every)
    reasons = list(dict.fromkeys(row.why for row in rows if row.why))[:REASONS]
    rated = [row for row in rows if row.status == OK and row.src != row.dst]
    ends = {place for row in rated for place in (row.src, row.dst)} - gave_out(rows, every)
    names = [name for place, name in enumerate(every) if place in ends]
    return measured(folder.located(path), names, path.name, reasons)


def moved(nodes: Sequence[Node], paused: Mapping[str, Paused], reach: Reach) -> dict[str, str]:
    """Nodes whose paused job goes on, or of which nobody knows, and why they are left alone."""
    from clusterctl.triage.one_question import put

    asked = {
        name: Question(
            "standing",
            tuple(map(str, sorted(one.pids))),
            timeout_s=ASK_S,
            script="still_stopped",
            modules=("job_processes", "job_states"),
        )
        for name, one in paused.items()
    }
    few = [node for node in nodes if node.name in asked]
    found = {}
    for name, said in put(asked, few, reach, at_once=max(1, len(few))).items():
        if isinstance(said, Trouble):
            found[name] = f"nobody knows whether its job still stands: {said}"
            continue
        try:
            going = json.loads(said.stdout)["moving"]
        except (ValueError, KeyError, TypeError, RecursionError):
            found[name] = "nobody knows whether its job still stands: its answer is none of ours"
            continue
        if going:
            found[name] = "its paused job goes on: left alone"
    return found

"""clusterctl triage of a job that runs: find its nodes, look twice, then at stacks, judge."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterctl.cli import world as ambient
from clusterctl.cli.world import Flags
from clusterctl.model import Kind, Node, Pace, Playbook, Question, Trouble, UserError

if TYPE_CHECKING:
    from clusterctl.cli.triage_collectives import Given
    from clusterctl.cli.triage_links import Probing
    from clusterctl.transport import Transport
    from clusterctl.triage.one_question import Reach
    from clusterctl.triage.running.ask import Said, Wanted
    from clusterctl.triage.running.job import Job
    from clusterctl.triage.running.observed import Seen
    from clusterctl.triage.running.placed import Placed
    from clusterctl.triage.stacks.asked_stacks import Stacks
    from clusterctl.triage.verdict import Triage

Slurm = Annotated[str, typer.Option("--slurm", help="The job with this number.")]
Kube = Annotated[
    str, typer.Option("--kube", help="Pods: namespace/label=value, or namespace/pod-name.")
]
Kubeconfig = Annotated[Path | None, typer.Option("--kubeconfig", help="Instead of the usual one.")]
Pids = Annotated[str, typer.Option("--pids", help='Its processes: "n01:123,124 n02:77".')]
JobName = Annotated[str, typer.Option("--job", help="Where several jobs run: which of them.")]
Seconds = Annotated[
    float, typer.Option("--seconds", min=2.0, max=600.0, help="Between the two readings.")
]

ASK_S = 20.0  # for scontrol
ASKED_FOR_SLURM = 3  # nodes of the inventory, where this machine has no Slurm
HEAD_S, HEAD_EACH_S, HEAD_MOST_S = 2.0, 0.02, 10.0  # until all are connected and begin together
CONNECT_S = 40.0
ABSENT = 127  # as shells say it: no such tool; of NVML: no such driver


@dataclass(frozen=True, slots=True)
class Whose:
    """What the operator said about whose processes to look at; empty: everything with a rank."""

    slurm: str = ""
    kube: str = ""
    kubeconfig: Path | None = None
    pids: str = ""
    job: str = ""

    @property
    def any(self) -> bool:
        return bool(self.slurm or self.kube or self.pids)


def running(
    whose: Whose, given: Given, flags: Flags, seconds: float, links: Probing
) -> tuple[list[Triage], Stacks | None]:
    """The answer of counters, stacks and probed paths in one; the stacks.  Raises UserError."""
    from clusterctl.cli.triage_links import probed, with_links
    from clusterctl.triage.agreed import with_stacks
    from clusterctl.triage.running.live import judge

    ambient.logs()
    with ExitStack() as closing:
        wanted, nodes = located(whose, flags, closing)
        book = ambient.paced(Playbook("triage"), flags.at_once or max(Pace().at_once, len(nodes)))
        reach = ambient.reach(book.pace, flags, nice=19, closing=closing)
        said = heard(nodes, wanted, reach, seconds, at_once=book.pace.at_once)
        job = seen_of(said, whose.job)
        found, stacks = judge(job), None
        if given.stacks and job.ranks:
            stacks = stacks_of(job, nodes, given, reach, at_once=book.pace.at_once)
            found = with_stacks(found, stacks)
        if links.wanted:
            found = with_links(
                found, job, probed(job, nodes, links, flags, reach, slurm=whose.slurm)
            )
    return [found], stacks


def heard(
    nodes: Sequence[Node],
    wanted: Mapping[str, Wanted],
    reach: Reach,
    seconds: float,
    *,
    at_once: int,
) -> list[Said]:
    """All nodes begin together, once everybody had time to connect."""
    from clusterctl.triage.running.ask import Wanted, ask, questions

    start = time.time() + min(HEAD_MOST_S, HEAD_S + HEAD_EACH_S * len(nodes))
    asked = [(node, questions(wanted.get(node.name, Wanted()), seconds, start)) for node in nodes]
    return ask(asked, reach(seconds + CONNECT_S), at_once=at_once)


def seen_of(said: Sequence[Said], wanted: str) -> Job:
    """Raises UserError where several jobs run and none was asked for."""
    from clusterctl.triage.running.ask import JOB
    from clusterctl.triage.running.job import gathered

    silent = {one.node: str(one.trouble) for one in said if one.trouble is not None}
    return gathered([seen(one) for one in said if JOB in one.answers], silent, wanted)


def seen(said: Said) -> Seen:
    from clusterctl.observe import last_words
    from clusterctl.triage.running.ask import GPUS, JOB
    from clusterctl.triage.running.gpu_readings import gpus
    from clusterctl.triage.running.readings import read

    answer = said.answers[JOB]
    told = read(said.node, answer.stdout)
    if answer.exit_code != 0:
        why = last_words(answer) or f"no answer in {answer.seconds:.0f} s"
        told = replace(told, troubles=(Trouble(Kind.EXIT, why),))
    cards = said.answers.get(GPUS)
    if cards is None or cards.exit_code == ABSENT:
        return told
    found, troubles = gpus(cards.stdout)
    if cards.exit_code != 0:
        troubles = [Trouble(Kind.EXIT, f"GPUs: {last_words(cards)}")]
    return replace(told, gpus=tuple(found), troubles=(*told.troubles, *troubles))


def stacks_of(
    job: Job, nodes: Sequence[Node], given: Given, reach: Reach, *, at_once: int
) -> Stacks:
    """Of the ranks that were found, on the nodes that have some."""
    from clusterctl.triage.stacks.asked_stacks import Looking, ask_stacks
    from clusterctl.triage.stacks.spy import binaries

    pids: dict[str, list[int]] = {}
    for rank in job.ranks:
        pids.setdefault(rank.node, []).append(rank.pid)
    looking = Looking(
        {},
        given.looks,
        given.apart_s,
        given.native,
        binaries(given.spy_folder),
        {node: {"pids": one} for node, one in pids.items()},
    )
    return ask_stacks([n for n in nodes if n.name in pids], looking, reach, at_once=at_once)


# ----------------------------------------------------------------------------- where it runs


def located(
    whose: Whose, flags: Flags, closing: ExitStack
) -> tuple[Mapping[str, Wanted], Sequence[Node]]:
    """Whose processes by node, and the nodes: by the inventory's name where it has them.

    Raises UserError.
    """
    from clusterctl.inventory import load

    if sum(map(bool, (whose.slurm, whose.kube, whose.pids))) > 1:
        raise UserError("triage: give one of --slurm, --kube and --pids")
    if not whose.any:
        return {}, ambient.targets(flags)
    placed = where(whose, flags, closing)
    known = (
        {node.name: node for node in load(flags.inventory, nodes=flags.nodes)}
        if flags.inventory
        else {}
    )
    nodes = [
        known.get(name) or Node(name, address=placed.addresses.get(name, ""), origin=placed.said)
        for name in placed.wanted
    ]
    return placed.wanted, nodes


def where(whose: Whose, flags: Flags, closing: ExitStack) -> Placed:
    from clusterctl.triage.running import placed

    if whose.pids:
        return placed.pids(whose.pids)
    if whose.slurm:
        job = placed.slurm_id(whose.slurm)
        return placed.slurm(job, scontrol(job, flags, closing))
    from clusterctl.transport.kube import pods

    namespace, slash, selector = whose.kube.partition("/")
    if not (namespace and slash):
        raise UserError(f"--kube {whose.kube}: expected NAMESPACE/SELECTOR, e.g. ml/job-name=train")
    return placed.kube(whose.kube, pods(namespace, selector, whose.kubeconfig))


def scontrol(job: str, flags: Flags, closing: ExitStack) -> str:
    """What Slurm says of a job: here, else at the first nodes of the inventory that have it."""
    from clusterctl.transport.local import Local

    question = Question("scontrol", ("scontrol", "show", "job", job, "-o"), timeout_s=ASK_S)
    tries: list[tuple[Node, Transport]] = [(Node("here"), Local(ASK_S + 5, nice=10))]
    if flags.inventory:
        reach = ambient.reach(Pace(), flags, nice=10, closing=closing)
        nodes = ambient.targets(flags)[:ASKED_FOR_SLURM]
        tries += [(node, reach(ASK_S + CONNECT_S)) for node in nodes]
    reasons = []
    for node, transport in tries:
        said, why = answered(node, transport, question)
        if not why:
            return said
        reasons.append(f"{node.name}: {why}")
    raise UserError(f"--slurm {job}: Slurm does not answer: {'; '.join(reasons)}")


def answered(node: Node, transport: Transport, question: Question) -> tuple[str, str]:
    """(what it said, why it did not)."""
    from clusterctl.spelling import visible
    from clusterctl.triage.one_question import ended, one_answer

    said = one_answer(node, question, transport)
    if isinstance(said, Trouble):
        return "", visible(str(said), 120)
    if said.exit_code == ABSENT:
        return "", "has no scontrol"
    why = ended(said)
    return ("", visible(str(why), 120)) if why is not None else (said.stdout, "")

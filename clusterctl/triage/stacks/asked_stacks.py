"""Asking nodes for the stacks of a job, and for what NCCL's RAS knows; py-spy goes where it lacks.

Two conversations where a node has no py-spy: the first tells which one it needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from clusterctl.inventory.ranges import fold
from clusterctl.model import Answer, Node, Question, Trouble
from clusterctl.observe import last_words
from clusterctl.triage.collectives.ras import snapshots
from clusterctl.triage.collectives.ras_seen import Snapshot
from clusterctl.triage.collectives.ras_verdict import APART_S, triage_ras
from clusterctl.triage.one_question import Reach, ended, put
from clusterctl.triage.ranks import ranks_word
from clusterctl.triage.running.job import silences
from clusterctl.triage.stacks import spy
from clusterctl.triage.stacks.places import stays
from clusterctl.triage.stacks.stack_tree import who
from clusterctl.triage.stacks.stack_verdict import triage_stacks
from clusterctl.triage.stacks.stacks import Heard, Stacked, heard
from clusterctl.triage.verdict import Triage

RAS_LOOKS, RAS_ANSWER_S = 2, 30.0


@dataclass(frozen=True, slots=True)
class Looking:
    """`wanted`: whose processes: pids, slurm, pods; `by_node`: another wish of this node.

    `binaries`: py-spy by machine.
    """

    wanted: Mapping[str, object]
    looks: int = 3
    apart_s: float = 1.0
    native: bool = False
    binaries: Mapping[str, Path] = field(default_factory=dict)
    by_node: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stacks:
    """What all nodes said.  `ranks` in the order of their numbers; `unseen`: a sentence each."""

    ranks: tuple[Stacked, ...]
    unseen: tuple[str, ...]

    def triage(self) -> Triage:
        return triage_stacks(stays(self.ranks), unseen=self.unseen)


def ask_stacks(nodes: Sequence[Node], looking: Looking, reach: Reach, *, at_once: int) -> Stacks:
    """One conversation with each node, a second one with those that py-spy must be sent to."""
    first = {node.name: question(looking, node.name, None) for node in nodes}
    said = put(first, nodes, reach, at_once=at_once)
    known, silent = sorted_out(said)
    lacking = {
        name: question(looking, name, looking.binaries[one.machine])
        for name, one in known.items()
        if not one.spied and one.ranks and one.machine in looking.binaries
    }
    again = [node for node in nodes if node.name in lacking]
    if again:
        later, lost = sorted_out(put(lacking, again, reach, at_once=at_once))
        known |= later  # of who is lost now, what it said first stands
        silent |= lost
    return gathered([known[node.name] for node in nodes if node.name in known], silent)


def question(looking: Looking, node: str, program: Path | None) -> Question:
    whose = looking.by_node.get(node, looking.wanted)
    wanted = {**whose, "later": [] if program else sorted(looking.binaries)}
    return spy.question(
        wanted,
        looks=looking.looks,
        apart_s=looking.apart_s,
        native=looking.native,
        program=program,
    )


def sorted_out(answers: Mapping[str, Answer | Trouble]) -> tuple[dict[str, Heard], dict[str, str]]:
    """What nodes said, and why others said nothing."""
    known: dict[str, Heard] = {}
    silent: dict[str, str] = {}
    for name, one in answers.items():
        if isinstance(one, Trouble):
            silent[name] = str(one)
        elif not one.stdout:
            silent[name] = str(ended(one) or last_words(one) or "it printed nothing")
        else:
            known[name] = said = heard(name, one.stdout)
            if (why := ended(one)) is not None:
                known[name] = replace(said, troubles=(*said.troubles, why))
    return known, silent


def gathered(known: Sequence[Heard], silent: Mapping[str, str]) -> Stacks:
    ranks = sorted(
        (rank for one in known for rank in one.ranks),
        key=lambda rank: (rank.rank is None, rank.rank or 0, rank.node, rank.pid),
    )
    unseen = [*silences(silent)]
    unseen += [f"{one.node}: {trouble}" for one in known for trouble in one.troubles]
    unseen += not_seen(ranks)
    seen = {rank.rank for rank in ranks}
    world = max((rank.world or 0 for rank in ranks if rank.rank is not None), default=0)
    missing = [number for number in range(min(world, 1 << 20)) if number not in seen]
    if missing:
        unseen.append(f"{ranks_word(missing)} of {world} on no node that was asked")
    jobs = {rank.job for rank in ranks if rank.rank is not None}
    if len(jobs) > 1:
        unseen.append(
            f"whose ranks these are: {len(jobs)} jobs run here and count as one; say which with "
            "--slurm, --kube or --pids"
        )
    return Stacks(tuple(ranks), tuple(unseen))


def not_seen(ranks: Sequence[Stacked]) -> Iterator[str]:
    """Ranks whose frames were not seen: those with one reason in one sentence."""
    reasons: dict[str, list[Stacked]] = {}
    for rank in ranks:
        if rank.why:
            reasons.setdefault(rank.why, []).append(rank)
    for why, these in reasons.items():
        nodes = fold(sorted({rank.node for rank in these}))
        yield f"{who(these)} on {nodes}: {why}"


def ask_ras(node: Node, reach: Reach) -> Triage:
    """RAS of the job on this node, twice, so that what moves is told from what does not."""
    timeout_s = RAS_LOOKS * RAS_ANSWER_S + APART_S
    ras = Question(
        "ras",
        (str(RAS_LOOKS), str(APART_S)),
        timeout_s=timeout_s,
        script="ask_ras",
        cap_bytes=64 << 20,
    )
    (said,) = put({node.name: ras}, [node], reach, at_once=1).values()
    if isinstance(said, Trouble):
        return triage_ras([], unseen=[f"{node.name}: {said}"])
    seen = list(snapshots(said.stdout)) if said.stdout.strip() else []
    unseen = [f"{node.name}: {one}" for one in seen if isinstance(one, Trouble)]
    if (why := ended(said)) is not None:
        unseen.append(f"{node.name}: {why}")
    return triage_ras([one for one in seen if isinstance(one, Snapshot)], unseen=unseen)

"""Asking every node of a job at once: two readings, and looks in between."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from clusterctl.fanout import each
from clusterctl.model import Answer, Kind, Node, Question, Trouble
from clusterctl.transport import Transport, TransportError

EVERY_S = 0.1
# Of one processor, what looking may take: a tenth of a per cent of a node of ten or more.
SHARE = 0.01
SLACK_S = 20.0  # for the node to connect, to wait for the others and to print
GPU_EVERY_S = 1.0
CAP_BYTES = 16 << 20
JOB, GPUS = "job", "gpus"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose processes: of these numbers, of a Slurm job, of pods (by uid); else all with a rank."""

    pids: tuple[int, ...] = ()
    slurm: str = ""
    pods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """What one node answered, by the question's name, or why it did not."""

    node: str
    answers: dict[str, Answer]
    trouble: Trouble | None = None


def questions(wanted: Wanted, seconds: float, start: float) -> tuple[Question, ...]:
    """`start`: seconds of the wall clock at which all begin; 0: at once."""
    order = {
        "seconds": seconds,
        "every": EVERY_S,
        "share": SHARE,
        "start": start,
        "pids": list(wanted.pids),
        "slurm": wanted.slurm,
        "pods": list(wanted.pods),
    }
    return (
        Question(
            JOB,
            (json.dumps(order),),
            timeout_s=seconds + SLACK_S,
            script="look_at_job",
            modules=("job_processes", "job_sockets", "job_states", "nic_stats", "node_counters"),
            cap_bytes=CAP_BYTES,
        ),
        Question(
            GPUS,
            (str(seconds), str(GPU_EVERY_S)),
            timeout_s=seconds + SLACK_S,
            script="watch_gpus",
            modules=("nvml_meter", "sample_nvml"),
            cap_bytes=CAP_BYTES,
        ),
    )


def ask(
    nodes: Sequence[tuple[Node, Sequence[Question]]], transport: Transport, *, at_once: int
) -> list[Said]:
    """One conversation with each node, in the nodes' order; who does not answer says why."""
    asked = {node.name: questions for node, questions in nodes}

    def visit(knocked: tuple[Node, Trouble | None]) -> Said:
        node, trouble = knocked
        if trouble is not None:
            return Said(node.name, {}, trouble)
        answers: dict[str, Answer] = {}
        try:
            with transport.open(node) as shell:
                for answer in shell.ask(asked[node.name]):
                    answers[answer.name] = answer
        except TransportError as error:
            return Said(node.name, answers, Trouble(error.kind, str(error)))
        if JOB not in answers:
            why = "the node ended the conversation without an answer"
            return Said(node.name, answers, Trouble(Kind.CUT, why))
        return Said(node.name, answers)

    knocked = transport.knock([node for node, _ in nodes])
    heard = {said.node: said for said in each(knocked, visit, at_once=at_once)}
    return [heard[node.name] for node, _ in nodes]

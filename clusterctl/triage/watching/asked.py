"""One conversation with each node of a job, held open for as long as we listen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from clusterctl.model import Answer, Kind, Node, Question, Trouble
from clusterctl.spelling import visible
from clusterctl.transport import Transport, TransportError
from clusterctl.triage.running.ask import Wanted

# Ten looks a second see steps of a fifth of a second, Nyquist's two looks each; the kernel counts
# on between them, so of longer steps nothing is lost.
EVERY_S = 0.1
SAY_EVERY_S = 5.0
# Of one processor: a thousandth, less what sshd and our runner take to pass a line on.
SHARE = 0.0007
GPU_EVERY_S = 2.0  # steps that only power shows are long ones
LEASE_S = 30.0
FOREVER_S = 20 * 86400.0  # poll(2) counts to 24 days; then the conversation is begun anew
JOB, GPUS = "job", "gpus"
AGAIN_S, AGAIN_MOST_S = 5.0, 60.0
LONGEST = 1 << 20
ABSENT = 127  # no GPUs there


@dataclass(frozen=True, slots=True)
class Line:
    """What a node said: one line of its answer to the question of that name."""

    node: str
    question: str
    text: str


@dataclass(frozen=True, slots=True)
class Away:
    """A node that cannot be listened to, and why; it is tried again."""

    node: str
    trouble: Trouble


def questions(wanted: Wanted, job: str) -> tuple[Question, ...]:
    """`job`: of several the one; empty: there is only one."""
    order = {
        "every": EVERY_S,
        "say_every": SAY_EVERY_S,
        "share": SHARE,
        "pids": list(wanted.pids),
        "slurm": wanted.slurm,
        "pods": list(wanted.pods),
        "job": job,
    }
    return (
        Question(
            JOB,
            (json.dumps(order),),
            timeout_s=FOREVER_S,
            script="sample_job",
            modules=("job_processes",),
            lease_s=LEASE_S,
        ),
        Question(
            GPUS,
            (str(GPU_EVERY_S), str(SAY_EVERY_S)),
            timeout_s=FOREVER_S,
            script="sample_gpus",
            modules=("nvml_meter",),
            lease_s=LEASE_S,
        ),
    )


def follow(
    node: Node,
    asked: Sequence[Question],
    transport: Transport,
    sleep: Callable[[float], None],
) -> Iterator[Line | Away]:
    """Its lines as they come, for ever; a conversation that breaks is begun again."""
    pause_s = AGAIN_S
    while True:
        try:
            for news in listened(node, asked, transport):
                if isinstance(news, Line):
                    pause_s = AGAIN_S
                yield news
        except TransportError as error:
            yield Away(node.name, Trouble(error.kind, str(error)))
        sleep(pause_s)
        pause_s = min(2 * pause_s, AGAIN_MOST_S)


def listened(node: Node, asked: Sequence[Question], transport: Transport) -> Iterator[Line | Away]:
    """One conversation, until the job's question has its last answer.  Raises TransportError."""
    begun: dict[str, str] = {}
    with transport.open(node) as shell:
        for answer in shell.ask(asked):
            *whole, begun[answer.name] = (begun.get(answer.name, "") + answer.stdout).split("\n")
            for text in whole:
                yield Line(node.name, answer.name, text)
            if len(begun[answer.name]) > LONGEST:
                raise TransportError(Kind.UNREADABLE, "a line that does not end")
            if not answer.more and (answer.name == JOB or answer.exit_code != ABSENT):
                yield Away(node.name, ended(answer))
            if not answer.more and answer.name == JOB:
                return


def ended(answer: Answer) -> Trouble:
    last = answer.stderr.strip().rpartition("\n")[2]
    why = visible(last, 120) or f"exit {answer.exit_code}"
    return Trouble(Kind.EXIT, f"its sampler of {answer.name} ended: {why}")

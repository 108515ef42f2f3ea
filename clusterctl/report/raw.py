"""What a node said, word for word."""

from __future__ import annotations

from collections.abc import Iterator

from clusterctl.memory.prune import refuse_pruned
from clusterctl.model import LEFT_ALONE, SPARED, Answer, UserError
from clusterctl.spelling import visible
from clusterctl.store import Stored
from clusterctl.yaml_files import nearest


def answers(stored: Stored, node: str) -> Iterator[str]:
    """Every answer of a node in every reading; control characters made visible, lines kept.

    Raises UserError where the run has no such node, or its words were pruned.
    """
    refuse_pruned(stored.path)
    known = [one["name"] for one in stored.about["nodes"]]
    if node not in known:
        raise UserError(f"{stored.id}: has no node {node!r}{nearest(node, known)}")
    for reading in stored.readings():
        for said in stored.heard(reading):
            if said.node != node:
                continue
            if said.answer is not None:
                yield from spelled(reading, said.answer)
            if said.trouble is not None:
                yield f"== {reading}: {said.trouble}\n"


def spelled(reading: str, answer: Answer) -> Iterator[str]:
    known = {None: "stopped at its deadline", SPARED: LEFT_ALONE}
    end = known.get(answer.exit_code, f"exit {answer.exit_code}")
    cut = ", cut" if answer.truncated else ""
    yield f"== {reading} {answer.name}: {end}, {answer.seconds:.2f} s{cut}\n"
    for name, text in (("", answer.stdout), ("stderr: ", answer.stderr)):
        for line in text.splitlines():
            yield f"{name}{visible(line, 10_000)}\n"

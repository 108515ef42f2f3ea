"""Has Slurm given a node to a job that should be idle?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import Check, Evidence, Limit, Scheduler, Verdict
from clusterctl.verdicts import facts_of, passing, skipping, source_of, warning


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        for slurm in facts_of(evidence, Scheduler):
            yield of_node(evidence, slurm)


def of_node(evidence: Evidence, slurm: Scheduler) -> Verdict:
    if evidence.limits["idle"].value is not True:
        return skipping(evidence, slurm.part, "jobs may run here")
    if slurm.jobs:
        return warning(
            evidence,
            slurm.part,
            expected="no job",
            actual=", ".join(slurm.jobs[:4]),
            why="the node should be idle, and its numbers are worth nothing while it is not",
            remedy="drain it and wait for the job's end",
            source=source_of(evidence, "idle"),
        )
    if slurm.served or slurm.answered:
        return passing(evidence, slurm.part, "no job", expected="no job")
    return skipping(evidence, slurm.part, "no Slurm here")


CHECKS = (
    Check(
        name="slurm_jobs",
        asks="Has Slurm given a node to a job that should be idle?",
        wants=(Scheduler,),
        judge=judge,
        limits={"idle": Limit(value=False, source="clusterctl: a sweep meets running jobs")},
    ),
)

"""Did the node run out of memory?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.kernel_log import recent, unseen, window
from clusterctl.model import Check, Evidence, KernelEvent, Limit, LogWindow, Severity, Verdict
from clusterctl.verdicts import facts_of, passing, source_of, threshold, warning

PART = "memory"


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        limit = threshold(evidence, "window_s")
        kills = [
            event
            for event in facts_of(evidence, KernelEvent)
            if event.kind == "oom" and recent([event], limit)
        ]
        if kills:
            yield killed(evidence, kills)
        else:
            yield unseen(evidence, PART) or passing(
                evidence, PART, f"none in {window(evidence)}", expected="no process killed"
            )


def killed(evidence: Evidence, kills: Sequence[KernelEvent]) -> Verdict:
    return warning(
        evidence,
        PART,
        expected="no process killed",
        actual=f"{len(kills)} killed",
        why=f"the kernel ended a process for want of memory: {kills[-1].line[:160]}",
        remedy="see whose job it was; restart it with less memory, or look for a leak",
        severity=Severity.RESTART_JOB,
        source=source_of(evidence, "window_s"),
    )


CHECKS = (
    Check(
        name="oom",
        asks="Did the kernel kill a process for want of memory?",
        wants=(KernelEvent, LogWindow),
        judge=judge,
        limits={"window_s": Limit(86400, "clusterctl: a kill is news for a day")},
    ),
)

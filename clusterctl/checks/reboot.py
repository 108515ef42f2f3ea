"""Did the node reboot since it was last read?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import Boot, Check, Evidence, Verdict, Version
from clusterctl.verdicts import FIRST_READING, facts_of, passing, skipping, warning

PART = "node"
WITH_A_REBOOT = ("kernel", "os", "driver/", "firmware/")  # drift tells of these themselves


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        for boot in facts_of(evidence, Boot)[:1]:
            yield since(evidence, boot)


def since(evidence: Evidence, boot: Boot) -> Verdict:
    past = {old.boot_id for old in evidence.earlier if isinstance(old, Boot)}
    up = f"up {boot.uptime_s / 3600:.1f} h" if boot.uptime_s is not None else "up"
    if not past:
        return skipping(evidence, PART, FIRST_READING)
    if boot.boot_id in past and evidence.same_boot:
        return passing(evidence, PART, up, expected="the same boot", yardstick="past")
    if changed := meant(evidence):
        actual = f"rebooted, {up}, into another {changed}"
        return passing(evidence, PART, actual, yardstick="past")
    return warning(
        evidence,
        PART,
        expected="the same boot as at the last reading",
        actual=f"rebooted, {up}",
        why="counters and logs from before are gone",
        remedy="if nobody meant it: read the BMC's event log and the journal of the last boot",
        source="the kernel's boot id",
        yardstick="past",
    )


def meant(evidence: Evidence) -> str:
    """What came with the reboot that nobody gets without one; empty: nothing is known of it."""
    then = {one.part: one.value for one in evidence.earlier if isinstance(one, Version)}
    now = {one.part: one.value for one in facts_of(evidence, Version)}
    changed = [
        part
        for part, value in now.items()
        if part.startswith(WITH_A_REBOOT) and then.get(part, value) != value
    ]
    return ", ".join(sorted(changed)[:3])


CHECKS = (
    Check(
        name="reboot",
        asks="Did the node reboot since it was last read?",
        wants=(Boot,),
        uses=(Version,),
        judge=judge,
    ),
)

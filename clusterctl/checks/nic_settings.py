"""Are a NIC's own settings those that fast transfers need, and in force?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from clusterctl.model import Check, Evidence, Limit, Setting, Severity, Verdict
from clusterctl.verdicts import (
    facts_of,
    passing,
    settled,
    source_of,
    warning,
    words_in,
)

ACCESSES = "MAX_ACC_OUT_READ"
NUMBER = re.compile(r"(?:\w+\()?([0-9]+)\)?")


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        settings = facts_of(evidence, Setting)
        yield from settled(
            verdict for setting in settings for verdict in of_setting(evidence, setting)
        )


def of_setting(evidence: Evidence, setting: Setting) -> Iterator[Verdict]:
    now = setting.value if setting.value is not None else setting.next_boot
    if now != setting.next_boot and setting.next_boot is not None:
        yield warning(
            evidence,
            setting.device,
            expected=f"{setting.name} {setting.next_boot}",
            actual=f"{setting.name} {now}",
            why="it was changed and waits for a reboot",
            remedy="reboot the node, or reset the device's firmware (mlxfwreset)",
            severity=Severity.REBOOT_NODE,
            source="mlxconfig: Next Boot differs from Current",
        )
    allowed = words_in(evidence, "max_acc_out_read")
    number = NUMBER.fullmatch(now or "")
    if setting.name == ACCESSES and number and number[1] not in allowed:
        yield warning(
            evidence,
            setting.device,
            expected=f"{ACCESSES} {' or '.join(allowed)}",
            actual=number[1],
            why="it bounds the reads under way, and with them the rate of GPUDirect",
            remedy=f"mlxconfig -d {setting.device} set {ACCESSES}={allowed[0]}; then reboot",
            source=source_of(evidence, "max_acc_out_read"),
        )
    yield passing(evidence, setting.device, "settings in force")


CHECKS = (
    Check(
        name="nic_settings",
        asks="Are a NIC's own settings those that fast transfers need, and in force?",
        wants=(Setting,),
        judge=judge,
        limits={
            "max_acc_out_read": Limit(
                ("0", "44", "128"), "oci-dr-hpc-v2: MAX_ACC_OUT_READ is 0, 44 or 128"
            )
        },
    ),
)

"""Is a drive failing or worn out?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import Check, Drive, Evidence, Limit, Severity, Verdict
from clusterctl.verdicts import (
    FIRST_READING,
    absent,
    before,
    facts_of,
    failing,
    passing,
    settled,
    skipping,
    source_of,
    threshold,
    warning,
)

NVME = "NVM Express base specification, SMART / Health Information log"
REPLACE = "drain the node, save what is on the drive and replace it"
GRAVE = {
    0x01: "spare space below its threshold",
    0x04: "reliability degraded by media or internal errors",
    0x08: "the drive made itself read-only",
    0x10: "the backup of its volatile memory failed",
    0x20: "persistent memory became read-only or unreliable",
}
HOT = 0x02
COMING = frozenset({"new", "resetting", "connecting"})


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        earlier = before(evidence, Drive)
        for drive in facts_of(evidence, Drive):
            then = earlier.get(drive.part)
            same = then if then and then.serial == drive.serial else None
            yield from settled(
                (
                    alive(evidence, drive),
                    *warned(evidence, drive),
                    spare(evidence, drive),
                    worn(evidence, drive),
                    errors(evidence, drive, same),
                )
            )


def alive(evidence: Evidence, drive: Drive) -> Verdict:
    if drive.state is None:
        return absent(evidence, drive, "state")
    if drive.state in {"live", "running"}:
        return passing(evidence, drive.part, drive.state, expected="live")
    if drive.state in COMING:
        return warning(
            evidence,
            drive.part,
            expected="live",
            actual=drive.state,
            why="the drive is being reset",
            remedy="ask again in a minute; read the kernel log if it stays so",
            source="Linux drivers/nvme/host/core.c",
        )
    return broken(evidence, drive, "live", drive.state, "the drive does not answer")


def broken(evidence: Evidence, drive: Drive, expected: str, actual: str, why: str) -> Verdict:
    return failing(
        evidence,
        drive.part,
        expected=expected,
        actual=actual,
        why=why,
        remedy=REPLACE,
        severity=Severity.RETURN,
        source=NVME,
    )


def warned(evidence: Evidence, drive: Drive) -> Iterator[Verdict]:
    bits = drive.critical_warning
    if bits is None:
        yield absent(evidence, drive, "critical_warning")
        return
    if not bits:
        yield passing(evidence, drive.part, "no critical warning", expected="none", source=NVME)
    if bits & HOT:
        yield warning(
            evidence,
            drive.part,
            expected="no critical warning",
            actual=f"0x{bits:02x}",
            why="the drive is too hot or too cold",
            remedy="look at air flow around the drive",
            source=NVME,
        )
    grave = [text for bit, text in GRAVE.items() if bits & bit]
    if not grave and bits & ~HOT:
        grave = ["a bit that the specification does not name"]
    for text in grave:
        yield broken(evidence, drive, "no critical warning", f"0x{bits:02x}", text)


def spare(evidence: Evidence, drive: Drive) -> Verdict:
    left, least = drive.spare_percent, drive.spare_threshold_percent
    if left is None or least is None:
        return absent(
            evidence, drive, "spare_percent" if left is None else "spare_threshold_percent"
        )
    if left < least:
        return broken(
            evidence,
            drive,
            f"≥ {least:g} % spare",
            f"{left:g} %",
            "spare space below its threshold",
        )
    return passing(evidence, drive.part, f"{left:g} % spare", expected=f"≥ {least:g} %")


def worn(evidence: Evidence, drive: Drive) -> Verdict:
    if drive.used_percent is None:
        return absent(evidence, drive, "used_percent")
    limit = threshold(evidence, "used_percent")
    if drive.used_percent < limit:
        return passing(evidence, drive.part, f"{drive.used_percent:g} % used")
    return warning(
        evidence,
        drive.part,
        expected=f"< {limit:g} % of its life used",
        actual=f"{drive.used_percent:g} %",
        why="the drive is written out, as its maker counts",
        remedy="plan its replacement; keep no single copy of anything on it",
        source=source_of(evidence, "used_percent"),
    )


def errors(evidence: Evidence, drive: Drive, then: Drive | None) -> Verdict:
    """Media errors are counted over the drive's life: neither reboot nor reset clears them."""
    now, past = drive.media_errors, then.media_errors if then else None
    if now is None:
        return absent(evidence, drive, "media_errors")
    if past is None:
        return skipping(evidence, drive.part, FIRST_READING)
    if now - past <= threshold(evidence, "media_rise"):
        return passing(evidence, drive.part, f"{now} media errors, none new", yardstick="past")
    return warning(
        evidence,
        drive.part,
        expected="no new media error",
        actual=f"+{now - past} to {now}",
        why="the drive could not read back what was written",
        remedy="run the drive's self-test; replace it if errors go on",
        source=source_of(evidence, "media_rise"),
        yardstick="past",
    )


CHECKS = (
    Check(
        name="disk_health",
        asks="Is a drive failing or worn out?",
        wants=(Drive,),
        judge=judge,
        limits={
            "used_percent": Limit(100, f"{NVME}: 100 is the endurance its maker estimates"),
            "media_rise": Limit(0, f"{NVME}: unrecovered data integrity errors"),
        },
    ),
)

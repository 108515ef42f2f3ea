"""What does the device say of itself: health, wanted recovery, fabric?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import Accelerator, Check, Evidence, Severity, Verdict
from clusterctl.verdicts import absent, facts_of, failing, passing, settled, warning

SELF = "the device's own word"
# A device may ask for more than one thing ("drain_and_reset"): the first match decides.
RECOVERIES = (
    ("reboot", Severity.REBOOT_NODE, "drain the node and reboot it"),
    ("reset", Severity.RESET_DEVICE, "drain the node and reset the device"),
    ("drain", Severity.ISOLATE, "drain the node; the device wants its traffic moved away"),
    ("rma", Severity.RETURN, "drain the node and return the card"),
)


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        for card in facts_of(evidence, Accelerator):
            yield from settled(
                (health(evidence, card), recovery(evidence, card), fabric(evidence, card))
            )


def health(evidence: Evidence, card: Accelerator) -> Verdict:
    if card.health is None:
        return absent(evidence, card, "health")
    if card.health == "ok":
        return passing(evidence, card.part, "ok", expected="ok", source=SELF)
    if card.health in {"warning", "general_warning", "minor"}:
        return warning(
            evidence,
            card.part,
            expected="ok",
            actual=card.health,
            why="the device reports a warning",
            remedy="read its error code with the vendor's tool and watch it",
            source=SELF,
        )
    return failing(
        evidence,
        card.part,
        expected="ok",
        actual=card.health,
        why="the device reports itself unhealthy",
        remedy="drain the node and read the device's error code with the vendor's tool",
        severity=Severity.ISOLATE,
        source=SELF,
    )


def recovery(evidence: Evidence, card: Accelerator) -> Verdict:
    wanted = card.recovery_action
    if wanted is None:
        return absent(evidence, card, "recovery_action")
    if wanted == "none":
        return passing(evidence, card.part, "no recovery wanted", expected="none", source=SELF)
    other = (Severity.ISOLATE, "drain the node and ask the vendor what this action means")
    severity, remedy = next(((s, r) for word, s, r in RECOVERIES if word in wanted), other)
    return failing(
        evidence,
        card.part,
        expected="no recovery wanted",
        actual=wanted,
        why="the driver asks for a recovery",
        remedy=remedy,
        severity=severity,
        source=SELF,
    )


def fabric(evidence: Evidence, card: Accelerator) -> Verdict:
    state, status = card.fabric_state, card.fabric_status
    if state is None:
        return absent(evidence, card, "fabric_state")
    if state == "completed" and status in {None, "success"}:
        return passing(evidence, card.part, "fabric completed", expected="completed", source=SELF)
    if state == "in_progress":
        return warning(
            evidence,
            card.part,
            expected="fabric completed",
            actual="fabric in progress",
            why="the device is still joining its fabric",
            remedy="ask again in a few minutes; jobs across devices cannot start before",
            source=SELF,
        )
    return failing(
        evidence,
        card.part,
        expected="fabric completed",
        actual=f"fabric {state}, {status or 'no status'}",
        why="the device is not part of its fabric",
        remedy="restart the fabric service (its version must equal the driver's), then reboot",
        severity=Severity.REBOOT_NODE,
        source=SELF,
    )


CHECKS = (
    Check(
        name="accelerator_health",
        asks="Does each accelerator call itself healthy, want no recovery, and sit in its fabric?",
        wants=(Accelerator,),
        judge=judge,
    ),
)

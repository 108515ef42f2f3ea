"""What checks of the kernel log share: how far back was seen, and how old an event is."""

from __future__ import annotations

from collections.abc import Sequence

from clusterctl.model import Accelerator, Boot, Evidence, KernelEvent, LogWindow, Verdict
from clusterctl.verdicts import facts_of, unknown


def slot(pci: str) -> str:
    """A device, whichever of its functions the line names, or none."""
    return pci.lower().rpartition(".")[0] or pci.lower()


def unseen(evidence: Evidence, part: str) -> Verdict | None:
    """UNKNOWN where no log was read: then no event in it means nothing."""
    windows = facts_of(evidence, LogWindow)
    if any(seen.records or seen.since_s is not None for seen in windows):
        return None
    return unknown(
        evidence,
        part,
        "an empty kernel log proves nothing" if windows else "nobody said what part was read",
        expected="a kernel log",
        actual="no records",
        remedy="read the kernel log as root by hand; someone may have cleared it",
    )


def window(evidence: Evidence) -> str:
    """How far back was seen, in words."""
    spans = [w.since_s for w in facts_of(evidence, LogWindow) if w.since_s is not None]
    records = sum(w.records for w in facts_of(evidence, LogWindow))
    lost = any(w.lost for w in facts_of(evidence, LogWindow))
    span = f"{max(spans) / 3600:.1f} h" if spans else f"{records} records"
    return f"{span}, older records are lost" if lost else span


def recent(events: Sequence[KernelEvent], within_s: float) -> bool:
    """Whether any of them happened in this time; an event without a time counts as recent."""
    return any(e.seconds_ago is None or e.seconds_ago <= within_s for e in events)


def before_this_boot(evidence: Evidence, events: Sequence[KernelEvent]) -> bool:
    """Whether the node was rebooted after all of them, as far as uptime tells."""
    uptimes = [boot.uptime_s for boot in facts_of(evidence, Boot) if boot.uptime_s is not None]
    if not uptimes:
        return False
    slack_s = 60.0  # the log's clock and uptime differ by what the boot loader took
    return all(e.seconds_ago is not None and e.seconds_ago > max(uptimes) + slack_s for e in events)


def device(evidence: Evidence, pci: str) -> str:
    """The accelerator at this address, or the name as the line has it."""
    for card in facts_of(evidence, Accelerator):
        if card.pci and slot(card.pci) == slot(pci):
            return card.part
    return pci

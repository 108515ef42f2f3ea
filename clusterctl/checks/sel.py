"""What did the BMC write into its event log since the node was last read?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.knowledge.sel import about
from clusterctl.model import Chassis, Check, Evidence, Limit, SelEvent, Status, Verdict
from clusterctl.verdicts import facts_of, failing, passing, skipping, threshold, warning

PART = "sel"


def judge(evidences: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in evidences:
        yield from log(evidence)


def log(evidence: Evidence) -> Iterator[Verdict]:
    now = facts_of(evidence, SelEvent)
    if not now and not facts_of(evidence, Chassis):
        return
    source = next((one.source for one in now), "")
    then = [one for one in evidence.earlier if isinstance(one, SelEvent)]
    read = any(isinstance(one, Chassis) for one in evidence.earlier)
    again = read and (not source or not then or then[0].source == source)
    old = {key(one) for one in then}
    window = threshold(evidence, "window_s")
    new = [
        one
        for one in now
        if key(one) not in old
        and (again or (one.seconds_ago is not None and one.seconds_ago <= window))
    ]
    told = [verdict for one in new if (verdict := judged(evidence, one, new))]
    yield from told
    if told:
        return
    if again:
        said = f"{len(new)} new records, none that matters" if new else "no new record"
        yield passing(evidence, PART, said, expected="no new fault", yardstick="past")
    elif not now or all(one.seconds_ago is not None for one in now):
        yield passing(evidence, PART, f"none of {len(now)} records is a fault of the last day")
    else:
        why = f"first reading of {len(now)} records, and the BMC does not say how old they are"
        yield skipping(evidence, PART, why)


def key(one: SelEvent) -> tuple[object, ...]:
    return (one.record, one.at, one.part, one.event, one.asserted)


def judged(evidence: Evidence, one: SelEvent, among: Sequence[SelEvent]) -> Verdict | None:
    """None for a record that asks nothing of anybody.  What has ended since is a warning at most;
    a reading that was back at once never was.
    """
    known = about(one)
    if one.asserted is False or known.status is Status.PASS:
        return None
    lasted = ended(one, among)
    if lasted is not None and lasted <= threshold(evidence, "glitch_s"):
        return None
    when = f"{one.at:%Y-%m-%d %H:%M:%S} by the BMC's clock: " if one.at else ""
    give = failing if known.status is Status.FAIL and lasted is None else warning
    words = " ".join(filter(None, (one.sensor_type, one.event or "an event", one.detail)))
    over = f"; it ended after {lasted:.0f} s" if lasted is not None else ""
    return give(
        evidence,
        f"{PART}:{one.part}",
        expected="no new fault",
        actual=f"{when}{words}",
        why=known.why + over,
        remedy=known.remedy,
        severity=known.severity,
        source=known.source,
        yardstick="past",
    )


def ended(one: SelEvent, among: Sequence[SelEvent]) -> float | None:
    """Seconds until the same sensor took the event back; None: it did not."""
    for other in among:
        same = (other.part, other.event) == (one.part, one.event)
        if same and other.asserted is False and one.at and other.at and other.at >= one.at:
            return (other.at - one.at).total_seconds()
    return None


CHECKS = (
    Check(
        name="sel",
        asks="Did the BMC log a fault since the node was last read?",
        wants=(SelEvent, Chassis),
        judge=judge,
        limits={
            "window_s": Limit(86400, "clusterctl: at a first reading, the last day is news"),
            "glitch_s": Limit(
                2,
                "Intel S2600 BMCs log temperatures of 0 that they take back within a second",
                "records that the same sensor takes back",
            ),
        },
    ),
)

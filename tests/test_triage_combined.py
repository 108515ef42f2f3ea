"""Several answers about one job as one."""

from __future__ import annotations

from itertools import permutations

from clusterctl.triage.combined import combined
from clusterctl.triage.verdict import Cause, RuledOut, Suspect, Triage

STACKS = Triage(
    Cause.WORKER,
    suspects=(Suspect("rank 3", (3,), "n01", None, 0.9, ("it sleeps",)),),
    ruled_out=(RuledOut(Cause.GC, "no suspect collects garbage"),),
    confidence=0.9,
    evidence=("0-2: waits in a collective",),
)
FLIGHT = Triage(
    Cause.WORKER,
    suspects=(
        Suspect("rank 3", (3,), "", None, 0.8, ("it never began that",)),
        Suspect("rank 7", (7,), "", None, 0.4, ("it gave no dump",)),
    ),
    confidence=0.8,
    unseen=("no dump of rank 9",),
)
RAS = Triage(Cause.UNKNOWN, evidence=("RAS names no rank",), unseen=("n02: silent",))
NETWORK = Triage(Cause.NETWORK, confidence=0.5, evidence=("every member began it",))
SHARED = Triage(Cause.CONGESTION, 1.4, confidence=0.99, evidence=("everyone's transfers",))


def test_what_agrees_is_surer_and_told_once():
    for order in permutations([STACKS, FLIGHT, RAS]):
        found = combined(order)
        first, second = found.suspects
        assert first.ranks == (3,)
        assert first.node == "n01"
        assert 0.97 < first.confidence <= 0.98
        assert set(first.why) == {"it sleeps", "it never began that"}
        assert second.ranks == (7,)
        assert set(found.unseen) == {"no dump of rank 9", "n02: silent"}
        assert "RAS names no rank" in found.evidence


def test_who_names_somebody_leads_and_the_other_class_is_told():
    found = combined([NETWORK, STACKS])
    assert found.cause is Cause.WORKER
    assert "network was found, too (50% sure)" in found.evidence


def test_the_class_that_leads_is_not_ruled_out():
    other = Triage(Cause.GC, confidence=0.99, suspects=(Suspect("rank 1", (1,), confidence=0.99),))
    assert all(one.cause is not Cause.GC for one in combined([STACKS, other]).ruled_out)


def test_what_one_answer_finds_no_other_rules_out():
    clear = Triage(
        Cause.WORKER,
        suspects=(Suspect("rank 3", (3,), confidence=0.9),),
        ruled_out=(RuledOut(Cause.NETWORK, "all links alike"), RuledOut(Cause.GC, "no pause")),
        confidence=0.9,
    )
    found = combined([clear, NETWORK])
    assert "network was found, too (50% sure)" in found.evidence
    assert [one.cause for one in found.ruled_out] == [Cause.GC]


def test_a_class_without_a_culprit_takes_no_suspects_over():
    """Even where it does not lead, so a suspect of another stays with that one's class."""
    assert combined([SHARED, STACKS]).cause is Cause.WORKER
    assert combined([SHARED, RAS]).suspects == ()


def test_one_answer_stays_as_it_is():
    assert combined([FLIGHT]) is FLIGHT

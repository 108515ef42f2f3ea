"""Who keeps coming back, by what the fleet's own nodes do."""

from __future__ import annotations

from datetime import timedelta

from scripted import NOON

from clusterctl.memory.lemon import Fault, Repair, scores, shortening


def faults(node: str, *days: float, check: str = "xid", out: bool = False) -> list[Fault]:
    return [Fault(node, check, NOON + timedelta(days=day), out) for day in days]


QUIET = [fault for n in range(20) for fault in faults(f"q{n}", 3.0 * n)]


def test_a_node_that_fails_again_and_again_and_is_repaired_in_vain_is_a_lemon():
    bad = [
        *faults("n7", 0, 40, 60, 70, 75, 78, out=True),
        *faults("n7", 20, 50, check="ecc"),
    ]
    repaired = [Repair("n7", NOON + timedelta(days=day), "drive nvme0 swapped") for day in (10, 65)]
    worst, *others = scores([*bad, *QUIET], repaired, fleet=1000)
    assert (worst.node, worst.lemon) == ("n7", True)
    assert worst.signals == (
        "8 faults that began",
        "2 different checks failed",
        "6 nights out of service",
        "2 repairs",
        "gaps shorten: 20 days, then 8",
        "xid again within 14 days of drive nvme0 swapped",
    )
    assert not any(one.score for one in others)


def test_a_fault_that_lasts_is_one_fault_and_what_all_nodes_have_is_no_signal():
    lasting = faults("n7", *range(30))
    (one,) = scores(lasting, [], fleet=10)
    assert (one.episodes, one.score) == (1, 0)
    everywhere = [fault for n in range(100) for fault in faults(f"n{n}", 1, 9, 20)]
    assert not any(found.score for found in scores(everywhere, [], fleet=100))


def test_gaps_shorten_only_where_there_are_enough_of_them():
    starts = [NOON + timedelta(days=day) for day in (0, 30, 60, 65, 70)]
    assert list(shortening(starts)) == ["gaps shorten: 30 days, then 5"]
    assert list(shortening(starts[:4])) == []
    assert list(shortening([NOON + timedelta(days=9 * day) for day in range(9)])) == []

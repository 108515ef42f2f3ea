"""What becomes of a finding over the nights, and what an ack does to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterctl.judge import OBSERVED
from clusterctl.memory.acks import ALL, Ack, applied, not_covered
from clusterctl.memory.life import (
    NOTHING,
    Night,
    Stage,
    Told,
    changed,
    changes,
    distance,
)
from clusterctl.memory.one_night import step
from clusterctl.model import Finding, Severity, Status, Verdict

START = datetime(2026, 10, 1, 2, tzinfo=UTC)
WORDS = {"x": "fail", "w": "warn", ".": "pass", "?": "unknown", "-": "skip"}


def found(
    status: str = "fail",
    *,
    node: str = "n1",
    check: str = "ecc",
    part: str = "gpu3",
    actual: str = "",
    expected: str = "",
    why: str = "data was lost",
    severity: Severity = Severity.NONE,
    shared: str = "",
) -> Finding:
    verdict = Verdict(
        node, part, Status(status), expected=expected, actual=actual, why=why, severity=severity
    )
    return Finding(check, verdict, shared)


def night(number: int) -> datetime:
    return START + timedelta(days=number)


def lived(nights, marks=None) -> list[Night]:
    """`nights`: of each the findings; None: the node was not asked."""
    memory, passed = NOTHING, []
    for number, findings in enumerate(nights):
        here = (marks or {}).get(number, {})
        passed.append(step(memory, findings or [], night(number), here))
        memory = passed[-1].memory
    return passed


def stages(nights, marks=None) -> list[str]:
    """Of one finding, a night each; "" where nothing is told of it."""
    return [" ".join(str(one.stage) for one in past.told) for past in lived(nights, marks)]


def spelt(trace: str, **how) -> list[list[Finding] | None]:
    """x fail, w warn, . pass, ? unknown, - skip, blank: not asked."""
    return [[found(WORDS[one], **how)] if one != " " else None for one in trace]


def test_the_first_night_everything_is_new_and_then_known():
    assert stages(spelt("xxx")) == ["new", "known", "known"]


def test_what_never_failed_is_never_told():
    assert stages(spelt("....")) == ["", "", "", ""]


def test_it_is_cleared_after_two_healthy_nights_and_said_once():
    quiet = "healthy, not yet cleared"
    assert stages(spelt("x....")) == ["new", quiet, "cleared", "", ""]


@pytest.mark.parametrize("silence", [" ", "?", "-"])
def test_a_night_that_did_not_see_it_neither_clears_it_nor_makes_it_new(silence):
    unseen = "not seen tonight" if silence != " " else ""  # nothing to say of who is not in the run
    assert stages(spelt(f"x{silence * 5}x")) == ["new", *[unseen] * 5, "known"]
    assert stages(spelt(f"x.{silence}.")) == ["new", Stage.QUIET, unseen, "cleared"]


def test_a_node_that_cannot_be_asked_keeps_its_findings_as_they_were():
    silent = found("unknown", part="ecc", actual="unreachable", shared=OBSERVED)
    gone = found("unknown", check="reachable", part="node", why="no answer")
    third = lived([[found()], [silent, gone], [found()]])
    assert [[(one.life.check, one.stage) for one in past.told] for past in third] == [
        [("ecc", "new")],
        [("reachable", "new"), ("ecc", "not seen tonight")],
        [("ecc", "known"), ("reachable", "not seen tonight")],
    ]


def test_a_node_for_which_there_was_no_time_is_neither_new_nor_cleared():
    late = found(
        "unknown",
        check="reachable",
        part="node",
        why="missing: not asked: the time budget of the run was spent",
    )
    silent = found("unknown", part="ecc", shared=OBSERVED)
    assert stages([[found()], [late, silent], [found()]]) == ["new", "not seen tonight", "known"]


def test_a_value_at_its_limit_does_not_come_and_go():
    """New once; then flapping once; never cleared, never back."""
    said = stages(spelt("x.x.x.x.x.x.x.x"))
    assert [one for one in said if one in {"new", "cleared", "back", "flapping"}] == [
        "new",
        "flapping",
    ]


def test_flapping_ends_only_when_it_has_rested_as_long_as_it_is_looked_back():
    said = stages(spelt("x.x.x" + "." * 25))
    assert said[4] == "flapping"
    assert said.index("cleared") == 4 + 21
    assert said[26:] == ["", "", "", ""]


def test_a_flapping_one_that_returns_as_it_was_is_not_worse():
    said = stages(spelt("x..x..x..x..x..x"))
    assert "flapping" in said
    assert "worse" not in said
    assert set(said[said.index("flapping") + 1 :]) == {"known", "healthy, not yet cleared"}


def test_what_returns_within_a_month_is_back_and_later_is_new():
    assert stages(spelt("x..x"))[3] == "back"
    assert stages([*spelt("x.."), *spelt("." * 40), *spelt("x")])[-1] == "new"


def test_it_is_worse_when_a_warning_becomes_a_failure():
    assert stages(spelt("wwxx")) == ["new", "known", "worse", "known"]


def test_a_value_between_warning_and_failure_is_not_worse_every_other_night():
    assert stages(spelt("wxwxwxwx")) == ["new", "worse", *["known"] * 6]


def test_findings_of_nodes_that_this_run_did_not_select_are_kept_and_not_told():
    past = lived([[found(), found(node="n2")], [found(node="n2")], [found(), found(node="n2")]])
    assert [len(one.told) for one in past] == [2, 1, 2]
    assert {one.stage for one in past[2].told} == {"known"}


def test_a_milder_night_is_known_and_the_way_back_up_is_told():
    assert stages(spelt("xwwx")) == ["new", "known", "known", "worse"]


def test_a_count_that_grows_is_told_when_it_has_doubled_not_every_night():
    counts = [[found(expected="≤ 0 uncorrected", actual=str(n))] for n in range(1, 17)]
    said = stages(counts)
    assert [n for n, one in enumerate(said, 1) if one == "worse"] == [2, 4, 8, 16]


def test_a_temperature_that_wavers_above_its_limit_is_told_once():
    values = (86, 85, 87, 86, 85, 86, 87, 86)
    warm = [[found("warn", expected="≤ 84 °C", actual=f"{c} °C")] for c in values]
    assert stages(warm) == ["new", *["known"] * 7]


def test_twice_as_far_is_worse_only_beyond_what_a_sensor_repeats_to():
    def nights(*actual: str) -> list[list[Finding]]:
        return [[found(expected="< 89 °C", actual=f"{one} °C")] for one in actual]

    assert stages(nights("89.2", "90.4")) == ["new", "known"]  # 2 % of 89 are 1.78
    assert stages(nights("89.2", "91.1")) == ["new", "worse"]
    assert stages(nights("93", "95")) == ["new", "known"]


def test_another_reason_on_the_same_part_is_worse():
    first, second = found(why="fell off the bus"), found(why="memory error: at 0x1f")
    assert stages([[first], [first, second], [second]]) == ["new", "worse", "known"]


def test_the_same_reason_with_other_details_is_known():
    assert stages([[found(why=f"memory error: at {n}")] for n in range(5)])[1:] == ["known"] * 4


@pytest.mark.parametrize(
    ("expected", "actual", "away"),
    [
        ("< 89 °C", "91 °C", 2),
        ("memory < 95 °C", "memory 96 °C", 1),
        ("8", "7: on the bus and not shown", 1),
        ("≥ 400 Gbit/s", "200 Gbit/s: the link came up", 200),
        ("≤ 0 uncorrected", "3", 3),
        ("none", "XID 79", None),
        ("550.54.15", "550.90.07", None),
        ("5.15.0-105-generic", "5.15.0-91-generic", None),
        ("< 89 °C", "not there", None),
        ("≥ 400 Gbit/s", "25 GB/s", None),
    ],
)
def test_how_far_a_value_is_from_its_limit(expected, actual, away):
    assert distance(Verdict("n1", "gpu3", Status.FAIL, expected, actual)) == away


OLD, NEW = {("n1", "gpu3"): "S1"}, {("n1", "gpu3"): "S2"}


def test_a_fault_goes_with_its_card_and_an_exchange_clears_it_at_once():
    nights = [*spelt("x"), *spelt(".")]
    past = lived(nights, {0: OLD, 1: NEW})
    assert [(one.stage, one.why) for one in past[1].told] == [("cleared", "the part was exchanged")]


def test_a_fault_that_stays_after_an_exchange_is_the_new_cards():
    past = lived(spelt("xx"), {0: OLD, 1: NEW})
    assert {(one.stage, one.life.mark) for one in past[1].told} == {
        ("new", "S2"),
        ("cleared", "S1"),
    }


def test_a_card_that_moved_to_another_slot_keeps_its_fault():
    moved = [[found()], [found(part="gpu5"), found("pass")]]
    past = lived(moved, {0: OLD, 1: {("n1", "gpu5"): "S1", ("n1", "gpu3"): "S9"}})
    assert [(one.stage, one.life.verdict.part) for one in past[1].told] == [("known", "gpu5")]


def test_a_card_that_vanished_is_not_healthy():
    gone = [found("pass", part="gpu0")]
    assert stages([[found(), *gone], gone, gone, gone], {0: OLD})[1:] == ["not seen tonight"] * 3


def test_a_night_on_which_nobody_said_the_serial_is_the_same_finding():
    assert stages(spelt("xxx"), {0: OLD, 2: OLD}) == ["new", "known", "known"]


def test_a_part_that_names_itself_only_later_is_the_same_finding():
    assert stages(spelt("xxx"), {1: OLD, 2: OLD}) == ["new", "known", "known"]


def test_a_check_that_passes_nodes_as_a_whole_clears_what_it_no_longer_names():
    odd = found("warn", check="drift", part="kernel")
    same = found("pass", check="drift", part="versions")
    assert stages([[odd], [same], [same]])[2] == "cleared"


def test_an_exchanged_part_is_told_once_and_never_cleared():
    swap = found("warn", check="swapped", why="another card")
    here = found("pass", check="reachable", part="node")
    assert stages([[swap, here], [here], [here], [here]]) == ["new", "", "", ""]
    assert stages([[swap, here], [], [here]]) == ["new", "", ""]


def test_a_group_that_grows_is_one_finding():
    def rack(count):
        names = ",".join(f"n{n}" for n in range(count))
        return found(node=names, check="reachable", part="rack=r7")

    assert stages([[rack(3)], [rack(8)], [rack(16)]]) == ["new", "known", "known"]


def test_members_of_a_group_are_told_with_it_and_never_new_after_it():
    nodes = [f"n{n}" for n in range(4)]
    group = found(node=",".join(nodes), part="rack=r7")
    members = [found(node=one, shared="rack=r7") for one in nodes]
    past = lived([[group, *members], [found(node="n2"), *[found("pass", node="n1")] * 3]])
    assert [(one.life.verdict.part, one.stage) for one in past[0].told] == [("rack=r7", "new")]
    assert ("n2", "known") in {(one.life.verdict.node, one.stage) for one in past[1].told}
    assert not changed(past[1].told)


def test_a_group_is_not_cleared_while_most_of_its_members_are_bad():
    nodes = [f"n{n}" for n in range(8)]
    group = found(node=",".join(nodes), part="rack=r7")

    def bad(count):
        return [found("fail" if n < count else "pass", node=name) for n, name in enumerate(nodes)]

    together = [group, *[replace(one, shared="rack=r7") for one in bad(8)]]
    past = lived([together, bad(6), bad(6), bad(6), bad(2), bad(2)])
    of_rack = [
        str(one.stage) for night in past for one in night.told if one.life.verdict.part == "rack=r7"
    ]

    assert of_rack == ["new", *["known"] * 3, "healthy, not yet cleared", "cleared"]
    assert not any(changed(night.told) for night in past[1:4])


def test_like_parts_of_a_node_are_one_finding_whichever_they_are_tonight():
    eight = found(part=" ".join(f"gpu{n}" for n in range(8)))
    seven = found(part=" ".join(f"gpu{n}" for n in range(7)))
    assert stages([[eight], [seven]]) == ["new", "known"]


def test_changes_come_first_the_most_urgent_of_them_first():
    bad = [found("warn", part="gpu1"), found(part="gpu2"), found("unknown", part="gpu4")]
    (past,) = lived([bad])
    assert [one.life.verdict.part for one in changes(past.told)] == ["gpu2", "gpu1", "gpu4"]


@given(st.text(alphabet="xw.?- ", max_size=60))
@settings(max_examples=150, deadline=None)
def test_whatever_the_nights_a_life_is_a_story(trace):
    """New or back before anything else, cleared only while open, nothing told after it."""
    open_ = False
    for one, said in zip(trace, stages(spelt(trace)), strict=True):
        if one == " ":
            assert said == ""
        elif said in {"new", "back"}:
            assert not open_
            open_ = True
        elif said == "cleared":
            assert open_
            assert one == "."
            open_ = False
        elif said == "flapping":
            open_ = True
        elif said:
            assert open_
        else:
            assert not open_
        if one in "xw":
            assert open_


# --------------------------------------------------------------------------- acks


def ack(nodes="n1", check="ecc", *, at=0, until=90, removed="") -> Ack:
    names = frozenset(nodes.split(","))
    return Ack("a1", names, check, night(until), "mei", "RMA 4711", night(at), removed)


def nights_with(acks, nights, marks=None):
    """(told, acked) stages of each night."""
    memory, said = NOTHING, []
    for number, findings in enumerate(nights):
        past = step(memory, findings or [], night(number), marks or {})
        page = applied(past, [one for one in acks if one.at <= night(number)], night(number))
        memory = page.memory
        said.append(([str(one.stage) for one in page.told], len(page.acked)))
    return said


def test_what_is_acked_is_counted_and_not_told():
    assert nights_with([ack(at=1)], spelt("xxx")) == [(["new"], 0), ([], 1), ([], 1)]


def test_an_ack_of_everything_covers_every_check_of_its_node():
    both = [[found(), found(check="port_state", part="mlx5_0/1"), found(node="n2")]]
    assert nights_with([ack(check=ALL)], both) == [(["new"], 2)]


def test_it_is_told_again_when_the_ack_has_run_out_once():
    said = nights_with([ack(until=2)], spelt("xxxx"))
    assert said == [([], 1), ([], 1), (["ack ended"], 0), (["known"], 0)]


def test_an_ack_ends_when_the_finding_gets_worse_and_says_so():
    counts = [[found(expected="≤ 0 uncorrected", actual=str(n))] for n in (1, 1, 3, 3)]
    said = nights_with([ack(at=1)], counts)
    assert said == [(["new"], 0), ([], 1), (["worse"], 0), (["known"], 0)]

    memory = NOTHING
    for number, findings in enumerate(counts[:3]):
        page = applied(step(memory, findings, night(number), {}), [ack(at=1)], night(number))
        memory = page.memory
    (told,) = page.told
    assert "ends ack a1 by mei" in told.why


def test_an_ack_of_one_card_excuses_no_other():
    other = found(part="gpu5")
    said = nights_with([ack(at=1)], [[found()], [found()], [found(), other], [found(), other]])
    assert said == [(["new"], 0), ([], 1), (["new"], 1), (["known"], 1)]


def test_an_ack_given_before_the_fault_covers_it():
    assert nights_with([ack(check="reachable")], spelt(" x", check="reachable", part="node")) == [
        ([], 0),
        ([], 1),
    ]


def test_a_removed_ack_covers_nothing():
    assert nights_with([ack(removed="today")], spelt("x")) == [(["new"], 0)]


def test_a_group_is_covered_only_by_an_ack_of_all_its_nodes():
    group = found(node="n1,n2,n3", part="rack=r7")
    assert nights_with([ack("n1,n2")], [[group]]) == [(["new"], 0)]
    assert nights_with([ack("n1,n2,n3")], [[group]]) == [([], 1)]


def test_what_an_acked_finding_explains_is_covered_with_it():
    gone = found("unknown", check="reachable", part="node")
    silent = found("unknown", part="ecc", shared=OBSERVED)
    other = found(node="n2")
    memory = step(NOTHING, [gone, silent, other], night(0), {})
    page = applied(memory, [ack(check="reachable")], night(0))
    assert not_covered([gone, silent, other], page) == [other]
    assert isinstance(page.told[0], Told)


def test_what_an_acked_rack_explains_is_covered_with_it():
    group = found(node="n1,n2", part="rack=r7")
    follows = [found(node=name, check="psu", shared="rack=r7") for name in ("n1", "n2")]
    other = found(node="n1", check="psu", part="psu2", shared="rack=r8")
    page = applied(step(NOTHING, [group], night(0), {}), [ack("n1,n2")], night(0))
    assert not_covered([group, *follows, other], page) == [other]


def test_where_nobody_says_who_sits_there_it_is_who_sat_there_last():
    old, new = {("n1", "gpu3"): "GPU-old"}, {("n1", "gpu3"): "GPU-new"}
    nights = lived([[found()]] * 5, {0: old, 1: new, 2: new})
    assert [sorted(str(one.stage) for one in night.told) for night in nights] == [
        ["new"], ["cleared", "new"], ["known"], ["known"], ["known"],
    ]  # fmt: skip
    assert [one.life.mark for one in nights[-1].told] == ["GPU-new"]


def test_a_group_is_well_when_most_of_it_was_looked_at_and_not_before():
    names = [f"n{number}" for number in range(4)]
    group = [found(node=",".join(names), part="rack=r7")]

    def well(*of: str) -> list[Finding]:
        return [found("pass", node=name) for name in of]

    few = [[group[0]], well("n0"), well("n0"), well(*names), well(*names)]
    assert stages(few) == ["new", *["not seen tonight"] * 2, "healthy, not yet cleared", "cleared"]


def left(acks, nights, marks=()):
    """What of the last night's findings is not covered, and of which part."""
    memory = NOTHING
    for number, findings in enumerate(nights):
        seen = marks[number] if marks else {}
        page = applied(step(memory, findings, night(number), seen), acks, night(number))
        memory = page.memory
    return {(one.check, one.verdict.part) for one in not_covered(nights[-1], page)}


def test_what_outgrew_an_ack_of_everything_counts_though_the_rest_is_covered():
    def tonight(count: int) -> list[Finding]:
        return [
            found(expected="≤ 0 uncorrected", actual=str(count)),
            found(check="port_state", part="mlx5_0/1"),
        ]

    assert left([ack(check=ALL)], [tonight(1), tonight(1)]) == set()
    assert left([ack(check=ALL)], [tonight(1), tonight(9)]) == {("ecc", "gpu3")}


def test_a_new_card_in_the_slot_of_an_acked_one_counts_from_its_first_night():
    marks = [{("n1", "gpu3"): "GPU-old"}, {("n1", "gpu3"): "GPU-new"}]
    assert left([ack()], [[found()], [found()]], marks) == {("ecc", "gpu3")}

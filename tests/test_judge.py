"""Silence is UNKNOWN, a source that works suffices, and what is shared is said once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from scripted import NOON, Scripted, answers, nodes, probe, said

from clusterctl.judge import judge
from clusterctl.limits import Sku, check_labels
from clusterctl.model import (
    LEFT_ALONE,
    SPARED,
    Accelerator,
    Applies,
    Check,
    Evidence,
    Finding,
    Kind,
    Limit,
    Node,
    PcieDevice,
    Playbook,
    Port,
    Probe,
    Status,
    Trouble,
    UserError,
    Verdict,
)
from clusterctl.observe import observe
from clusterctl.shared import explain_shared
from clusterctl.verdicts import hidden

FIRST = probe("first", subject="toy", rank=0)
SECOND = probe("second", subject="toy", rank=1)
PORTS = probe("ports", Port)


def cool(seen: Sequence[Evidence]) -> Iterator[Verdict]:
    for one in seen:
        limit = one.limits["max_c"]
        for fact in one.facts:
            if isinstance(fact, Accelerator):
                hot = fact.temp_c is None or fact.temp_c > float(str(limit.value))
                status = Status.FAIL if hot else Status.PASS
                yield Verdict(one.node.name, fact.part, status, source=limit.source)


COOL = Check("cool", "Is it cool?", (Accelerator,), cool, limits={"max_c": Limit(80, "a book")})


def findings(
    scripts: dict[str, dict],
    fleet: Sequence[Node] = nodes(1),
    probes: Sequence[Probe] = (FIRST, SECOND),
    checks: Sequence[Check] = (COOL,),
    **how: object,
) -> list[Finding]:
    world = Scripted(scripts)
    heard = [one for node in fleet for one in observe(node, probes, world, lambda: NOON)]
    book = Playbook("p", probes=tuple(probes), checks=tuple(checks), expect=how.pop("expect", {}))
    by_name = {one.name: one for one in probes}
    return judge(book, fleet, heard, probes=by_name, **how)


def of(check: str, found: Sequence[Finding]) -> list[Status]:
    return [one.verdict.status for one in found if one.check == check]


def test_the_best_source_that_works_is_believed():
    found = findings({"n000": answers(said("first", "gpu0 90"), said("second", "gpu0 40"))})

    assert of("cool", found) == [Status.FAIL]


def test_a_second_source_suffices_and_the_trouble_is_said():
    found = findings({"n000": answers(said("first", exit_code=None), said("second", "gpu0 40"))})

    assert of("cool", found) == [Status.PASS]
    assert of("observed", found) == [Status.UNKNOWN, Status.PASS]


def test_a_partial_source_judges_what_it_saw_and_says_what_it_did_not():
    found = findings(
        {"n000": answers(said("first", "gpu0 40\nrubbish"), said("second", exit_code=127))}
    )

    assert of("cool", found) == [Status.PASS]
    assert of("observed", found).count(Status.UNKNOWN) == 2


def test_no_source_is_unknown_and_explained_by_what_was_not_observed():
    found = findings({"n000": answers(said("first", exit_code=1), said("second", exit_code=127))})

    (one,) = [one for one in found if one.check == "cool"]
    assert one.verdict.status is Status.UNKNOWN
    assert one.shared == "observed"


RDMA, ETHER = probe("rdma", Port), probe("ether", Port)
COUNTED = Check("counted", "Who is not seen?", (Port,), lambda seen: map(told_of, seen))
UP = "port mlx5_0/1 active\nport mlx5_1/1 active"


def told_of(one: Evidence) -> Verdict:
    """Part: the ports that may be there; why: the first reason."""
    may = [part for part in ("mlx5_0/1", "mlx5_1/1", "eth0") if hidden(one, Port, part)]
    return Verdict(one.node.name, " ".join(may), Status.PASS, why=hidden(one, Port))


@pytest.mark.parametrize(
    ("rdma", "ether", "may", "why"),
    [
        (said("rdma", exit_code=None), said("ether", "port eth0 active"), "mlx5_0/1 mlx5_1/1",
         "rdma: timeout: no answer in 0 s; it was stopped"),
        (said("rdma", UP), said("ether", exit_code=1), "eth0", "ether: exit: exit 1: "),
        (said("rdma", exit_code=SPARED), said("ether", "port eth0 active"), "mlx5_0/1 mlx5_1/1",
         f"rdma: denied: {LEFT_ALONE}"),
        (said("rdma", UP), said("ether", "port eth0 active"), "", ""),
    ],
)  # fmt: skip
def test_a_check_knows_what_a_silent_source_may_have_hidden(rdma, ether, may, why):
    well = answers(said("rdma", UP), said("ether", "port eth0 active"))
    scripts = {"n000": answers(rdma, ether), "n001": well, "n002": well}

    found = findings(scripts, nodes(3), (RDMA, ETHER), (COUNTED,))

    told = {one.verdict.node: one.verdict for one in found if one.check == "counted"}
    assert (told["n000"].part, told["n000"].why) == (may, why)
    assert told["n001"].part == told["n002"].why == ""


@pytest.mark.parametrize(
    ("rdma", "status", "shared"),
    [
        (said("rdma", exit_code=None), Status.UNKNOWN, "observed"),
        (said("rdma", exit_code=SPARED), Status.SKIP, ""),
    ],
)
def test_what_was_not_seen_is_told_once_and_what_was_left_alone_is_skipped(rdma, status, shared):
    def missing(seen: Sequence[Evidence]) -> Iterator[Verdict]:
        for one in seen:
            for part in (f"mlx5_{number}/1" for number in range(6)):
                why = f"not seen: {hidden(one, Port)}"
                yield Verdict(one.node.name, part, Status.UNKNOWN, why=why)

    check = replace(COUNTED, judge=missing)
    scripts = {"n000": answers(rdma, said("ether", "port eth0 active"))}

    found = findings(scripts, nodes(1), (RDMA, ETHER), (check,))

    counted = [one for one in found if one.check == "counted"]
    assert [(one.verdict.status, one.shared) for one in counted] == [(status, shared)] * 6


def test_trouble_with_a_field_of_a_part_that_was_seen_hides_no_other():
    def half_read(text: str) -> Iterator[Port | Trouble]:
        yield Port("mlx5_0/1", "mlx5_0", "active")
        yield Trouble(Kind.UNREADABLE, "rate: N?A", text)

    own = replace(RDMA, parse=half_read)
    for said_of, hides in (("mlx5_0/1", ""), ("mlx5_1", "rdma: unreadable: rate: N?A")):
        (found,) = [
            one.verdict
            for one in findings(
                {"n000": answers(said("rdma", said_of))}, nodes(1), (own,), (COUNTED,)
            )
            if one.check == "counted"
        ]
        assert found.why == hides


def test_an_unreachable_node_passes_nothing():
    found = findings({})

    assert of("reachable", found) == [Status.UNKNOWN]
    assert Status.PASS not in {one.verdict.status for one in found}


def test_a_check_that_breaks_is_unknown_and_its_neighbour_stands():
    def broken(seen: Sequence[Evidence]) -> Iterator[Verdict]:
        raise ZeroDivisionError(len(seen))
        yield

    bad = replace(COOL, name="bad", judge=broken)
    found = findings({"n000": answers(said("first", "gpu0 40"))}, checks=(bad, COOL))

    assert of("bad", found) == [Status.UNKNOWN]
    assert of("cool", found) == [Status.PASS]


def test_a_check_that_says_nothing_about_something_is_never_a_pass():
    mute = replace(COOL, judge=lambda _seen: ())
    found = findings({"n000": answers(said("first", "gpu0 40"))}, checks=(mute,))

    assert of("cool", found) == [Status.UNKNOWN]


def test_nothing_of_the_kind_is_a_skip_with_its_reason():
    found = findings({"n000": answers(said("first", ""), said("second", ""))})

    (one,) = [one for one in found if one.check == "cool"]
    assert one.verdict.status is Status.SKIP
    assert one.verdict.why


def test_a_node_without_the_card_is_skipped_for_that_reason():
    cards = probe("pci", PcieDevice)
    vendor = probe("first", applies=Applies(pci_vendors=("10de",), why_not="no such card"))
    found = findings(
        {"n000": answers(said("pci"), said("first", exit_code=127))}, probes=(cards, vendor)
    )

    (one,) = [one for one in found if one.check == "cool"]
    assert (one.verdict.status, one.verdict.why) == (Status.SKIP, "no such card")


@pytest.mark.parametrize(
    ("expect", "labels", "skus", "status", "source"),
    [
        pytest.param({}, {}, (), Status.FAIL, "a book", id="the check's own"),
        pytest.param(
            {}, {"sku": "x"}, (Sku("x", limits={"cool": {"max_c": Limit(95, "datasheet")}}),),
            Status.PASS, "datasheet", id="the SKU's by label",
        ),
        pytest.param(
            {}, {}, (Sku("x", ("toy",), {"cool": {"max_c": Limit(95, "datasheet")}}),),
            Status.PASS, "datasheet", id="the SKU's by model",
        ),
        pytest.param(
            {}, {}, (Sku("x", ("toy",), {"cool": {"max_c": Limit(95, "d")}}, ("cool.max_c",)),),
            Status.FAIL, "a book", id="not the SKU's by model, where only a name may say so",
        ),
        pytest.param(
            {"cool": {"max_c": Limit(99, "us")}}, {"sku": "x"},
            (Sku("x", limits={"cool": {"max_c": Limit(10, "datasheet")}}),),
            Status.PASS, "us", id="the playbook's wins",
        ),
    ],
)  # fmt: skip
def test_the_nearest_limit_wins_and_names_its_source(expect, labels, skus, status, source):
    found = findings(
        {"n000": answers(said("first", "gpu0 90"))}, nodes(1, **labels), expect=expect, skus=skus
    )

    (one,) = [one for one in found if one.check == "cool"]
    assert (one.verdict.status, one.verdict.source) == (status, source)


def rack(name: str, numbers: range, temp: int) -> tuple[list[Node], dict]:
    made = [Node(f"{name}{i}", labels={"rack": name}) for i in numbers]
    return made, {node.name: answers(said("first", f"gpu0 {temp}")) for node in made}


def test_one_fault_on_a_whole_rack_is_one_finding_about_the_rack():
    hot, hot_says = rack("r7", range(4), 90)
    fine, fine_says = rack("r8", range(8), 40)

    found = findings(hot_says | fine_says, [*hot, *fine])

    about = [one for one in found if one.check == "cool" and one.verdict.part == "rack=r7"]
    assert len(about) == 1
    assert "4 of 4 nodes" in about[0].verdict.why
    members = [one for one in found if one.check == "cool" and one.verdict.status is Status.FAIL]
    assert {one.shared for one in members if one is not about[0]} == {"rack=r7"}


def test_one_fault_on_all_parts_of_a_node_is_one_finding_about_the_node():
    rows = "\n".join(f"gpu{i} {90 + i}" for i in range(8))
    found = findings({"n000": answers(said("first", rows))})

    about = [one for one in found if one.check == "cool" and not one.shared]
    assert [one.verdict.part for one in about] == [" ".join(f"gpu{i}" for i in range(8))]
    assert "8 of 8 at once" in about[0].verdict.why
    assert of("cool", found) == [Status.FAIL] * 9


def test_one_hot_part_among_eight_is_about_that_part():
    rows = "\n".join(f"gpu{i} {90 if i == 3 else 40}" for i in range(8))
    found = findings({"n000": answers(said("first", rows))})

    (bad,) = [one for one in found if one.verdict.status is Status.FAIL]
    assert bad.verdict.part == "gpu3"


def test_a_fault_scattered_over_racks_is_about_each_node():
    one, one_says = rack("r7", range(4), 40)
    two, two_says = rack("r8", range(4), 40)
    bad = {"r70": answers(said("first", "gpu0 90")), "r80": answers(said("first", "gpu0 90"))}

    found = findings(one_says | two_says | bad, [*one, *two])

    failed = [f for f in found if f.check == "cool" and f.verdict.status is Status.FAIL]
    assert len(failed) == 2
    assert not any(one.shared for one in failed)


def test_three_faults_of_one_check_in_one_rack_are_three_findings():
    fleet = nodes(3, rack="r7")
    whys = ("fell off the bus", "uncorrectable memory error", "link to the switch is lost")
    found = [
        Finding("xid", Verdict(node.name, f"gpu{i}", Status.FAIL, actual=f"XID {i}", why=why))
        for i, (node, why) in enumerate(zip(fleet, whys, strict=True))
    ]

    assert explain_shared(found, fleet) == found


def test_one_nodes_own_trouble_is_not_hidden_behind_everybodys():
    fleet = nodes(8)
    found = [
        Finding("observed", Verdict(node.name, "ports", Status.UNKNOWN, actual="unreadable"))
        for node in fleet
    ]
    own = Finding("observed", Verdict("n003", "kernel_log", Status.UNKNOWN, actual="denied"))

    explained = explain_shared([*found, own], fleet)

    assert own in explained
    assert {one.shared for one in explained if one.verdict.part == "ports"} == {"all nodes"}
    assert ["ports" in one.verdict.why for one in explained if not one.shared] == [False, True]


def test_a_fault_of_the_whole_fleet_is_said_to_be_that():
    hot, says = rack("r7", range(5), 90)

    found = findings(says, hot)

    assert "all nodes" in {one.verdict.part for one in found}


def test_every_check_answers_for_every_node():
    fleet = nodes(20)
    scripts = {node.name: answers(said("first", "gpu0 40")) for node in fleet[:-1]}

    found = findings(scripts, fleet)

    assert {one.verdict.node for one in found if one.check == "cool"} >= {n.name for n in fleet}


@pytest.mark.parametrize("amount", ["eight", "nan", "inf", "-1", "", "8.5"])
def test_a_label_that_is_a_limit_must_be_a_number_of_what_there_can_be(amount):
    with pytest.raises(UserError, match=r"rack\.csv:3: accelerators: expected a (whole )?number"):
        check_labels([Node("n1", labels={"accelerators": amount}, origin="rack.csv:3")], ())


SKUS = [Sku("h100-sxm"), Sku("b200")]


def test_a_sku_that_is_nearly_one_of_ours_is_refused_for_its_promise_would_be_gone():
    slip = Node("n1", labels={"sku": "h100sxm"}, origin="i.yml:3")

    with pytest.raises(UserError, match=r"i\.yml:3: sku: .*did you mean 'h100-sxm'\?"):
        check_labels([Node("n0"), slip], SKUS)


@pytest.mark.parametrize(
    "labels",
    [{"sku": "our-own-box"}, {"sku": "h100-sxm"}, {"sku": "h800-sxm"}, {"sku": "h100-pcie"}, {}],
)
def test_any_other_card_is_fine(labels):
    check_labels([Node("n1", labels=labels)], SKUS)

"""Rolling entry, the pure part: when a change of the inventory counts, and what it means."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from clusterctl.campaign.decisions import Case, Decision, apply, pair_up
from clusterctl.campaign.folder import cases, joined, keep_decision, prepare
from clusterctl.campaign.rolling import looks, news
from clusterctl.model import Node, UserError
from clusterctl.playbook import build

ONE, TWO = (Node("n1"),), (Node("n1"), Node("n2", labels={"rack": "r1"}))
BROKEN = UserError("hosts.yml: line 3: not YAML")


def seen(*files: tuple[Node, ...] | UserError) -> tuple[list[tuple[Node, ...] | None], list[str]]:
    """What each look gives, and what was told."""
    story: Iterator[tuple[Node, ...] | UserError] = iter(files)
    told: list[str] = []

    def load() -> tuple[Node, ...]:
        now = next(story)
        if isinstance(now, UserError):
            raise now
        return now

    looking = looks(load, told.append)
    return [next(looking) for _ in files], told


def test_a_change_counts_when_two_looks_in_a_row_find_it():
    assert seen(ONE, ONE, ONE)[0] == [None, ONE, None]
    assert seen(ONE, ONE, TWO, ONE, ONE)[0] == [None, ONE, None, None, None]
    assert seen(ONE, ONE, TWO, TWO, TWO)[0] == [None, ONE, None, TWO, None]


def test_a_broken_edit_is_told_once_and_the_last_list_holds():
    lists, told = seen(ONE, ONE, BROKEN, BROKEN, ONE, BROKEN, TWO, TWO)
    assert lists == [None, ONE, None, None, None, None, None, TWO]
    assert told == ["hosts.yml: line 3: not YAML; the list of nodes stays as it was"] * 2


def decided(known: dict[str, Case], *names: str) -> list[tuple[str, str]]:
    found = [one for one, _ in news(known, [Node(name) for name in names])]
    for one in found:
        apply(known.setdefault(one["node"], Case(Node(one["node"]))), {**one, "at": "now"})
    return [(one["do"], one["node"]) for one in found]


def test_who_vanishes_from_the_list_is_told_once_and_burns_on():
    known = {"n1": Case(Node("n1")), "n2": Case(Node("n2"), phase="done")}
    assert decided(known, "n1", "n2") == []
    assert decided(known, "n1", "n3") == [("join", "n3"), ("unlist", "n2")]
    assert decided(known, "n3") == [("unlist", "n1")]
    assert known["n1"].phase == "gate"
    assert decided(known, "n3") == []
    said = [told for _, told in news(known, [Node(name) for name in ("n1", "n2", "n3")])]
    assert said == [
        "n1 is in the inventory again",
        "n2 is in the inventory again; its verdict stands: burn it again with --again n2",
    ]


def test_who_joined_is_known_to_whoever_resumes(tmp_path):
    prepare(tmp_path)
    for decision, _ in news({"n1": Case(Node("n1"))}, TWO):
        assert keep_decision(tmp_path, {**decision, "at": "2026-01-01T00:00:00"})
    assert joined(tmp_path, ONE) == TWO
    assert list(cases(tmp_path, ONE)) == ["n1", "n2"]


def test_another_address_is_taken_up_by_the_same_node_and_by_whoever_resumes(tmp_path):
    known = {"n1": Case(Node("n1", "10.0.0.1", labels={"rack": "r1"})),
             "n2": Case(Node("n2", "10.0.0.2"), phase="done")}  # fmt: skip
    listed = [Node("n1", "10.0.0.9", user="ops"), Node("n2", "10.0.0.3")]
    ((decision, told),) = news(known, listed)
    assert told == (
        "n1 is reached otherwise from now on: address 10.0.0.9 instead of 10.0.0.1, "
        "user ops instead of -"
    )
    prepare(tmp_path)
    assert keep_decision(tmp_path, {**decision, "at": "2026-01-01T00:00:00"})
    (node,) = joined(tmp_path, [known["n1"].node])
    assert (node.host, node.user, node.labels) == ("10.0.0.9", "ops", {"rack": "r1"})
    assert list(news({"n1": Case(node)}, listed[:1])) == []
    # What --resume -i FILE says is newer than what --watch once saw.
    third = Node("n1", "10.0.0.4")
    assert cases(tmp_path, [third])["n1"].node == third


def test_the_first_of_a_line_waits_for_a_partner_before_it_goes_on_alone():
    soak = {"hours": 1, "load": ["cpu_burn"]}
    book = build("t", {"name": "t", "stages": ["pair_bandwidth"], "soak": soak})
    first, listed = ready("n1"), Case(Node("n2"), trouble="unreachable: not powered on yet")

    def steps(*, alone: bool) -> list[Decision]:
        found = pair_up([first, listed], book, Random(1), goes_on_alone=lambda _: alone)
        return [decision for _, decision in found]

    assert steps(alone=False) == []
    assert [one["do"] for one in steps(alone=True)] == ["lonely"]
    listed = ready("n2")
    assert [sorted(one["group"]) for one in steps(alone=False)] == [["n1", "n2"]] * 2


def ready(name: str) -> Case:
    case = Case(Node(name))
    for decision in ({"do": "gate"}, {"do": "start", "base": 0}):
        apply(case, {"at": "now", "node": name, **decision})
    case.words = {"alive": True}
    return case

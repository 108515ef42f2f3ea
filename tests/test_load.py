"""The order of a trial: who is visited beside whom, and what becomes of those left over."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

import pytest
from burning import stage
from scripted import NOON

from clusterctl.model import (
    Answer,
    Bandwidth,
    Node,
    Pace,
    Playbook,
    Question,
    Stage,
    Trial,
    Trouble,
    UserError,
)
from clusterctl.run import World, load, refuse_absent_partners, side_by_side

PATIENCE_S = 5.0
ROW = (
    "bandwidth\tpart={}\tengine=toy\tgbit_s=1\tsize_bytes=1\tseconds=1\tsamples_gbit_s=1\t"
    "retransmits=0\nend\t1\n"
)


@dataclass
class Meetings:
    """A transport on which a node answers when all of its group are there, and not before."""

    size: int
    open_now: int = 0
    most: int = 0
    waiting: dict[str, threading.Barrier] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def knock(self, nodes: Iterable[Node]) -> Iterator[tuple[Node, Trouble | None]]:
        for node in nodes:
            yield node, None

    @contextmanager
    def open(self, _node: Node) -> Iterator[Meetings]:
        with self.lock:
            self.open_now += 1
            self.most = max(self.most, self.open_now)
        yield self
        with self.lock:
            self.open_now -= 1

    def ask(self, questions: Sequence[Question]) -> Iterator[Answer]:
        for question in questions:
            room, direction = question.command[3], question.command[6]
            with self.lock:
                barrier = self.waiting.setdefault(room, threading.Barrier(self.size))
            try:
                barrier.wait(PATIENCE_S)
            except threading.BrokenBarrierError:
                direction = "alone"
            yield Answer(question.name, 0, ROW.format(direction), "", 1.0)


def nodes(count: int) -> list[Node]:
    return [Node(f"n{i:02}") for i in range(count)]


def carried_out(what: Stage, count: int, at_once: int, size: int = 2):
    transport, told = Meetings(size), []
    world = World(
        reach=lambda _reading, _node_s: transport,
        clock=lambda: NOON,
        seed=3,
        run_id="test",
        tell=lambda reading, out, seen: told.append((reading, len(out), seen[0].node)),
    )
    book = Playbook("test", pace=Pace(at_once=at_once), stages=(what,))
    seen = load(what, nodes(count), book, world, Random(3))
    return seen, transport, told


@pytest.mark.parametrize(("count", "at_once"), [(8, 2), (8, 3), (8, 5), (9, 4), (2, 2), (40, 16)])
def test_partners_are_visited_together_however_few_at_once(count, at_once):
    seen, transport, told = carried_out(stage("pair_bandwidth"), count, at_once)
    assert max(out for _, out, _ in told) < at_once  # nobody of this part waits for its turn
    assert [one.node for one in seen] == [node.name for node in nodes(count)]
    for one in seen:
        assert not one.troubles
        assert all(isinstance(fact, Bandwidth) for fact in one.facts)
        assert {fact.part.rpartition(">")[2] for fact in one.facts} == {one.node}
    assert transport.most <= at_once


def test_the_rounds_of_a_node_come_together_in_one_observation():
    """Of nine nodes one has no partner in the first round; who steps in for it is asked twice."""
    seen, _, told = carried_out(stage("pair_bandwidth"), 9, 16)
    assert sorted(len(one.facts) for one in seen) == [1] * 8 + [2]
    assert {reading for reading, _, _ in told} == {"pair_bandwidth-0", "pair_bandwidth-1"}


def test_a_node_alone_is_skipped_and_says_why():
    (seen,), transport, _ = carried_out(stage("pair_bandwidth"), 1, 16)
    assert "found no partner" in seen.skip
    assert transport.most == 0


def triples(count: int) -> Stage:
    pairs = stage("pair_bandwidth").trial

    def plan(given: Sequence[Node], _rng: Random):
        yield tuple(tuple(given[i : i + 3]) for i in range(0, count, 3))

    def ask(group, index, _seed, _params):
        room = group[0].name
        return Question("t", ("", "", "", room, "", "", f"{room}>{group[index].name}"))

    return Stage(Trial("t", "three at a time", plan, ask, pairs.parse, (Bandwidth,), partners=3))


@pytest.mark.parametrize("at_once", [3, 4, 5, 7, 9])
def test_larger_groups_stay_whole(at_once):
    seen, transport, _ = carried_out(triples(9), 9, at_once, size=3)
    assert all(one.facts[0].part.endswith(f">{one.node}") for one in seen)
    assert transport.most <= at_once


def test_nodes_that_burn_alone_are_not_held_up_by_the_slowest_of_a_part():
    singles = tuple((node,) for node in nodes(9))
    assert list(side_by_side(singles, 2)) == [singles]


def test_every_group_of_a_round_is_visited_once_and_in_order():
    groups = tuple((a, b) for a, b in zip(nodes(20)[::2], nodes(20)[1::2], strict=True))
    for at_once in range(2, 22):
        parts = list(side_by_side(groups, at_once))
        assert tuple(group for part in parts for group in part) == groups
        assert all(sum(map(len, part)) <= at_once for part in parts)


def test_too_few_at_once_for_partners_is_refused_before_anything_is_asked():
    book = Playbook("quick", pace=Pace(at_once=1), stages=(stage("cpu_burn"),), origin="quick.yml")
    refuse_absent_partners(book, nodes(4))
    pairs = Playbook(
        "quick", pace=Pace(at_once=1), stages=(stage("pair_bandwidth"),), origin="quick.yml"
    )
    refuse_absent_partners(pairs, nodes(1))
    with pytest.raises(UserError, match=r"^quick.yml: pace: at_once: 1: pair_bandwidth needs 2 .*"):
        refuse_absent_partners(pairs, nodes(4))
    with pytest.raises(UserError, match="say --at-once 3 or more"):
        refuse_absent_partners(Playbook("t", pace=Pace(at_once=2), stages=(triples(6),)), nodes(6))

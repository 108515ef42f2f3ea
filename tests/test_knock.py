"""Which ports answer, and who waits for whom."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack
from itertools import islice

import pytest

from clusterctl.model import Kind, Node, Trouble
from clusterctl.outage import nearer
from clusterctl.transport.knock import Door, Knocking, knock

NEVER_S = 600.0  # who waits for it, hangs


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def dropping():
    """A port whose packets are dropped: its backlog is full."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = server.getsockname()[1]
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)  # noqa: FBT003
            sock.connect_ex(("127.0.0.1", port))
        yield port


def door(port, host="127.0.0.1", name="n"):
    return Door(Node(name), host, port)


def heard(doors, *, connect_s=NEVER_S, at_once=64):
    """(name, kind or None) in the order in which they came."""
    out = []
    for node, trouble, sock in knock(doors, connect_s=connect_s, at_once=at_once):
        out.append((node.name, trouble and trouble.kind))
        if sock:
            sock.close()
    return out


def test_nobody_to_knock_at_is_the_end():
    assert heard([]) == []


def test_each_node_comes_out_once(listening, closed):
    doors = [door(listening if n % 2 else closed, name=f"n{n}") for n in range(200)]
    out = heard(doors, at_once=16)

    assert sorted(out) == sorted((f"n{n}", None if n % 2 else Kind.UNREACHABLE) for n in range(200))


@pytest.mark.timeout(60)  # after two minutes the kernel would give up, in the same words
def test_a_port_that_drops_is_given_up_after_connect_s(dropping):
    [(_, trouble, sock)] = knock([door(dropping)], connect_s=0.5, at_once=4)

    assert (trouble.kind, sock) == (Kind.UNREACHABLE, None)
    assert "does not answer within 0.5 s" in trouble.detail


def test_the_dropping_do_not_hold_up_the_living(listening, dropping):
    doors = [
        *(door(dropping, name=f"dead{n}") for n in range(20)),
        *(door(listening, name=f"live{n}") for n in range(20)),
    ]
    knocking = Knocking(NEVER_S, 30)  # the last ten have their turn when the dead had theirs
    outcomes = knocking.outcomes(iter(doors))
    came = []
    for node, _, sock in islice(outcomes, 20):
        came.append(node.name)
        sock.close()
    tried = sorted(door.node.name for door in knocking.connecting.values())
    knocking.close()

    assert sorted(came) == sorted(f"live{n}" for n in range(20))
    assert tried == sorted(f"dead{n}" for n in range(20))


def test_no_more_than_at_once_are_tried_together(dropping):
    taken = []

    def doors():
        for number in range(6):
            taken.append(number)
            yield door(dropping)

    outcomes = knock(doors(), connect_s=0.1, at_once=2)
    together = [len(taken) - told for told, _ in enumerate(outcomes)]

    assert (len(together), max(together)) == (6, 2)


def test_what_answered_while_nobody_asked_is_not_called_dead(listening):
    """The consumer may be slower than the deadline."""
    outcomes = knock([door(listening, name=f"n{n}") for n in range(3)], connect_s=0.2, at_once=8)
    troubles = []
    for _, trouble, sock in outcomes:
        troubles.append(trouble)
        sock.close()
        time.sleep(0.5)

    assert troubles == [None] * 3


def test_a_name_of_two_addresses_is_tried_at_both(listening):
    """localhost may be ::1 first, where nobody listens."""
    assert heard([door(listening, host="localhost")]) == [("n", None)]


def test_a_name_that_does_not_exist_is_unreachable_and_says_so():
    [(_, trouble, _)] = knock([door(22, host="no.such.invalid")], connect_s=5, at_once=4)

    assert trouble.kind is Kind.UNREACHABLE
    assert "no address for the name no.such.invalid" in trouble.detail
    assert nearer(trouble) == "correct its name, or give it an address in the inventory"


def test_only_who_is_silent_is_looked_for_at_its_bmc(closed):
    """sshd is missing on a node that refuses: it has power."""
    [(_, refused, _)] = knock([door(closed)], connect_s=5, at_once=4)
    assert nearer(refused).startswith("it is up: start sshd there")
    for kind, reason in (
        (Kind.UNREACHABLE, "port 22 does not answer within 5 s: off, or a firewall drops"),
        (Kind.UNREACHABLE, "port 22: No route to host"),
        (Kind.DENIED, "it refuses every key"),
    ):
        assert nearer(Trouble(kind, reason)) == ""
    behind = Trouble(Kind.UNREACHABLE, "behind jump host gw: port 22 refuses: up, but no sshd")
    assert nearer(behind).startswith("mend the way to the jump host")


@pytest.mark.parametrize("host", ["", ".", "a" * 300, "n\x00m", "é" * 80, "a..b"])
def test_a_name_that_cannot_be_one_is_unreachable(host):
    assert heard([door(22, host=host)], connect_s=5)[0][1] in {Kind.UNREACHABLE, None}


def test_a_refusal_says_that_the_node_is_up(closed):
    [(_, trouble, _)] = knock([door(closed)], connect_s=1, at_once=4)

    assert f"port {closed} refuses" in trouble.detail


def test_doors_may_come_slowly(listening):
    more = threading.Event()

    def doors():
        yield door(listening, name="first")
        more.wait(5)
        yield door(listening, name="second")

    threading.Timer(0.2, more.set).start()

    assert heard(doors()) == [("first", None), ("second", None)]


def test_leaving_early_closes_what_is_still_open(dropping):
    import gc
    from pathlib import Path

    before = len(list(Path("/proc/self/fd").iterdir()))
    outcomes = knock([door(dropping) for _ in range(5)], connect_s=0.3, at_once=8)
    next(outcomes)
    outcomes.close()
    gc.collect()

    assert len(list(Path("/proc/self/fd").iterdir())) == before

"""The lab's fabric: traffic goes where it is told to, at the rate a port has, and faults heal."""

from __future__ import annotations

import subprocess

import pytest
from fabric import NIC_KBIT, Net, Outlet, down, router, tx, up
from lab import LabError, missing

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(bool(missing()), reason=f"no lab here: {missing()}"),
]

RECEIVE = """
import socket, sys, time
server = socket.create_server((sys.argv[1], 19999))
print("ready", flush=True)
peer, _ = server.accept()
first = count = 0
while part := peer.recv(65536):
    first = first or time.monotonic()
    count += len(part)
print(count * 8 / (time.monotonic() - first))
"""
SEND = """
import socket, sys
peer = socket.create_connection((sys.argv[2], 19999), source_address=(sys.argv[1], 0))
peer.sendall(bytes(600_000))
"""


def carried(net: Net, src: str, dst: str, rail: int, via: int | None) -> float:
    """bit/s from one node to another."""
    ends = [net.address(node, rail, via) for node in (src, dst)]
    command = [*net.lab.into(dst), "python3", "-c", RECEIVE, ends[1]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "ready\n"
        net.lab.do(src, "python3", "-c", SEND, *ends)
        return float(receiver.stdout.read())


def sent(net: Net, outlet: Outlet) -> int:
    """Bytes, until now."""
    enter = [*net.into_keeper(), *net.into(outlet.where)]
    command = [*enter, "cat", "/proc/net/dev"]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in table.splitlines() if line.split(":")[0].strip() == outlet.device)
    return int(line.split(":")[1].split()[8])


@pytest.mark.parametrize("via", [0, 1])
def test_a_stream_takes_the_spine_it_is_told_to(fabric: Net, via: int) -> None:
    crossed = [tx("n01", 1), up(0, 1, via), down(via, 3, 1), fabric.rx("n16", 1)]
    spared = [tx("n01", 0), up(0, 1, 1 - via), down(1 - via, 3, 1), up(0, 0, via)]
    before = {outlet: sent(fabric, outlet) for outlet in crossed + spared}

    carried(fabric, "n01", "n16", 1, via)

    after = {outlet: sent(fabric, outlet) - before[outlet] for outlet in crossed + spared}
    assert all(after[outlet] > 600_000 for outlet in crossed)
    assert all(after[outlet] < 60_000 for outlet in spared)


def test_within_a_leaf_no_trunk_is_used(fabric: Net) -> None:
    trunks = fabric.trunks()
    before = sum(sent(fabric, outlet) for outlet in trunks[:4])

    carried(fabric, "n01", "n02", 0, None)

    assert sum(sent(fabric, outlet) for outlet in trunks[:4]) - before < 60_000


def test_a_port_is_as_fast_as_its_fault_lets_it_be_and_heals(fabric: Net) -> None:
    rates = [carried(fabric, "n05", "n12", 0, 1)]
    fabric.harm("downlink:1>2/0", 0.25)
    rates.append(carried(fabric, "n05", "n12", 0, 1))
    fabric.heal()
    rates.append(carried(fabric, "n05", "n12", 0, 1))

    # No faster than the port; slower where this machine has other things to do.
    assert rates[0] < NIC_KBIT * 1050
    assert rates[1] < NIC_KBIT * 300
    assert rates[2] > rates[1] * 1.5


def test_a_node_that_was_started_again_is_plugged_in_again(fabric: Net) -> None:
    fabric.lab.ask_keeper(do="fresh", node="n16")
    fabric.lab.await_sshd(["n16"])
    assert not fabric.plugged("n16")

    fabric.mend()

    assert carried(fabric, "n16", "n15", 1, None) > 0


def test_what_is_not_there_cannot_be_harmed(fabric: Net) -> None:
    for component in ("nic-tx:n99/0", "leaf", "uplink:1/1", "spine:x", "router:1"):
        with pytest.raises(LabError, match="no such component"):
            fabric.harm(component)
    assert fabric.outlets("leaf:2/1")[0].where == router(2, 1)

"""Who walks a subnet: the first node that can, the next where it cannot, and no more than that."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from clusterctl import catalog
from clusterctl.fabric.survey import MOST_FAILURES, evidence, playbook, survey, understood, walk
from clusterctl.model import Answer, Kind, Node, Observation, Playbook, Port, Status, Trouble
from clusterctl.run import World
from clusterctl.transport.replay import Heard, Replay

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TEXTS = Path(__file__).parent / "fabric_texts"
BOOK = Playbook("fabric")


def answer(node: str, probe: str, code: int = 0, text: str = "", said: str = "") -> Heard:
    return Heard(node, Answer(probe, code, text, said, 0.1))


def walks(node: str, *, works: bool) -> list[Heard]:
    if not works:
        return [answer(node, "ibnetdiscover", 255, said="ibwarn: Failed to open '(null)' port '0'")]
    tools = ("ibnetdiscover", "iblinkinfo", "ibqueryerrors")
    return [answer(node, name, text=(TEXTS / f"{name}.txt").read_text()) for name in tools]


class Cluster:
    """Nodes that walk or do not; `asked` is who was asked to, in order."""

    def __init__(self, **able: bool) -> None:
        self.able = able
        self.asked: list[str] = []

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(map(Node, self.able))

    def world(self, heard: Sequence[Heard] = ()) -> World:
        replay = Replay(
            [
                *heard,
                *(one for node, works in self.able.items() for one in walks(node, works=works)),
            ]
        )
        return World(
            reach=lambda _reading, _s: replay,
            clock=lambda: NOON,
            seed=1,
            run_id="r",
            tell=lambda reading, _out, seen: (
                self.asked.append(seen[0].node) if reading.startswith("subnet") else None
            ),
        )


def ports(node: str, *devices: str, state: str = "active", layer: str = "infiniband"):
    facts = [
        Port(f"{device}/1", device, state, layer, guid=f"0x{int(device[-1]) + 0xA01:016x}")
        for device in devices
    ]
    return Observation(node, "sysfs_rdma", NOON, tuple(facts))


def test_the_first_node_with_a_port_that_is_up_walks_and_nobody_else():
    cluster = Cluster(n1=True, n2=True, n3=True)
    seen = [ports("n1", "mlx5_0", state="down"), ports("n2", "mlx5_0"), ports("n3", "mlx5_0")]
    found, walkers = walk(cluster.nodes, seen, BOOK, cluster.world())
    assert cluster.asked == walkers == ["n2"]
    assert not [trouble for one in found for trouble in one.troubles]


def test_where_one_cannot_the_next_does_and_that_is_no_gap():
    cluster = Cluster(n1=False, n2=True)
    every = tuple(f"mlx5_{number}" for number in range(8))  # n1's others are not tried one by one
    seen = [ports("n1", *every), ports("n2", "mlx5_0")]
    found, walkers = walk(cluster.nodes, seen, BOOK, cluster.world())
    assert cluster.asked == ["n1", "n2"]
    assert walkers == ["n2"]
    skipped = [one for one in found if one.node == "n1"]
    assert all(one.skip.endswith("n2 was asked instead") for one in skipped)
    assert not [trouble for one in found for trouble in one.troubles]


def test_it_is_given_up_after_a_few_and_what_they_said_is_kept():
    cluster = Cluster(**dict.fromkeys(("n1", "n2", "n3", "n4", "n5"), False))
    seen = [ports(node.name, "mlx5_0") for node in cluster.nodes]
    found, walkers = walk(cluster.nodes, seen, BOOK, cluster.world())
    assert (len(cluster.asked), walkers) == (MOST_FAILURES, [])
    assert {trouble.kind for one in found for trouble in one.troubles} >= {Kind.EXIT}


def test_a_port_that_the_first_walk_did_not_see_is_another_subnet():
    cluster = Cluster(n1=True)
    seen = [ports("n1", "mlx5_0", "mlx5_1", "mlx5_7")]  # the text has the first two
    _, walkers = walk(cluster.nodes, seen, BOOK, cluster.world())
    assert cluster.asked == ["n1", "n1"]
    assert walkers == ["n1"]


def test_a_walk_that_shows_nothing_new_is_the_last():
    cluster = Cluster(n1=True)
    seen = [ports("n1", "mlx5_0", "mlx5_5", "mlx5_6", "mlx5_7")]  # the text has the first
    walk(cluster.nodes, seen, BOOK, cluster.world())
    assert cluster.asked == ["n1", "n1"]


def test_ethernet_is_not_walked_but_a_node_that_is_named_is_tried():
    cluster = Cluster(n1=True, n2=True)
    seen = [ports("n1", "mlx5_0", layer="ethernet"), ports("n2", "mlx5_0", layer="ethernet")]
    assert walk(cluster.nodes, seen, BOOK, cluster.world()) == ([], [])
    _, walkers = walk(cluster.nodes, seen, BOOK, cluster.world(), [Node("n2")])
    assert cluster.asked == walkers == ["n2"]


def test_lldp_that_does_not_run_is_no_gap_where_the_subnet_was_walked():
    cluster = Cluster(n1=True)
    sysfs = (Path(__file__).parent / "captured/sysfs_rdma/two_ports.txt").read_text()
    sysfs = sysfs.replace("Ethernet", "InfiniBand")
    heard = [answer("n1", "sysfs_rdma", text=sysfs), answer("n1", "lldp", 1, said="no socket")]
    seen, walkers = survey(cluster.nodes, playbook(), cluster.world(heard))
    (lldp,) = [one for one in seen if one.probe == "lldp"]
    assert walkers == ["n1"]
    assert lldp.skip.startswith("exit: exit 1: no socket")
    seen, walkers = survey(cluster.nodes, playbook(), Cluster(n1=False).world(heard))
    (lldp,) = [one for one in seen if one.probe == "lldp"]
    assert lldp.troubles


def test_a_saved_text_is_read_by_the_tool_that_printed_it():
    for name in ("ibnetdiscover", "iblinkinfo", "ibqueryerrors"):
        found = understood("f", (TEXTS / f"{name}.txt").read_text(), NOON)
        assert found.probe == name
        assert not found.troubles


def test_what_no_node_said_does_not_become_a_node_of_ours():
    seen = [Observation("file", "ibnetdiscover", NOON, troubles=(Trouble(Kind.CUT, "half"),))]
    assert [one.node.name for one in evidence([Node("n1")], seen)] == ["n1", "file"]


def test_no_probe_of_the_playbook_walks():
    names = {probe.name for probe in playbook().probes}
    assert names >= {"sysfs_rdma", "lldp", "rdma_settings", "roce_qos", "hccn"}
    assert not names & {"ibnetdiscover", "iblinkinfo", "ibqueryerrors"}
    assert {check.name for check in playbook().checks} == {
        "drift",
        "stale_addresses",
        "rail_settings",
    }
    assert all(check.name in catalog.all_checks() for check in playbook().checks)


def settings(node: str, value: str) -> Heard:
    text = (TEXTS / "rdma_settings.txt").read_text().replace("eth2/mtu\t9000", f"eth2/mtu\t{value}")
    return answer(node, "rdma_settings", text=text)


def test_an_mtu_that_differs_from_its_peers_is_told():
    from clusterctl.fabric.survey import probes
    from clusterctl.judge import judge

    cluster = Cluster(n1=True, n2=True, n3=True, n4=True)
    heard = [settings(node.name, "1500" if node.name == "n3" else "9000") for node in cluster.nodes]
    seen, _ = survey(cluster.nodes, playbook(), cluster.world(heard))
    found = judge(playbook(), cluster.nodes, seen, probes=probes(playbook()))
    told = [
        (one.verdict.node, one.verdict.part, one.verdict.expected, one.verdict.actual)
        for one in found
        if one.check == "drift" and one.verdict.status is Status.WARN
    ]
    assert told == [("n3", "rdma/mlx5_0/mtu", "9000", "1500")]

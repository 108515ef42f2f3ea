"""What a node counts beside the job: it says why somebody is late, and accuses nobody by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from triage_texts import Rank, cards, texts, without_tcp

from clusterctl.triage.running.gpu_readings import gpus
from clusterctl.triage.running.job import gathered
from clusterctl.triage.running.live import judge
from clusterctl.triage.running.readings import read
from clusterctl.triage.verdict import Cause, Triage

NUMA = {"memory.numa_hit": 2e6}
# name, what the culprit counts, what its peers do, and what is said of it
MEMORY = [
    ("swap", {"memory.pswpin": 9e4}, {"memory.pswpin": 3}, "9000 pages/s go to swap"),
    ("reclaim", {"memory.pgscan_direct": 8e5}, {"memory.pgscan_direct": 0}, "direct reclaim"),
    ("numa", {**NUMA, "memory.numa_miss": 1e6}, {**NUMA, "memory.numa_miss": 40}, "33 % of its"),
]
PACKETS = {"nic.eth0.rx_packets": 2e6, "nic.eth0.tx_packets": 2e6, "nic.eth1.rx_packets": 900}
# as `ethtool -S` of each driver has it; the last: RDMA hw_counters
PORTS = [
    ("mlx5", "ethtool.eth0.rx_discards_phy"),
    ("mlx5", "ethtool.eth0.rx_out_of_buffer"),
    ("bnxt_en", "ethtool.eth0.rx_stat_discard"),
    ("hinic", "ethtool.eth0.mac_rx_fcs_err_pkt_num"),
    ("ice", "ethtool.eth0.rx_dropped.nic"),
    ("rdma", "rdma.mlx5_0/1.packet_seq_err"),
]
RDMA_PACKETS = {"rdma.mlx5_0/1.port_rcv_packets": 4e6}


def job(count: int = 8, **odd: object) -> list[Rank]:
    """Ranks alike, but for number 5."""
    ranks = [Rank(number) for number in range(count)]
    for name, value in odd.items():
        setattr(ranks[5], name, value)
    return ranks


def counting(ranks: list[Rank], usual: dict[str, float], own: dict[str, float]) -> list[Rank]:
    for one in ranks:
        one.counted = own if one.number == 5 else usual
    return ranks


def judged(ranks: list[Rank], told: dict[str, str] | None = None) -> Triage:
    told = texts(ranks) if told is None else told
    return judge(gathered([read(node, text) for node, text in told.items()], {}))


def said(found: Triage) -> str:
    return " ".join([*found.evidence, *(line for one in found.suspects for line in one.why)])


@pytest.mark.parametrize(("own", "usual", "says"), [row[1:] for row in MEMORY])
def test_a_late_rank_whose_node_alone_lacks_memory_is_its_hosts(own, usual, says):
    found = judged(counting(job(late_as="run", run=0.5), usual, own))
    assert (found.cause, found.suspects[0].what) == (Cause.HOST, "n05")
    assert says in said(found)


@pytest.mark.parametrize(("own", "says"), [(row[1], row[3]) for row in MEMORY])
def test_what_all_nodes_do_alike_is_no_reason_for_one_of_them(own, says):
    late = judged(counting(job(late_as="run", run=0.5), own, own))
    assert (late.cause, late.suspects[0].ranks) == (Cause.WORKER, (5,))
    assert says not in said(late)
    healthy = judged(counting(job(), own, own))
    assert (healthy.cause, healthy.suspects) == (Cause.HEALTHY, ())


def test_that_all_nodes_swap_is_said_of_all_of_them():
    found = judged(counting(job(), {"memory.pswpin": 5e4}, {"memory.pswpin": 6e4}))
    assert found.cause is Cause.HEALTHY
    assert "8 of 8 nodes alike: 5000 pages/s go to swap or come from it" in found.evidence


def test_a_node_that_swaps_while_nobody_waits_for_it_is_told_and_not_accused():
    found = judged(counting(job(), MEMORY[0][2], MEMORY[0][1]))
    assert (found.cause, found.suspects) == (Cause.HEALTHY, ())
    assert any(
        line.startswith("n05 stands out, but nobody waits for it: 9000 pages/s")
        for line in found.evidence
    )


def test_who_waits_for_its_own_memory_waits_for_no_input():
    ranks = job(late_as="disk")
    assert judged(ranks).cause is Cause.DATA
    found = judged(counting(ranks, MEMORY[0][2], MEMORY[0][1]))
    assert (found.cause, found.suspects[0].what) == (Cause.HOST, "n05")


def test_who_sleeps_by_itself_is_not_excused_by_its_node():
    found = judged(counting(job(late_as="sleep"), MEMORY[0][2], MEMORY[0][1]))
    assert (found.cause, found.suspects[0].what) == (Cause.WORKER, "rank 5 on n05")


# ----------------------------------------------------------------------------- processors


def test_a_node_whose_processors_are_slower_than_its_peers_is_why_its_rank_is_late():
    found = judged(counting(job(late_as="run", run=0.5), {"now.mhz": 2900}, {"now.mhz": 200}))
    assert (found.cause, found.suspects[0].what) == (Cause.HOST, "n05")
    assert "its processors run at 1200 MHz at most, its peers' at 3900 MHz" in said(found)


@pytest.mark.parametrize("mhz", [2700, 3100])  # as counted from 1000; a boost differs a little
def test_a_clock_that_is_nearly_as_fast_as_its_peers_is_not_told(mhz):
    found = judged(counting(job(late_as="run", run=0.5), {"now.mhz": 2900}, {"now.mhz": mhz}))
    assert (found.cause, found.suspects[0].ranks) == (Cause.WORKER, (5,))
    assert "MHz" not in said(found)


def test_processors_that_stand_idle_for_a_disk_are_told_and_decide_no_class():
    usual = {"cpu.idle": 6000.0, "cpu.iowait": 3}
    own = {"cpu.idle": 3000.0, "cpu.iowait": 3000}
    found = judged(counting(job(late_as="run", run=0.5), usual, own))
    assert (found.cause, found.suspects[0].ranks) == (Cause.WORKER, (5,))
    assert "its processors stand idle for a disk 50 % of the time (iowait)" in said(found)
    assert judged(counting(job(), usual, own)).cause is Cause.HEALTHY


# ----------------------------------------------------------------------------- NFS


def nfs(milliseconds: float, count: int = 400) -> dict[str, float]:
    return {"nfs./data.READ.operations": count, "nfs./data.READ.rtt_ms": milliseconds * count}


def test_a_mount_that_answers_one_node_late_is_why_that_one_waits_for_files():
    ranks = counting(job(late_as="file"), nfs(2), nfs(90))
    found = judged(ranks)
    assert (found.cause, found.suspects[0].node) == (Cause.DATA, "n05")
    assert "NFS /data: 90.0 ms a READ, its peers 2.0 ms (400 of them)" in said(found)
    alone = judged([], without_tcp(counting(job(does="file"), nfs(2), nfs(90))))
    assert (alone.cause, alone.suspects[0].node) == (Cause.DATA, "n05")
    assert "90.0 ms a READ" in said(alone)


@pytest.mark.parametrize("milliseconds", [0.3, 90.0])
def test_a_mount_that_answers_all_alike_speaks_of_nobody(milliseconds):
    late = judged(counting(job(late_as="file"), nfs(milliseconds), nfs(milliseconds * 1.1)))
    assert "a READ, its peers" not in said(late)
    assert judged(counting(job(), nfs(milliseconds), nfs(milliseconds))).cause is Cause.HEALTHY


def test_of_a_few_slow_answers_of_a_mount_nothing_is_said():
    found = judged(counting(job(late_as="file"), nfs(2), nfs(90, count=4)))
    assert "a READ, its peers" not in said(found)


# ----------------------------------------------------------------------------- ports


@pytest.mark.parametrize(("driver", "name"), PORTS)
def test_a_port_that_loses_what_its_peers_do_not_is_named_in_its_drivers_words(driver, name):
    usual = {**PACKETS, **RDMA_PACKETS, name: 2}
    found = judged(counting(job(), usual, {**usual, name: 9e4}))
    part = "mlx5_0/1" if driver == "rdma" else "eth0"
    assert (found.cause, found.suspects[0].what) == (Cause.NETWORK, f"n05 {part}")
    assert f"{name.split('.', 2)[2]} 90000" in said(found)
    alike = judged(counting(job(), {**usual, name: 9e4}, {**usual, name: 9e4}))
    assert (alike.cause, alike.suspects) == (Cause.HEALTHY, ())


def test_what_one_priority_lost_is_not_counted_again():
    """2,600 of 4 million are 0.07 %, which a healthy path may have."""
    names = ("ethtool.eth0.rx_discards_phy", "ethtool.eth0.rx_prio0_discards")
    usual = {**PACKETS, **dict.fromkeys(names, 2)}
    found = judged(counting(job(), usual, {**usual, **dict.fromkeys(names, 2600)}))
    assert (found.cause, found.suspects) == (Cause.HEALTHY, ())
    assert "eth0 lost 0.07% of 4000000 packets" in said(found)


@pytest.mark.parametrize("name", ["rx_prio3_pause", "rx_pfc_ena_frames_pri3", "rx_ecn_mark"])
def test_that_most_nodes_are_held_back_by_the_fabric_is_told_and_accuses_nobody(name):
    told = {**PACKETS, f"ethtool.eth0.{name}": 900}
    found = judged(counting(job(), told, told))
    assert (found.cause, found.suspects) == (Cause.HEALTHY, ())
    lines = [one.why for one in found.ruled_out if one.cause is Cause.CONGESTION]
    assert [f"most nodes at once: {name} on 8 nodes" in line for line in lines] == [True]
    assert not any(
        "full fabric" in one.why for one in judged(counting(job(), PACKETS, told)).ruled_out
    )


def test_a_port_that_carries_hardly_anything_is_not_the_jobs():
    usual = {**PACKETS, "ethtool.eth1.rx_discards_phy": 0}
    found = judged(counting(job(), usual, {**usual, "ethtool.eth1.rx_discards_phy": 400}))
    assert found.cause is Cause.HEALTHY
    assert "eth1" not in said(found)


def test_a_loss_that_a_healthy_path_may_have_is_told_and_accuses_nobody():
    usual = {**PACKETS, "ethtool.eth0.rx_discards_phy": 0}
    found = judged(counting(job(), usual, {**usual, "ethtool.eth0.rx_discards_phy": 900}))
    assert (found.cause, found.suspects) == (Cause.HEALTHY, ())
    assert "n05 stands out, but nobody waits for it: eth0 lost 0.02%" in said(found)


# ----------------------------------------------------------------------------- PCIe


def with_cards(ranks: list[Rank], own: str, usual: str) -> Triage:
    seen = [
        replace(read(node, text), gpus=tuple(gpus(own if node == "n05" else usual)[0]))
        for node, text in texts(ranks).items()
    ]
    return judge(gathered(seen, {}))


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ({"width": 4}, "gpu0: PCIe gen 5 x4, carries 3.0 GB/s, its peers 4 times that"),
        ({"errors": 5000}, "gpu0: PCIe corrects 500 errors/s, its peers' 0"),
        ({"carries": 9e10}, "gpu0: PCIe carries 90 GB/s, its peers' 3"),
        ({"nvlink": 5000}, "gpu0: NVLink corrects 500 errors/s, its peers' 0"),
    ],
)
def test_a_gpu_whose_pcie_link_is_not_as_its_peers_is_why_its_rank_is_late(odd, says):
    late = job(late_as="run", run=0.5)
    found = with_cards(late, cards(1800, **odd), cards(1800))
    assert (found.cause, found.suspects[0].node) == (Cause.HOST, "n05")
    assert says in said(found)
    alike = with_cards(late, cards(1800, **odd), cards(1800, **odd))
    assert (alike.cause, alike.suspects[0].ranks) == (Cause.WORKER, (5,))
    assert says not in said(alike)
    unhurried = with_cards(job(), cards(1800, **odd), cards(1800))
    assert (unhurried.cause, unhurried.suspects) == (Cause.HEALTHY, ())
    assert says in said(unhurried)

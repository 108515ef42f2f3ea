"""Ports' counters beside their paths: they help a slow path to be believed, and convict nobody."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from test_bandwidth import FOUR, node

from clusterctl.bandwidth import counters, folder
from clusterctl.bandwidth import paths as bandwidth
from clusterctl.bandwidth.counters import Hint
from clusterctl.bandwidth.rails import rails_of
from clusterctl.catalog import named_probes
from clusterctl.cli.rounds_judged import judged_by
from clusterctl.localise import schedule
from clusterctl.localise.columns import OK
from clusterctl.model import Address, Fact, Observation, Port, Trouble
from clusterctl.report import paths

NOW = datetime(2026, 11, 22, tzinfo=UTC)
RAILS = rails_of(FOUR)


def port(device: str, netdev: str | None = None, **counts: int) -> Port:
    return Port(f"{device}/1", device, "active", netdev=netdev, counters=counts)


def told(name: str, *facts: Fact) -> Observation:
    return Observation(name, "sysfs_rdma", NOW, facts)


def reading(**counts: int) -> list[Observation]:
    """Four nodes, a port for each rail; those of n1's second rail count as said."""
    found = []
    for at in range(4):
        mine = counts if at == 1 else dict.fromkeys(counts, 0)
        found.append(
            told(
                f"n{at}",
                port("mlx5_0", "ib0", **dict.fromkeys(counts, 0)),
                port("mlx5_1", "ib1", **mine),
                Address("ib0", f"10.0.0.{at}", ""),
                Address("ib1", f"10.0.1.{at}", ""),
            )
        )
    return found


def test_broken_bits_point_at_what_receives_them():
    found = counters.hints(RAILS, reading(symbol_error=3), reading(symbol_error=15))
    assert counters.priors(found) == {"nic-rx:n1/1": 30.0}
    assert counters.said(found) == {"nic-rx:n1/1": ("symbol_error +12 on mlx5_1/1",)}


def test_packets_sent_again_point_at_the_sender_and_less_so():
    few = counters.hints(RAILS, reading(packet_seq_err=0), reading(packet_seq_err=999))
    many = counters.hints(RAILS, reading(packet_seq_err=0), reading(packet_seq_err=1000))
    assert not few
    assert counters.priors(many) == {"nic-tx:n1/1": 5.0}


def test_a_link_that_trained_again_points_both_ways():
    found = counters.hints(RAILS, reading(link_downed=0), reading(link_downed=1))
    assert set(counters.priors(found)) == {"nic-tx:n1/1", "nic-rx:n1/1"}


def test_what_many_ports_count_tells_none_apart():
    then = [told(f"n{at}", port("mlx5_0", symbol_error=0)) for at in range(4)]
    now = [told(f"n{at}", port("mlx5_0", symbol_error=9)) for at in range(4)]
    assert not counters.hints(RAILS, then, now)


def test_a_counter_that_stood_still_or_is_new_says_nothing():
    assert not counters.hints(RAILS, reading(symbol_error=7), reading(symbol_error=7))
    assert not counters.hints(RAILS, reading(rx_bytes=7), reading(symbol_error=7))
    assert not counters.hints(RAILS, [], reading(symbol_error=7))


def test_rails_without_addresses_are_told_by_their_label():
    named = rails_of([node(at, rail_devices="mlx5_1 mlx5_0") for at in range(4)])
    found = counters.hints(named, reading(symbol_error=0), reading(symbol_error=1))
    assert set(counters.priors(found)) == {"nic-rx:n1/0"}


def test_a_port_of_no_rail_accuses_nobody():
    stray = [told("n1", port("mlx5_9", "ib9", symbol_error=0))]
    risen = [told("n1", port("mlx5_9", "ib9", symbol_error=4))]
    assert not counters.hints(RAILS, stray, risen)


def flown(slow: float) -> list[bandwidth.Row]:
    """Every pair twice; what n1 receives on rail 1 carries that share."""
    planned = schedule.plan(RAILS.topology, rounds=4, mode="default", rng=np.random.default_rng(1))
    rng = np.random.default_rng(2)
    return [
        bandwidth.replace(
            row,
            status=OK,
            gbit_s=100 * (slow if (row.dst, row.rail) == (1, 1) else 1) * rng.normal(1, 0.01),
        )
        for row in bandwidth.rows_of(planned)
    ]


LOUD = [Hint("nic-rx:n1/1", 1e9, "symbol_error +12 on mlx5_1/1")]


def test_counters_alone_convict_nobody():
    assert not judged_by(RAILS.topology, flown(1.0), folder.Settings(), LOUD).suspects


def test_a_suspect_says_what_its_port_counted(tmp_path):
    made = judged_by(RAILS.topology, flown(0.5), folder.Settings(), LOUD)
    (one,) = [one for one in made.suspects if one.component == "nic-rx:n1/1"]
    assert one.counters == ("symbol_error +12 on mlx5_1/1",)
    assert "its port counted symbol_error +12 on mlx5_1/1" in paths.evidence(one, 1)
    folder.write_located(tmp_path, made)
    assert folder.located(tmp_path) == made


def test_what_rose_before_a_run_was_stopped_still_points_after_it_is_resumed():
    earlier = counters.hints(RAILS, reading(symbol_error=3), reading(symbol_error=15))
    quiet = counters.hints(RAILS, reading(symbol_error=15), reading(symbol_error=15))
    assert counters.merged(earlier, quiet) == earlier
    more = counters.hints(RAILS, reading(symbol_error=15), reading(symbol_error=16))
    assert counters.merged(earlier, more) == more
    other = counters.hints(RAILS, reading(link_downed=0), reading(link_downed=1))
    assert counters.merged(earlier, other) == [*earlier, *other]


def test_hints_are_read_back_and_older_runs_have_none(tmp_path):
    assert folder.hints(tmp_path) == []
    folder.write_hints(tmp_path, LOUD)
    assert folder.hints(tmp_path) == LOUD


IP = r"""1: lo    inet 127.0.0.1/8 scope host lo\       valid_lft forever preferred_lft forever
4: ib0    inet 10.0.0.1/24 brd 10.0.0.255 scope global ib0\       valid_lft forever
4: ib0    inet6 fe80::1/64 scope link \       valid_lft forever preferred_lft forever
5: eth0@if3    inet 10.0.1.1 peer 10.0.1.9/32 scope global eth0\       valid_lft forever
"""


def test_addresses_are_read_and_a_line_cut_short_is_seen():
    parse = named_probes()["ip_addresses"].parse
    assert list(parse(IP)) == [
        Address("lo", "127.0.0.1", ""),
        Address("ib0", "10.0.0.1", ""),
        Address("ib0", "fe80::1", ""),
        Address("eth0", "10.0.1.1", ""),
    ]
    (cut,) = parse("4: ib0    inet 10.0.0")
    assert isinstance(cut, Trouble)


@pytest.mark.parametrize("at", range(0, len(IP), 7))
def test_no_cut_gives_an_address_that_is_not_there(at):
    whole = set(named_probes()["ip_addresses"].parse(IP))
    told = {
        one for one in named_probes()["ip_addresses"].parse(IP[:at]) if isinstance(one, Address)
    }
    assert told <= whole

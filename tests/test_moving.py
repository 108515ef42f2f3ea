"""A campaign led from another host: what is missing there is named, in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clusterctl.cli.moving import connecting, reachable
from clusterctl.cli.world import Flags
from clusterctl.model import Node, UserError
from clusterctl.store import Stored

NODES = (
    Node("n1", "10.0.0.1", "root", labels={"sku": "h100"}, identity="/gone/key"),
    Node("n2", "10.0.0.2", "root"),
)


def moved(**campaign: Any) -> Stored:
    return Stored(Path("/runs/r.partial"), {"id": "r", "campaign": campaign})


def flags(*inventory: Path, ssh_config: Path | None = None) -> Flags:
    return Flags(inventory, "", "", None, accept_new=False, ssh_config=ssh_config)


def test_it_reaches_nodes_as_it_began_where_that_is_here(tmp_path):
    config = tmp_path / "config"
    config.write_text("")
    told = connecting(moved(ssh_config=str(config), accept_new=True), flags())
    assert (told.ssh_config, told.accept_new) == (config, True)
    assert reachable(moved(), NODES[1:], flags()) == NODES[1:]


def test_what_is_not_on_this_host_is_named_and_how_to_give_it(tmp_path):
    gone = moved(ssh_config="/gone/config")
    with pytest.raises(UserError, match=r"/gone/config, which is not on this host: .* -F FILE"):
        connecting(gone, flags())
    assert connecting(gone, flags(ssh_config=tmp_path)).ssh_config == tmp_path
    with pytest.raises(UserError, match=r"n1: its key /gone/key is not on this host.*-i FILE"):
        reachable(moved(), NODES, flags())


def test_an_inventory_of_this_host_gives_the_ways_and_leaves_the_labels(tmp_path):
    file = tmp_path / "here.yml"
    file.write_text("nodes:\n  n1: {address: 192.0.2.1, user: ops, labels: {sku: other}}\n")
    with pytest.raises(UserError, match=r"here.yml: has no n2, which r burns"):
        reachable(moved(), NODES, flags(file))

    one, two = reachable(moved(watch=True), NODES, flags(file))  # n2 left the file on its way
    assert (one.address, one.user, one.identity) == ("192.0.2.1", "ops", "")
    assert one.labels == {"sku": "h100"}
    assert two == NODES[1]

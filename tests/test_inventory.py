"""Files -> Nodes: our own YAML, plain lists, --nodes, and whatever bytes a file may hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inventory_files import nodes_of, nodes_or_one_line, refusal

from clusterctl.inventory import load
from clusterctl.model import Node, UserError

ROOT = Path(__file__).parent.parent


def test_defaults_yield_to_groups_and_groups_to_the_nodes_own_line(tmp_path):
    nodes = nodes_of(
        tmp_path,
        "i.yml",
        """
        defaults: {user: root, port: 22, via: bastion}
        nodes:
          n[1-3]:
          n4: {user: own}
        groups:
          train: {nodes: "n[3-4]", user: team, labels: {tier: gold}}
        """,
    )
    assert [nodes[name].user for name in nodes] == ["root", "root", "team", "own"]
    assert {node.port for node in nodes.values()} == {22}
    assert nodes["n4"].labels == {"tier": "gold", "group": "train"}


def test_addresses_go_along_with_names_in_the_order_written(tmp_path):
    text = "nodes:\n  n[1-3]:\n    address: 10.0.0.[9,3,12]\n    bmc: 10.1.0.[1-3]\n"
    nodes = nodes_of(tmp_path, "i.yml", text)
    assert [node.address for node in nodes.values()] == ["10.0.0.9", "10.0.0.3", "10.0.0.12"]
    assert nodes["n3"].labels["bmc"] == "10.1.0.3"


def test_each_node_knows_the_line_that_names_it(tmp_path):
    text = (
        "nodes:\n  # who\n  - n[1-2]\n\n  - name: gpu\n    address: 1.2.3.4\n  - r[1-2]n[01-02]:\n"
    )
    nodes = nodes_of(tmp_path, "i.yml", text)
    lines = {name: node.origin.removeprefix(f"{tmp_path}/") for name, node in nodes.items()}
    assert lines["n2"] == "i.yml:3"
    assert lines["gpu"] == "i.yml:5"
    assert lines["r2n02"] == "i.yml:7"


def test_words_stay_as_they_are_written(tmp_path):
    text = "nodes:\n  n1: {rack: 012, unit: 12:30, sku: 1e3, labels: {drained: no}}\n"
    labels = nodes_of(tmp_path, "i.yml", text)["n1"].labels
    assert labels == {"rack": "012", "unit": "12:30", "sku": "1e3", "drained": "no"}


def test_a_file_without_nodes_lists_them_by_its_groups(tmp_path):
    text = 'groups:\n  a: {nodes: "n[1-2]", address: "fd00::[1-2]"}\n  b: {nodes: n2}\n'
    nodes = nodes_of(tmp_path, "i.yml", text)
    assert nodes["n2"].address == "fd00::2"
    assert nodes["n2"].labels["group"] == "a,b"


def test_merge_keys_and_anchors_are_read(tmp_path):
    text = "nodes:\n  n1: &h {sku: h100, rack: r1}\n  n2: {<<: *h, rack: r2}\n"
    assert nodes_of(tmp_path, "i.yml", text)["n2"].labels == {"sku": "h100", "rack": "r2"}


def test_local_transport_becomes_a_label(tmp_path):
    assert load([ROOT / "inventories/local.yml"])[0].labels == {"transport": "local"}
    assert len(load([ROOT / "inventories/example.yml"])) == 41


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "nodes:\n  n1: {adress: 1.2.3.4}",
            "i.yml:2: unknown key 'adress'; did you mean 'address'",
        ),
        ("node:\n  n1:", "i.yml:1: unknown key 'node'; did you mean 'nodes'?"),
        ("nodes:\n  n1:\n  n1:", "i.yml:3: the key 'n1' stands here and at "),
        ("nodes:\n  n[1-2]: {address: 10.0.0.1}\n  n2: {address: 10.0.0.2}", "n2: address is"),
        (
            "nodes:\n  n[1-3]: {address: '10.0.0.[1-2]'}",
            "i.yml:2: address: '10.0.0.[1-2]' is 2 for 3",
        ),
        ("nodes:\n  n[3-1]:", "i.yml:2: [3-1]: invalid values in range"),
        ("nodes:\n  n[1:3]:", "Ansible's [1:9] is [1-9] here"),
        ("nodes:\n  n[1-99999999999]:", "more than 1,000,000 names"),
        ("nodes:\n  n1: {port: 22x}", "i.yml:2: port: '22x' is not a number from 1 to 65535"),
        ("nodes:\n  n1: {port: 0}", "port: '0' is not"),
        ("nodes:\n  n1: {become: maybe}", "become: 'maybe' is neither yes nor no"),
        ("nodes:\n  n1: {address: '$(reboot)'}", "is not an address"),
        ("nodes:\n  n1: {user: '-oProxyCommand=x'}", "is not a user name"),
        ("nodes:\n  n1: {via: 'a,b'}", "several jumps"),
        ("nodes:\n  n1: {via: 'a b'}", "is not a jump host"),
        ("nodes:\n  n1: {rack: [1]}", "rack: expected one word, found a list"),
        ("nodes:\n  n1: {rack: }", "rack: is empty"),
        ("nodes:\n  n1: {labels: {user: x}}", "labels: user says how to reach"),
        ("nodes:\n  n1: {rack: a, labels: {rack: b}}", "rack stands here and at"),
        ("nodes: {n1: }\ngroups:\n  g: {nodes: 'n[1-2]'}", "i.yml:3: group g: n2 not among nodes"),
        (
            "nodes: [n1]\ngroups:\n  a: {nodes: n1, user: x}\n  b: {nodes: n1, user: y}",
            "n1: user is",
        ),
        ("nodes:\n  - {n1: , n2: }", "expected a name or range"),
        ("nodes:\n\tn1:", "i.yml:2: not YAML"),
        ("nodes: {n1: {address: n[1-2]}}", 'quote a range: "n[1-4]"'),
        ("nodes: [n1]\n---\nnodes: [n2]", "i.yml:2: a second document"),
        ("nodes: [n1]\nx: \x07", "i.yml:2: not YAML"),
        ("nodes: *who", "*who is not defined above"),
        ("[" * 100_000, "nested more than 60 deep"),
        ("&a [*a]", "*a is not defined"),
        ("defaults: {address: 1.2.3.4}\nnodes: [n1]", "nodes cannot share one"),
        ("nodes:", "names no node"),
        ("nodes: ['../x']", "cannot be a node's name"),
        ("just words", 'expected "nodes:" or'),
        ("", "the file is empty"),
        ("# only a comment\n", "the file is empty"),
    ],
)
def test_a_mistake_is_one_line_with_file_key_and_remedy(tmp_path, text, said):
    assert said in refusal(tmp_path, "i.yml", text)


def test_two_files_are_put_together_unless_they_disagree(tmp_path):
    (tmp_path / "a.yml").write_text("nodes:\n  n[1-2]: {address: '10.0.0.[1-2]'}\n")
    (tmp_path / "b.csv").write_text("hostname,ip,rack\nn1,10.0.0.1,r1\nn2,,r2\n")
    nodes = load([tmp_path / "a.yml", tmp_path / "b.csv"])
    assert [(node.address, node.labels["rack"]) for node in nodes] == [
        ("10.0.0.1", "r1"),
        ("10.0.0.2", "r2"),
    ]
    assert nodes[0].origin == f"{tmp_path}/a.yml:2, {tmp_path}/b.csv:2"
    assert load([tmp_path]) == nodes
    (tmp_path / "b.csv").write_text("hostname,ip,rack\nn1,10.0.0.7,r1\n")
    with pytest.raises(
        UserError, match=r"n1: address is '10.0.0.7' here and '10.0.0.1' at .*a\.yml:2"
    ):
        load([tmp_path])


def test_a_kept_answer_of_slurm_is_an_inventory(tmp_path):
    text = (
        "NodeName=n1 Arch=x86_64 Gres=gpu:h100:8(S:0-1) NodeAddr=10.0.0.1 NodeHostName=n1 OS=Linux "
        "5.15.0 #98-Ubuntu SMP State=IDLE Partitions=gpu,all BootTime=2026-01-02T03:04:05\n"
        "NodeName=n2 Gres=(null) NodeAddr=n2 State=DOWN*+DRAIN Partitions=all "
        "BootTime=None Reason=fan speed=0 [root@2026-01-02T03:04:05]\n"
        "NodeName=n3 NodeAddr=n3 State=DRAINING* Partitions=all\n"
    )
    nodes = nodes_of(tmp_path, "scontrol.txt", text)
    assert nodes["n1"].address == "10.0.0.1"
    assert nodes["n1"].labels == {
        "slurm_state": "idle",
        "gres": "gpu:h100:8(S:0-1)",
        "group": "gpu,all",
    }
    assert nodes["n2"].address == ""
    assert nodes["n2"].labels["drained"] == "fan speed=0 [root@2026-01-02T03:04:05]"
    assert nodes["n3"].labels["drained"] == "yes"
    assert "scontrol show node -o" in refusal(
        tmp_path, "s.txt", "NodeName=n1 Arch=x\n   CPUAlloc=0\n"
    )


def test_a_group_may_be_called_hosts(tmp_path):
    text = "groups:\n  hosts: {nodes: n1}\n  train: {nodes: n1}\nnodes: [n1]\n"
    assert nodes_of(tmp_path, "i.yml", text)["n1"].labels["group"] == "hosts,train"


def test_plain_lists_take_users_ports_ranges_and_comments(tmp_path):
    text = "# who\nops@n[1-2]:2222  # rack 1\n[fe80::1%eth0]:23\nfd00::[7-8]\n10.0.0.1\n\ngpu-1.x\n"
    nodes = nodes_of(tmp_path, "hosts.txt", text)
    assert list(nodes) == [
        "n1",
        "n2",
        "fe80::1%eth0",
        "fd00::7",
        "fd00::8",
        "10.0.0.1",
        "gpu-1.x",
    ]
    assert (nodes["n2"].user, nodes["n2"].port) == ("ops", 2222)
    assert nodes["fe80::1%eth0"].port == 23
    assert nodes["n2"].origin.endswith("hosts.txt:2")


def test_unreadable_files_and_folders_are_one_line(tmp_path):
    with pytest.raises(UserError, match=r"none.yml: cannot be read: No such file"):
        load([tmp_path / "none.yml"])
    with pytest.raises(UserError, match="folder without inventory files"):
        load([tmp_path])
    with pytest.raises(UserError, match="-i FILE"):
        load([])
    assert "is a program" in refusal(tmp_path, "inv.py", "#!/usr/bin/env python3\n")
    assert "ansible-vault" in refusal(tmp_path, "i.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n")


@given(
    data=st.binary(max_size=300), name=st.sampled_from(["a", "a.yml", "a.ini", "a.csv", "a.json"])
)
@settings(max_examples=300, deadline=None)
def test_no_bytes_end_in_a_traceback(tmp_path_factory, data, name):
    folder = tmp_path_factory.getbasetemp()
    assert nodes_or_one_line(folder, name, data)


FRAGMENTS = (
    "nodes groups defaults labels all hosts children vars _meta n[1-3] n[1:3] a name address n1 22 "
    "[a:children] [a] [a:vars] : - { } [ ] , = ' \" # &x *x << !vault {{x}} @ 10.0.0.1 "
    "ansible_host 主机名; % ! (((( -J"
)
BREAKS = (" ", ": ", "\n", "\n  ", "\n    ", "- ", "\t", "hostname,ip\n", "ansible_port=")
WORDS = st.sampled_from((*FRAGMENTS.split(), *BREAKS))


@given(parts=st.lists(WORDS, max_size=30), name=st.sampled_from(["a", "a.yml", "a.ini", "a.csv"]))
@settings(max_examples=500, deadline=None)
def test_no_shuffled_inventory_ends_in_a_traceback(tmp_path_factory, parts, name):
    folder = tmp_path_factory.getbasetemp()
    assert nodes_or_one_line(folder, name, "".join(parts))


def test_nodes_are_made_without_an_inventory_and_picked_with_one(tmp_path):
    made = load([], nodes="n[001-016],!n007")
    assert len(made) == 15
    assert made[0] == Node("n001", origin="--nodes")
    (tmp_path / "i.yml").write_text(
        "nodes: [n001, n002, n003]\ngroups: {g: {nodes: 'n[002-003]'}}\n"
    )
    picked = load([tmp_path / "i.yml"], nodes="@g,!n003")
    assert [node.name for node in picked] == ["n002"]
    assert [node.name for node in load([tmp_path / "i.yml"], nodes="!n001")] == ["n002", "n003"]
    with pytest.raises(
        UserError, match=r"--nodes: n\[004-005\] not in the inventory; did you mean"
    ):
        load([tmp_path / "i.yml"], nodes="n[003-005]")
    with pytest.raises(UserError, match=r"no group 'x'"):
        load([tmp_path / "i.yml"], nodes="@x")


@pytest.mark.parametrize(
    "text", ["n[3-1]", "n[", "!", "!n1", "n[1-2],n1", "a/b", "n[1-99999999]", "@g"]
)
def test_bad_ranges_on_the_command_line_are_one_line(text):
    with pytest.raises(UserError, match=r"^--nodes: "):
        load([], nodes=text)

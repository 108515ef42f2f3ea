"""Ansible inventories, with ansible-inventory --list as the oracle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inventory_files import nodes_of, refusal

from clusterctl.inventory import load

ANSIBLE = shutil.which("ansible-inventory", path=f"{Path(sys.executable).parent}:{os.defpath}")
INVENTORIES = {
    "flat.ini": "b\na ansible_host=10.0.0.1\na:2222\nc:23 ansible_user='x y'\n",
    "ranges.ini": "[g]\nn[01:12].x ansible_port=22\nh[a:f:2]-[1:2]:2022\nz[:3]\nm[8:11]\n",
    "children.ini": """
        [all:vars]
        ansible_user=root
        [dc:children]
        gpu  # the cards
        cpu
        [gpu]
        n[1:4] rack="r 1" ansible_host=10.0.0.1
        [cpu]
        n4
        c1 ansible_ssh_host=10.0.0.9 ansible_ssh_port=23 ansible_ssh_user=old ansible_host=no
        [gpu:vars]
        ansible_user = gpu
        ansible_port = 2200
        [cpu:vars]
        ansible_user=cpu
        [dc:vars]
        ansible_user=dc
        ansible_port=2300
        ;comment
        """,
    "depth.ini": """
        [a]
        x
        [b]
        x
        [deep:children]
        deeper
        [deeper:children]
        a
        [a:vars]
        ansible_user=deep
        [b:vars]
        ansible_user=shallow
        ansible_port=1
        [deep:vars]
        ansible_port=2
        [deeper:vars]
        ansible_port=3
        """,
    "priority.ini": """
        [a]
        x
        [b]
        x
        [a:vars]
        ansible_group_priority=10
        ansible_user=a
        [b:vars]
        ansible_user=b
        """,
    "literals.ini": """
        [g]
        n1 ansible_port=0x16 ansible_user="'quoted'" ansible_host='"10.0.0.1"'
        n2 ansible_port="2222" ansible_user=None ansible_host=10.0.0.2#not-a-comment
        n3 ansible_host=10.0.0.3 # a comment
        [g:vars]
        ansible_user="in quotes"
        list=[1, 2]
        template={{ foo }}
        """,
    "ungrouped.ini": "[ungrouped]\nlone\nboth\n[ungrouped:vars]\nansible_user=u\n[g]\nboth\n",
    "ipv6.ini": "[g]\n[2001:db8::1]:2222 ansible_user=x\nv6 ansible_host=2001:db8::2\n",
    "tree.yml": """
        all:
          vars: {ansible_user: root}
          hosts:
            lone: {ansible_host: 10.0.0.9}
          children:
            gpu:
              hosts:
                n[01:03]: {ansible_port: 2222, rack: r1}
                n02: {ansible_host: 10.0.0.2}
              vars: {ansible_user: gpu}
              children:
                h100:
                  hosts: {n03: }
                  vars: {ansible_user: h100}
            empty:
        """,
    "top.yml": """
        web: {hosts: {w1: , w2: {ansible_user: x}}}
        db: {hosts: w1, vars: {ansible_port: 23}}
        both: {children: {web: , db: }, vars: {ansible_port: 24}}
        """,
    "anchors.yml": """
        all:
          children:
            a: {hosts: {n1: &v {ansible_user: q, ansible_port: 5}}}
            b: {hosts: {n2: {<<: *v, ansible_port: 6}}}
        """,
    "nodes.yml": "nodes: {hosts: {n1: {ansible_user: x}}}\n",
    "hosts": "---\nall:\n  hosts:\n    n1:\n    n2: {ansible_host: '10.0.0.2'}\n",
    "vars_beside/hosts.ini": """
        [gpu]
        n[1:3] ansible_port=7
        [dc:children]
        gpu
        [gpu:vars]
        ansible_user=inline
        """,
}
BESIDE = {
    "group_vars/all.yml": "ansible_user: from_all\nansible_port: 1\n",
    "group_vars/gpu/main.yml": "ansible_host: 10.1.1.1\n",
    "group_vars/gpu/vault.yml": "x: 1\n",
    "group_vars/dc": "ansible_user: from_dc\nansible_host: 10.2.2.2\n",
    "host_vars/n2.yaml": "ansible_port: 9\nansible_user: own\n",
}


def unindented(text: str) -> str:
    lines = text.split("\n")
    return "\n".join(line.removeprefix(" " * 8) for line in lines)


def ansible_says(source: Path) -> dict[str, Any]:
    """What Ansible knows of each host: its variables, and the groups it is in through children."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(source.parent), "LC_ALL": "C.UTF-8"}
    assert ANSIBLE
    told = subprocess.run(
        [ANSIBLE, "-i", source, "--list"],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(told.stdout)
    variables = found.pop("_meta")["hostvars"]
    hosts: dict[str, Any] = {}

    def walk(group: str, above: frozenset[str]) -> None:
        for host in found.get(group, {}).get("hosts", ()):
            known = hosts.setdefault(host, {"groups": set(), "vars": variables.get(host, {})})
            known["groups"] |= above | {group}
        for child in found.get(group, {}).get("children", ()):
            walk(child, above | {group})

    walk("all", frozenset())
    return hosts


def agrees(source: Path) -> None:
    ours = {node.name: node for node in load([source])}
    theirs = ansible_says(source)
    assert set(ours) == set(theirs)
    for name, known in theirs.items():
        said, node = known["vars"], ours[name]
        address = said.get("ansible_ssh_host", said.get("ansible_host", ""))
        user = said.get("ansible_ssh_user", said.get("ansible_user", ""))
        port = said.get("ansible_ssh_port", said.get("ansible_port", 0))
        assert (node.address, node.user, node.port) == (address, user or "", int(port)), name
        groups = set(filter(None, node.labels.get("group", "").split(",")))
        assert groups == known["groups"] - {"all", "ungrouped"}, name


@pytest.mark.skipif(not ANSIBLE, reason="ansible-core is not installed")
@pytest.mark.parametrize("name", INVENTORIES)
def test_ansible_inventories_mean_what_ansible_says(tmp_path, name):
    source = tmp_path / name
    source.parent.mkdir(exist_ok=True)
    source.write_text(
        unindented(INVENTORIES[name]).replace("'x y'", "xy").replace("in quotes", "q")
    )
    for path, text in BESIDE.items() if "/" in name else ():
        (source.parent / path).parent.mkdir(exist_ok=True, parents=True)
        (source.parent / path).write_text(text)
    agrees(source)


@pytest.mark.skipif(not ANSIBLE, reason="ansible-core is not installed")
def test_a_folder_of_ansible_files_is_one_inventory_as_for_ansible(tmp_path):
    (tmp_path / "01.yml").write_text("gpu: {hosts: {n1: , n2: {ansible_user: x}}}\n")
    (tmp_path / "02_groups").write_text(
        "[dc:children]\ngpu\n[gpu]\nn3\n[dc:vars]\nansible_port=7\n"
    )
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/gpu.yml").write_text("ansible_host: 10.0.0.1\n")
    (tmp_path / "03.yml").write_text("dc: {vars: {ansible_user: y}}\n")
    agrees(tmp_path)


@pytest.mark.skipif(not ANSIBLE, reason="ansible-core is not installed")
def test_what_ansible_lists_as_json_reads_the_same(tmp_path):
    source = tmp_path / "i.ini"
    source.write_text(unindented(INVENTORIES["children.ini"]))
    assert ANSIBLE
    told = subprocess.run(
        [ANSIBLE, "-i", source, "--list"],
        capture_output=True,
        check=True,
        cwd="/",
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    ).stdout
    again = nodes_of(tmp_path, "list.json", told)
    for node in load([source]):
        other = again[node.name]
        assert (other.address, other.user, other.port) == (node.address, node.user, node.port)
        assert set(other.labels["group"].split(",")) == set(node.labels["group"].split(","))


@pytest.mark.parametrize(
    ("arguments", "via"),
    [
        ("-J ops@bastion:2222", "ops@bastion:2222"),
        ("-Jbastion", "bastion"),
        ("-o StrictHostKeyChecking=no -o ProxyJump=ops@b", "ops@b"),
        ("-oProxyJump=b", "b"),
        ('-o "ProxyJump b"', "b"),
        ("-o ControlMaster=auto -C", ""),
        ("-o ProxyCommand=none", ""),
        ('-o ProxyCommand="ssh -W %h:%p -q ops@b"', "ops@b"),
        (
            "-o ProxyCommand='ssh -o StrictHostKeyChecking=no -p 2200 -l ops -W %h:%p b'",
            "ops@b:2200",
        ),
        ("-o ProxyCommand='ssh -qW %h:%p b'", "b"),
    ],
)
def test_the_jump_host_is_found_among_ssh_arguments(tmp_path, arguments, via):
    text = (
        f"all:\n  hosts: {{n1: }}\n  vars:\n    ansible_ssh_common_args: {json.dumps(arguments)}\n"
    )
    assert nodes_of(tmp_path, "i.yml", text)["n1"].via == via


def test_connection_become_and_key_are_understood(tmp_path):
    text = """
        n1 ansible_connection=local ansible_become=yes
        n2 ansible_connection=ssh ansible_ssh_private_key_file=~/.ssh/lab ansible_become=false
        n3 ansible_connection=network_cli drained=True slots=8 note="two words"
        """
    nodes = nodes_of(tmp_path, "i", unindented(text))
    assert (nodes["n1"].labels, nodes["n1"].become) == ({"transport": "local"}, True)
    assert (nodes["n2"].labels, nodes["n2"].become) == ({}, False)
    assert nodes["n2"].identity == "~/.ssh/lab"
    assert nodes["n3"].labels == {
        "transport": "network_cli",
        "drained": "true",
        "slots": "8",
        "note": "two words",
    }


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("i.ini", "n1 ansible_host={{ip}}", "i.ini:1: ansible_host of n1 is a Jinja2 template"),
        (
            "i.yml",
            "all:\n  vars:\n    ansible_user: !vault |\n      x\n  hosts: {n1: }",
            "i.yml:3: ansible_user of n1 is encrypted with ansible-vault",
        ),
        (
            "i.ini",
            "[a:children]\nb",
            "i.ini:2: [a:children] includes group b, which no section defines",
        ),
        ("i.ini", "[a]\nn1\n[b:vars]\nx=1", "i.ini:3: [b:vars] sets variables of group b"),
        ("i.ini", "[a:childern]\nb", "unknown kind 'childern'; did you mean 'children'?"),
        ("i.ini", "[a b]\nn1", "is not a section"),
        ("i.ini", "[a:children]\nb\n[b:children]\na", "among its own children"),
        ("i.ini", "[a]\nn1 x", "i.ini:2: expected name=value after the host, found 'x'"),
        ("i.ini", "[a]\nn1 x='y", "No closing quotation"),
        ("i.ini", "[a]\nn[1-3]", "Ansible writes [1:3]"),
        ("i.ini", "[a]\nn[3:1]", "[3:1] is an empty range"),
        ("i.ini", "[a]\nn[01:100]", "as many digits"),
        ("i.ini", "[a]\nn[1:9999999]", "more than 1,000,000 names"),
        ("i.ini", "[a]\nn1:", "a port is missing"),
        ("i.ini", "[a]\n", "names no node"),
        ("i.ini", "n1 ansible_port=x", "i.ini:1: port: 'x' is not a number"),
        (
            "i.ini",
            "n1 ansible_ssh_common_args='-o ProxyCommand=\"nc -x p %h %p\"'",
            "make it a ProxyCommand",
        ),
        (
            "i.yml",
            "all:\n  hots: {n1: }",
            "i.yml:2: group all: unknown key 'hots'; did you mean 'hosts'?",
        ),
        ("i.yml", "all:\n  hosts: {n1: 5}", "expected variables, found the word '5'"),
        ("i.yml", "all: 5", "group all: expected hosts, children or vars"),
        ("i.yml", "plugin: aws_ec2", "Ansible plugin"),
    ],
)
def test_a_mistake_in_an_ansible_inventory_is_one_line(tmp_path, name, text, said):
    assert said in refusal(tmp_path, name, text)


def test_variables_that_we_do_not_need_may_be_templates_or_secret(tmp_path):
    text = "all:\n  hosts: {n1: {x: '{{ y }}', z: !vault abc, rack: r1, deep: {a: 1}}}\n"
    assert nodes_of(tmp_path, "i.yml", text)["n1"].labels == {"rack": "r1"}


GROUPS = "abcd"


def section(name: str) -> st.SearchStrategy[str]:
    """One group: members, variables that say who set them, a priority; children of later letters,
    so that no group is among its own.
    """
    later = [group for group in GROUPS if group > name]
    return st.builds(
        lambda hosts, said, priority, children: (
            f"[{name}]\n"
            + "".join(f"{host}\n" for host in sorted(hosts))
            + f"[{name}:vars]\n"
            + "".join(f"{key}={value}\n" for key, value in sorted(said.items()))
            + (f"ansible_group_priority={priority}\n" if priority else "")
            + f"[{name}:children]\n"
            + "".join(f"{child}\n" for child in sorted(children))
        ),
        st.sets(st.sampled_from(["h1", "h2 ansible_port=9", "h[1:3]", "x:7"])),
        st.fixed_dictionaries(
            {"ansible_user": st.just(name)}, optional={"ansible_host": st.just(name)}
        ),
        st.sampled_from([0, 0, -3, 2, 12]),
        st.sets(st.sampled_from(later)) if later else st.just(set()),
    )


@pytest.mark.skipif(not ANSIBLE, reason="ansible-core is not installed")
@given(sections=st.tuples(*map(section, GROUPS)).flatmap(st.permutations))
@settings(max_examples=150, deadline=None)
def test_whose_variable_wins_is_ansibles_answer(tmp_path_factory, sections):
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader
    from ansible.vars.manager import VariableManager

    source = tmp_path_factory.getbasetemp() / "random.ini"
    source.write_text("lone\n" + "".join(sections))
    loader = DataLoader()
    theirs = InventoryManager(loader=loader, sources=[str(source)])
    variables = VariableManager(loader=loader, inventory=theirs)
    ours = {node.name: node for node in load([source])}
    assert set(ours) == {host.name for host in theirs.get_hosts()}
    for host in theirs.get_hosts():
        said, node = variables.get_vars(host=host, include_hostvars=False), ours[host.name]
        assert node.user == said.get("ansible_user", "")
        assert node.port == said.get("ansible_port", 0)
        assert node.address == said.get("ansible_host", "")
        groups = {group.name for group in host.get_groups()} - {"all", "ungrouped"}
        assert set(filter(None, node.labels.get("group", "").split(","))) == groups

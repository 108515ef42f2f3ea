"""Which nodes an expression means, and what is said of one that cannot be read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterctl.inventory.select import select
from clusterctl.model import Node, UserError

EXAMPLE = Path(__file__).parent.parent / "inventories/example.yml"
NODES = (
    Node("n1", "10.0.0.1", labels={"rack": "r1", "sku": "h100-8", "group": "train,canary"}),
    Node("n2", "10.0.0.2", labels={"rack": "r2", "sku": "h100-8", "group": "train"}, user="ops"),
    Node("n3", port=2222, labels={"rack": "r12", "sku": "a910", "drained": "fan broken"}),
    Node("n4", become=True, labels={"rack": "r02", "drained": "no", "note": "two words"}),
)


def chosen(expression: str) -> str:
    return " ".join(node.name for node in select(NODES, expression))


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("", "n1 n2 n3 n4"),
        ("  ", "n1 n2 n3 n4"),
        ("rack=r1", "n1"),
        ("rack==r1", "n1"),
        ("rack!=r1", "n2 n3 n4"),
        ("sku!=a910", "n1 n2 n4"),
        ("rack=r[1-2]", "n1 n2"),
        ("rack=r[1,12]", "n1 n3"),
        ("rack=r1,r02", "n1 n4"),
        ("rack=r1*", "n1 n3"),
        ("rack=r?", "n1 n2"),
        ("sku=h100* & rack=r2", "n2"),
        ("sku=h100*&rack=r2|drained", "n2 n3"),
        ("drained | sku=h100* & rack=r2", "n2 n3"),
        ("(drained | sku=h100*) && rack=r2", "n2"),
        ("drained", "n3"),
        ("!drained", "n1 n2 n4"),
        ("!!drained", "n3"),
        ("!broken", "n1 n2 n3 n4"),
        ("!(drained | broken)", "n1 n2 n4"),
        ("!(drained & !broken)", "n1 n2 n4"),
        ("train", "n1 n2"),
        ("train & !canary", "n2"),
        ("group=canary", "n1"),
        ("group!=train", "n3 n4"),
        ("group=ca*", "n1"),
        ("group=none", ""),
        ("rack=r99", ""),
        ("name=n[1-2],n4", "n1 n2 n4"),
        ("name=n*", "n1 n2 n3 n4"),
        ("address=10.0.0.[1-2]", "n1 n2"),
        ("user=ops", "n2"),
        ("port=2222", "n3"),
        ("port=22", "n1 n2 n4"),
        ("become=yes", "n4"),
        ('note="two words"', "n4"),
        ('"note"="two words"', "n4"),
        ('sku=""', "n4"),
    ],
)
def test_an_expression_means_these_nodes(expression, names):
    assert chosen(expression) == names


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("rak=r1", "no node has the label 'rak'; did you mean 'rack'? (column 1: ^ rak=r1)"),
        ("!(rak=r1)", "no node has the label 'rak'"),
        ("drianed", "no node has the label or group 'drianed'; did you mean 'drained'?"),
        ("!!drianed", "no node has the label or group"),
        ("!(!(drianed))", "'drianed'"),
        ("rack=r1 &", "found the end (column 10: rack=r1 & ^)"),
        ("rack=", "expected a value for rack, found the end"),
        ("rack=|", "expected a value for rack, found '|'"),
        ("rack=r1 sku=h100", "expected & or |, found 'sku' (column 9: rack=r1  ^ sku=h100)"),
        ("(rack=r1", 'a ")" is missing'),
        ("rack=r1)", "expected & or |, found ')'"),
        ("& rack=r1", "found '&' (column 1"),
        ('note="two', "a quote is left open (column 6"),
        ("rack=r[1-", "a [ without its ]"),
        ("rack=r[3-1]", "invalid values in range"),
        ("rack=r[1-999999999]", "more than 1,000,000 names"),
        ("n1", "write name=n1 to choose by name"),
        ("n[1-2]", "write name=n[1-2]"),
        ("rack=r1 and sku=a910", "expected & or |, found 'and'"),
        ("not drained", "write & for and, | for or, ! for not"),
        ("rack=r1,sku=h100", "expected & or |, found '='"),
        ("(" * 1000, "too many parentheses"),
        ("!" * 999, "found the end"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_its_column(expression, said):
    with pytest.raises(UserError) as caught:
        select(NODES, expression)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("--select: ")


LEAVES = st.sampled_from(
    ["drained", "train", "canary", "rack=r1", "rack!=r1", "sku=h100*", "name=n[2-3]", "port=22"]
)
TREES = st.recursive(
    LEAVES.map(lambda leaf: (leaf, {node.name for node in select(NODES, leaf)})),
    lambda inner: st.one_of(
        inner.map(lambda one: (f"!({one[0]})", {node.name for node in NODES} - one[1])),
        st.tuples(inner, inner).map(
            lambda two: (f"({two[0][0]}) & ({two[1][0]})", two[0][1] & two[1][1])
        ),
        st.tuples(inner, inner).map(
            lambda two: (f"({two[0][0]})|({two[1][0]})", two[0][1] | two[1][1])
        ),
    ),
    max_leaves=6,
)  # fmt: skip


@given(tree=TREES)
@settings(deadline=None)
def test_expressions_are_set_algebra(tree):
    expression, names = tree
    assert {node.name for node in select(NODES, expression)} == names


@given(
    expression=st.text(alphabet='abn[]()!&|="*?,-12 \n\track', max_size=20) | st.text(max_size=8)
)
@settings(deadline=None, max_examples=500)
def test_no_expression_ends_in_a_traceback(expression):
    try:
        said = select(NODES, expression)
    except UserError as error:
        said = str(error)
    assert "\n" not in said if isinstance(said, str) else set(said) <= set(NODES)


# ------------------------------------------------------------------------------------- the verb


def clusterctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "clusterctl", "nodes", *arguments]
    root = EXAMPLE.parent.parent
    wide = {**os.environ, "COLUMNS": "160"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, env=wide)


def test_the_table_says_how_and_from_where_and_accounts_for_all():
    said = clusterctl("-i", "inventories/example.yml", "--select", "owner=wang")
    assert said.returncode == 0
    assert "root@[2001:db8::17]:2222 via bastion-2 with sudo" in said.stdout
    assert "inventories/example.yml:23" in said.stdout
    assert said.stdout.endswith("1 of 41 nodes selected\n")


def test_the_other_forms_are_for_machines():
    where = ("-i", "inventories/example.yml", "--nodes", "n[001-003],!n002")
    assert clusterctl(*where, "--fold").stdout == "n[001,003]\n"
    assert clusterctl(*where, "--format", "names").stdout == "n001\nn003\n"
    told = json.loads(clusterctl(*where, "--format", "json").stdout)
    assert [node["address"] for node in told["nodes"]] == ["10.12.0.1", "10.12.0.3"]
    assert clusterctl(*where, "--format", "csv").stdout.startswith("name,address,")


def test_nobody_selected_is_3_and_a_mistake_is_2_in_one_line():
    none = clusterctl("-i", "inventories/example.yml", "-s", "owner=li")
    assert (none.returncode, none.stdout) == (3, "0 of 41 nodes selected\n")
    wrong = clusterctl("-i", "inventories/example.yml", "-s", "onwer=li")
    assert wrong.returncode == 2
    assert wrong.stdout == ""
    assert wrong.stderr.count("\n") == 1
    assert "did you mean 'owner'?" in wrong.stderr


def test_markup_and_escapes_in_an_inventory_are_shown_and_not_obeyed(tmp_path):
    sheet = tmp_path / "i.csv"
    sheet.write_text("hostname,note,rack\nn1,[bold]x[/nope]\x1b[31m,r1\nn2,[gpu0],r1\n")
    said = clusterctl("-i", str(sheet))
    assert said.returncode == 0
    assert "[bold]x[/nope]\\x1b[31m" in said.stdout
    assert "[gpu0]" in said.stdout

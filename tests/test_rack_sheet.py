"""Rack sheets as data-centre staff keep them."""

from __future__ import annotations

from pathlib import Path

import pytest
from inventory_files import nodes_of, refusal

from clusterctl.inventory import load
from clusterctl.report.node_list import as_csv

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("comma", [",", ";", "\t", "\uff0c"])
def test_a_chinese_rack_sheet_reads_in_any_encoding_and_delimiter(tmp_path, encoding, comma):
    header = [
        "主机名",
        "管理IP",
        "业务IP",
        "机柜",
        "U位",
        "交换机",
        "型号",
        "带外IP",
        "序列号",
        "BMC密码",
        "责任人",
    ]
    rows = [
        ["一期机房"],
        header,
        [
            "n1",
            "10.0.0.1",
            "10.9.0.1",
            "r1",
            "3",
            "leaf1",
            "H100",
            "10.1.0.1",
            "SN1",
            "secret",
            "王",
        ],
        [""] * len(header),
        header,
        ["", "", "", "r1", "4", "", "", "", "", "", ""],
        ["n2", "10.0.0.2", "-", "r1", "5", "", "H100", "", "SN2", "secret", "无"],
    ]
    text = "\r\n".join(comma.join(row) for row in rows)
    nodes = nodes_of(tmp_path, "机柜.csv", text.encode(encoding))
    assert [node.address for node in nodes.values()] == ["10.0.0.1", "10.0.0.2"]
    assert nodes["n1"].labels == {
        "业务IP": "10.9.0.1",
        "rack": "r1",
        "unit": "3",
        "leaf": "leaf1",
        "sku": "H100",
        "bmc": "10.1.0.1",
        "serial": "SN1",
        "责任人": "王",
    }
    assert nodes["n2"].origin.endswith("机柜.csv:7")


def test_a_sheet_may_hold_ranges_quotes_and_breaks(tmp_path):
    text = (
        'Host Name,IP,Rack,Note\nn[1-2],10.0.0.[1-2],r1,"two\nlines, one cell"\nn3,10.0.0.3,r2,\n'
    )
    nodes = nodes_of(tmp_path, "x", text)
    assert nodes["n2"].address == "10.0.0.2"
    assert nodes["n1"].labels["Note"] == "two\nlines, one cell"
    assert nodes["n3"].origin.endswith("x:4")


def test_secrets_never_become_labels(tmp_path):
    sheet = "hostname,password,bmc_pwd,token,口令\nn1,a,b,c,d\n"
    assert nodes_of(tmp_path, "a.csv", sheet)["n1"].labels == {}
    ini = "n1 ansible_password=a db_password=b api_token=c compass=north"
    assert nodes_of(tmp_path, "a.ini", ini)["n1"].labels == {"compass": "north"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hostname,ip\nn1,10.0.0.1\nn1,10.0.0.2", "i.csv:3: n1: address is '10.0.0.2' here and"),
        ("hostname,rack\nn1,r1\nn1,r2", "n1: rack is 'r2' here"),
        ("hostname,ip\nn1,10.0.0.1,x", "i.csv:2: 3 cells below 2 headers"),
        ("hostname,ip,hostname\nn1,10.0.0.1,x", "i.csv:1: two columns are headed 'hostname'"),
        ("hostname,x,x\nn1,1,2", "two columns are headed 'x'"),
        ("rack,serial\nr1,s1", "has no header line"),
        ('hostname,"ip\naddress"\nn1,10.0.0.1', "line break in its header"),
        ("hostname,serial\n,s1", "i.csv:2: a machine without name and address (serial s1)"),
        ("hostname,ip\n", "no node below"),
        ('hostname,ip\nn1,"10.0.0.1\nn2,10.0.0.2', "i.csv:2: not CSV"),
        ("hostname,ip\nn1,10.0.0.300", "address: '10.0.0.300' is not"),
        ("hostname,ip\nn1,10.0.0.3:22", "address: '10.0.0.3:22' is not"),
        ("hostname,port\nn1,99999", "port: '99999' is not"),
        (b"PK\x03\x04rest", "Excel workbook"),
        (b"hostname\x00,ip\n", "neither UTF-8 nor GBK"),
        (b"\xff\x81\x00\xff", "neither UTF-8 nor GBK"),
    ],
)
def test_a_mistake_in_a_sheet_is_one_line(tmp_path, text, said):
    assert said in refusal(tmp_path, "i.csv", text)


def test_what_nodes_writes_as_csv_reads_back(tmp_path):
    nodes = load([ROOT / "inventories/example.yml"])
    again = nodes_of(tmp_path, "again.csv", as_csv(nodes))
    for node in nodes:
        other = again[node.name]
        assert (other.address, other.user, other.port, other.via, other.become, other.identity) == (
            node.address,
            node.user,
            node.port,
            node.via,
            node.become,
            node.identity,
        )
        assert other.labels == node.labels

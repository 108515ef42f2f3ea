"""Tables of the checks about addresses of the fabric."""

from __future__ import annotations

from dataclasses import replace

from rows import row

from clusterctl.model import Address, Port

CONF = "/etc/hccn.conf"

ADDRESSES = (
    row("as its file says", Address("npu3", "10.1.0.4", "10.1.0.4", CONF), expect={"npu3": "pass"}),
    row(
        "another than its file says",
        Address("npu3", "10.1.0.9", "10.1.0.4", CONF),
        expect={"npu3": "fail"},
        says="10.1.0.9",
    ),
    row(
        "none where the file has one",
        Address("npu0", "", "10.1.0.1", CONF),
        expect={"npu0": "fail"},
    ),
    row("one that no file knows", Address("npu0", "10.1.0.1", "", CONF), expect={"npu0": "fail"}),
    row(
        "one of a device of which no file was read",
        Address("npu0", "10.1.0.1", ""),
        expect={"npu0": "skip"},
    ),
    row("none at all is not used", Address("npu0", "", "", CONF), expect={"npu0": "skip"}),
)

NPU = Port("npu0/1", "npu0", "active", "ethernet", driver="hccn", reach="ok")
REACH = (
    row("it answers", NPU, expect={"npu0/1": "pass"}),
    row("it does not", replace(NPU, reach="receive timeout"), expect={"npu0/1": "fail"}),
    row("a port that watches nobody", replace(NPU, reach=None), expect={"npu0/1": "skip"}),
    row(
        "a port that watches nobody, where others like it do",
        replace(NPU, reach=None),
        expect={"npu0/1": "unknown"},
        reported=frozenset({("Port", "hccn", "reach")}),
    ),
    row(
        "a port that is down reaches nobody",
        replace(NPU, reach="fault", state="down"),
        expect={"npu0/1": "skip"},
    ),
)

TABLES = {"stale_addresses": ADDRESSES, "port_reach": REACH}

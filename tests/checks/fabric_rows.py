"""Tables of the checks about addresses of the fabric."""

from __future__ import annotations

from rows import row

from clusterctl.model import Address

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
    row("none at all is not used", Address("npu0", "", "", CONF), expect={"npu0": "skip"}),
)

TABLES = {"stale_addresses": ADDRESSES}

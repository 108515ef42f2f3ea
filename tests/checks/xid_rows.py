"""The table of the check about what accelerators write into the kernel log."""

from __future__ import annotations

from dataclasses import replace

from rows import row
from sample_cards import CARD, GPU, gpu

from clusterctl.model import Boot, KernelEvent, LogWindow

LOG = LogWindow("kmsg", 7200.0, 500)


def xid(code, pci="0000:1b:00", seconds_ago=60.0, kind="xid", text=""):
    return KernelEvent(pci, kind, str(code), text or f"NVRM: Xid {code}", seconds_ago=seconds_ago)


XID = (
    row("a quiet log", GPU, LOG, expect={"kernel log": "pass"}),
    row("no accelerator, not asked", LOG, expect={"kernel log": "skip"}),
    row("no log read", GPU, expect={"kernel log": "unknown"}),
    row(
        "an empty log proves nothing",
        GPU,
        LogWindow("kmsg", None, 0),
        expect={"kernel log": "unknown"},
    ),
    row("79 means reboot", GPU, LOG, xid(79), expect={"gpu0": "fail"}, says="reboot-node"),
    row("13 means restart the job", GPU, LOG, xid(13), expect={"gpu0": "warn"}, says="restart-job"),
    row("31 is the application", GPU, LOG, xid(31), expect={"gpu0": "warn"}, says="restart-job"),
    row("48 means reset", GPU, LOG, xid(48), expect={"gpu0": "fail"}, says="reset-device"),
    row("63 is only recorded", GPU, LOG, xid(63), expect={"gpu0": "warn"}, says="observe"),
    row("64 means reset", GPU, LOG, xid(64), expect={"gpu0": "fail"}, says="reset-device"),
    row("74 is not fatal by itself", GPU, LOG, xid(74), expect={"gpu0": "warn"}),
    row("92 is counted", GPU, LOG, xid(92), expect={"gpu0": "warn"}, says="observe"),
    row("94 never reboots", GPU, LOG, xid(94), expect={"gpu0": "warn"}, says="restart-job"),
    row("95 means reset", GPU, LOG, xid(95), expect={"gpu0": "fail"}, says="reset-device"),
    row("119 means reset", GPU, LOG, xid(119), expect={"gpu0": "fail"}, says="reset-device"),
    row("54 is for hands on site", GPU, LOG, xid(54), expect={"gpu0": "fail"}, says="isolate"),
    row("145 is a link's", GPU, LOG, xid(145), expect={"gpu0": "warn"}),
    row(
        "a number of tomorrow", GPU, LOG, xid(999), expect={"gpu0": "warn"}, says="not in our table"
    ),
    row("a number that is none", GPU, LOG, xid("7x"), expect={"gpu0": "warn"}),
    row(
        "two kinds are two findings",
        GPU,
        LOG,
        xid(79),
        xid(13),
        expect={"gpu0": "fail"},
        says="restart-job",
    ),
    row(
        "many devices at once are the application",
        gpu(),
        gpu(1),
        LOG,
        xid(13, "0000:10:00"),
        xid(13, "0000:11:00"),
        expect={"gpu0": "warn", "gpu1": "warn"},
        says="2 devices at once",
    ),
    row(
        "an old application error is no news",
        GPU,
        LOG,
        xid(13, seconds_ago=90_000),
        expect={"kernel log": "pass"},
    ),
    row(
        "an old 79 of this boot still holds",
        GPU,
        LOG,
        xid(79, seconds_ago=90_000),
        Boot("b", 100_000.0),
        expect={"gpu0": "fail"},
    ),
    row(
        "79 before the last boot",
        GPU,
        LOG,
        xid(79, seconds_ago=90_000),
        Boot("b", 600.0),
        expect={"gpu0": "warn"},
    ),
    row("a card that no tool shows keeps its address", LOG, xid(79), expect={"0000:1b:00": "fail"}),
    row(
        "a harmless SXid",
        GPU,
        LOG,
        xid(12023, kind="sxid", text="SXid 12023, Non-fatal"),
        expect={"kernel log": "pass"},
    ),
    row(
        "a fatal one that goes on with its registers is fatal",
        GPU,
        LOG,
        xid(20034, "0000:c3:00.0", kind="sxid", text="20034, Fatal, Link 30 LTSSM Fault Up"),
        xid(20034, "0000:c3:00.0", kind="sxid", text="20034, Severity 1 Engine instance 30"),
        xid(20034, "0000:c3:00.0", kind="sxid", text="20034, Data {0x50610002}"),
        expect={"0000:c3:00.0": "fail"},
        says="reboot-node",
    ),
    row(
        "a number that is harmless is not, where a line calls it fatal",
        GPU,
        LOG,
        xid(12023, "0000:c3:00.0", kind="sxid", text="SXid 12023, Fatal, x"),
        expect={"0000:c3:00.0": "fail"},
    ),
    row(
        "a switch whose controller stopped, which the driver gives no severity",
        GPU,
        LOG,
        xid(26008, "0000:c3:00.0", kind="sxid", text="26008, SOE Watchdog error"),
        expect={"0000:c3:00.0": "fail"},
        says="reset-device",
    ),
    row(
        "a fatal SXid",
        GPU,
        LOG,
        xid(24007, "0000:c3:00.0", kind="sxid", text="24007, Fatal, x"),
        expect={"0000:c3:00.0": "fail"},
    ),
    row(
        "a non-fatal SXid",
        GPU,
        LOG,
        xid(20034, "0000:c3:00.0", kind="sxid", text="20034, Non-fatal, x"),
        expect={"0000:c3:00.0": "warn"},
    ),
    row("a card on the bus alone is reason to look", CARD, LOG, expect={"kernel log": "pass"}),
    row(
        "another device on the bus is none",
        replace(CARD, kind="nic"),
        LOG,
        expect={"kernel log": "skip"},
    ),
)
TABLES = {
    "xid": XID,
}

"""Tables of the checks about drives and file systems."""

from __future__ import annotations

from dataclasses import replace

from rows import Row, gap, row

from clusterctl.model import (
    Cpu,
    Drive,
    Filesystem,
    Kind,
)

GB = 10**9

ROOT = Filesystem(
    "/",
    "/dev/sda1",
    "ext4",
    read_only=False,
    wanted_read_only=False,
    size_bytes=100 * GB,
    available_bytes=50 * GB,
    inodes=1000,
    inodes_available=500,
)

SPACE = (
    row("half free", ROOT, expect={"/": "pass"}),
    row("five per cent free", replace(ROOT, available_bytes=5 * GB), expect={"/": "warn"}),
    row(
        "400 MB free of 20 GB",
        replace(ROOT, size_bytes=20 * GB, available_bytes=4 * GB // 10),
        expect={"/": "fail"},
    ),
    row("full", replace(ROOT, available_bytes=0), expect={"/": "fail"}),
    row(
        "a small one full",
        replace(ROOT, size_bytes=64 << 20, available_bytes=0),
        expect={"/": "fail"},
    ),
    row(
        "a small one half full",
        replace(ROOT, size_bytes=64 << 20, available_bytes=32 << 20),
        expect={"/": "pass"},
    ),
    row("out of inodes", replace(ROOT, inodes_available=0), expect={"/": "fail"}),
    row(
        "an image is full by nature",
        replace(ROOT, fstype="squashfs", available_bytes=0),
        expect={"/": "skip"},
    ),
    row(
        "not mounted is another's",
        replace(ROOT, mounted=False, available_bytes=0),
        expect={"/": "skip"},
    ),
    row(
        "size not told, as peers do",
        replace(ROOT, size_bytes=None, inodes=None),
        reported=frozenset({("Filesystem", "", "size_bytes")}),
        expect={"/": "unknown"},
    ),
    row("ten per cent free", replace(ROOT, available_bytes=10 * GB), expect={"/": "pass"}),
    row("exactly 1 % of inodes", replace(ROOT, inodes_available=10), expect={"/": "pass"}),
    row("no size", replace(ROOT, size_bytes=0, inodes=None), expect={"/": "skip"}),
)

READ_ONLY = (
    row("writable", ROOT, expect={"/": "pass"}),
    row(
        "read-only and fstab wants it writable",
        replace(ROOT, part="/data", read_only=True),
        expect={"/data": "fail"},
    ),
    row(
        "read-only as fstab wants",
        replace(ROOT, read_only=True, wanted_read_only=True),
        expect={"/": "pass"},
    ),
    row(
        "a read-only root that fstab does not know",
        replace(ROOT, read_only=True, wanted_read_only=None),
        expect={"/": "fail"},
    ),
    row(
        "an immutable root",
        replace(ROOT, fstype="squashfs", read_only=True, wanted_read_only=None),
        expect={"/": "skip"},
    ),
    row(
        "a read-only image elsewhere",
        replace(ROOT, part="/snap", read_only=True, wanted_read_only=None),
        expect={"/snap": "skip"},
    ),
    row(
        "in fstab and not there",
        replace(ROOT, part="/data", mounted=False),
        expect={"/data": "fail"},
    ),
)

NVME = Drive(
    "nvme0",
    "PM9",
    "s1",
    state="live",
    critical_warning=0,
    spare_percent=100.0,
    spare_threshold_percent=10.0,
    used_percent=3.0,
    media_errors=2,
)

DISK = (
    row("healthy", NVME, expect={"nvme0": "pass"}),
    row("dead", replace(NVME, state="dead"), expect={"nvme0": "fail"}),
    row("resetting", replace(NVME, state="resetting"), expect={"nvme0": "warn"}),
    row("read-only by itself", replace(NVME, critical_warning=0x08), expect={"nvme0": "fail"}),
    row("hot", replace(NVME, critical_warning=0x02), expect={"nvme0": "warn"}),
    row("a bit of tomorrow", replace(NVME, critical_warning=0x80), expect={"nvme0": "fail"}),
    row("little spare", replace(NVME, spare_percent=5.0), expect={"nvme0": "fail"}),
    row("worn", replace(NVME, used_percent=104.0), expect={"nvme0": "warn"}),
    row(
        "a new media error",
        NVME,
        earlier=(replace(NVME, media_errors=1),),
        expect={"nvme0": "warn"},
    ),
    row(
        "a new drive in this slot",
        NVME,
        earlier=(replace(NVME, media_errors=1, serial="s0"),),
        expect={"nvme0": "pass"},
    ),
    row("says nothing", Drive("sda"), expect={"sda": "skip"}),
    row(
        "silent where peers speak",
        replace(NVME, critical_warning=None),
        reported=frozenset({("Drive", "PM9", "critical_warning")}),
        expect={"nvme0": "unknown"},
    ),
    row(
        "as much spare as it must have", replace(NVME, spare_percent=10.0), expect={"nvme0": "pass"}
    ),
    row("used up as planned", replace(NVME, used_percent=100.0), expect={"nvme0": "warn"}),
    row("no new media error", NVME, earlier=(NVME,), expect={"nvme0": "pass"}),
    row("media errors alone, read first", Drive("sda", media_errors=1), expect={"sda": "skip"}),
    row("spare without its threshold", Drive("sda", spare_percent=1.0), expect={"sda": "skip"}),
    row(
        "a threshold without spare",
        Drive("sda", "M", spare_threshold_percent=1.0),
        reported=frozenset({("Drive", "M", "spare_percent")}),
        expect={"sda": "unknown"},
    ),
)
TWO = (NVME, replace(NVME, part="nvme1", serial="s2"))

COUNT = (
    Row(
        "one of two is gone, its peers have both",
        {"n1": TWO, "n2": TWO, "n3": TWO[:1], "n4": TWO},
        expect={"n1 drives": "pass", "n3 drives": "fail"},
        says="most nodes of this kind",
    ),
    Row(
        "peers of another kind do not count",
        {f"n{i}": (*TWO[: 1 + (i > 3)], Cpu("cpu", f"c{i > 3}")) for i in range(1, 8)},
        expect={"n1 drives": "pass", "n7 drives": "pass"},
    ),
    row("gone since last time", NVME, earlier=TWO, expect={"drives": "warn"}, says="nvme1"),
    row("no peers, as last time", NVME, earlier=(NVME,), expect={"drives": "skip"}),
    row("read first, alone", NVME, expect={"drives": "skip"}),
    row("one more than last time", *TWO, earlier=(NVME,), expect={"drives": "skip"}),
    row("fewer than promised", NVME, limits={"drives": 2}, expect={"drives": "fail"}),
    row("as promised", NVME, limits={"drives": 1}, earlier=TWO, expect={"drives": "pass"}),
    Row(
        "a list that was cut misses no drive, and says nothing of what its peers should have",
        {"n1": TWO, "n2": TWO, "n3": TWO[:1], "n4": TWO, "n5": TWO[:1], "n6": TWO[:1]},
        expect={f"n{n} drives": "unknown" for n in (3, 5, 6)},
        gaps={f"n{n}": {Drive: gap("nvme0", "nvme1")} for n in (3, 5, 6)},
    ),
    row(
        "gone or not seen is not told apart",
        NVME,
        earlier=TWO,
        gaps={"n1": {Drive: gap(part="nvme1", kind=Kind.UNREADABLE)}},
        expect={"drives": "unknown"},
    ),
    row(
        "as many as promised are enough, whatever was not seen",
        NVME,
        limits={"drives": 1},
        gaps={"n1": {Drive: gap()}},
        expect={"drives": "pass"},
    ),
)
TABLES = {
    "disk_health": DISK,
    "drive_count": COUNT,
    "disk_space": SPACE,
    "read_only": READ_ONLY,
}

"""Tables of the checks about the kernel log and the clock."""

from __future__ import annotations

from rows import row

from clusterctl.model import (
    Accelerator,
    Boot,
    Clock,
    KernelEvent,
    LogWindow,
)

LOG = LogWindow("kmsg", 7200.0, 500)


def logged(kind, code, part="", seconds_ago=60.0):
    return KernelEvent(part, kind, code, f"{kind} {code} line", seconds_ago=seconds_ago)


KERNEL = (
    row("quiet", LOG, expect={"kernel log": "pass"}),
    row("no log read", logged("xid", "79"), expect={"kernel log": "unknown"}),
    row(
        "an uncorrected machine check",
        LOG,
        logged("mce", "uncorrected", "cpu3"),
        expect={"cpu3": "fail"},
    ),
    row("a logged machine check", LOG, logged("mce", "logged"), expect={"kernel log": "warn"}),
    row(
        "memory lost data", LOG, logged("edac", "ue", "mc0"), expect={"mc0": "fail"}, says="return"
    ),
    row("memory corrected", LOG, logged("edac", "ce", "mc0"), expect={"mc0": "warn"}),
    row(
        "a fatal PCIe error",
        LOG,
        logged("aer", "Fatal", "0000:1b:00.0"),
        Accelerator("gpu0", pci="0000:1b:00.0"),
        expect={"gpu0": "fail"},
    ),
    row(
        "a non-fatal PCIe error",
        LOG,
        logged("aer", "Non-Fatal", "0000:1b:00.0"),
        expect={"0000:1b:00.0": "warn"},
    ),
    row(
        "a corrected PCIe error is noise",
        LOG,
        logged("aer", "corrected"),
        expect={"kernel log": "pass"},
    ),
    row("a drive gone", LOG, logged("nvme", "removed", "nvme0"), expect={"nvme0": "fail"}),
    row("a drive late", LOG, logged("nvme", "timeout", "nvme0"), expect={"nvme0": "warn"}),
    row(
        "firmware stuck",
        LOG,
        logged("mlx5", "health_compromised", "0000:d2:00.0"),
        expect={"0000:d2:00.0": "fail"},
    ),
    row(
        "an unplugged cable is noise",
        LOG,
        logged("mlx5", "unplugged"),
        expect={"kernel log": "pass"},
    ),
    row("remounted read-only", LOG, logged("disk", "read_only", "sda1"), expect={"sda1": "fail"}),
    row("a hung task", LOG, logged("hung", "task"), expect={"kernel log": "warn"}),
    row("a lock-up", LOG, logged("hung", "soft_lockup", "cpu1"), expect={"cpu1": "fail"}),
    row(
        "before the last boot it is history",
        LOG,
        logged("hung", "panic", seconds_ago=9000.0),
        Boot("b", 60.0),
        expect={"kernel log": "warn"},
        says="before the last boot",
    ),
    row("a kind of tomorrow", LOG, logged("moon", "phase"), expect={"kernel log": "warn"}),
    row(
        "others' lines are left to others",
        LOG,
        logged("xid", "79"),
        logged("link", "down"),
        expect={"kernel log": "pass"},
    ),
)

OOM = (
    row("none", LOG, expect={"memory": "pass"}),
    row("one killed", LOG, logged("oom", "killed"), expect={"memory": "warn"}, says="restart-job"),
    row(
        "one killed days ago",
        LOG,
        logged("oom", "killed", seconds_ago=200_000.0),
        expect={"memory": "pass"},
    ),
    row("no log read", LogWindow("kmsg", None, 0), expect={"memory": "unknown"}),
)

CLOCK = (
    row("right", Clock("chrony", synchronised=True, offset_s=0.0002), expect={"chrony": "pass"}),
    row(
        "a little off", Clock("chrony", synchronised=True, offset_s=-0.2), expect={"chrony": "warn"}
    ),
    row("far off", Clock("chrony", synchronised=True, offset_s=3.0), expect={"chrony": "fail"}),
    row("not synchronised", Clock("timex", synchronised=False), expect={"timex": "warn"}),
    row(
        "the daemon is believed before the kernel's flag",
        Clock("timex", synchronised=False),
        Clock("chrony", synchronised=True, offset_s=0.0001),
        expect={"chrony": "pass", "timex": "skip"},
    ),
    row(
        "synchronised, offset not told", Clock("timex", synchronised=True), expect={"timex": "pass"}
    ),
    row("does not say", Clock("ntp", None), expect={"ntp": "unknown"}),
    row(
        "the daemon's offset is better than the kernel's",
        Clock("timex", synchronised=True, offset_s=0.001),
        Clock("chrony", synchronised=True, offset_s=0.002),
        expect={"chrony": "pass", "timex": "skip"},
    ),
    row(
        "an offset is better than none",
        Clock("chrony", synchronised=True),
        Clock("timex", synchronised=True, offset_s=3.0),
        expect={"timex": "fail", "chrony": "skip"},
        says="isolate",
    ),
    row("128 ms may be", Clock("ntp", synchronised=True, offset_s=0.128), expect={"ntp": "pass"}),
)
TABLES = {
    "clock_offset": CLOCK,
    "kernel_faults": KERNEL,
    "oom": OOM,
}
